"""The verifier of the store's files: every page of every database, every log, the checkpoint, and that the logs suffice.

A page with a single wrong bit can be corrected by the engine, but a backup that holds one is damaged all the same: it counts as
wrong bytes here, and the finding says that it could be corrected. A dirty database (every one taken from a shadow copy is)
needs the generations that its header requires in the same set.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss_writers.ese import verify as engine
from vss_writers.ese.checkpoint import unpack_checkpoint
from vss_writers.ese.errors import JetError
from vss_writers.ese.header import DatabaseHeader
from vss_writers.ese.log_reader import judge_log
from vss_writers.exchange.writer import WRITER_CLASS_ID

_LOG = re.compile(r"(?P<base>...)(?P<generation>[0-9A-F]{8})?\.log", re.IGNORECASE)
_CHUNK_BYTES = 1 << 20

Throttle = Callable[[int], Awaitable[None]]


@dataclass(slots=True)
class _Judgement:
    """What was seen so far."""

    files: list[FileVerification] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    generations: list[int] = field(default_factory=list)
    databases: list[tuple[str, DatabaseHeader]] = field(default_factory=list)


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
        _judge_chain(judgement)
        return VerificationReport(tuple(judgement.files), tuple(judgement.findings))


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
    report = await engine.verify_database(
        lambda offset, length: source.read(path, offset, length),
        size,
        path=path,
        on_progress=None if progress is None else lambda done, total: progress(path, done * size // max(total, 1), size),
        throttle=throttle,
    )
    for found in report.findings:
        correctable = "; the engine could correct it" if found.is_correctable else ""
        judgement.findings.append(
            Finding(
                path=path,
                code=_code(found.error(path)),
                message=found.detail + correctable,
                page_number=-1 if found.page_number is None else found.page_number,
                offset=found.offset,
            )
        )
    if report.header is not None:
        judgement.databases.append((path, report.header))
    judgement.files.append(
        FileVerification(path, size, "every page checksum", report.counters.pages_seen, is_good=report.is_intact)
    )


async def _judge_small(
    source: FileSource, path: str, judgement: _Judgement, throttle: Throttle, progress: Progress | None
) -> None:
    size = await source.size(path)
    data = b"".join([await source.read(path, at, min(_CHUNK_BYTES, size - at)) for at in range(0, size, _CHUNK_BYTES)])
    await throttle(size)
    is_good = True
    try:
        if path.lower().endswith(".chk"):
            unpack_checkpoint(data, path=path)
        else:
            _judge_log(path, data, judgement)
    except JetError as error:
        is_good = False
        offset = -1 if error.offset is None else error.offset
        judgement.findings.append(Finding(path=path, code=_code(error), message=str(error), offset=offset))
    method = "checkpoint checksum" if path.lower().endswith(".chk") else "every log record checksum"
    judgement.files.append(FileVerification(path, size, method, is_good=is_good))
    if progress is not None:
        progress(path, size, size)


def _judge_log(path: str, data: bytes, judgement: _Judgement) -> None:
    match = _LOG.fullmatch(path.rpartition("\\")[2])
    if match is None:
        return  # a log under preparation or kept in reserve holds nothing yet
    loaded = judge_log(data, path, may_be_torn=match["generation"] is None)
    judgement.generations.append(loaded.header.generation)
    if match["generation"] is not None and int(match["generation"], 16) != loaded.header.generation:
        judgement.findings.append(
            Finding(
                path=path,
                code="JET_errLogGenerationMismatch -513",
                message="the name and the header disagree about the generation",
                offset=4,
                expected=match["generation"],
                found=f"{loaded.header.generation:08X}",
            )
        )


def _judge_chain(judgement: _Judgement) -> None:
    """Every dirty database needs its required generations, without a gap."""
    present = sorted(judgement.generations)
    for path, header in judgement.databases:
        if header.is_clean or not header.generation_min_required:
            continue
        required = range(header.generation_min_required, header.generation_max_required + 1)
        missing = [each for each in required if each not in present]
        if missing:
            judgement.findings.append(
                Finding(
                    path=path,
                    code="JET_errRequiredLogFilesMissing -543",
                    message="the set lacks log generations that the database needs",
                    expected=f"{required.start}-{required.stop - 1}",
                    found=f"missing {', '.join(map(str, missing))}",
                )
            )


def _code(error: JetError) -> str:
    return f"{error.name} {error.code.value}"
