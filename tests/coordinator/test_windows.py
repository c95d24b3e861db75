"""The two windows by themselves: what is left of them, what the requestor hears of two failures, and who is told what."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from vss.coordinator import Coordinator
from vss.coordinator.calls import Caller
from vss.coordinator.limits import Limits
from vss.coordinator.transactions import TransactionSystem
from vss.coordinator.windows import FreezeWindow, HoldWindow
from vss.errors import FreezeWindowError, HoldWritesTimeoutError, ProviderError, VolumeError
from vss.events import ApplicationLogged, Event, FaultFired, FreezeWindowClosed, FreezeWindowLost
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.roles.writer import ApplicationLevel
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


class StuckVolume(StubVolume):
    """Holds, and fails to release as it is told."""

    def __init__(self, ports: Ports, name: str, error: Exception) -> None:
        super().__init__(ports, name)
        self.error = error

    async def release_writes(self) -> None:
        await super().release_writes()
        raise self.error


def hold(ports: Ports, *volumes: StubVolume, window_s: float = 10.0) -> HoldWindow:
    return HoldWindow(ports, Caller(ports), volumes, Limits(hold_window_s=window_s))


def test_what_is_left_of_a_window_is_counted_from_its_beginning() -> None:
    async def story(ports: Ports) -> None:
        await asyncio.sleep(100.0)
        async with hold(ports, StubVolume(ports, "D:")) as held:
            assert held.remaining_s() == 10.0
            await asyncio.sleep(4.0)
            assert held.remaining_s() == 6.0
        freeze = FreezeWindow(ports, Caller(ports), [], Limits(freeze_window_s=8.0), Guid(int=1))
        async with freeze:
            await asyncio.sleep(3.0)
            assert freeze.remaining_s() == 5.0
        assert freeze.duration_ns == 3 * NANOSECONDS
        assert freeze.first_error is None

    run(story)


@pytest.mark.parametrize(("freeze_s", "is_lost"), [(9.75, False), (10.0, True)])
def test_the_window_is_lost_at_its_last_instant_and_not_before(freeze_s: float, is_lost: bool) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        # frozen in two levels, so that it is the window that ends, and not the wait for an answer
        writers = [StubWriter("A", behaviour={"on_freeze": freeze_s / 2})]
        writers.append(StubWriter("B", level=ApplicationLevel.SYSTEM, behaviour={"on_freeze": freeze_s / 2}))
        scene = await Scene.build(ports, writers=writers)
        with suppress(FreezeWindowError):
            await scene.backup()

    run(story, emit=events.append)

    assert any(isinstance(each, FreezeWindowLost) for each in events) is is_lost


def test_the_first_error_of_a_window_is_kept_and_the_freeze_is_closed_once() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        window = FreezeWindow(ports, Caller(ports), [], Limits(), Guid(int=1))

        async def freeze() -> None:
            async with window:
                await asyncio.sleep(1.0)
                raise RuntimeError("body")

        with pytest.raises(RuntimeError, match="body"):
            await freeze()
        assert str(window.first_error) == "body"

    run(story, emit=events.append)

    assert [each.duration_ns for each in events if isinstance(each, FreezeWindowClosed)] == [NANOSECONDS]


def test_a_window_lost_after_a_failure_of_ours_is_a_note_of_it() -> None:
    async def story(ports: Ports) -> None:
        with pytest.raises(ProviderError, match="commit broke") as caught:
            async with hold(ports, StuckVolume(ports, "D:", HoldWritesTimeoutError("too late"))):
                raise ProviderError("commit broke")
        assert caught.value.__notes__ == ["too late"]

    run(story)


def test_a_window_lost_before_a_failure_of_ours_outranks_it_without_a_note() -> None:
    async def story(ports: Ports) -> None:
        async def commit() -> None:
            async with hold(ports, StubVolume(ports, "D:"), window_s=1.0):
                await asyncio.sleep(2.0)
                raise ProviderError("commit broke")

        with pytest.raises(HoldWritesTimeoutError) as caught:
            await commit()
        assert isinstance(caught.value.__cause__, ProviderError)
        assert not hasattr(caught.value, "__notes__")

    run(story)


def test_of_two_releases_that_fail_the_lost_window_is_told() -> None:
    async def story(ports: Ports) -> None:
        volumes = [StuckVolume(ports, "D:", VolumeError("gone")), StuckVolume(ports, "E:", HoldWritesTimeoutError("late"))]
        with pytest.raises(HoldWritesTimeoutError, match="late"):
            async with hold(ports, *volumes):
                pass

    run(story)


def test_a_release_that_fails_oddly_is_told_as_the_volumes_failure_with_its_cause() -> None:
    async def story(ports: Ports) -> None:
        odd = RuntimeError("odd")
        with pytest.raises(VolumeError, match="volume D: did not release its writes: RuntimeError: odd") as caught:
            async with hold(ports, StuckVolume(ports, "D:", odd)):
                pass
        assert caught.value.__cause__ is odd

    run(story)


def test_a_hold_that_fails_oddly_is_told_as_the_volumes_failure_with_its_cause() -> None:
    async def story(ports: Ports) -> None:
        odd = RuntimeError("odd")
        bad = StubVolume(ports, "E:", behaviour={"flush_and_hold": odd})
        good = StubVolume(ports, "D:")
        with pytest.raises(VolumeError, match="volume E: did not hold its writes: RuntimeError: odd") as caught:
            async with hold(ports, good, bad):
                pass
        assert caught.value.__cause__ is odd
        assert not good.is_holding

    run(story)


def test_releasing_twice_is_harmless() -> None:
    async def story(ports: Ports) -> None:
        window = hold(ports, StubVolume(ports, "D:"))
        async with window:
            assert await window.release() is None
        assert await window.release() is None

    run(story)


def test_a_window_that_was_never_opened_can_be_released() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        assert await HoldWindow(ports, caller, [StubVolume(ports, "D:")], Limits()).release() is None
        caller.log.write(8229, "at once")

    run(story, emit=events.append)

    assert [each.event_id for each in events if isinstance(each, ApplicationLogged)] == [8229]


def test_a_window_left_by_an_error_thaws_the_transactions_before_it_aborts_the_writers() -> None:
    calls: list[str] = []

    class Manager:
        name = "transactions"
        system = TransactionSystem.KERNEL

        async def freeze(self, snapshot_set_id: Guid) -> None:
            calls.append("transactions.freeze")

        async def thaw(self, snapshot_set_id: Guid) -> None:
            calls.append("transactions.thaw")

    async def story(ports: Ports) -> None:
        coordinator = Coordinator(ports, transaction_managers=[Manager()])
        coordinator.add_volume(StubVolume(ports, "D:", calls))
        coordinator.add_writer(StubWriter("A", calls))
        await coordinator.add_provider(StubProvider(calls=calls, behaviour={"commit_snapshots": RuntimeError("no")}))
        with pytest.raises(ProviderError):
            await Scene(ports, coordinator, calls).backup()

    run(story)

    ends = [each for each in calls if each.endswith((".thaw", ".on_abort", ".abort_snapshots"))]
    assert ends == ["transactions.thaw", "A.on_abort", "provider.abort_snapshots"]


def test_the_abort_that_a_freeze_timer_sent_is_not_cut_short_by_the_failure_of_the_set() -> None:
    ended: list[str] = []

    async def story(ports: Ports) -> None:
        async def fail_later(*arguments: object) -> None:
            await asyncio.sleep(2.5)
            raise RuntimeError("broke")

        async def slow_abort(context: object) -> None:
            await asyncio.sleep(1.0)
            ended.append("A.on_abort")

        timed_out = StubWriter("A", freeze_timeout_s=2.0, behaviour={"on_abort": slow_abort})
        provider = StubProvider(behaviour={"pre_commit_snapshots": fail_later})
        scene = await Scene.build(ports, writers=[timed_out], providers=[provider])
        with pytest.raises(ProviderError):
            await scene.backup()
        scene.assert_nothing_left()

    run(story)

    assert ended == ["A.on_abort"]


def test_the_fault_site_of_a_release_is_passed_once() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        await scene.backup()

    run(story, emit=events.append, faults=FaultPlan.parse("coord.release times=always delay=1s"))

    assert len([each for each in events if isinstance(each, FaultFired)]) == 1


@pytest.mark.parametrize("step", ["freeze", "thaw"])
def test_whoever_is_frozen_is_aborted_before_the_provider_when_a_window_is_left_by_an_error(step: str) -> None:
    calls: list[str] = []

    async def story(ports: Ports) -> None:
        slow: dict[str, Any] = {f"on_{step}": 11.0}
        writers = [StubWriter("A", calls, behaviour=slow), StubWriter("B", calls)]
        scene = await Scene.build(ports, writers=writers, providers=[StubProvider(calls=calls)], calls=calls)
        with pytest.raises(Exception, match="window lost"):
            await scene.backup()

    run(story)

    assert calls.index("B.on_abort") < calls.index("provider.abort_snapshots")
    assert calls.index("A.on_abort") < calls.index("provider.abort_snapshots")
