"""The verifier of the scripted writers' files: every file against the record in the backup metadata, without the writer.

The record is in the backup components document. A source that can show the components of the document it belongs to
(``DocumentedSource``, as the requestors' sources are; ``RecordedSource`` makes one of any source and a document) is judged by
it: missing file, wrong size, wrong digest. From any other source files can only be read to their end, and the report's method
says so.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from vss.documents import BackupComponents, SelectedComponent
from vss.errors import DocumentError
from vss.ids import Guid
from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss_writers.scripted.content import PIECE_BYTES
from vss_writers.scripted.declaration import WRITER_CLASS_ID
from vss_writers.scripted.ranges import parse_ranges
from vss_writers.scripted.records import FileRecord, compare, decode_record

BY_RECORD = "SHA-256 at Freeze"
BY_READING = "read to its end, no record at hand"

Throttle = Callable[[int], Awaitable[None]]


@runtime_checkable
class DocumentedSource(Protocol):
    """A ``FileSource`` that knows its document."""

    def components(self) -> Sequence[SelectedComponent]:
        """The components, of one writer class, whose files these are."""
        ...


class RecordedSource:
    """A source joined with the document of its backup."""

    def __init__(self, source: FileSource, document: BackupComponents, instance_id: Guid | None = None) -> None:
        """Show ``source`` as the files of one scripted writer instance, or of all in ``document``."""
        self._source = source
        self._components = tuple(
            component
            for writer in document.writers
            if writer.writer_id == WRITER_CLASS_ID and instance_id in (None, writer.instance_id)
            for component in writer.components
            if component.backup_succeeded is not False  # nobody claims that its files are there
        )

    def components(self) -> Sequence[SelectedComponent]:
        """The scripted writers' components of the document."""
        return self._components

    def paths(self) -> Sequence[str]:
        """All paths of the source."""
        return self._source.paths()

    async def size(self, path: str) -> int:
        """Length in bytes."""
        return await self._source.size(path)

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Bytes of a file."""
        return await self._source.read(path, offset, length)


class ScriptedVerifier(Verifier):
    """Judges files by the digests that the writer took at Freeze."""

    writer_class_id = WRITER_CLASS_ID
    name = "scripted writer"

    async def verify(
        self,
        source: FileSource,
        *,
        throttle_bytes_per_s: float | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Judge every file of ``source``, and say which recorded ones it lacks."""
        judgement = _Judgement(source, _pace(throttle_bytes_per_s), progress)
        records = _records(source, judgement.findings) if isinstance(source, DocumentedSource) else None
        for path in source.paths():
            await judgement.judge(path, records)
        for record in (records or {}).values():
            judgement.findings.append(
                Finding(record.path, "missing file", f"'{record.path}' was there at Freeze and is not in the copy")
            )
        return VerificationReport(tuple(judgement.files), tuple(judgement.findings))


class _Judgement:
    """What was seen so far. Records that a file was found for are taken out of the mapping."""

    def __init__(self, source: FileSource, throttle: Throttle, progress: Progress | None) -> None:
        self.files: list[FileVerification] = []
        self.findings: list[Finding] = []
        self._source = source
        self._throttle = throttle
        self._progress = progress

    async def judge(self, path: str, records: dict[str, FileRecord] | None) -> None:
        size = await self._source.size(path)
        record = None if records is None else records.pop(path.lower(), None)
        if records is not None and record is None:
            text = f"'{path}' was not among the files at Freeze"
            self.findings.append(Finding(path, "file without record", text, is_warning=True))
        count, sha256 = await self._digest(path, size, "" if record is None else record.ranges)
        difference = "" if record is None else compare(record, count, sha256)
        if record is not None and difference:
            is_short = count != record.size
            self.findings.append(
                Finding(
                    path,
                    "wrong size" if is_short else "wrong digest",
                    f"'{path}' {difference}",
                    expected=str(record.size) if is_short else record.sha256,
                    found=str(count) if is_short else sha256,
                )
            )
        method = BY_READING if record is None else BY_RECORD
        self.files.append(FileVerification(path, size, method, is_good=not difference))

    async def _digest(self, path: str, size: int, ranges: str) -> tuple[int, str]:
        count, sha256 = 0, hashlib.sha256()
        for start, length in parse_ranges(ranges) if ranges else ((0, size),):
            end = min(start + length, size)
            for offset in range(start, end, PIECE_BYTES):
                piece = await self._source.read(path, offset, min(PIECE_BYTES, end - offset))
                sha256.update(piece)
                count += len(piece)
                await self._throttle(len(piece))
                if self._progress is not None:
                    self._progress(path, offset + len(piece), size)
        return count, sha256.hexdigest()


def _records(source: DocumentedSource, findings: list[Finding]) -> dict[str, FileRecord] | None:
    """The records by path; None where no component has one. A record that cannot be read is a finding."""
    found: dict[str, FileRecord] = {}
    has_any = False
    for component in source.components():
        if not component.backup_metadata:
            continue
        has_any = True
        try:
            records = decode_record(component.backup_metadata, component.full_path)
        except DocumentError as error:
            findings.append(Finding(component.full_path, "damaged record", error.message))
            continue
        found.update((each.path.lower(), each) for each in records)
    return found if has_any else None


def _pace(bytes_per_s: float | None) -> Throttle:
    """Return what waits as long as ``count`` bytes may take."""

    async def wait(count: int) -> None:
        if bytes_per_s is not None:
            await asyncio.sleep(count / bytes_per_s)

    return wait
