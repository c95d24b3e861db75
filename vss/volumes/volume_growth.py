"""A volume gets longer: its store, the boot records that say so, the file system on it.

Decides when that is refused: while anything follows the volume's writes, or shadow copy storage is entered on it. The diff area
lies right behind the volume, and each shadow copy has the length of its volume in its catalog entry and its bitmaps; nothing in
the format moves them (libyal/libvshadow format document, "Catalog", "Bitmap").

Order: room behind the volume, blank; boot record in the new last sector; flush; boot record in the first, one sector, which is
the moment the volume has its new length; flush; a checkpoint of the file system with it. After power loss between the last two
the volume has the new length and the file system the old one, and both can be used; growing to the same size again ends it.
"""

from __future__ import annotations

from vss.errors import BadStateError, InvalidArgumentError
from vss.ids import Guid
from vss.volumes.block_store import SECTOR_BYTES, BlockStore
from vss.volumes.boot_record import VSS_HEADER_OFFSET, boot_record

_PIECE_BYTES = 1 << 20
_CATALOG_OFFSET_AT = 48
_HEADER_IDENTIFIER = Guid("3808876b-c176-4e48-b7ae-04046e6cc752").bytes_le


def check_growth(name: str, store: BlockStore, size_bytes: int, new_size_bytes: int, *, is_followed: bool) -> None:
    """Raise unless the volume on ``store`` may grow from ``size_bytes`` to ``new_size_bytes``.

    Raises:
        InvalidArgumentError: the new size is smaller, or not in whole sectors.
        BadStateError: it has shadow copies or room for them, or a provider follows its writes.
    """
    if new_size_bytes < size_bytes or new_size_bytes % SECTOR_BYTES:
        raise InvalidArgumentError(
            f"volume {name} expected a size of at least {size_bytes} bytes in whole sectors of {SECTOR_BYTES}, "
            f"found {new_size_bytes}"
        )
    header = store.read(VSS_HEADER_OFFSET, SECTOR_BYTES)
    if header.startswith(_HEADER_IDENTIFIER) and any(header[_CATALOG_OFFSET_AT : _CATALOG_OFFSET_AT + 8]):
        raise BadStateError(
            f"volume {name} cannot grow: it has shadow copy storage, and its diff area and shadow copies are made for "
            f"{size_bytes} bytes",
            hint="delete its shadow copies and their storage first: vss admin delete shadows, vss admin delete shadowstorage",
        )
    if is_followed:
        raise BadStateError(f"volume {name} cannot grow: a provider follows its writes", hint="wait for it, or abort the set")


def lengthen(store: BlockStore, size_bytes: int, new_size_bytes: int, volume_id: Guid) -> None:
    """Make the volume on ``store`` that long, durably; ``VolumeError``: it has the old or the new length."""
    old_end = store.size_bytes
    store.grow(new_size_bytes)
    for at in range(size_bytes, min(old_end, new_size_bytes), _PIECE_BYTES):
        length = min(_PIECE_BYTES, old_end - at, new_size_bytes - at)
        if store.read(at, length).count(0) != length:
            store.write(at, bytes(length))  # what an earlier diff area left behind
    record = boot_record(new_size_bytes, volume_id)
    store.write(new_size_bytes - SECTOR_BYTES, record)
    store.flush()
    store.write(0, record)
    store.flush()
