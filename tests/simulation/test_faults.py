"""What injected faults do, when, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import (
    InsufficientStorageError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
    VolumeFullError,
    VolumeReadError,
    VolumeWriteError,
    VssError,
    WriterError,
    WriterRetryableError,
)
from vss.events import Event, FaultFired
from vss.hresult import HResult
from vss.ports import Ports
from vss.real import run_real
from vss.simulation import ACTOR, FaultPlan, ForbiddenError, SimulationLoop, run


class Work:
    """A piece of work that counts how far it got: it waits one second, twice."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.seen: list[str] = []

    async def __call__(self) -> str:
        try:
            self.seen.append("begun")
            await self._ports.clock.sleep(1)
            self.seen.append("middle")
            await self._ports.clock.sleep(1)
            self.seen.append("done")
            return "result"
        finally:
            self.seen.append("finally")


def visit(plan: str, main: Callable[[Ports], Awaitable[Any]]) -> tuple[Any, list[Event], FaultPlan]:
    """Run ``main`` under a plan; return its result, the events and the plan."""
    events: list[Event] = []
    faults = FaultPlan.parse(plan)
    return run(main, faults=faults, emit=events.append), events, faults


def once(plan: str, site: str, **selectors: str) -> tuple[Any, list[str], int]:
    """Visit one site once; return result or error, what the work saw before the world ended, and the virtual seconds."""

    async def main(ports: Ports) -> tuple[Any, list[str], int]:
        work = Work(ports)
        result: Any
        try:
            result = await ports.faults(site, work, **selectors)
        except Exception as error:  # noqa: BLE001 - the error is the result
            result = error
        return result, list(work.seen), ports.clock.now_ns() // 10**9

    return visit(plan, main)[0]  # type: ignore[no-any-return]


ALL = ["begun", "middle", "done", "finally"]


def test_without_a_matching_fault_the_work_is_just_done() -> None:
    assert once("provider.commit fail", "writer.freeze") == ("result", ALL, 2)
    assert once("", "volume.write") == ("result", ALL, 2)


@pytest.mark.parametrize(
    ("site", "code", "kind", "hresult"),
    [
        ("writer.freeze", "", WriterError, HResult.VSS_E_WRITERERROR_NONRETRYABLE),
        ("writer.freeze", "code=F3", WriterRetryableError, HResult.VSS_E_WRITERERROR_RETRYABLE),
        ("writer.freeze", "code=01", WriterError, HResult.VSS_E_BAD_STATE),
        ("provider.commit", "", ProviderVetoError, HResult.VSS_E_PROVIDER_VETO),
        ("provider.commit", "code=1F", InsufficientStorageError, HResult.VSS_E_INSUFFICIENT_STORAGE),
        ("provider.commit", "code=02", ProviderError, HResult.VSS_E_UNEXPECTED),
        ("volume.read", "", VolumeReadError, HResult.VSS_E_UNEXPECTED),
        ("volume.write", "code=EROFS", VolumeWriteError, HResult.VSS_E_UNEXPECTED),
        ("volume.write", "code=ENOSPC", VolumeFullError, HResult.VSS_E_INSUFFICIENT_STORAGE),
        ("volume.write", "code=06", VolumeError, HResult.VSS_E_PROVIDER_VETO),
        ("requestor.copy", "", VssError, HResult.E_FAIL),
    ],
)
def test_fail_raises_the_error_of_the_role(site: str, code: str, kind: type[VssError], hresult: HResult) -> None:
    error, seen, _ = once(f"{site} fail {code}", site)
    assert (type(error), error.hresult, seen) == (kind, hresult, [])


def test_an_errno_at_a_role_is_an_oserror() -> None:
    error, _, _ = once("writer.freeze fail code=ENOSPC", "writer.freeze", writer="A")
    assert type(error) is OSError
    assert error.errno == 28


def test_fail_after_does_the_work_first() -> None:
    error, seen, _ = once("writer.freeze fail-after", "writer.freeze")
    assert isinstance(error, WriterError)
    assert seen == ALL


def test_raise_raises_a_plain_exception() -> None:
    assert type(once("writer.freeze raise", "writer.freeze")[0]) is RuntimeError
    assert type(once("writer.freeze raise=MemoryError", "writer.freeze")[0]) is MemoryError


def test_delay_waits_first() -> None:
    assert once("writer.freeze delay=61s", "writer.freeze") == ("result", ALL, 63)


def test_lie_reports_success_and_does_nothing() -> None:
    assert once("writer.freeze lie", "writer.freeze") == (None, [], 0)


