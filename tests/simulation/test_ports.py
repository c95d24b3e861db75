"""The simulated ports."""

from __future__ import annotations

import pytest

from vss.ports import Ports, ProcessResult
from vss.simulation import ForbiddenError, ScriptedProcesses, SeededStreams, SimulatedClock, run


def test_a_stream_depends_on_seed_and_name_only() -> None:
    first, second = SeededStreams(1), SeededStreams(1)
    first.stream("workload").random()
    assert first.stream("faults").random() == second.stream("faults").random()
    assert first.stream("faults") is first.stream("faults")
    assert SeededStreams(2).stream("ids").random() != SeededStreams(1).stream("ids").random()


def test_ids_come_from_the_seed() -> None:
    async def main(ports: Ports) -> list[str]:
        return [str(ports.ids.guid()) for _ in range(3)]

    assert run(main) == run(main)
    assert len({*run(main), *run(main, seed=1)}) == 6


def test_the_wall_clock_jumps_and_the_monotonic_one_does_not() -> None:
    async def main(ports: Ports) -> None:
        clock = ports.clock
        assert isinstance(clock, SimulatedClock)
        now_ns, wall_ns = clock.now_ns(), clock.wall_ns()
        clock.jump_wall(-3600)
        await clock.sleep(1)
        assert clock.now_ns() == now_ns + 10**9
        assert clock.wall_ns() == wall_ns - 3599 * 10**9

    run(main)


def test_blocking_work_is_done_inline_and_costs_virtual_time() -> None:
    async def main(ports: Ports) -> tuple[int, int]:
        answer = await ports.blocking(lambda: 6 * 7, cost_s=2.5)
        return answer, ports.clock.now_ns()

    assert run(main) == (42, 2_500_000_000)


def test_programs_are_refused_with_advice() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(ForbiddenError, match="'btrfs subvolume'") as caught:
            await ports.processes.run(["btrfs", "subvolume"], timeout_s=1)
        assert "ScriptedProcesses" in caught.value.hint

    run(main)


def test_programs_can_be_scripted() -> None:
    async def main(ports: Ports) -> list[ProcessResult]:
        with pytest.raises(FileNotFoundError):
            await ports.processes.run(["missing"], timeout_s=1)
        return [
            await ports.processes.run(["true"], timeout_s=1),
            await ports.processes.run(["cat", "-"], timeout_s=1, stdin=b"text"),
        ]

    processes = ScriptedProcesses(
        {"true": ProcessResult(0, b"", b""), "cat": lambda arguments, stdin: ProcessResult(0, stdin, b"")}
    )
    assert run(main, processes=processes) == [ProcessResult(0, b"", b""), ProcessResult(0, b"text", b"")]
    assert processes.calls == [("missing",), ("true",), ("cat", "-")]
