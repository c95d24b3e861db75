"""Volumes in image files, Windows-made ones included, opened for reading: shadow copies listed, checked, written out.

Nothing of a machine is needed and nothing is changed. An image may begin with a partition table: then the caller says at which
byte the volume starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from vss.errors import AlreadyExistsError, NotFoundError, VolumeDamagedError, VolumeReadError, VolumeWriteError
from vss.ports import HostFile, HostFiles
from vss_providers.digests import read_digests, wrong_blocks
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE, ReadableDevice, RecordType, walk_chain
from vss_providers.on_disk.reader import Partition, ShadowCopy, ShadowVolume
from vss_providers.store_room import FIRST_EXTENT_AT

_PIECE_BYTES = 1 << 20


class ImageFile:
    """A host file as a device that is only read."""

    def __init__(self, file: HostFile, name: str) -> None:
        """Read an open file."""
        self._file, self._name = file, name
        self.size_bytes = file.size()

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes.

        Raises:
            VolumeDamagedError: the image ends before.
            VolumeReadError: the host failed.
        """
        try:
            data = self._file.pread(offset, length)
        except OSError as error:
            raise VolumeReadError(f"{self._name}: reading {length} bytes at offset {offset:#x}: {error}") from error
        if len(data) != length:
            raise VolumeDamagedError(
                f"{self._name} at offset {offset:#x}: expected {length} bytes, found the end of the image at "
                f"{self.size_bytes:#x}"
            )
        return data

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_volume(file: ImageFile, offset: int = 0) -> ShadowVolume:
    """Return the volume that starts at byte ``offset`` of an image.

    Raises:
        NotFoundError: the image ends before.
        VolumeDamagedError: its volume header or catalog is damaged.
    """
    if not 0 <= offset < file.size_bytes:
        raise NotFoundError(f"the image has {file.size_bytes} bytes: no volume starts at {offset}")
    device: ReadableDevice = file if not offset else Partition(file, offset)
    return ShadowVolume(device)


def find_copy(volume: ShadowVolume, wanted: str) -> ShadowCopy:
    """Return a shadow copy by its number (1 is the oldest) or its id.

    Raises:
        NotFoundError: there is none.
    """
    copies = volume.shadow_copies
    if wanted.isdigit():
        if not 1 <= int(wanted) <= len(copies):
            raise NotFoundError(f"shadow copy number {wanted} does not exist: the image has {len(copies)}")
        return copies[int(wanted) - 1]
    try:
        snapshot_id = UUID(wanted)
    except ValueError as error:
        raise NotFoundError(f"expected the number or the id of a shadow copy, found '{wanted}'") from error
    for copy in copies:
        if not copy.is_stored_elsewhere and copy.information.snapshot_id == snapshot_id:
            return copy
    raise NotFoundError(f"shadow copy {snapshot_id} does not exist in this image")


def export(copy: ShadowCopy, files: HostFiles, target: Path) -> int:
    """Write a shadow copy to a new image, sparse where it is blank; return its size. On failure nothing stays.

    Raises:
        UnsupportedError: a store that is needed is on another volume.
        VolumeDamagedError: a structure that is needed is damaged.
        VolumeReadError: the host failed to read.
        AlreadyExistsError: something stands at ``target``.
        VolumeWriteError: the host failed to write.
    """
    try:
        out = files.open(target, write=True, exclusive=True)
    except FileExistsError as error:
        raise AlreadyExistsError(f"{target} exists: it would be overwritten") from error
    except OSError as error:
        raise VolumeWriteError(f"{target}: cannot be made: {error}") from error
    try:
        for offset in range(0, copy.size_bytes, _PIECE_BYTES):
            data = copy.read(offset, _PIECE_BYTES)
            if data.count(0) != len(data):
                out.pwrite(offset, data)
        out.truncate(copy.size_bytes)
        out.sync()
    except BaseException as error:
        out.close()
        files.remove(target)
        if isinstance(error, OSError):
            raise VolumeWriteError(f"{target}: cannot be written: {error}") from error
        raise
    out.close()
    return copy.size_bytes


@dataclass(frozen=True, slots=True)
class Verification:
    """What the digests say of the blocks that one store saved: (offset on the volume, offset in the image) of wrong ones."""

    saved_count: int
    digest_count: int
    wrong: list[tuple[int, int]]


def verify(volume: ShadowVolume, copy: ShadowCopy) -> Verification:
    """Compare the saved blocks of one store with the digests beside it; stores made by others have none.

    Raises:
        UnsupportedError: the store is on another volume.
        VolumeDamagedError: the store is damaged.
    """
    saved = copy.blocks.saved
    store = copy.record.store
    assert store is not None, "blocks are resolved first and refuse a store on another volume"
    digests = read_digests(volume.device, copy.store_id, store.header_offset + FIRST_EXTENT_AT)
    if not digests:  # older ones have bitmaps of their own, and the side-car behind them
        previous = [header.offset for header, _ in walk_chain(volume.device, RecordType.BITMAP, store.previous_bitmap_offset)]
        digests = read_digests(volume.device, copy.store_id, previous[-1] + BLOCK_SIZE) if previous else {}
    wrong = [(block << BLOCK_SHIFT, at) for block, at in wrong_blocks(volume.device, saved, digests)]
    return Verification(len(saved), sum(at in digests for at in saved.values()), wrong)