def test_stall_blocks_the_loop() -> None:
    async def main(ports: Ports) -> int:
        fired: list[int] = []
        asyncio.get_running_loop().call_later(1, lambda: fired.append(ports.clock.now_ns()))
        await ports.faults("writer.freeze", Work(ports))
        return fired[0]

    assert visit("writer.freeze stall=5s", main)[0] == 5 * 10**9


def test_hang_ends_by_the_callers_limit() -> None:
    async def main(ports: Ports) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await ports.faults("writer.freeze", Work(ports))
        return ports.clock.now_ns()

    assert visit("writer.freeze hang", main)[0] == 60 * 10**9


def test_faults_of_one_visit_apply_in_order() -> None:
    error, seen, seconds = once("writer.freeze delay=5s\nwriter.* fail code=F3", "writer.freeze")
    assert isinstance(error, WriterRetryableError)
    assert (seen, seconds) == ([], 5)


# -- when and how often --------------------------------------------------------------------------------------------------------


async def _five_visits(ports: Ports) -> list[str]:
    async def work() -> str:
        return "ok"

    results = []
    for number in range(5):
        try:
            results.append(await ports.faults("writer.freeze", work, writer="AB"[number % 2]))
        except WriterError:
            results.append("failed")
        await ports.clock.sleep(10)
    return results


@pytest.mark.parametrize(
    ("plan", "failed"),
    [
        ("writer.freeze fail", [0]),
        ("writer.freeze times=3 fail", [0, 1, 2]),
        ("writer.freeze times=always fail", [0, 1, 2, 3, 4]),
        ("writer.freeze when=nth:3 fail", [2]),
        ("writer.freeze when=writer:B,nth:2 fail", [3]),
        ("writer.freeze when=writer:[!A] times=always fail", [1, 3]),
        ("writer.freeze when=after:20s times=always fail", [2, 3, 4]),
        ("writer.freeze when=component:X fail", []),
        ("writer.freeze prob=0.000001 times=always fail", []),
        ("writer.freeze prob=0.999999 times=always fail", [0, 1, 2, 3, 4]),
    ],
)
def test_selectors_and_counts(plan: str, failed: list[int]) -> None:
    results, _, faults = visit(plan, _five_visits)
    assert [number for number, result in enumerate(results) if result == "failed"] == failed
    assert faults.strikes() == [len(failed)]
    assert [len(faults.fired), len(faults.never_fired)] == ([1, 0] if failed else [0, 1])


def test_every_strike_is_an_event() -> None:
    _, events, _ = visit("writer.freeze when=writer:B fail code=F3", _five_visits)
    assert events == [FaultFired(site="writer.freeze", effect="fail code=F3", selectors="writer=B")]


def test_a_plan_counts_afresh_in_every_run() -> None:
    plan = FaultPlan.parse(["writer.freeze fail"])
    assert run(_five_visits, faults=plan) == run(_five_visits, faults=plan) == ["failed", "ok", "ok", "ok", "ok"]


# -- crashes -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "seen", "seconds"),
    [
        ("crash", [], 0),
        ("crash=before", [], 0),
        ("crash=during", ["begun"], 0),
        ("crash=during step=2", ["begun", "middle"], 1),
        ("crash=during step=9", ALL, 2),
        ("crash=after", ALL, 2),
    ],
)
def test_a_crashed_role_stops_without_cleaning_up_and_its_caller_hears_of_it(
    effect: str, seen: list[str], seconds: int
) -> None:
    error, left, passed = once(f"writer.freeze {effect}", "writer.freeze", writer="A")
    assert isinstance(error, WriterError)
    assert error.hresult is HResult.VSS_E_WRITER_NOT_RESPONDING
    assert (left, passed) == (seen, seconds)
    error, _, _ = once(f"provider.commit {effect}", "provider.commit", provider="P")
    assert error.hresult is HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR


def test_what_a_crash_cut_off_is_cancelled_at_the_end_of_the_world() -> None:
    seen: list[str] = []

    async def main(ports: Ports) -> None:
        async def work() -> None:
            try:
                await ports.clock.sleep(1)
            finally:
                await asyncio.sleep(0)
                seen.append("finally")

        with pytest.raises(WriterError):
            await ports.faults("writer.freeze", work)
        assert seen == []

    visit("writer.freeze crash=during", main)
    assert seen == ["finally"]


def test_work_that_fails_on_its_way_to_the_crash_is_dead_all_the_same() -> None:
    async def main(ports: Ports) -> None:
        async def work() -> None:
            raise ValueError("unheard")

        with pytest.raises(WriterError, match="it died"):
            await ports.faults("writer.freeze", work)

    visit("writer.freeze crash=after", main)


