"""The timeline: phases, the freeze window as a picture, what went wrong. Text is compared whole."""

from __future__ import annotations

import pytest

from vss.events import (
    CorruptionFound,
    Event,
    FreezeWindowClosed,
    FreezeWindowLost,
    FreezeWindowOpened,
    HoldLost,
    PhaseEntered,
    PhaseLeft,
    ProviderCalled,
    Record,
    SessionReleased,
    SessionStarted,
    SnapshotCommitted,
    VolumeFlushed,
    WriterAborted,
    WriterFroze,
    WriterThawed,
    WritesHeld,
    WritesReleased,
)
from vss.observe.session_view import session_views
from vss.observe.timeline import BAD_NEWS_MAX, timeline

LIMIT_NS = 10_000_000_000
STARTED = SessionStarted(session_id="3f2c7a1e", kind="backup", backup_type="FULL")
RELEASED = SessionReleased(session_id="3f2c7a1e")
OPENED = FreezeWindowOpened(snapshot_set_id="s", limit_ns=LIMIT_NS)


def entered(phase: str, session_id: str = "3f2c7a1e") -> PhaseEntered:
    return PhaseEntered(phase=phase, session_id=session_id)


def left(phase: str, outcome: str = "ok", session_id: str = "3f2c7a1e") -> PhaseLeft:
    return PhaseLeft(phase=phase, session_id=session_id, outcome=outcome)


def closed() -> FreezeWindowClosed:
    return FreezeWindowClosed(snapshot_set_id="s", duration_ns=0, limit_ns=LIMIT_NS)


def released(volume: str, count: int = 0) -> WritesReleased:
    return WritesReleased(volume=volume, held_ns=0, queued_count=count, queued_bytes=4096 * count)


def called(step: str) -> ProviderCalled:
    return ProviderCalled(provider="copy-on-write", step=step)


def records(*moments: tuple[int, Event]) -> list[Record]:
    """Records from (milliseconds, event)."""
    return [Record(number, ms * 1_000_000, event) for number, (ms, event) in enumerate(moments, start=1)]


GOOD = [
    (1000, STARTED),
    (1000, entered("prepare")),
    (2200, left("prepare")),
    (2200, entered("freeze")),
    (2200, OPENED),
    (2400, WriterFroze(writer="Exchange")),
    (2500, called("pre_commit_snapshots")),
    (2500, entered("hold")),
    (2500, WritesHeld(volume="D:", limit_ns=LIMIT_NS)),
    (2500, WritesHeld(volume="L:", limit_ns=LIMIT_NS)),
    (2600, called("commit_snapshots")),
    (2600, SnapshotCommitted(snapshot_set_id="s", snapshot_count=2)),
    (2700, released("D:", 3)),
    (2700, released("L:")),
    (2700, left("hold")),
    (2800, WriterThawed(writer="Exchange")),
    (2800, closed()),
    (2800, left("freeze")),
    (2900, called("post_final_commit_snapshots")),
    (3000, RELEASED),
]

GOOD_TEXT = """\
full backup, session 3f2c7a1e: 2.000 s
  prepare            +0 s        1.200 s
  freeze         +1.200 s       600.0 ms
    hold         +1.500 s       200.0 ms
  freeze window  ■■■·············································  600.0 ms of 10 s, 6%
  Exchange       ················████████████████████████████████  frozen 400.0 ms
  D:             ························▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒········  held 200.0 ms of 10 s, 3 writes queued (12.0 KiB)
  L:             ························▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒········  held 200.0 ms of 10 s
  copy-on-write  ························│·······◆···············  committed 400.0 ms after the window opened
"""

LOST = [
    (0, STARTED),
    (0, entered("freeze")),
    (0, OPENED),
    (0, WriterFroze(writer="Exchange")),
    (0, WriterFroze(writer="Files")),
    (0, entered("hold")),
    (0, WritesHeld(volume="D:", limit_ns=LIMIT_NS)),
    (10_000, HoldLost(volume="D:", held_ns=0, queued_count=1)),
    (12_000, left("hold", "failed")),
    (12_000, called("commit_snapshots")),
    (12_000, FreezeWindowLost(snapshot_set_id="s", duration_ns=0, limit_ns=LIMIT_NS)),
    (12_000, WriterAborted(writer="Exchange", cause="set failed")),
]

LOST_TEXT = """\
full backup, session 3f2c7a1e: 12.000 s
  freeze            +0 s       12.000 s  unfinished
    hold            +0 s       12.000 s  failed
  freeze window  ■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■■  12.000 s of 10 s, LOST
  Exchange       ████████████████████████████████████████████████  frozen 12.000 s, aborted
  Files          ████████████████████████████████████████████████  frozen 12.000 s, never thawed
  D:             ▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒········  held 10.000 s of 10 s, 1 write queued, LOST
  copy-on-write  ···············································│  1 call, no commit
  what went wrong
    00:00:10.000  D: let its writes go by itself after 0 s, 1 were queued
    00:00:12.000  phase hold took 0 s: failed
    00:00:12.000  freeze window lost after 0 s (10 s allowed)
    00:00:12.000  Exchange aborted: set failed
"""


