"""What becomes of an application whose writer a plan of faults kills: it dies with its process, and is started when it is back.

A writer keeps what it has in memory where nobody replaces it (``vss.simulation.faults``); an application that can die replaces
it by what is on its disks, as after a crash, and its writer subscribes as a new instance.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping

from vss.coordinator import Coordinator
from vss.errors import VssError
from vss.events import PluginProblem
from vss.lab.application import Application, Mortal
from vss.ports import NANOSECONDS, Ports
from vss.roles.writer import Writer
from vss.simulation.parts import ACTOR


class Deaths:
    """Hears who was killed in one life of a machine. Only a plan of faults kills."""

    def __init__(self, ports: Ports, coordinator: Coordinator, writers: Mapping[str, Writer]) -> None:
        """Hear of nothing yet; ``writers`` may still be filled."""
        self._ports = ports
        self._coordinator = coordinator
        self._writers = writers
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: dict[str, asyncio.Task[None]] = {}

    def begin(self) -> None:
        """Hear of deaths as long as this loop runs: a plan outlives a machine whose power failed."""
        self._loop = asyncio.get_running_loop()
        when_died = getattr(self._ports.faults, "when_died", None)
        if when_died is not None:
            when_died.append(self._role_died)

    def own(self) -> None:
        """Say whose process the applications' I/O is done in, also where their users ask for it."""
        owners = getattr(self._ports.faults, "owners", None)
        if owners is not None:
            owners.update({name: f"writer:{each.name}" for name, each in self._writers.items() if isinstance(each, Mortal)})

    async def end(self) -> None:
        """Start nothing any more."""
        self._loop = None
        for task in self._starting.values():
            task.cancel()
        if self._starting:
            await asyncio.wait(list(self._starting.values()))

    def _role_died(self, role: str) -> None:
        if self._loop is not asyncio.get_running_loop():
            return
        self._coordinator.role_died(role)
        for name, writer in self._writers.items():
            if role == f"writer:{writer.name}" and isinstance(writer, Mortal):
                writer.die()
                self._coordinator.remove_writer(writer)
                self._start_when_back(name, writer, self._ports.faults.back_ns(role))  # type: ignore[attr-defined] # a plan

    def _start_when_back(self, name: str, writer: Writer, back_ns: int | None) -> None:
        earlier = self._starting.pop(name, None)
        if earlier is not None:
            earlier.cancel()
        if back_ns is None or not isinstance(writer, Application):
            return
        context = contextvars.copy_context()
        context.run(ACTOR.set, "")  # whoever starts it is not the one who died
        start = self._start(writer, back_ns)
        self._starting[name] = asyncio.get_running_loop().create_task(start, name=f"start of {name}", context=context)

    async def _start(self, writer: Application, back_ns: int) -> None:
        clock = self._ports.clock
        await clock.sleep((back_ns - clock.now_ns()) / NANOSECONDS)
        assert isinstance(writer, Writer)
        try:
            await writer.start()
        except VssError as error:
            self._ports.emit(PluginProblem(plugin=writer.name, stage="start", message=error.message))
        self._coordinator.add_writer(writer)
