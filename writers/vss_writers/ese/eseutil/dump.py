"""Dumps of headers and files: ``/mh``, ``/mk``, ``/ml``. Labels and their order are the engine tool's.

Sources: published engine, dbdump.cxx, logdump.cxx, eseutil.cxx.
"""

from __future__ import annotations

import struct
from typing import Any

from vss_writers.ese.checkpoint import Checkpoint, read_checkpoint
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.labels import (
    Dump,
    attachment_data,
    attachment_lines,
    backup_data,
    backup_lines,
    counter_lines,
    environment_text,
    iso_time,
    position_text,
    range_text,
    signature_data,
    signature_text,
    state_text,
    time_text,
)
from vss_writers.ese.files import FileSystem, base_name, directory_name, read_whole
from vss_writers.ese.header import HEADER_PROBE_SIZE, DatabaseHeader, unpack_headers
from vss_writers.ese.layout import FORMAT_UPDATE_EXCHANGE_2007, FORMAT_VERSION, MAGIC
from vss_writers.ese.log_file import LOG_VERSION_MAJOR, LOG_VERSION_MINOR, LOG_VERSION_UPDATE, LogFlag, LogHeader
from vss_writers.ese.log_reader import LoadedLog, judge_log, list_logs, load_log, position_at
from vss_writers.ese.log_replay import check_sequence

BASE_NAME_LENGTH = 3