def test_work_that_swallows_its_cancellation_ends_too() -> None:
    async def main(ports: Ports) -> None:
        async def work() -> None:
            try:
                await ports.clock.sleep(1)
            except asyncio.CancelledError:
                return

        with pytest.raises(WriterError):
            await ports.faults("writer.freeze", work)

    visit("writer.freeze crash=during", main)


def test_a_crashed_role_stays_dead_until_its_restart() -> None:
    async def main(ports: Ports) -> list[str]:
        async def work() -> str:
            return "ok"

        async def ask(writer: str) -> str:
            try:
                return str(await ports.faults("writer.thaw", work, writer=writer))
            except WriterError:
                return "dead"

        with pytest.raises(WriterError):
            await ports.faults("writer.freeze", work, writer="A")
        answers = [await ask("A"), await ask("B")]
        await ports.clock.sleep(30)
        return [*answers, await ask("A"), await ask("A")]

    assert visit("writer.freeze crash restart=30s", main)[0] == ["dead", "ok", "ok", "ok"]
    assert visit("writer.freeze crash", main)[0] == ["dead", "ok", "dead", "dead"]


def test_a_crash_takes_the_tasks_of_the_role_with_it() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def background() -> None:
            seen.append(ACTOR.get())
            await ports.clock.sleep(10)
            seen.append("stepped")

        kept: list[asyncio.Task[None]] = []

        async def prepare() -> None:
            kept.append(asyncio.create_task(background()))
            await ports.clock.sleep(1)

        async def freeze() -> None: ...

        await ports.faults("writer.prepare_snapshot", prepare, writer="A")
        assert ACTOR.get() == ""
        with pytest.raises(WriterError):
            await ports.faults("writer.freeze", freeze, writer="A")
        await ports.clock.sleep(60)
        return seen

    assert visit("writer.freeze crash", main)[0] == ["writer:A"]


@pytest.mark.parametrize(("effect", "expected"), [("crash", []), ("crash=during", ["begun"]), ("crash=after", ALL)])
def test_where_the_caller_is_the_role_the_calling_task_dies(effect: str, expected: list[str]) -> None:
    async def main(ports: Ports) -> list[str]:
        work = Work(ports)

        async def requestor() -> None:
            try:
                await ports.faults("requestor.copy", work)
            finally:
                work.seen.append("requestor cleaned up")

        task = asyncio.create_task(requestor())
        await ports.clock.sleep(60)
        task.cancel()
        await ports.clock.sleep(60)
        assert not task.done()
        return list(work.seen)

    assert visit(f"requestor.copy {effect}", main)[0] == expected


def test_a_caller_that_gives_up_before_the_crash_cancels_the_work_and_the_role_is_dead_all_the_same() -> None:
    async def main(ports: Ports) -> list[str]:
        work = Work(ports)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await ports.faults("writer.freeze", work, writer="A")
        await ports.clock.sleep(60)
        with pytest.raises(WriterError, match="it died"):
            await ports.faults("writer.thaw", work, writer="A")
        return list(work.seen)

    assert visit("writer.freeze crash=after", main)[0] == ["begun", "middle", "finally"]


# -- the real world ------------------------------------------------------------------------------------------------------------


def test_the_real_world_has_faults_too_but_for_crash_and_stall() -> None:
    async def work() -> str:
        return "ok"

    async def main(ports: Ports) -> None:
        assert not isinstance(asyncio.get_running_loop(), SimulationLoop)
        with pytest.raises(WriterError, match="injected fault"):
            await ports.faults("writer.freeze", work)
        for _ in range(2):
            with pytest.raises(ForbiddenError, match="needs a simulated world"):
                await ports.faults("writer.thaw", work)

    plan = FaultPlan.parse("writer.freeze fail\nwriter.thaw crash\nwriter.thaw when=nth:2 stall=1s")
    run_real(main, faults=plan)
    assert plan.never_fired == []


@pytest.mark.parametrize("point", ["before", "during", "after"])
def test_the_dead_are_let_go_though_they_crashed_in_two_calls_at_once(point: str) -> None:
    plan = FaultPlan.parse([f"fault coord.flush_and_hold times=always crash={point}"])

    async def main(ports: Ports) -> None:
        async def flush() -> None:
            await ports.clock.sleep(1)

        async def call(volume: str) -> None:
            with pytest.raises(VssError, match="it died"):
                await ports.faults("coord.flush_and_hold", flush, volume=volume)

        calls = [asyncio.get_running_loop().create_task(call(volume)) for volume in ("D:", "L:")]
        await ports.clock.sleep(5)
        assert any(each.done() for each in calls)

    run(main, faults=plan)
