"""``/cm``: what a ``restore.env`` says; ``/cc``: hard recovery of what was restored into a directory.

Sources: published engine, eseutil.cxx; Exchange documentation on eseutil /c (labels, options).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.labels import Dump, iso_time, position_text, range_text, time_text
from vss_writers.ese.files import FileSystem, base_name
from vss_writers.ese.hard_recovery import HardRecoveryOptions, recover_restored
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.restore_environment import RestoreEnvironment, read_environment


async def dump_environment(files: FileSystem, directory: str) -> Dump:
    """``/cm``: the ``restore.env`` of a directory.

    Raises:
        JetError: ``FileNotFound``.
    """
    environment = await _read(files, directory)
    if isinstance(environment, Dump):
        return environment
    logs = await list_logs(files, directory, environment.base_name)
    names = [base_name(logs.closed_path(each)) for each in (environment.generation_low, environment.generation_high)]
    return Dump(
        tuple(_environment_lines(environment, " - ".join(names))), {"path": directory, **_environment_data(environment)}
    )


async def _read(files: FileSystem, directory: str) -> RestoreEnvironment | Dump:
    """The environment, or what is to be said of a damaged one."""
    try:
        return await read_environment(files, directory)
    except JetError as error:
        if error.code is not JetCode.InvalidParameter:
            raise
        data = {"path": error.path, "error": str(error)}
        return Dump((f"ERROR: {error}", "", "The file is damaged."), data, int(error.code), is_mismatch=True)


def _environment_lines(environment: RestoreEnvironment, log_names: str) -> list[str]:
    lines = [
        f"     Restore Log Path: {environment.restore_log_path}",
        f"           Annotation: {environment.annotation}",
        f"               Server: {environment.server}",
        f"      Backup Instance: {environment.backup_instance}",
        f"      Target Instance: {environment.target_instance}",
        f"Restore Instance System Path: {environment.target_system_path}",
        f"   Restore Instance Log Path: {environment.target_log_path}",
        "",
        f"            Databases: {len(environment.databases)} database(s)",
    ]
    for each in environment.databases:
        lines += [
            f"        Database Name: {each.name}",
            f"                 GUID: {each.guid}",
            f"         Source Files: {each.source}",
            f"    Destination Files: {each.destination}",
            "",
        ]
    return [
        *lines,
        f"      Log files range: {log_names}",
        f"    Last Restore Time: {time_text(environment.restore_time)}",
        f"       Recover Status: {environment.status.value}",
        f"        Recover Error: {_error_text(environment.error)}",
        f"         Recover Time: {time_text(environment.recover_time)}",
    ]


def _error_text(error: int) -> str:
    return f"{error:#010x}" if error >= 0 else f"{error} (JET_err{JetCode(error).name})"


def _environment_data(environment: RestoreEnvironment) -> dict[str, Any]:
    return {
        "restore_log_path": environment.restore_log_path,
        "annotation": environment.annotation,
        "server": environment.server,
        "backup_instance": environment.backup_instance,
        "target_instance": environment.target_instance,
        "target_system_path": environment.target_system_path,
        "target_log_path": environment.target_log_path,
        "databases": [
            {"name": each.name, "guid": each.guid, "source": each.source, "destination": each.destination}
            for each in environment.databases
        ],
        "generation_first": environment.generation_low,
        "generation_last": environment.generation_high,
        "restore_time": iso_time(environment.restore_time),
        "status": environment.status.value,
        "error": environment.error,
        "recover_time": iso_time(environment.recover_time),
    }


async def run_hard_recovery(files: FileSystem, directory: str, options: Mapping[str, str]) -> Dump:
    """``/cc``: hard recovery. ``t`` in ``options``: logs to play into, empty: none; ``f``: more logs; ``k``: keep files.

    The tool has no clock of its own: the times it writes are that of the restore.

    Raises:
        JetError: as ``recover_restored``.
    """
    environment = await _read(files, directory)
    if isinstance(environment, Dump):
        return environment
    moment = environment.restore_time.to_datetime() or datetime(1900, 1, 1, tzinfo=UTC)
    events: list[EngineEvent] = []
    report = await recover_restored(
        files,
        directory,
        now=lambda: moment,
        on_event=events.append,
        options=HardRecoveryOptions(
            play_forward=options.get("t", "-") != "",
            target_log_path=options.get("t", ""),
            more_logs=options.get("f", ""),
            keep_files="k" in options,
        ),
    )
    warnings = [event for event in events if event.severity is not Severity.INFORMATION]
    forward = report.played_forward_last
    lines = [
        "Restore to target instance..." if options.get("t", "-") != "" else "Restore without a target instance...",
        f"     Restore Log Path: {directory}",
        f"   Replayed log files: {range_text(report.generation_first, report.generation_last)}",
        *([f"  Played forward from: {range_text(report.generation_last + 1, forward)}"] if forward else []),
        f"       Records redone: {report.records_redone}, skipped: {report.records_skipped}",
        *(f"            Recovered: {path} to {position_text(report.end)}" for path in report.databases),
        *(f"Event {event.event_id}: {event.text}" for event in warnings),
    ]
    data = {
        "path": directory,
        "generation_first": report.generation_first,
        "generation_last": report.generation_last,
        "played_forward_last": forward,
        "records_redone": report.records_redone,
        "records_skipped": report.records_skipped,
        "databases": list(report.databases),
        "end": position_text(report.end),
        "events": [{"id": event.event_id, "text": event.text, "path": event.path} for event in warnings],
    }
    return Dump(tuple(lines), data)
