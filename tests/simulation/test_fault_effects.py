"""What the further effects do: late, lost and doubled messages, order, damage to answers and to what is written, clocks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from vss.errors import VolumeFullError, VolumeReadError, VolumeWriteError, VssError, WriterError
from vss.events import Event, FaultFired, PhaseEntered, PhaseLeft, SessionStarted
from vss.ports import Ports
from vss.real import run_real
from vss.simulation import FaultPlan, ForbiddenError, run
from vss.simulation.loop import SimulationLoop


def visit(plan: str, main: Callable[[Ports], Awaitable[Any]]) -> tuple[Any, FaultPlan]:
    faults = FaultPlan.parse(plan)
    return run(main, faults=faults), faults


def answered(plan: str, site: str, value: Any, **selectors: str) -> Any:
    """Pass ``value`` through a site."""

    async def give() -> Any:
        return value

    async def main(ports: Ports) -> Any:
        return await ports.faults(site, give, **selectors)

    return visit(plan, main)[0]


async def _given_up(ports: Ports, site: str, work: Callable[[], Awaitable[Any]], limit_s: float = 10) -> asyncio.Task[Any]:
    """Ask as the coordinator does: cancel at the limit and leave the task behind."""
    task = asyncio.create_task(ports.faults(site, work))
    await asyncio.wait([task], timeout=limit_s)
    task.cancel()
    await asyncio.sleep(0)
    return task


def test_a_late_answer_comes_after_the_caller_has_given_up() -> None:
    async def main(ports: Ports) -> tuple[list[int], Any, int]:
        done: list[int] = []

        async def work() -> str:
            done.append(ports.clock.now_ns())
            return "late"

        task = await _given_up(ports, "writer.freeze", work)
        answer = await task
        return done, answer, ports.clock.now_ns()

    assert visit("writer.freeze late=5s", main)[0] == ([0], "late", 15 * 10**9)
    assert visit("writer.freeze late", main)[0] == ([0], "late", 10 * 10**9)


@pytest.mark.parametrize(("effect", "done"), [("drop", []), ("drop=request", []), ("drop=reply", ["done"])])
def test_a_lost_message_is_a_call_without_an_answer(effect: str, done: list[str]) -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            seen.append("done")

        task = await _given_up(ports, "writer.freeze", work)
        assert task.cancelled()
        return seen

    assert visit(f"writer.freeze {effect}", main)[0] == done


def test_a_step_of_the_callers_own_is_left_out() -> None:
    assert answered("requestor.copy drop", "requestor.copy", 5) is None
    assert answered("requestor.verify lie", "requestor.verify", ["finding"]) == []


def test_a_doubled_request_is_worked_on_twice_and_the_second_answer_is_nobodys() -> None:
    async def main(ports: Ports) -> tuple[list[str], Any]:
        seen: list[str] = []

        async def work() -> str:
            seen.append("done")
            if len(seen) > 1:
                raise WriterError("not twice")
            return "first"

        return seen, await ports.faults("writer.thaw", work)

    assert visit("writer.thaw duplicate", main)[0] == (["done", "done"], "first")


def test_a_step_of_the_callers_own_that_is_done_twice_fails_as_the_second_time() -> None:
    async def main(ports: Ports) -> None:
        seen: list[str] = []

        async def work() -> None:
            seen.append("done")
            if len(seen) > 1:
                raise VssError("out of sequence")

        with pytest.raises(VssError, match="out of sequence"):
            await ports.faults("requestor.complete", work)

    visit("requestor.complete duplicate", main)


def _in_order(plan: str, count: int = 3) -> tuple[list[str], int]:
    async def main(ports: Ports) -> tuple[list[str], int]:
        order: list[str] = []

        async def write(name: str) -> None:
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for number in range(count):
                work = partial(write, str(number))
                group.create_task(ports.faults("volume.write", work, volume="D:"))
        return order, ports.clock.now_ns()

    return visit(plan, main)[0]  # type: ignore[no-any-return]


def test_a_reordered_write_lets_later_ones_overtake() -> None:
    assert _in_order("volume.write reorder", count=2) == (["1", "0"], 0)
    assert _in_order("volume.write reorder behind=2") == (["1", "2", "0"], 0)
    assert _in_order("volume.write reorder within=5s", count=1) == (["0"], 5 * 10**9)
    assert _in_order("volume.write reorder within=0s", count=1) == (["0"], 0)


def test_a_hang_in_the_middle_keeps_what_was_taken_until_the_caller_gives_up() -> None:
    async def main(ports: Ports) -> list[str]:
        lock = asyncio.Lock()
        seen: list[str] = []

        async def work() -> None:
            async with lock:
                seen.append("held")
                await ports.clock.sleep(1)
                seen.append("never")

        task = asyncio.create_task(ports.faults("writer.freeze", work))
        await ports.clock.sleep(30)
        assert lock.locked()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not lock.locked()
        return seen

    for effect in ("hang=during", "hang holding=commit_lock", "hang=during step=1"):
        assert visit(f"writer.freeze {effect}", main)[0] == ["held"]


@pytest.mark.parametrize("cancellations", [1, 2, 3])
def test_work_that_hung_and_cleans_up_slowly_is_ended_by_every_further_cancellation(cancellations: int) -> None:
    """Else it would be left half way, and its context managers be ended by the garbage collection."""

    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            async with _noted("outer", seen):
                try:
                    await ports.clock.sleep(100)
                finally:
                    async with _noted("inner", seen):
                        await ports.clock.sleep(3)

        task = asyncio.create_task(ports.faults("writer.freeze", work))
        await ports.clock.sleep(1)
        for _ in range(cancellations):
            task.cancel()
            await ports.clock.sleep(1)
        await asyncio.wait([task])
        assert task.cancelled()
        return seen

    inner = "inner ended" if cancellations == 1 else "inner cancelled"
    assert visit("writer.freeze hang=during", main)[0] == [inner, "outer cancelled"]


def test_work_that_is_given_up_before_it_comes_to_where_it_should_hang_does_not_hang() -> None:
    async def main(ports: Ports) -> bool:
        async def work() -> None:
            await ports.clock.sleep(100)
            await ports.clock.sleep(100)

        task = await _given_up(ports, "writer.freeze", work)
        await asyncio.wait([task], timeout=1)
        return task.cancelled()

    assert visit("writer.freeze hang=during step=2", main)[0] is True


@asynccontextmanager
async def _noted(name: str, seen: list[str]) -> AsyncIterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        seen.append(f"{name} cancelled")
        raise
    seen.append(f"{name} ended")


def test_a_hang_at_the_end_does_the_work_first() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            await ports.clock.sleep(1)
            seen.append("done")

        task = await _given_up(ports, "writer.freeze", work)
        assert task.cancelled()
        return seen

    assert visit("writer.freeze hang=after", main)[0] == ["done"]


def test_a_hang_on_another_site_waits_for_it() -> None:
    async def main(ports: Ports) -> int:
        async def nothing() -> None: ...

        async def later() -> None:
            await ports.clock.sleep(4)
            await ports.faults("volume.read", nothing)
            await ports.clock.sleep(4)
            await ports.faults("volume.write", nothing)

        writing = asyncio.create_task(later())
        await ports.faults("provider.commit", nothing, provider="P")
        await writing
        return ports.clock.now_ns()

    async def when(ports: Ports) -> int:
        return await main(ports)

    assert visit("provider.commit hang on=volume.write", when)[0] == 8 * 10**9


@pytest.mark.parametrize(
    ("effect", "seen"),
    [("cancel", []), ("cancel=before", []), ("cancel=during", ["begun"]), ("cancel=after", ["begun", "done"])],
)
def test_a_cancelled_step_is_cancelled_at_the_wait(effect: str, seen: list[str]) -> None:
    async def main(ports: Ports) -> list[str]:
        found: list[str] = []

        async def work() -> None:
            if effect in ("cancel", "cancel=before"):
                await ports.clock.sleep(0)
            found.append("begun")
            await ports.clock.sleep(1)
            found.append("done")

        async def requestor() -> None:
            await ports.faults("requestor.seal", work)
            await ports.clock.sleep(1)
            found.append("never")

        task = asyncio.create_task(requestor())
        await asyncio.wait([task])
        assert task.cancelled()
        return found

    assert visit(f"requestor.seal {effect}", main)[0] == seen


def test_the_wall_clock_jumps_and_durations_do_not() -> None:
    async def main(ports: Ports) -> tuple[int, int]:
        async def nothing() -> None: ...

        wall_ns, now_ns = ports.clock.wall_ns(), ports.clock.now_ns()
        await ports.faults("writer.freeze", nothing)
        return (ports.clock.wall_ns() - wall_ns) // 10**9, ports.clock.now_ns() - now_ns

    assert visit("writer.freeze jump=+2h", main)[0] == (7200, 0)
    assert visit("writer.freeze jump=-30s", main)[0] == (-30, 0)
    assert visit("clock jump=-30s", main)[0] == (-30, 0)


def test_a_real_clock_is_not_set() -> None:
    async def main(ports: Ports) -> None:
        async def nothing() -> None: ...

        with pytest.raises(ForbiddenError, match="needs a simulated world"):
            await ports.faults("writer.freeze", nothing)

    run_real(main, faults=FaultPlan.parse("writer.freeze jump=+2h"))


@pytest.mark.parametrize(
    ("effect", "value", "expected"),
    [
        ("partial=1/2", [1, 2, 3, 4], [1, 2]),
        ("partial=0/1", [1, 2], []),
        ("omit=L:*", ["D:", "L:\\Logs"], ["D:"]),
        ("corrupt kind=duplicate_id", [1, 2], [1, 2, 1]),
        ("corrupt kind=empty", (1, 2), ()),
        ("corrupt kind=wrong_type", [1], "corrupt"),
    ],
)
def test_an_answer_of_several_items_is_damaged(effect: str, value: Any, expected: Any) -> None:
    assert answered(f"requestor.volumes {effect}", "requestor.volumes", value) == expected


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        ("flip", b"\x01" + bytes(7)),
        ("flip bits=9 at=2B", b"\0\0\xff\x01" + bytes(4)),
        ("corrupt kind=bitflip", bytes(4) + b"\x01" + bytes(3)),
        ("corrupt kind=checksum", b"\xff" * 4 + bytes(4)),
        ("corrupt kind=header", b"\xff" * 8),
        ("short", bytes(4)),
        ("partial=1/4", bytes(2)),
    ],
)
def test_bytes_on_their_way_to_the_reader_are_damaged(effect: str, expected: bytes) -> None:
    assert answered(f"page.read {effect}", "page.read", bytes(8), file="a.edb", page="1") == expected


def test_zeros_come_instead_of_bytes() -> None:
    assert answered("volume.read corrupt kind=zeros", "volume.read", b"abc") == bytes(3)


def test_a_stale_read_shows_what_was_there_first() -> None:
    async def main(ports: Ports) -> list[bytes]:
        content = [b"old"]

        async def read() -> bytes:
            return content[0]

        found = [await ports.faults("page.read", read, page="1")]
        content[0] = b"new"
        found += [await ports.faults("page.read", read, page=page) for page in ("2", "1", "1")]
        return found

    assert visit("page.read when=nth:3 stale", main)[0] == [b"old", b"new", b"old", b"new"]


def _written(plan: str, data: bytes) -> tuple[dict[int, bytes], type[BaseException] | None]:
    async def main(ports: Ports) -> tuple[dict[int, bytes], type[BaseException] | None]:
        arrived: dict[int, bytes] = {}

        async def write(file: str, offset: int, content: bytes) -> None:
            assert file == "E00.log"
            arrived[offset] = content

        error: BaseException | None = None
        try:
            await ports.faults("log.write", partial(write, "E00.log", 512, data), file="E00.log", gen="7")
        except VssError as failure:
            error = failure
        return arrived, None if error is None else type(error)

    return visit(plan, main)[0]  # type: ignore[no-any-return]


def test_what_is_written_to_an_awaited_site_is_damaged_where_the_data_is_told() -> None:
    data = b"a" * 512 + b"b" * 512 + b"c" * 512
    assert _written("log.write torn", data) == ({512: b"a" * 512}, None)
    assert _written("log.write torn keep=suffix sectors=2", data) == ({1024: b"b" * 512, 1536: b"c" * 512}, None)
    assert _written("log.write torn keep=checkerboard", data) == ({1024: b"b" * 512}, None)
    assert _written("log.write torn keep=none", data) == ({}, None)
    assert _written("log.write misdirect by=1KiB", data) == ({1536: data}, None)
    assert _written("log.write lose", data) == ({}, None)
    assert _written("log.write flip", data) == ({512: b"`" + data[1:]}, None)
    assert _written("log.write partial=1/3", data) == ({512: data[:512]}, None)
    assert _written("log.write corrupt kind=zeros", data) == ({512: bytes(1536)}, None)
    assert _written("log.write short", data) == ({512: data[:768]}, VolumeWriteError)
    assert _written("log.write full", data) == ({}, VolumeFullError)
    assert _written("log.write when=gen:8 torn", data) == ({512: data}, None)


def test_data_that_is_not_told_is_not_damaged_and_the_fault_does_not_count_as_struck() -> None:
    async def main(ports: Ports) -> str:
        async def write() -> str:
            return "done"

        async def other(name: str, number: str) -> str:
            return name + number

        assert await ports.faults("log.write", partial(other, "a", "b")) == "ab"
        return str(await ports.faults("log.write", write))

    result, plan = visit("log.write torn", main)
    assert (result, plan.fired) == ("done", [])


def test_an_open_that_fails_is_a_read_that_fails() -> None:
    async def main(ports: Ports) -> None:
        async def nothing() -> None: ...

        with pytest.raises(VolumeReadError, match="EACCES"):
            await ports.faults("log.open", nothing, gen="3")

    visit("log.open fail code=EACCES", main)


def test_a_disk_fills_up_once_so_many_bytes_have_passed() -> None:
    async def main(ports: Ports) -> list[bool]:
        return [ports.io_faults("store.write", 1024, volume="D:") is not None for _ in range(4)]

    assert visit("store.write times=always full=2KiB", main)[0] == [False, False, True, True]
    assert visit("store.write when=after:3071B times=always fail code=EIO", main)[0] == [False, False, True, True]


# -- selectors -----------------------------------------------------------------------------------------------------------------


def _struck(plan: str, visits: list[dict[str, str]], told: Callable[[int], list[Event]] = lambda number: []) -> list[int]:
    """Return which of the visits of ``requestor.copy`` fail; a second passes between them."""

    async def main(ports: Ports) -> list[int]:
        async def nothing() -> None: ...

        failed: list[int] = []
        for number, selectors in enumerate(visits):
            for event in told(number):
                ports.emit(event)
            try:
                await ports.faults("requestor.copy", nothing, **selectors)
            except VssError:
                failed.append(number)
            await ports.clock.sleep(1)
        return failed

    return visit(f"requestor.copy times=always {plan} fail", main)[0]  # type: ignore[no-any-return]


def test_percentages_are_told_by_the_site() -> None:
    visits = [{"percent": str(percent)} for percent in (0, 25, 50, 75)]
    assert _struck("when=after:50%", visits) == [2, 3]
    assert _struck("when=after:0%", visits) == [0, 1, 2, 3]


def test_a_number_means_the_nth_value_that_the_run_has_shown() -> None:
    visits = [{"volume": volume} for volume in ("D:", "L:", "D:", "E:", "L:")]
    assert _struck("when=volume:2", visits) == [1, 4]
    assert _struck("when=volume:3/3", visits) == [3]
    assert _struck("when=volume:L*", visits) == [1, 4]
    assert _struck("when=gen:2", [{"gen": "1"}, {"gen": "5"}, {"gen": "2"}]) == [2]


def test_idle_means_that_nothing_was_visited() -> None:
    assert _struck("when=idle:1s", [{}, {}, {}]) == [1, 2]
    assert _struck("when=idle:2s", [{}, {}]) == []


def test_boot_is_over_with_the_first_session() -> None:
    events = {1: [SessionStarted(session_id="1", kind="backup")]}
    assert _struck("when=boot", [{}, {}, {}], lambda number: list(events.get(number, []))) == [0]


def test_phases_are_told_by_events_and_by_sites() -> None:
    events: dict[int, list[Event]] = {
        1: [PhaseEntered(phase="freeze")],
        2: [PhaseEntered(phase="hold")],
        3: [PhaseLeft(phase="hold")],
        4: [PhaseLeft(phase="freeze"), PhaseLeft(phase="unknown")],
    }
    told: Callable[[int], list[Event]] = lambda number: events.get(number, [])  # noqa: E731
    visits: list[dict[str, str]] = [{}] * 5
    assert _struck("when=phase:freeze", visits, told) == [1, 2, 3]
    assert _struck("when=phase:commit", visits, told) == [2]
    assert _struck("when=phase:thaw", visits, told) == [3]
    assert _struck("when=phase:*", visits, told) == [1, 2, 3]
    assert _struck("when=phase:copy", [{"phase": "copy"}, {}]) == [0]


# -- plain calls ---------------------------------------------------------------------------------------------------------------


def test_plain_calls_are_struck_once_in_the_order_of_the_plan_and_told() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> list[str]:
        found = [ports.io_faults("store.write", 1, volume="D:", offset=str(number)) for number in range(3)]
        return [fault.effect if fault is not None else "" for fault in found]

    plan = FaultPlan.parse("store.write lose\nstore.* flip")
    assert run(main, faults=plan, emit=events.append) == ["lose", "flip", ""]
    assert events == [
        FaultFired(site="store.write", effect="lose", selectors="volume=D:"),
        FaultFired(site="store.write", effect="flip", selectors="volume=D:"),
    ]


def test_a_plain_call_can_stall_the_loop_and_set_the_clock() -> None:
    async def main(ports: Ports) -> tuple[int, int]:
        wall_ns = ports.clock.wall_ns()
        assert ports.io_faults("store.write", 1, volume="D:") is None
        return ports.clock.now_ns() // 10**9, (ports.clock.wall_ns() - wall_ns) // 10**9

    assert visit("store.write stall=3s", main)[0] == (3, 3)
    assert visit("store.write jump=-1h", main)[0] == (0, -3600)
    assert visit("clock when=volume:D: jump=+1h", main)[0] == (0, 3600)


def test_a_world_without_a_plan_has_no_faults_of_plain_calls() -> None:
    async def main(ports: Ports) -> Any:
        return ports.io_faults("store.write", 1)

    assert run(main) is None
    assert visit("writer.freeze fail", main)[0] is None


# -- visits and scopes ---------------------------------------------------------------------------------------------------------


async def _a_few_visits(ports: Ports) -> None:
    async def nothing() -> None: ...

    for writer in ("A", "B[1]", "A"):
        await ports.faults("writer.freeze", nothing, writer=writer, session="{1}")
        await ports.clock.sleep(1)
    ports.io_faults("set.write", 5, path="/x/a", name="a")
    ports.io_faults("log.write", 5, gen="1")
    await ports.faults("my.site", nothing)


def test_a_clean_runs_visits_are_listed_and_each_can_be_struck() -> None:
    plan = FaultPlan(records_visits=True)
    run(_a_few_visits, faults=plan)
    assert [(each.site, each.selectors, each.nth, each.instant_ns // 10**9) for each in plan.visits] == [
        ("writer.freeze", (("writer", "A"),), 1, 0),
        ("writer.freeze", (("writer", "B[1]"),), 1, 1),
        ("writer.freeze", (("writer", "A"),), 2, 2),
        ("set.write", (("name", "a"),), 1, 3),
        ("my.site", (), 1, 3),
    ]
    faults = [each.fault("delay=5s") for each in plan.visits if each.site != "set.write"]
    assert str(faults[1]) == "fault writer.freeze when=writer:B[[]1] delay=5s"
    assert str(faults[2]) == "fault writer.freeze when=writer:A when=nth:2 delay=5s"
    assert str(plan.visits[2].fault("hang", is_sticky=True)) == "fault writer.freeze when=writer:A times=always hang"
    for fault in faults:
        again = FaultPlan([fault])
        run(_a_few_visits, faults=again)
        assert again.strikes() == [1]


def test_any_function_can_stand_at_the_sites() -> None:
    async def refusing(site: str, work: Callable[[], Awaitable[Any]], **selectors: str) -> Any:
        raise KeyError(site)

    async def main(ports: Ports) -> None:
        async def nothing() -> None: ...

        with pytest.raises(KeyError, match=r"writer\.freeze"):
            await ports.faults("writer.freeze", nothing)

    run(main, faults=refusing)


def test_visits_are_not_listed_unless_asked_for() -> None:
    plan = FaultPlan()
    run(_a_few_visits, faults=plan)
    assert plan.visits == []


def test_faults_confined_to_a_scope_strike_only_while_it_is_open() -> None:
    async def main(ports: Ports) -> list[int]:
        async def nothing() -> None: ...

        failed = []
        for number in range(3):
            if number == 1:
                plan.enter("restore")
            try:
                await ports.faults("writer.freeze", nothing)
            except WriterError:
                failed.append(number)
            if number == 1:
                plan.leave("restore")
        return failed

    plan = FaultPlan(FaultPlan.parse("writer.freeze times=always fail").faults, scopes=["restore"])
    assert run(main, faults=plan) == [1]


def test_a_plan_that_spans_worlds_counts_on_and_forgets_who_died() -> None:
    async def main(ports: Ports) -> str:
        async def nothing() -> str:
            return "ok"

        try:
            return str(await ports.faults("writer.freeze", nothing, writer="A"))
        except WriterError as error:
            return error.message

    plan = FaultPlan(FaultPlan.parse("writer.freeze when=nth:2 fail\nwriter.freeze crash").faults, spans_worlds=True)
    assert [run(main, faults=plan) for _ in range(3)] == [
        "writer:A does not answer: it died",
        "'writer:A' failed at writer.freeze: injected fault",
        "ok",
    ]
    assert str(plan) == "fault writer.freeze when=nth:2 fail\nfault writer.freeze crash"


def test_a_plan_whose_faults_are_elsewhere_costs_a_look_up() -> None:
    async def main(ports: Ports) -> int:
        assert isinstance(asyncio.get_running_loop(), SimulationLoop)
        for _ in range(1000):
            assert ports.io_faults("store.write", 1, volume="D:") is None
        return plan._state._last_visit_ns

    plan = FaultPlan.parse("writer.freeze fail")
    assert run(main, faults=plan) == -1
