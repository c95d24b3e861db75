"""The verifier of the store's files: every page of every database, every log, the checkpoint, and that the logs suffice.

A page with a single wrong bit can be corrected by the engine, but a backup that holds one is damaged all the same: it counts as
wrong bytes here, and the finding says that it could be corrected. So does a page that no table uses: it stops a backup as any
other, but goes with an offline defragmentation. A dirty database (every one taken from a shadow copy is) needs the generations
that its header requires in the same set, and those that it knows to be committed, or acknowledged mail would be missing after
a restore. How logs follow on one another is judged in ``verifier_logs``, whether a database is all there
in ``verifier_space``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss_writers.ese import verify as engine
from vss_writers.ese.checkpoint import unpack_checkpoint
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.free_pages import find_free_pages
from vss_writers.ese.log_reader import judge_log
from vss_writers.ese.reader import ReadAt
from vss_writers.exchange.verifier_logs import (
    StreamLogs,
    finding_of,
    judge_name,
    judge_needs,
    judge_sequence,
    name_of,
)
from vss_writers.exchange.verifier_space import DatabaseSize, LoggedPage, judge_size, logged_pages, measure
from vss_writers.exchange.writer import WRITER_CLASS_ID

_CHUNK_BYTES = 1 << 20

Throttle = Callable[[int], Awaitable[None]]


@dataclass(slots=True)
class _Judgement:
    """What was seen so far."""

    files: list[FileVerification] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    logs: StreamLogs = field(default_factory=StreamLogs)
    logged: list[LoggedPage] = field(default_factory=list)
    databases: list[DatabaseSize] = field(default_factory=list)

    def end(self) -> VerificationReport:
        """Judge how the files fit together, and report."""
        self.findings += judge_sequence(self.logs)
        for database in self.databases:
            self.findings += judge_needs(database.path, database.header, self.logs)
            missing = judge_size(database, self.logged)
            self.findings += missing
            if missing:
                self.files = [replace(each, is_good=False) if each.path == database.path else each for each in self.files]
        return VerificationReport(tuple(self.files), tuple(self.findings))


class ExchangeVerifier(Verifier):
    """Judges databases (``.edb``), logs (``.log``) and checkpoints (``.chk``); other files are the manifest's business."""

    writer_class_id = WRITER_CLASS_ID
    name = "Exchange store"

    async def verify(
        self,
        source: FileSource,
        *,
        throttle_bytes_per_s: float | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Judge every file of the store in ``source``."""
        judgement = _Judgement()
        throttle = _pace(throttle_bytes_per_s)
        for path in source.paths():
            lowered = path.lower()
            if lowered.endswith(".edb"):
                await _judge_database(source, path, judgement, throttle, progress)
            elif lowered.endswith((".log", ".chk")):
                await _judge_small(source, path, judgement, throttle, progress)
        return judgement.end()


def _pace(bytes_per_s: float | None) -> Throttle:
    """Return what waits as long as ``count`` bytes may take."""

    async def wait(count: int) -> None:
        if bytes_per_s is not None:
            await asyncio.sleep(count / bytes_per_s)

    return wait


async def _judge_database(
    source: FileSource, path: str, judgement: _Judgement, throttle: Throttle, progress: Progress | None
) -> None:
    size = await source.size(path)

    async def read(offset: int, length: int) -> bytes:
        return await source.read(path, offset, length)

    report = await engine.verify_database(
        read,
        size,
        path=path,
        on_progress=None if progress is None else lambda done, total: progress(path, done * size // max(total, 1), size),
        throttle=throttle,
    )
    free = await _free_pages(read, size, report)
    for found in report.findings:
        remarks = "; the engine could correct it" if found.is_correctable else ""
        if found.page_number in free:
            remarks += f"; page {found.page_number} is not used by any table: an offline defragmentation drops it"
        judgement.findings.append(
            Finding(
                path=path,
                code=name_of(found.code),
                message=found.detail + remarks,
                page_number=-1 if found.page_number is None else found.page_number,
                offset=found.offset,
            )
        )
    if report.header is not None:
        judgement.databases.append(await measure(path, read, size, report.header))
    judgement.files.append(
        FileVerification(path, size, "every page checksum", report.counters.pages_seen, is_good=report.is_intact)
    )


async def _free_pages(read: ReadAt, size: int, report: engine.Report) -> list[int]:
    """Damaged pages that no table uses; the others are what a repair or a restore is for."""
    damaged = [each.page_number for each in report.findings if each.code is JetCode.ReadVerifyFailure and each.page_number]
    if report.header is None or not damaged:
        return []
    return await find_free_pages(read, size, report.header.page_size, damaged)


async def _judge_small(
    source: FileSource, path: str, judgement: _Judgement, throttle: Throttle, progress: Progress | None
) -> None:
    size = await source.size(path)
    data = b"".join([await source.read(path, at, min(_CHUNK_BYTES, size - at)) for at in range(0, size, _CHUNK_BYTES)])
    await throttle(size)
    if path.lower().endswith(".chk"):
        method, findings = "checkpoint checksum", _judge_checkpoint(path, data)
    else:
        method, findings = "every log record checksum", _judge_log(path, data, judgement)
    judgement.findings += findings
    judgement.files.append(FileVerification(path, size, method, is_good=not findings))
    if progress is not None:
        progress(path, size, size)


def _judge_checkpoint(path: str, data: bytes) -> list[Finding]:
    try:
        unpack_checkpoint(data, path=path)
    except JetError as error:
        return [finding_of(error, path)]
    return []


def _judge_log(path: str, data: bytes, judgement: _Judgement) -> list[Finding]:
    place = judgement.logs.place_of(path)
    if place is None:
        return []  # a log under preparation holds nothing yet
    try:
        loaded = judge_log(data, path, may_be_torn=place.is_current)
    except JetError as error:
        return [finding_of(error, path)]
    judgement.logs.add(place, loaded.header)
    judgement.logged += logged_pages(loaded)
    return judge_name(place, loaded.header)