async def dump_header(files: FileSystem, path: str) -> Dump:
    """``/mh``: the header of a database, the shadow where the primary is damaged.

    Raises:
        JetError: ``FileNotFound``; ``DatabaseCorrupted`` where neither copy can be used.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    file = await files.open(path)
    try:
        data = await file.pread(0, HEADER_PROBE_SIZE)
    finally:
        await file.close()
    pair = unpack_headers(data, path=path)
    header = pair.header
    lines = [f"        Database: {path}", ""]
    if pair.primary_error is not None:
        lines.append(f"Primary header is damaged: {pair.primary_error.detail}")
    if pair.shadow_error is not None:
        lines.append(f"Shadow header is damaged: {pair.shadow_error.detail}")
    checksum = struct.unpack_from("<I", data if pair.primary_error is None else header.pack())[0]
    lines += ["DATABASE HEADER:", *_header_lines(header, checksum)]
    fields = header_data(header)
    damaged = [name for name, error in (("primary", pair.primary_error), ("shadow", pair.shadow_error)) if error is not None]
    return Dump(tuple(lines), {"path": path, "damaged_headers": damaged, **fields})


def _header_lines(header: DatabaseHeader, checksum: int) -> list[str]:
    return [
        f"     File Type: {'Database' if header.attributes == 0 else 'Streaming File'}",
        f"      Checksum: {checksum:#x}",
        f"Format ulMagic: {MAGIC:#x}",
        f"Engine ulMagic: {MAGIC:#x}",
        f"Format ulVersion: {header.version:#x},{header.update}",
        f"Engine ulVersion: {FORMAT_VERSION:#x},{FORMAT_UPDATE_EXCHANGE_2007}",
        f"Created ulVersion: {header.create_version:#x},{header.create_update}",
        f"  DB Signature: {signature_text(header.signature)}",
        f"      cbDbPage: {header.page_size}",
        f"        dbtime: {header.dbtime} ({header.dbtime:#x})",
        f"         State: {state_text(header.state)}",
        f"  Log Required: {range_text(header.generation_min_required, header.generation_max_required)}",
        f" Log Committed: {range_text(0, header.generation_max_committed)}",
        f"Streaming File: {'Yes' if header.flags & 4 else 'No'}",
        f"      Shadowed: {'No' if header.flags & 1 else 'Yes'}",
        f"    Last Objid: {header.objid_last}",
        f"  Scrub Dbtime: {header.scrub_dbtime} ({header.scrub_dbtime:#x})",
        f"    Scrub Date: {time_text(header.scrub_time)}",
        f"  Repair Count: {header.repair_count}",
        f"   Repair Date: {time_text(header.repair_time)}",
        f"Old Repair Count: {header.repair_count_old}",
        f"Last Consistent: {position_text(header.consistent_position)} {time_text(header.consistent_time)}",
        f"   Last Attach: {position_text(header.attach_position)} {time_text(header.attach_time)}",
        f"   Last Detach: {position_text(header.detach_position)} {time_text(header.detach_time)}",
        f"          Dbid: {header.dbid}",
        f" Log Signature: {signature_text(header.log_signature)}",
        f"    OS Version: ({header.os_major}.{header.os_minor}.{header.os_build} SP {header.os_service_pack})",
        "",
        *backup_lines("Previous Full Backup", header.full_previous, header.full_previous_type),
        "",
        *backup_lines("Previous Incremental Backup", header.incremental_previous, header.incremental_previous_type),
        "",
        *backup_lines("Previous Copy Backup", header.copy_previous, header.copy_previous_type),
        "",
        *backup_lines("Previous Differential Backup", header.differential_previous, header.differential_previous_type),
        "",
        *backup_lines("Current Full Backup", header.full_current),
        "",
        *backup_lines("Current Shadow copy backup", header.snapshot_current),
        "",
        *_upgrade_lines(header),
        "",
        *counter_lines("ECC Fix Success Count", header.ecc_fix_success),
        *counter_lines("ECC Fix Error Count", header.ecc_fix_failure),
        *counter_lines("Bad Checksum Error Count", header.bad_checksum),
    ]


def _upgrade_lines(header: DatabaseHeader) -> list[str]:
    pages = struct.unpack("<III", header.upgrade_pages)
    names = ("cpgUpgrade55Format", "cpgUpgradeFreePages", "cpgUpgradeSpaceMapPages")
    return [f"{name}: {count}" for name, count in zip(names, pages, strict=True)]


def header_data(header: DatabaseHeader) -> dict[str, Any]:
    """A database header for programs."""
    return {
        "version": header.version,
        "update": header.update,
        "signature": signature_data(header.signature),
        "page_size": header.page_size,
        "dbtime": header.dbtime,
        "state": state_text(header.state),
        "generation_min_required": header.generation_min_required,
        "generation_max_required": header.generation_max_required,
        "generation_max_committed": header.generation_max_committed,
        "objid_last": header.objid_last,
        "repair_count": header.repair_count,
        "last_consistent": position_text(header.consistent_position),
        "last_attach": position_text(header.attach_position),
        "last_detach": position_text(header.detach_position),
        "dbid": header.dbid,
        "log_signature": signature_data(header.log_signature),
        "previous_full_backup": backup_data(header.full_previous, header.full_previous_type),
        "previous_incremental_backup": backup_data(header.incremental_previous, header.incremental_previous_type),
        "previous_copy_backup": backup_data(header.copy_previous, header.copy_previous_type),
        "previous_differential_backup": backup_data(header.differential_previous, header.differential_previous_type),
        "current_full_backup": backup_data(header.full_current),
        "current_shadow_copy_backup": backup_data(header.snapshot_current),
        "ecc_fix_success": header.ecc_fix_success.count,
        "ecc_fix_failure": header.ecc_fix_failure.count,
        "bad_checksum": header.bad_checksum.count,
    }


async def dump_checkpoint(files: FileSystem, path: str) -> Dump:
    """``/mk``: the checkpoint file.

    Raises:
        JetError: ``CheckpointFileNotFound``, ``CheckpointCorrupt``.
    """
    checkpoint = await read_checkpoint(files, path)
    lines = (
        f"      Checkpoint file: {path}",
        "",
        f"      LastFullBackupCheckpoint: {position_text(checkpoint.last_full_backup_checkpoint)}",
        f"      Checkpoint: {position_text(checkpoint.position)}",
        f"      FullBackup: {position_text(checkpoint.full_backup_position)}",
        f"      FullBackup time: {time_text(checkpoint.full_backup_time)}",
        f"      IncBackup: {position_text(checkpoint.incremental_backup_position)}",
        f"      IncBackup time: {time_text(checkpoint.incremental_backup_time)}",
        f"      Signature: {signature_text(checkpoint.signature)}",
        f"      {environment_text(checkpoint.parameters)}",
        "",
        *attachment_lines(checkpoint.attachments),
    )
    return Dump(lines, {"path": path, **checkpoint_data(checkpoint)})


def checkpoint_data(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint for programs."""
    return {
        "checkpoint": position_text(checkpoint.position),
        "generation": checkpoint.position.generation,
        "last_full_backup_checkpoint": position_text(checkpoint.last_full_backup_checkpoint),
        "full_backup": position_text(checkpoint.full_backup_position),
        "full_backup_time": iso_time(checkpoint.full_backup_time),
        "incremental_backup": position_text(checkpoint.incremental_backup_position),
        "incremental_backup_time": iso_time(checkpoint.incremental_backup_time),
        "signature": signature_data(checkpoint.signature),
        "attachments": attachment_data(checkpoint.attachments),
    }


