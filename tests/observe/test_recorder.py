"""The recorder stamps, stores and delivers; nothing is delivered while writes are held."""

from __future__ import annotations

import pytest

from vss.events import Event, HoldLost, Record, VolumeFlushed, VolumeLost, WriterFroze, WritesHeld, WritesReleased
from vss.observe import Recorder

FLUSHED = VolumeFlushed(volume="D:")
HELD = WritesHeld(volume="D:", limit_ns=10)
RELEASED = WritesReleased(volume="D:", held_ns=1, queued_count=0, queued_bytes=0)


def recorder_at(*instants: int) -> Recorder:
    """A recorder whose clock shows these instants, then stays at the last."""
    waiting = list(instants)
    return Recorder(lambda: waiting.pop(0) if len(waiting) > 1 else waiting[0])


def test_records_are_numbered_from_one_and_stamped() -> None:
    recorder = recorder_at(5, 9)
    recorder.emit(FLUSHED)
    recorder.emit(HELD)

    assert recorder.records == [Record(1, 5, FLUSHED), Record(2, 9, HELD)]


def test_sinks_see_every_record_since_they_subscribed_in_order() -> None:
    recorder = recorder_at(0)
    early: list[Record] = []
    late: list[Record] = []
    recorder.subscribe(early.append)
    recorder.emit(FLUSHED)
    recorder.subscribe(late.append)
    recorder.emit(WriterFroze(writer="w"))

    assert [record.sequence for record in early] == [1, 2]
    assert [record.sequence for record in late] == [2]


@pytest.mark.parametrize("ending", [RELEASED, HoldLost(volume="D:", held_ns=1, queued_count=0), VolumeLost(volume="D:")])
def test_nothing_is_delivered_while_a_volume_holds_writes(ending: Event) -> None:
    recorder = recorder_at(0)
    seen: list[Record] = []
    recorder.subscribe(seen.append)

    recorder.emit(HELD)
    recorder.emit(WritesHeld(volume="L:", limit_ns=10))
    recorder.emit(FLUSHED)
    recorder.emit(ending)
    assert seen == []
    assert len(recorder.records) == 4

    recorder.emit(WritesReleased(volume="L:", held_ns=1, queued_count=0, queued_bytes=0))
    assert [record.sequence for record in seen] == [1, 2, 3, 4, 5]


def test_flush_delivers_what_waits_when_a_run_ends_inside_a_hold() -> None:
    recorder = recorder_at(0)
    seen: list[Record] = []
    recorder.subscribe(seen.append)
    recorder.emit(HELD)

    recorder.flush()

    assert [record.event for record in seen] == [HELD]


def test_a_sink_that_subscribes_during_a_hold_sees_the_held_records_too() -> None:
    recorder = recorder_at(0)
    early: list[Record] = []
    seen: list[Record] = []
    recorder.subscribe(early.append)
    recorder.emit(HELD)
    recorder.subscribe(seen.append)
    recorder.emit(RELEASED)

    assert seen == early


def test_a_sink_may_emit_and_the_new_record_comes_after_the_current_one() -> None:
    recorder = recorder_at(0)
    seen: list[str] = []

    def echo(record: Record) -> None:
        if isinstance(record.event, VolumeFlushed):
            recorder.emit(WriterFroze(writer="w"))

    recorder.subscribe(echo)
    recorder.subscribe(lambda record: seen.append(type(record.event).__name__))
    recorder.emit(FLUSHED)

    assert seen == ["VolumeFlushed", "WriterFroze"]


def test_a_sink_that_raises_is_dropped_and_the_reason_is_kept() -> None:
    recorder = recorder_at(0)
    seen: list[Record] = []

    def full(record: Record) -> None:
        raise OSError("no space left")

    recorder.subscribe(full)
    recorder.subscribe(seen.append)
    recorder.emit(FLUSHED)
    recorder.emit(FLUSHED)

    (failure,) = recorder.failures
    assert failure.sink is full
    assert failure.record.sequence == 1
    assert str(failure.error) == "no space left"
    assert len(seen) == 2


def test_an_interrupt_in_a_sink_gets_through_and_delivery_goes_on_afterwards() -> None:
    recorder = recorder_at(0)
    seen: list[Record] = []

    def interrupted(record: Record) -> None:
        if record.sequence == 1:
            raise KeyboardInterrupt

    recorder.subscribe(interrupted)
    recorder.subscribe(seen.append)
    with pytest.raises(KeyboardInterrupt):
        recorder.emit(FLUSHED)
    recorder.emit(FLUSHED)

    assert [record.sequence for record in seen] == [2]
