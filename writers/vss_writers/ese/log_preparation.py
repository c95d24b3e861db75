"""What a log stream is made of before it runs: its parameters, what it asks of its owner, and new log files.

A log file is filled with the pattern over its whole length and made durable before anything is written to it.

Sources: published engine, log.cxx, logstream.cxx.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import SECTOR_SIZE, FileSystem, join_path
from vss_writers.ese.header_values import NEVER, LogPosition, LogTime, Signature
from vss_writers.ese.log_checksum import FILL_SECTOR
from vss_writers.ese.log_file import Attachment, EngineParameters, LogFlag, LogHeader, temporary_log_name
from vss_writers.ese.log_profile import LogProfile
from vss_writers.ese.sites import AtSite, just_do

RESERVE_LOGS = 2
_FILL_CHUNK = FILL_SECTOR * 512


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """What every generation of a stream has in common."""

    directory: str
    base: str
    signature: Signature
    file_size: int
    page_size: int
    engine: EngineParameters
    is_circular: bool = False
    profile: LogProfile = LogProfile.EXCHANGE_2007


@dataclass(slots=True)
class StreamOwner:
    """What the stream asks of the instance it belongs to.

    Attributes:
        now: time of a new generation.
        attachments: attachment list for the header of a new generation.
        checkpoint: the checkpoint position now.
        on_new_generation: called when a generation has begun; writes database headers.
        is_out_of_space: tells a full disk from other errors.
        on_low_space: called when a reserve log had to be used.
        at_site: what stands at the named sites.
        on_halt: told what stopped the stream for good.
    """

    now: Callable[[], LogTime]
    attachments: Callable[[], tuple[Attachment, ...]]
    checkpoint: Callable[[], LogPosition]
    on_new_generation: Callable[[LogHeader], Awaitable[None]]
    is_out_of_space: Callable[[BaseException], bool]
    on_low_space: Callable[[str], None]
    at_site: AtSite = just_do
    on_halt: Callable[[JetError], None] = lambda error: None


def next_header(
    parameters: StreamParameters, previous: LogHeader | None, owner: StreamOwner, flags: LogFlag, generation: int | None = None
) -> LogHeader:
    """Return the header of the generation after ``previous``, or of the first one."""
    return LogHeader(
        generation=generation or (1 if previous is None else previous.generation + 1),
        signature=parameters.signature,
        created=owner.now(),
        previous_created=NEVER if previous is None else previous.created,
        file_sectors=parameters.file_size // SECTOR_SIZE,
        page_size=parameters.page_size,
        parameters=replace(parameters.engine, is_circular=parameters.is_circular),
        flags=flags,
        checkpoint=owner.checkpoint(),
        attachments=owner.attachments(),
    )


async def write_header(files: FileSystem, path: str, header: LogHeader) -> None:
    file = await files.open(path, write=True)
    try:
        await file.pwrite(0, header.pack())
        await file.sync()
    finally:
        await file.close()


async def fill_log(files: FileSystem, path: str, size: int) -> None:
    """Make a file of ``size`` bytes of pattern, durable."""
    file = await files.open(path, write=True, create=True)
    try:
        for offset in range(0, size, len(_FILL_CHUNK)):
            await file.pwrite(offset, _FILL_CHUNK[: size - offset])
        await file.truncate(size)
        await file.sync()
    finally:
        await file.close()


async def remove_left_overs(files: FileSystem, parameters: StreamParameters) -> None:
    """Remove a prepared log and a repaired one that a crash left behind: both may be incomplete, neither holds records."""
    for name in (temporary_log_name(parameters.base), repaired_name(parameters)):
        path = join_path(parameters.directory, name)
        if await files.exists(path):
            await files.remove(path)


def repaired_name(parameters: StreamParameters) -> str:
    return f"{parameters.base}fix.log"


async def make_reserve_logs(
    files: FileSystem, directory: str, base: str, file_size: int, profile: LogProfile = LogProfile.EXCHANGE_2007
) -> None:
    """Make the reserve logs that are missing."""
    for number in range(1, RESERVE_LOGS + 1):
        path = join_path(directory, profile.reserve_name(base, number))
        if not await files.exists(path):
            await fill_log(files, path, file_size)


def report_halt(on_event: EventSink, directory: str, error: JetError) -> None:
    """Tell that nothing is logged any more: 429 for a full disk, 408 for any other failure, then 492."""
    event_id = 429 if error.code is JetCode.LogDiskFull else 408
    on_event(EngineEvent(event_id, f"a log cannot be written: {error}", Severity.ERROR, error.path or directory))
    on_event(EngineEvent(492, "the log stream is halted", Severity.ERROR, directory))


def report_last_generations(on_event: EventSink, profile: LogProfile, directory: str, generation: int) -> None:
    """Tell, long before they are used up (−519), that generations come to an end: event 514."""
    if profile.is_end_announced(generation):
        left = profile.generation_max - 1 - generation
        severity = Severity.ERROR if profile.is_end_near(generation) else Severity.WARNING
        values = (("generation", generation), ("left", left))
        on_event(EngineEvent(514, f"log generations are nearly used up: {left} are left", severity, directory, values))