async def dump_log(files: FileSystem, path: str) -> Dump:
    """``/ml FILE``: one log, with a check of all its records.

    Raises:
        JetError: ``FileNotFound``; ``LogFileCorrupt``, ``BadLogVersion`` where not even the header can be used.
    """
    if not await files.exists(path):
        raise JetError(JetCode.FileNotFound, path=path)
    data = await read_whole(files, path)
    header = LogHeader.unpack(data, path=path)
    lines = ["", *_log_header_lines(header, path), ""]
    fields = {"path": path, **log_data(header)}
    try:
        log = judge_log(data, path, may_be_torn=True)
    except JetError as error:
        lines.append(f"ERROR: {error}")
        return Dump(tuple(lines), {**fields, "is_whole": False, "error": str(error)}, int(error.code), is_mismatch=True)
    last = position_at(header.generation, log.data_end)
    lines += [f"      Last Lgpos: {position_text(last)}", "", f"Integrity check passed for log file: {path}"]
    return Dump(tuple(lines), {**fields, "is_whole": True, "records": len(log.records), "last_position": position_text(last)})


def _log_header_lines(header: LogHeader, path: str) -> list[str]:
    is_reserved = bool(header.flags & LogFlag.RESERVED)
    is_circular = bool(header.flags & LogFlag.CIRCULAR)
    was_circular = bool(header.flags & LogFlag.CIRCULAR_HISTORY)
    return [
        f"      Base name: {base_name(path)[:3]}",
        f"      Log file: {path}",
        f"      lGeneration: {header.generation} (0x{header.generation:X})",
        f"      Checkpoint: {position_text(header.checkpoint)}",
        f"      creation time: {time_text(header.created)}",
        f"      prev gen time: {time_text(header.previous_created)}",
        f"      Format LGVersion: ({header.version_major}.{header.version_minor}.{header.version_update})",
        f"      Engine LGVersion: ({LOG_VERSION_MAJOR}.{LOG_VERSION_MINOR}.{LOG_VERSION_UPDATE})",
        f"      Signature: {signature_text(header.signature)}",
        f"      Env SystemPath: {header.parameters.system_path}",
        f"      Env LogFilePath: {header.parameters.log_path}",
        f"      Env Log Sec size: {header.sector_size}",
        f"      {environment_text(header.parameters)}",
        f"      Using Reserved Log File: {'true' if is_reserved else 'false'}",
        f"      Circular Logging Flag (current file): {'on' if is_circular else 'off'}",
        f"      Circular Logging Flag (past files): {'on' if was_circular else 'off'}",
        *(f"      {line}" for line in attachment_lines(header.attachments)),
    ]


