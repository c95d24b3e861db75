"""Putting files of a set back on the machine's volumes: beside, then over, so that no file is ever half old and half new.

All files of a component are first written under temporary names and made durable; only then are they renamed into place, one
after the other. A failure before the first rename leaves the old files as they were. Bytes are hashed on the way and compared
with the manifest: what verification read a minute ago is not what is trusted now.

What is restored by ranges is written over a copy of the file as it is on the machine, so the rule above holds for it too.

A transaction log that is on the volume already is not replaced when it is newer or has the same bytes: rolling forward needs
it. That is the only difference between kinds of files.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from vss.errors import BackupSetError, RestoreRefusedError, VssError
from vss.events import FileRestored
from vss.ports import Ports
from vss.roles.verifier import Progress
from vss.roles.volume import File, FileSystem
from vss_requestors.blocking_work import finished
from vss_requestors.copying import PIECE_BYTES, PieceHasher
from vss_requestors.fault_points import percent_of
from vss_requestors.pacing import Throttle
from vss_requestors.repository.file_source import SetFileSource
from vss_requestors.repository.records import ManifestFile
from vss_requestors.restore_placement import Placement
from vss_requestors.results import RestoredFile

TEMPORARY_SUFFIX = ".vss-restore"


class PartlyRestoredError(VssError):
    """Some files of a component are the new ones and some the old; the component is not usable until restored again."""


class RestoreCopy:
    """Puts files of one set back."""

    def __init__(
        self,
        ports: Ports,
        files: FileSystem,
        root: Path,
        *,
        throttle_bytes_per_s: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Restore from the set in ``root`` to ``files``, the machine's live files."""
        self._ports = ports
        self._files = files
        self._root = root
        self._throttle = Throttle(ports.clock, throttle_bytes_per_s)
        self._progress = progress
        self.has_renamed = False

    async def restore(self, placements: Sequence[Placement]) -> list[RestoredFile]:
        """Restore the files of one component. ``has_renamed`` says afterwards whether any file was put in place.

        Raises:
            PartlyRestoredError: renaming failed half-way.
            VssError: nothing was changed: a volume failed or is full, or the set does not hold what its manifest says.
        """
        entries = dict.fromkeys(piece.entry for each in placements for piece in each.pieces)
        source = SetFileSource(self._ports, self._root, list(entries))
        written: list[Placement] = []
        kept: dict[str, str] = {}
        self.has_renamed = False
        total_bytes = sum(each.entry.size_bytes for each in placements)
        done_bytes = 0
        try:
            for placement in placements:
                reason = await self._reason_to_keep(source, placement)
                if reason:
                    kept[placement.destination] = reason
                    continue
                written.append(placement)
                work = partial(self._write, source, placement)
                percent = percent_of(done_bytes, total_bytes)
                done_bytes += placement.entry.size_bytes
                await self._ports.faults("restore.write", work, file=placement.destination, percent=percent)
            await self._files.sync()
        except BaseException:
            await self._remove_temporary(written)
            raise
        finally:
            source.close()
        await self._rename(written)
        return [self._report(each, kept.get(each.destination, "")) for each in placements]

    async def _reason_to_keep(self, source: SetFileSource, placement: Placement) -> str:
        entry, path = placement.entry, placement.destination
        if entry.kind != "log" or placement.is_overlay or not await self._files.exists(path):
            return ""
        stat = await self._files.stat(path)
        if stat.size_bytes == entry.size_bytes and await self._is_same(source, placement):
            return "same bytes there"
        return "newer log kept" if stat.modified_ns > entry.modified_ns else ""

    async def _is_same(self, source: SetFileSource, placement: Placement) -> bool:
        handle = await self._files.open(placement.destination)
        try:
            for offset in range(0, placement.entry.size_bytes, PIECE_BYTES):
                expected = await source.read(placement.entry.machine_path, offset, PIECE_BYTES)
                if await handle.pread(offset, PIECE_BYTES) != expected:
                    return False
            return True
        finally:
            await handle.close()

    async def _write(self, source: SetFileSource, placement: Placement) -> None:
        path = placement.destination
        await self._files.make_directory(path.rpartition("\\")[0] + ("\\" if path.count("\\") == 1 else ""))
        if not placement.is_straight:
            for entry in dict.fromkeys(piece.entry for piece in placement.pieces):
                await self._check(source, entry)
        handle = await self._files.open(path + TEMPORARY_SUFFIX, write=True, create=True)
        try:
            await handle.truncate(0)  # a temporary file that an interrupted restore left behind
            if placement.is_overlay:
                await self._copy_existing(placement, handle)
            hasher = PieceHasher()
            done_bytes = 0
            for piece in placement.pieces:
                for start in range(0, piece.length, PIECE_BYTES):
                    length = min(PIECE_BYTES, piece.length - start)
                    data = await source.read(piece.entry.machine_path, piece.source_offset + start, length)
                    await handle.pwrite(piece.offset + start, data)
                    await finished(self._ports, partial(hasher.add, [data]))
                    done_bytes += len(data)
                    if self._progress is not None:
                        self._progress(path, done_bytes, placement.size_bytes)
                    await self._throttle.passed(len(data))
            if placement.is_straight:
                _compare(placement.entry, hasher)
            await handle.sync()
        finally:
            await handle.close()

    async def _copy_existing(self, placement: Placement, target: File) -> None:
        """Begin with the file as it is. Ranges of a partial file mean nothing without the rest of it."""
        path = placement.destination
        if not await self._files.exists(path):
            if placement.is_straight:
                raise RestoreRefusedError(
                    f"the set has ranges of '{placement.entry.machine_path}' only, and '{path}' is not there to take them",
                    hint="restore the full backup first",
                )
            return
        existing = await self._files.open(path)
        try:
            for offset in range(0, existing.size_bytes, PIECE_BYTES):
                await target.pwrite(offset, await existing.pread(offset, PIECE_BYTES))
        finally:
            await existing.close()

    async def _check(self, source: SetFileSource, entry: ManifestFile) -> None:
        """Read a file of the set that is used in parts, and compare it with the manifest."""
        hasher = PieceHasher()
        for each in entry.byte_ranges:
            for offset in range(each.offset, each.end, PIECE_BYTES):
                data = await source.read(entry.machine_path, offset, min(PIECE_BYTES, each.end - offset))
                await finished(self._ports, partial(hasher.add, [data]))
        _compare(entry, hasher)

    async def _rename(self, written: Sequence[Placement]) -> None:
        for count, placement in enumerate(written):
            path = placement.destination
            try:
                await self._files.rename(path + TEMPORARY_SUFFIX, path)
            except VssError as error:
                await self._remove_temporary(written[count:])
                if count == 0:
                    raise
                raise PartlyRestoredError(
                    f"'{path}' could not be put in place after {count} of {len(written)} files were: {error.message}",
                    hint="restore the set again: the component's files do not belong together now",
                ) from error
            self.has_renamed = True

    async def _remove_temporary(self, written: Sequence[Placement]) -> None:
        for placement in written:
            try:
                await self._files.remove(placement.destination + TEMPORARY_SUFFIX)
            except VssError:
                continue  # not there, or the volume fails: the next restore overwrites what stays

    def _report(self, placement: Placement, kept: str) -> RestoredFile:
        entry = placement.entry
        if not kept:
            self._ports.emit(FileRestored(path=placement.destination, size_bytes=placement.size_bytes))
        return RestoredFile(
            path=entry.machine_path,
            destination=placement.destination,
            size_bytes=placement.size_bytes,
            action=kept or "restored",
        )


def _compare(entry: ManifestFile, hasher: PieceHasher) -> None:
    digests = hasher.digests()
    if digests.sha256 != entry.sha256:
        raise BackupSetError(
            f"'{entry.path}' changed while it was restored: SHA-256 expected {entry.sha256}, found {digests.sha256}"
        )
