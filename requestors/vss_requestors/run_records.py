"""What the recorded events say of one run: phases, freeze window, holds, truncated logs. Pure, over a list of records."""

from __future__ import annotations

from collections.abc import Sequence

from vss.events import FileNotInSnapshot, FreezeWindowClosed, FreezeWindowLost, LogsTruncated, PhaseLeft, Record, WritesReleased
from vss_requestors.results import FreezeTiming, HoldTiming, LeftOutFile, PhaseTiming, TruncatedLogs


def phases_of(records: Sequence[Record], session_id: str) -> tuple[PhaseTiming, ...]:
    """Return the phases of a session in the order in which they ended."""
    return tuple(
        PhaseTiming(phase=event.phase, duration_ns=event.duration_ns, outcome=event.outcome)
        for event in (record.event for record in records)
        if isinstance(event, PhaseLeft) and event.session_id == session_id
    )


def freeze_of(records: Sequence[Record], set_id: str) -> FreezeTiming | None:
    """Return the freeze window of a set, if there was one."""
    for record in records:
        event = record.event
        if isinstance(event, FreezeWindowClosed | FreezeWindowLost) and event.snapshot_set_id == set_id:
            return FreezeTiming(duration_ns=event.duration_ns, limit_ns=event.limit_ns)
    return None


def holds_of(records: Sequence[Record], volumes: Sequence[str]) -> tuple[HoldTiming, ...]:
    """Return how long each of ``volumes`` held writes."""
    return tuple(
        HoldTiming(
            volume=event.volume,
            held_ns=event.held_ns,
            queued_count=event.queued_count,
            queued_bytes=event.queued_bytes,
        )
        for event in (record.event for record in records)
        if isinstance(event, WritesReleased) and event.volume in volumes
    )


def deleted_of(records: Sequence[Record]) -> tuple[LeftOutFile, ...]:
    """Return what was deleted from shadow copies while they were made."""
    return tuple(
        LeftOutFile(path=event.path, application=event.application, is_deleted=True)
        for event in (record.event for record in records)
        if isinstance(event, FileNotInSnapshot)
    )


def truncations_of(records: Sequence[Record]) -> tuple[TruncatedLogs, ...]:
    """Return what stores did to their logs."""
    return tuple(
        TruncatedLogs(
            store=event.store,
            removed_first=event.removed_first,
            removed_last=event.removed_last,
            removed_count=event.removed_count,
            kept_first=event.kept_first,
            kept_last=event.kept_last,
            reason=event.reason,
        )
        for event in (record.event for record in records)
        if isinstance(event, LogsTruncated)
    )
