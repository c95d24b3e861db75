"""Deleting the log files that a truncation plan gives up, upwards from the lowest, so that what stays is one sequence.

Sources: published engine, backup.cxx (ErrBKITruncateLogFiles).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.log_reader import LogDirectory, list_logs, remove_log
from vss_writers.ese.truncation import TruncationPlan

if TYPE_CHECKING:
    from vss_writers.ese.instance import Instance


@dataclass(frozen=True, slots=True)
class TruncationResult:
    """What truncation did: the plan and the files that are gone, lowest first."""

    plan: TruncationPlan
    removed: tuple[str, ...]


async def delete_logs(instance: Instance, plan_for: Callable[[LogDirectory], TruncationPlan]) -> TruncationResult:
    """Delete what the plan for the logs on disk gives up (event 224, or 225 where that is nothing).

    Raises:
        JetError: ``DeleteBackupFileFail`` where a file cannot be deleted, calling it again goes on from there; ``DiskIO`` where
            the directory cannot be read or its names not made durable.
    """
    parameters = instance.parameters
    try:
        logs = await list_logs(instance.files, parameters.log_directory, parameters.base_name)
    except Exception as error:
        raise JetError(JetCode.DiskIO, str(error), path=parameters.log_directory) from error
    plan = plan_for(logs)
    chosen = {
        generation: path for generation, path in logs.archived.items() if plan.remove_first <= generation <= plan.remove_last
    }
    for generation, path in chosen.items():
        try:
            await remove_log(instance.files, path, generation, parameters.at_site)
        except Exception as error:
            raise JetError(JetCode.DeleteBackupFileFail, str(error), path=path) from error
    try:
        await instance.files.sync()
    except Exception as error:
        raise JetError(JetCode.DiskIO, str(error), path=parameters.log_directory) from error
    _report(instance, plan, chosen)
    return TruncationResult(plan, tuple(chosen.values()))


def _report(instance: Instance, plan: TruncationPlan, chosen: dict[int, str]) -> None:
    if not chosen:
        instance.emit(EngineEvent(225, f"no log could be deleted: {plan.reason}"))
        return
    values = (("first", plan.remove_first), ("last", plan.remove_last))
    instance.emit(EngineEvent(224, f"logs were deleted: {plan.reason}", values=values))
    absent = plan.removed_count - len(chosen)
    if absent:
        text = "logs of the range to delete were missing already"
        instance.emit(EngineEvent(227, text, Severity.WARNING, values=(("count", absent),)))
