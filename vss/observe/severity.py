"""Which events are bad news. One list for all views."""

from __future__ import annotations

from vss import events

_BAD_NEWS = (
    events.WriterVetoed,
    events.WriterTimedOut,
    events.WriterAborted,
    events.FreezeWindowLost,
    events.HoldLost,
    events.ReleaseFailed,
    events.VolumeLost,
    events.ProviderFailed,
    events.SnapshotSetAborted,
    events.CorruptionFound,
    events.ComponentFailed,
    events.FaultFired,
    events.PluginProblem,
)


def is_bad_news(event: events.Event) -> bool:
    """Whether a person should see this first."""
    if isinstance(event, events.ApplicationLogged):
        return event.severity.casefold() in {"warning", "error"}
    if isinstance(event, events.PhaseLeft):
        return event.outcome != "ok"
    return isinstance(event, _BAD_NEWS)
