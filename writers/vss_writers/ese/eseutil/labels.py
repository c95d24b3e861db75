"""How the engine's tool writes small things: times, positions, signatures, generation ranges.

Sources: published engine, dbdump.cxx, logdump.cxx.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vss_writers.ese.header_values import BackupInfo, EccCounter, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType, DatabaseState
from vss_writers.ese.log_file import Attachment, EngineParameters

STATES = {
    DatabaseState.JUST_CREATED: "Just Created",
    DatabaseState.DIRTY_SHUTDOWN: "Dirty Shutdown",
    DatabaseState.CLEAN_SHUTDOWN: "Clean Shutdown",
    DatabaseState.BEING_CONVERTED: "Being Converted",
    DatabaseState.FORCE_DETACH: "Force Detach Replay Error",
    DatabaseState.INCREMENTAL_RESEED: "Incremental Reseed In Progress",
    DatabaseState.DIRTY_AND_PATCHED: "Dirty And Patched Shutdown",
    DatabaseState.REVERT_IN_PROGRESS: "Revert In Progress",
}
_BACKUP_SUFFIXES = {
    BackupType.STREAMING: "",
    BackupType.OS_SNAPSHOT: " - OSSnapshot",
    BackupType.SNAPSHOT: " - Snapshot",
    BackupType.SURROGATE: " - Surrogate",
}


@dataclass(frozen=True, slots=True)
class Dump:
    """What one mode prints, as lines for people and as data for programs. ``error_code`` is the JET code of a failed check."""

    lines: tuple[str, ...]
    data: dict[str, Any]
    error_code: int = 0
    is_mismatch: bool = False


def time_text(time: LogTime) -> str:
    """``MM/DD/YYYY hh:mm:ss``; "never" is printed as the format holds it."""
    return str(time)


def iso_time(time: LogTime) -> str | None:
    """The time for programs, or None for "never"."""
    moment = time.to_datetime()
    return None if moment is None else moment.isoformat()


def position_text(position: LogPosition) -> str:
    """``(0xGEN,SEC,BYTE)``."""
    return str(position)


def signature_text(signature: Signature) -> str:
    """Creation time, random number and computer of a signature."""
    return f"Create time:{signature.created} Rand:{signature.random} Computer:{signature.computer}"


def range_text(first: int, last: int) -> str:
    """``a-b (0xa-0xb)``."""
    return f"{first}-{last} ({first:#x}-{last:#x})"


def state_text(state: int) -> str:
    """Name of a database state."""
    return STATES[DatabaseState(state)] if state in list(DatabaseState) else f"Unknown ({state})"


def backup_lines(label: str, backup: BackupInfo, kind: BackupType | None = None) -> list[str]:
    """The block of one backup; ``kind`` adds how it was taken."""
    suffix = "" if kind is None or not backup else _BACKUP_SUFFIXES.get(kind, "")
    return [
        f"{label}:",
        f"        Log Gen: {range_text(backup.generation_low, backup.generation_high)}{suffix}",
        f"           Mark: {position_text(backup.mark)}",
        f"           Mark: {time_text(backup.time)}",
    ]


def backup_data(backup: BackupInfo, kind: BackupType | None = None) -> dict[str, Any] | None:
    """One backup for programs, or None where there was none."""
    if not backup:
        return None
    data: dict[str, Any] = {
        "generation_first": backup.generation_low,
        "generation_last": backup.generation_high,
        "mark": position_text(backup.mark),
        "time": iso_time(backup.time),
    }
    if kind is not None:
        data["type"] = BackupType(kind).name.lower()
    return data


def counter_text(count: int) -> str:
    """``none`` or ``found (n)``."""
    return f"found ({count})" if count else "none"


def counter_lines(name: str, counter: EccCounter) -> list[str]:
    """Two lines: counted since the last reset, and before."""
    return [f"{name}: {counter_text(counter.count)}", f"Old {name}: {counter_text(counter.count_old)}"]


def environment_text(parameters: EngineParameters) -> str:
    """The settings as one line; names as the tool abbreviates them."""
    return (
        f"Env (CircLog,Session,Opentbl,VerPage,Cursors,LogBufs,LogFile,Buffers): "
        f"({'on' if parameters.is_circular else 'off'},{parameters.sessions},{parameters.open_tables},"
        f"{parameters.version_pages},{parameters.cursors},{parameters.log_buffer_sectors},"
        f"{parameters.log_file_sectors},{parameters.cache_buffers})"
    )


def attachment_lines(attachments: tuple[Attachment, ...]) -> list[str]:
    """One block for each attached database."""
    lines: list[str] = []
    for attachment in attachments:
        lines += [
            f"{attachment.dbid} {attachment.path}",
            f"  dbtime: {attachment.dbtime} (0-{attachment.dbtime:#x})  objidLast: {attachment.objid_last}",
            f"  Signature: {signature_text(attachment.signature)}",
            f"  MaxDbSize: {attachment.size_limit_pages} pages",
            f"  Last Attach: {position_text(attachment.attach_position)}",
            f"  Last Consistent: {position_text(attachment.consistent_position)}",
        ]
    return lines


def attachment_data(attachments: tuple[Attachment, ...]) -> list[dict[str, Any]]:
    """Attached databases for programs."""
    return [
        {
            "dbid": attachment.dbid,
            "path": attachment.path,
            "dbtime": attachment.dbtime,
            "objid_last": attachment.objid_last,
            "signature": signature_data(attachment.signature),
            "last_attach": position_text(attachment.attach_position),
            "last_consistent": position_text(attachment.consistent_position),
        }
        for attachment in attachments
    ]


def signature_data(signature: Signature) -> dict[str, Any]:
    """A signature for programs."""
    return {"random": signature.random, "created": iso_time(signature.created), "computer": signature.computer}
