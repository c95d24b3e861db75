"""One life of a lab's machine: from boot, over what is done with it, to the state on disk.

The start is counted in ``state.json`` before the boot, so that the start after a killed one draws other random numbers.
Order at the end: the machine's own records (``Lab.stop``), the events, then ``state.json``, which says how long the event log
is. What a killed process appended after the last kept state is cut off by the next life; the images are as the kill left them,
and file system and store recover from that as from a power cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from vss.errors import VolumeWriteError, VssError
from vss.events import PluginProblem, Record
from vss.lab.configuration import LabConfiguration
from vss.lab.lab import Lab
from vss.lab.state import EVENTS_FILE, LabState, seed_of_start, write_state
from vss.lab.stores import DirectoryKeeper
from vss.observe import Recorder, jsonl
from vss.ports import NANOSECONDS, FaultSite, HostFiles, Ports
from vss.simulation import Simulation, SimulationLoop

if TYPE_CHECKING:
    from vss.plugins import PluginHost, Registry

T = TypeVar("T")

Watch = Callable[[Record], None]

KILLED = "the run before this one was killed: its events are lost, and workloads may not know of their last operations"


class Life:
    """Make it, then ``live`` once; ``records`` and ``warnings`` are there afterwards, whatever happened."""

    def __init__(
        self,
        files: HostFiles,
        root: Path,
        configuration: LabConfiguration,
        state: LabState,
        registry: Registry,
        plugins: PluginHost | None = None,
        watch: Watch | None = None,
        *,
        faults: FaultSite | None = None,
        expendable: Sequence[str] = (),
    ) -> None:
        """Prepare; nothing is read or written before ``live``."""
        self._files = files
        self._root = root
        self._configuration = configuration
        self._state = state
        self._registry = registry
        self._plugins = plugins
        self._faults = faults
        self._keeper = DirectoryKeeper(files, root, state.lost_volumes, expendable=expendable)
        self._recorder = Recorder(self._now_ns)
        self._loop: SimulationLoop | None = None
        self._task: asyncio.Task[object] | None = None
        self._is_cancelled = False
        if plugins is not None and plugins.has_observers:
            self._recorder.subscribe(partial(self._show_plugins, plugins))
        if watch is not None:
            self._recorder.subscribe(watch)

    @property
    def records(self) -> list[Record]:
        """What was recorded."""
        return self._recorder.records

    @property
    def warnings(self) -> list[str]:
        """Observers that raised, and whether the run before this one was killed; one sentence each."""
        dropped = [
            f"an observer of events was dropped: {type(each.error).__name__}: {each.error}" for each in self._recorder.failures
        ]
        return [*dropped, KILLED] if self._state.is_running else dropped

    def cancel(self) -> None:
        """Cancel what is done with the machine; it is shut down in order. Safe inside a signal handler."""
        self._is_cancelled = True
        if self._task is not None and self._loop is not None:
            self._loop.call_soon(self._task.cancel)

    def live(self, boot: Callable[[Lab], Awaitable[None]], main: Callable[[Lab], Awaitable[T]]) -> T:
        """Boot the machine by ``boot``, do ``main`` with it, shut it down, keep its state.

        Raises:
            asyncio.CancelledError: ``cancel`` was called.
            VolumeWriteError: the state cannot be kept.
        """
        start = self._state.starts + 1
        self._write(msgspec.structs.replace(self._state, starts=start, is_running=True))

        async def life(ports: Ports) -> T:
            self._task = asyncio.current_task()
            try:
                if self._is_cancelled:
                    raise asyncio.CancelledError
                return await self._on_machine(ports, boot, main)
            finally:
                self._task = None

        simulation = Simulation(
            life,
            seed=seed_of_start(self._configuration.machine.seed, start),
            files=self._files,
            emit=self._recorder.emit,
            start_now_ns=self._state.now_ns,
            start_wall_ns=round(self._configuration.machine.start.timestamp()) * NANOSECONDS + self._state.now_ns,
            faults=self._faults,
        )
        self._loop = simulation.loop
        try:
            result = simulation.run()
        except BaseException as error:
            try:
                self._keep()
            except VssError as problem:
                error.add_note(problem.message)
            raise
        self._keep()
        return result

    async def _on_machine(self, ports: Ports, boot: Callable[[Lab], Awaitable[None]], main: Callable[[Lab], Awaitable[T]]) -> T:
        for problem in [] if self._plugins is None else self._plugins.problems:
            ports.emit(PluginProblem(plugin=str(problem.origin), stage=problem.stage, message=problem.message))
        choose = None if self._plugins is None else self._plugins.choose_provider
        lab = Lab(self._configuration, ports, self._registry, self._keeper, choose_provider=choose)
        try:
            await boot(lab)
            result = await main(lab)
        except BaseException as error:
            try:
                await _stop(lab)
            except VssError as problem:
                error.add_note(f"while shutting down: {problem.message}")
            raise
        await _stop(lab)
        return result

    def _now_ns(self) -> int:
        return self._state.now_ns if self._loop is None else self._loop.now_ns

    def _show_plugins(self, plugins: PluginHost, record: Record) -> None:
        """Show a record to the plugins' observers; what that breaks is recorded too."""
        known = len(plugins.problems)
        plugins.recorded(record)
        for problem in plugins.problems[known:]:
            self._recorder.emit(PluginProblem(plugin=str(problem.origin), stage=problem.stage, message=problem.message))

    # -- keeping ---------------------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Append the events, then replace the state."""
        self._recorder.flush()
        try:
            events_bytes = self._append_events()
        except OSError as error:
            raise VolumeWriteError(f"the events of lab {self._root} cannot be kept: {error}") from error
        kept = msgspec.structs.replace(
            self._state,
            now_ns=self._now_ns(),
            starts=self._state.starts + 1,
            events=self._state.events + len(self.records),
            events_bytes=events_bytes,
            lost_volumes=self._keeper.lost_volumes,
            is_running=False,
        )
        self._write(kept)

    def _write(self, state: LabState) -> None:
        try:
            write_state(self._files, self._root, state)
        except OSError as error:
            raise VolumeWriteError(f"the state of lab {self._root} cannot be kept: {error}") from error

    def _append_events(self) -> int:
        """Write after the last kept event; return the new length of the log."""
        first = self._state.events
        lines = b"".join(jsonl.encode(Record(first + each.sequence, each.instant_ns, each.event)) for each in self.records)
        log = self._files.open(self._root / EVENTS_FILE, write=True, create=True)
        try:
            kept_bytes = min(self._state.events_bytes, log.size())
            log.truncate(kept_bytes)
            log.pwrite(kept_bytes, lines)
            log.sync()
        finally:
            log.close()
        return kept_bytes + len(lines)


async def _stop(lab: Lab) -> None:
    """Shut the machine down to the end, cancelled or not; a cancellation that came meanwhile is passed on afterwards."""
    stopping = asyncio.get_running_loop().create_task(lab.stop(), name="stop")
    cancellation: asyncio.CancelledError | None = None
    while not stopping.done():
        try:
            await asyncio.wait([stopping])
        except asyncio.CancelledError as error:
            cancellation = error
    stopping.result()
    if cancellation is not None:
        raise cancellation
