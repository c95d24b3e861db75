"""Writers: what they were asked, what they said, and how long they were frozen."""

from __future__ import annotations

from vss.events.base import Event


class WriterCalled(Event, frozen=True, kw_only=True):
    """An event was sent to a writer."""

    writer: str
    step: str
    session_id: str = ""


class WriterAnswered(Event, frozen=True, kw_only=True):
    """The writer handled the event; ``state`` is the vendor's name of the state it is in now."""

    writer: str
    step: str
    state: str
    session_id: str = ""


class WriterFroze(Event, frozen=True, kw_only=True):
    writer: str
    session_id: str = ""


class WriterThawed(Event, frozen=True, kw_only=True):
    writer: str
    frozen_ns: int = 0
    session_id: str = ""


class WriterAborted(Event, frozen=True, kw_only=True):
    writer: str
    cause: str
    session_id: str = ""


class WriterVetoed(Event, frozen=True, kw_only=True):
    writer: str
    step: str
    state: str
    hresult: str
    message: str
    session_id: str = ""


class WriterTimedOut(Event, frozen=True, kw_only=True):
    writer: str
    step: str
    limit_ns: int
    session_id: str = ""


class LateAnswerIgnored(Event, frozen=True, kw_only=True):
    """A plugin answered after its caller had given up; the answer had no effect."""

    role: str
    step: str


class FreezeWindowOpened(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    limit_ns: int


class FreezeWindowClosed(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    duration_ns: int
    limit_ns: int


class FreezeWindowLost(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    duration_ns: int
    limit_ns: int
