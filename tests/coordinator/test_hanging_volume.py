"""No call to a volume, and no call to a provider outside a phase, is waited for without a limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vss.coordinator import Limits
from vss.coordinator.calls import Caller
from vss.coordinator.windows import HoldWindow
from vss.errors import HoldWritesTimeoutError, ProviderError, VolumeError, WindowError
from vss.events import Event, ReleaseFailed, SnapshotSetAborted, WritesReleased
from vss.ports import NANOSECONDS, Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter


class Hanging(StubVolume):
    """Its release never answers; its own timer lets the writes go."""

    async def release_writes(self) -> None:
        await asyncio.Event().wait()


class HangingFlush(StubVolume):
    """Its flush never answers, whatever window it was told."""

    async def flush_and_hold(self, window_s: float) -> None:
        await asyncio.Event().wait()


class Broken(StubVolume):
    """Its release fails."""

    async def release_writes(self) -> None:
        await super().release_writes()
        raise RuntimeError("a bug")


def test_a_release_that_hangs_fails_the_set_within_its_limit() -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> int:
        volumes = [Hanging(ports, "D:"), StubVolume(ports, "E:")]
        scene = await Scene.build(ports, volumes=volumes)
        with pytest.raises(WindowError):
            await scene.backup(volumes=["D:", "E:"])
        ended_ns = ports.clock.now_ns()
        await scene.coordinator.close()
        return ended_ns

    ended_ns = run(story, emit=events.append)

    assert ended_ns <= 2 * Limits().release_s * NANOSECONDS, "the release of the window, and the one of the abort"
    assert [each.volume for each in events if isinstance(each, WritesReleased)] == ["E:"]
    assert sum(isinstance(each, SnapshotSetAborted) for each in events) == 1
    assert {(each.volume, each.hresult) for each in events if isinstance(each, ReleaseFailed)} == {
        ("D:", "VSS_E_HOLD_WRITES_TIMEOUT (0x80042314)")
    }


def test_the_limit_of_a_release_is_named_in_its_error() -> None:
    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        with pytest.raises(HoldWritesTimeoutError, match=r"volume D: expected the release within 2.5 s, found no answer"):
            async with HoldWindow(ports, caller, [Hanging(ports, "D:")], Limits(hold_window_s=1.0, release_s=2.5)):
                pass
        await caller.close(1.0)

    run(story)


def test_what_failed_before_a_release_that_hangs_is_told_first() -> None:
    async def story(ports: Ports) -> None:
        caller = Caller(ports)
        with pytest.raises(ProviderError, match="no") as caught:
            async with HoldWindow(ports, caller, [Hanging(ports, "D:")], Limits()):
                raise ProviderError("no")
        assert caught.value.__notes__ == ["volume D: expected the release within 10 s, found no answer"]
        await caller.close(1.0)

    run(story)


def test_a_release_that_fails_keeps_no_other_volume_held() -> None:
    async def story(ports: Ports) -> None:
        good = StubVolume(ports, "E:")
        with pytest.raises(VolumeError, match=r"volume D: did not release its writes: RuntimeError: a bug"):
            async with HoldWindow(ports, Caller(ports), [Broken(ports, "D:"), good], Limits()):
                pass
        assert not good.is_holding

    run(story)


def test_a_flush_that_hangs_fails_the_set_within_its_limit() -> None:
    async def story(ports: Ports) -> int:
        caller = Caller(ports)
        with pytest.raises(VolumeError, match=r"volume D: did not hold its writes: .*no answer within 12 s"):
            async with HoldWindow(ports, caller, [HangingFlush(ports, "D:")], Limits(release_s=2.0)):
                pass
        ended_ns = ports.clock.now_ns()
        await caller.close(1.0)
        return ended_ns

    assert run(story) == 12 * NANOSECONDS


def test_a_provider_whose_close_hangs_does_not_keep_the_machine() -> None:
    class Clinging(StubProvider):
        async def close(self) -> None:
            await asyncio.Event().wait()

    async def story(ports: Ports) -> int:
        scene = await Scene.build(ports, providers=[Clinging("Clinging")], limits=Limits(close_s=3.0))
        with pytest.raises(ProviderError, match=r"provider 'Clinging' failed in close: .*no answer within 3 s"):
            await scene.coordinator.close()
        return ports.clock.now_ns()

    assert run(story) == 3 * NANOSECONDS


@pytest.mark.parametrize(
    ("behaviour", "told"), [("hang", "no answer within 4 s"), (ProviderError("lost its disk"), "lost its disk")]
)
def test_opening_a_copy_for_recovery_has_a_limit(behaviour: Any, told: str) -> None:
    class Recovering(StubWriter):
        async def on_post_snapshot(self, context: Any) -> None:
            await context.snapshot_files("D:")

    async def story(ports: Ports) -> None:
        provider = StubProvider(behaviour={"open_snapshot": behaviour})
        scene = await Scene.build(ports, writers=[Recovering("A")], providers=[provider], limits=Limits(query_s=4.0))
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
            assert told in status.message
        await scene.coordinator.close()

    run(story)