@pytest.mark.parametrize(("moments", "text"), [(GOOD, GOOD_TEXT), (LOST, LOST_TEXT)], ids=["good", "lost"])
def test_the_timeline_reads_like_this(moments: list[tuple[int, Event]], text: str) -> None:
    assert timeline(records(*moments)) == text


def test_no_records_no_timeline() -> None:
    assert timeline([]) == ""


def test_records_without_a_session_are_shown_as_one() -> None:
    assert timeline(records((0, VolumeFlushed(volume="D:")), (5, VolumeFlushed(volume="L:")))) == "records: 5.0 ms\n"


def test_every_session_has_its_own_timeline_and_keeps_its_own_phases() -> None:
    other = SessionStarted(session_id="99", kind="restore")
    views = session_views(
        records(
            (0, STARTED),
            (1, entered("prepare")),
            (2, other),
            (2, entered("pre-restore", "99")),
            (3, left("prepare")),
            (4, RELEASED),
            (5, left("pre-restore", session_id="99")),
            (6, SessionReleased(session_id="99")),
        )
    )

    assert [(view.title, [phase.name for phase in view.phases], view.ended_ns) for view in views] == [
        ("full backup, session 3f2c7a1e", ["prepare"], 4_000_000),
        ("restore, session 99", ["pre-restore"], 6_000_000),
    ]


def test_a_window_without_limit_or_duration_is_drawn_too() -> None:
    unlimited = FreezeWindowOpened(snapshot_set_id="s", limit_ns=-1)

    text = timeline(
        records((0, STARTED), (0, unlimited), (0, WriterFroze(writer="w")), (0, WriterThawed(writer="w")), (0, closed()))
    )

    assert "freeze window  0 s, no limit\n" in text
    assert f"w              █{'·' * 47}  frozen 0 s\n" in text


def test_a_window_of_no_time_with_a_limit_of_none_is_full() -> None:
    nothing = FreezeWindowOpened(snapshot_set_id="s", limit_ns=0)

    assert f"{'■' * 48}  0 s of 0 s, 100%" in timeline(records((0, STARTED), (0, nothing), (0, closed())))


def test_a_volume_that_never_released_says_so() -> None:
    text = timeline(records((0, STARTED), (0, OPENED), (1, WritesHeld(volume="D:", limit_ns=LIMIT_NS)), (2, closed())))

    assert "held 1.0 ms of 10 s, never released" in text


def test_endings_without_a_beginning_draw_nothing() -> None:
    strays = [
        left("hold"),
        closed(),
        WriterThawed(writer="w"),
        released("D:"),
        FreezeWindowLost(snapshot_set_id="s", duration_ns=0, limit_ns=0),
    ]

    (view,) = session_views(records((0, STARTED), *((1, each) for each in strays)))

    assert (view.phases, view.window, view.writers, view.volumes) == ([], None, {}, {})


def test_a_writer_frozen_twice_has_two_stretches() -> None:
    moments = [(0, STARTED), (0, OPENED)]
    for start in (0, 40):
        moments += [(start, WriterFroze(writer="w")), (start + 8, WriterThawed(writer="w"))]

    text = timeline(records(*moments, (48, closed())))

    assert f"{'█' * 8}{'·' * 32}{'█' * 8}  frozen 8.0 ms; frozen 8.0 ms" in text


def test_a_long_list_of_bad_news_is_cut() -> None:
    bad = CorruptionFound(path="D:\\a", code="-1018", message="bad")

    text = timeline(records((0, STARTED), *[(1, bad)] * (BAD_NEWS_MAX + 5)))

    assert text.count("corruption in") == BAD_NEWS_MAX
    assert "    … and 5 more\n" in text


def test_a_long_name_is_cut_to_leave_room_for_the_picture() -> None:
    name = "Copy-on-write shadow copy provider"

    text = timeline(records((0, STARTED), (0, OPENED), (1, ProviderCalled(provider=name, step="x")), (2, closed())))

    assert "\n  Copy-on-write shado…  " in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_hold_is_drawn_from_the_call_on_that_began_with_the_flush() -> None:
    held = WritesReleased(volume="D:", held_ns=30_000_000, queued_count=0, queued_bytes=0)

    text = timeline(
        records((0, STARTED), (0, OPENED), (40, WritesHeld(volume="D:", limit_ns=LIMIT_NS)), (48, held), (48, closed()))
    )

    assert f"{'·' * 18}{'▒' * 30}  held 30.0 ms of 10 s" in text


def test_a_window_that_took_longer_than_allowed_says_by_how_much() -> None:
    text = timeline(records((0, STARTED), (0, OPENED), (10_500, closed())))

    assert "10.500 s of 10 s, 105%" in text
