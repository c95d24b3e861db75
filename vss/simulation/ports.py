"""The simulated ports: virtual clock, streams from one seed, files in memory, no outside world.

Invariants: nothing here reads a real clock or the system's randomness; a stream depends on the seed and its own name only, so
that drawing from one, or asking in another order, never moves another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from vss.events import Event
from vss.ids import Guid, seeded_guid
from vss.ports import NANOSECONDS, FaultSite, HostFiles, Ports, Processes, ProcessResult
from vss.simulation.choices import derived_seed
from vss.simulation.errors import ForbiddenError
from vss.simulation.fault_world import with_faults
from vss.simulation.loop import SimulationLoop
from vss.simulation.memory_files import MemoryFiles

T = TypeVar("T")

START_WALL_NS = 1_767_225_600 * NANOSECONDS
"""2026-01-01T00:00:00Z, where a simulated wall clock begins."""


class SimulatedClock:
    """The loop's instant, and a wall clock that runs with it and can jump."""

    def __init__(self, loop: SimulationLoop, start_wall_ns: int = START_WALL_NS) -> None:
        """Let the wall clock show ``start_wall_ns`` now."""
        self._loop = loop
        self._wall_offset_ns = start_wall_ns - loop.now_ns
        self.sleep = loop.sleep

    def now_ns(self) -> int:
        """Nanoseconds since the world began; never decreases."""
        return self._loop.now_ns

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._loop.now_ns + self._wall_offset_ns

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back by a negative number, as an operator or a time service does."""
        self._wall_offset_ns += round(seconds * NANOSECONDS)


class SeededStreams:
    """Named generators from one seed."""

    def __init__(self, seed: int) -> None:
        """Keep the seed; streams are made when first asked for."""
        self.seed = seed
        self._streams: dict[str, random.Random] = {}

    def stream(self, name: str) -> random.Random:
        """Return the generator called ``name``; the same object for the same name."""
        if name not in self._streams:
            self._streams[name] = random.Random(derived_seed(self.seed, name))
        return self._streams[name]


class SeededIds:
    """GUIDs from the stream ``ids``."""

    def __init__(self, streams: SeededStreams) -> None:
        """Draw from ``streams``."""
        self._stream = streams.stream("ids")

    def guid(self) -> Guid:
        """Return a new GUID."""
        return seeded_guid(self._stream)


class NoProcesses:
    """Refuses to run programs: a simulated world has none."""

    async def run(self, arguments: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> ProcessResult:
        """Refuse with ``ForbiddenError``."""
        raise ForbiddenError(
            f"program {' '.join(arguments)!r} asked for in a simulated world",
            hint="pass ScriptedProcesses to the run, or run in the real world",
        )


class ScriptedProcesses:
    """Answers for programs from a table: first argument → result, or a function of arguments and standard input."""

    def __init__(self, programs: Mapping[str, ProcessResult | Callable[[Sequence[str], bytes], ProcessResult]]) -> None:
        """Take the table."""
        self._programs = programs
        self.calls: list[tuple[str, ...]] = []

    async def run(self, arguments: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> ProcessResult:
        """Return the scripted result; ``FileNotFoundError`` for a program that is not in the table, as on a host."""
        self.calls.append(tuple(arguments))
        try:
            program = self._programs[arguments[0]]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", arguments[0]) from None
        return program if isinstance(program, ProcessResult) else program(arguments, stdin)


class InlineBlocking:
    """Does the work at once, then lets ``cost_s`` of virtual time pass."""

    def __init__(self, loop: SimulationLoop) -> None:
        """Take time from ``loop``."""
        self._loop = loop

    async def __call__(self, work: Callable[[], T], *, cost_s: float = 0.0) -> T:
        """Do ``work`` and return its result."""
        result = work()
        await self._loop.sleep(cost_s)
        return result


def discard(event: Event) -> None:
    """Record nothing."""


def simulated_ports(
    loop: SimulationLoop,
    *,
    seed: int = 0,
    files: HostFiles | None = None,
    emit: Callable[[Event], None] | None = None,
    start_wall_ns: int = START_WALL_NS,
    faults: FaultSite | None = None,
    processes: Processes | None = None,
) -> Ports:
    """Return the ports of a world whose time is ``loop``'s and whose randomness comes from ``seed``."""
    streams = SeededStreams(seed)
    ports = Ports(
        clock=SimulatedClock(loop, start_wall_ns),
        random=streams,
        ids=SeededIds(streams),
        files=MemoryFiles() if files is None else files,
        processes=NoProcesses() if processes is None else processes,
        blocking=InlineBlocking(loop),
        emit=discard if emit is None else emit,
        is_simulated=True,
    )
    return with_faults(ports, faults)
