"""How the tree of the extent file system gets to the volume and back: checkpoints, journal, recovery.

Decides when metadata is durable. A *commit* appends one record with the changes since the last commit:

1. flush, so that the data that new extents point to is durable before anything points to it;
2. write the record, flush. Only now the commit is over, and clusters freed by it may be used again (``ExtentCore``).

When the journal is full, or its end is in doubt (a write or flush failed, or the file system was just mounted), the commit is a
*checkpoint* instead: flush, write the whole tree into the body that is not current, flush, write its superblock (one sector, so
it cannot tear), flush. The new epoch makes every older record void.

So at most one record or superblock is unsynced at any time, and after power loss the volume holds the tree of the last finished
commit or of the one that was under way. A whole record of the current epoch behind a broken one can therefore not come from
power loss: it proves damage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vss.errors import VolumeDamagedError, VolumeError
from vss.ids import Guid
from vss.volumes.block_store import SECTOR_BYTES, BlockDevice, WritableBlockDevice
from vss.volumes.extent_layout import (
    SIZE_BYTES_MIN,
    SUPERBLOCK_OFFSETS,
    Change,
    Geometry,
    Superblock,
    checksum,
    decode_body,
    decode_changes,
    decode_superblock,
    encode_record,
    encode_superblock,
    find_later_record,
    find_record,
)
from vss.volumes.file_tree import FileTree


@dataclass(frozen=True, slots=True)
class LoadedVolume:
    """What recovery found."""

    superblock: Superblock
    which: int
    tree: FileTree


def load(device: BlockDevice) -> LoadedVolume:
    """Read the newest checkpoint and replay its journal, in memory only.

    Raises:
        VolumeDamagedError: a superblock, body or journal record does not hold what it must.
    """
    superblock, which = _newest_superblock(device)
    offset = superblock.geometry.body_offset(which)
    data = device.read(offset, superblock.body_length)
    found = checksum(data)
    if found != superblock.body_checksum:
        raise VolumeDamagedError(
            f"checkpoint body at offset {offset}: expected checksum {superblock.body_checksum:016x}, found {found:016x}"
        )
    tree = FileTree.from_body(decode_body(data, offset), f"checkpoint body at offset {offset}")
    _replay(device, superblock, tree)
    return LoadedVolume(superblock, which, tree)


def _newest_superblock(device: BlockDevice) -> tuple[Superblock, int]:
    if device.size_bytes < SIZE_BYTES_MIN:
        raise VolumeDamagedError(f"expected a volume of at least {SIZE_BYTES_MIN} bytes, found {device.size_bytes}")
    both = [decode_superblock(device.read(offset, SECTOR_BYTES), offset) for offset in SUPERBLOCK_OFFSETS]
    which = 0 if both[0].epoch > both[1].epoch else 1
    newest = both[which]
    expected = Geometry.for_volume(newest.geometry.size_bytes)
    fits = newest.geometry.size_bytes <= device.size_bytes and newest.body_length <= newest.geometry.body_bytes
    if not newest.geometry.is_possible or not fits or abs(both[0].epoch - both[1].epoch) != 1:
        raise VolumeDamagedError(
            f"superblock at offset {SUPERBLOCK_OFFSETS[which]}: expected {expected} on a device of {device.size_bytes} bytes "
            f"and consecutive epochs, found {newest.geometry} and epochs {both[0].epoch} and {both[1].epoch}"
        )
    return newest, which


def _replay(device: BlockDevice, superblock: Superblock, tree: FileTree) -> None:
    start = superblock.geometry.journal_offset
    journal = device.read(start, superblock.geometry.journal_bytes)
    position, sequence = 0, 1
    while True:
        record = find_record(journal, position)
        if record is None or (record.epoch, record.sequence) != (superblock.epoch, sequence):
            break
        where = f"journal record {sequence} at offset {start + position}"
        for change in decode_changes(record.payload, start + position):
            tree.apply(change, where)
        position += record.length
        sequence += 1
    later = find_later_record(journal, position, superblock.epoch)
    if later >= 0:
        raise VolumeDamagedError(
            f"journal record {sequence} at offset {start + position}: expected a whole record, because a later one of the same "
            f"epoch stands at offset {start + later}"
        )


class Journal:
    """The writing side: where the next record goes, and which checkpoint is current."""

    def __init__(self, device: WritableBlockDevice, loaded: LoadedVolume, flush: Callable[[], None]) -> None:
        """Go on from what was loaded; the first commit is a checkpoint.

        Args:
            device: where to write.
            loaded: what ``load`` returned.
            flush: makes everything written to ``device`` durable.
        """
        self._device = device
        self._flush = flush
        self._geometry = loaded.superblock.geometry
        self._volume_id = loaded.superblock.volume_id
        self._epoch = loaded.superblock.epoch
        self._which = loaded.which
        self._position = 0
        self._sequence = 1
        self._needs_checkpoint = True
        self._is_next_superblock_doubtful = False

    def commit(self, changes: list[Change], tree: FileTree) -> None:
        """Make ``changes``, which ``tree`` already has, durable with all data they point to.

        Raises:
            VolumeWriteError: it is unknown whether the volume has them; calling again with the same and later changes is right.
        """
        try:
            self._flush()
            if self._needs_checkpoint or not self._append(changes):
                self._checkpoint(tree)
            self._flush()
        except VolumeError:
            self._needs_checkpoint = True
            raise
        self._needs_checkpoint = False

    @property
    def geometry(self) -> Geometry:
        """Where things lie."""
        return self._geometry

    def change_geometry(self, geometry: Geometry, tree: FileTree) -> None:
        """Make ``geometry`` durable, with the whole of ``tree``: one checkpoint. Errors as ``commit``: the old one stays."""
        old, self._geometry = self._geometry, geometry
        self._needs_checkpoint = True
        try:
            self.commit([], tree)
        except VolumeError:
            self._geometry = old
            raise

    def distrust(self) -> None:
        """A flush failed somewhere: what was written last may never become durable, so write the whole tree next time."""
        self._needs_checkpoint = True

    def _append(self, changes: list[Change]) -> bool:
        record = encode_record(self._epoch, self._sequence, changes)
        if self._position + len(record) > self._geometry.journal_bytes:
            return False
        self._device.write(self._geometry.journal_offset + self._position, record)
        self._position += len(record)
        self._sequence += 1
        return True

    def _checkpoint(self, tree: FileTree) -> None:
        which = 1 - self._which
        if self._is_next_superblock_doubtful:
            # An earlier attempt failed at this superblock, which may be on the volume: age it before its body changes.
            self._write_superblock(which, self._epoch - 1, b"")
            self._flush()
        body = tree.to_body()
        self._device.write(self._geometry.body_offset(which), body)
        self._flush()
        self._is_next_superblock_doubtful = True
        self._write_superblock(which, self._epoch + 1, body)
        self._flush()
        self._is_next_superblock_doubtful = False
        self._which = which
        self._epoch += 1
        self._position = 0
        self._sequence = 1

    def _write_superblock(self, which: int, epoch: int, body: bytes) -> None:
        superblock = Superblock(self._geometry, self._volume_id, epoch, len(body), checksum(body))
        self._device.write(SUPERBLOCK_OFFSETS[which], encode_superblock(superblock))


def write_empty(device: WritableBlockDevice, volume_id: Guid) -> None:
    """Make an empty file system: both checkpoints valid, the journal blank."""
    geometry = Geometry.for_volume(device.size_bytes)
    blank = bytes(geometry.journal_bytes)
    if device.read(geometry.journal_offset, geometry.journal_bytes) != blank:
        device.write(geometry.journal_offset, blank)
    body = FileTree().to_body()
    for which, offset in enumerate(SUPERBLOCK_OFFSETS):
        device.write(geometry.body_offset(which), body)
        device.write(offset, encode_superblock(Superblock(geometry, volume_id, which + 1, len(body), checksum(body))))