def log_data(header: LogHeader) -> dict[str, Any]:
    """A log header for programs."""
    return {
        "generation": header.generation,
        "created": iso_time(header.created),
        "previous_created": iso_time(header.previous_created),
        "version": f"{header.version_major}.{header.version_minor}.{header.version_update}",
        "signature": signature_data(header.signature),
        "file_size": header.file_size_bytes,
        "is_circular": bool(header.flags & LogFlag.CIRCULAR),
        "checkpoint": position_text(header.checkpoint),
        "attachments": attachment_data(header.attachments),
    }


async def dump_log_set(files: FileSystem, path: str) -> Dump:
    """``/ml BASE``: every log of a base name, each checked by itself and against its predecessor.

    ``path`` is the base name with its directory, for example ``L:\\logs\\E00``.

    Raises:
        JetError: ``FileNotFound`` where there is no log of this name.
    """
    base = base_name(path)
    logs = await list_logs(files, directory_name(path), base)
    if logs.is_empty:
        raise JetError(JetCode.FileNotFound, f"no log of base name {base}", path=path)
    lines = ["", f"Verifying log files of base name {base}", ""]
    entries: list[dict[str, Any]] = []
    worst = 0
    paths = [(generation, archived, False) for generation, archived in logs.archived.items()]
    if logs.current is not None:
        paths.append((0, logs.current, True))
    previous: LoadedLog | None = None
    for generation, log_path, is_current in paths:
        missing = _missing_before(generation, previous)
        if missing:
            worst = worst or int(JetCode.MissingLogFile)
            lines.append(f"      Missing log files: {missing}")
        log, error = await _check_one(files, log_path, generation, previous, is_current=is_current)
        lines.append(f"      Log file: {log_path} - {'OK' if error is None else f'ERROR: {error}'}")
        entries.append({"path": log_path, "ok": error is None, "error": None if error is None else str(error)})
        worst = worst or (0 if error is None else int(error.code))
        previous = log if log is not None else previous
    lines += ["", "No damaged log files were found." if not worst else "Damaged or missing log files were found."]
    return Dump(tuple(lines), {"base": base, "logs": entries, "ok": not worst}, worst, is_mismatch=bool(worst))


def _missing_before(generation: int, previous: LoadedLog | None) -> str:
    """Range of generations that lack between ``previous`` and this one, or empty."""
    if previous is None or generation <= previous.header.generation + 1:
        return ""
    return range_text(previous.header.generation + 1, generation - 1)


async def _check_one(
    files: FileSystem, path: str, generation: int, previous: LoadedLog | None, *, is_current: bool
) -> tuple[LoadedLog | None, JetError | None]:
    log: LoadedLog | None = None
    try:
        log = await load_log(files, path, may_be_torn=is_current)
        before = previous.header if previous is not None else None
        expected = generation or (before.generation + 1 if before is not None else log.header.generation)
        if before is not None and before.generation + 1 != expected:
            before = None
        signature = previous.header.signature if previous is not None else log.header.signature
        check_sequence(log.header, path, signature, expected, log.header.file_size_bytes, before)
        if not is_current and not log.is_closed:
            raise JetError(JetCode.LogFileCorrupt, "a closed generation has no end record", path=path)
    except JetError as error:
        return log, error
    return log, None


async def dump_any(files: FileSystem, path: str) -> Dump:
    """``/ml``: a file, or a base name where no such file exists.

    Raises:
        JetError: ``FileNotFound`` where it is neither; as ``dump_log`` and ``dump_log_set``.
    """
    if await files.exists(path):
        return await dump_log(files, path)
    if len(base_name(path)) != BASE_NAME_LENGTH:
        detail = f"a file or a base name of {BASE_NAME_LENGTH} characters expected, found neither"
        raise JetError(JetCode.FileNotFound, detail, path=path)
    return await dump_log_set(files, path)
