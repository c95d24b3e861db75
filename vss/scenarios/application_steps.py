"""Steps about the applications behind writers: what an administrator does with one, and what becomes of its process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import msgspec

from vss.errors import InvalidArgumentError
from vss.lab.application import Application
from vss.scenarios.step import Step

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage


@runtime_checkable
class Operable(Protocol):
    """What a writer object offers in addition when its application has actions for an operator."""

    async def operate(self, action: str, options: Mapping[str, Any]) -> Any:
        """Do what an administrator of the application can do: dismount, mount, change a setting; return JSON-ready data.

        Raises:
            NotFoundError: the application has no such action; the message names those it has.
        """
        ...


class WriterStep(Step, frozen=True, kw_only=True):
    """Base of steps about one writer. ``writer`` is its name in the lab."""

    writer: str

    def application(self, stage: Stage) -> Application:
        """Return the writer as an application.

        Raises:
            InvalidArgumentError: there is none behind it.
        """
        writer = stage.lab.writer(self.writer)
        if not isinstance(writer, Application):
            raise InvalidArgumentError(f"writer '{self.writer}' has no application behind it: expected one")
        return writer


class Operate(WriterStep, frozen=True, kw_only=True, tag="operate"):
    """An administrator of an application does something: dismounts a database, changes a setting."""

    action: str
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    async def run(self, stage: Stage) -> Any:
        """Do it."""
        writer = stage.lab.writer(self.writer)
        if not isinstance(writer, Operable):
            raise InvalidArgumentError(
                f"the application of writer '{self.writer}' has no actions: expected one that can be operated"
            )
        return await writer.operate(self.action, self.options)


class StopService(WriterStep, frozen=True, kw_only=True, tag="stop_service"):
    """The application is stopped in order, and its writer unsubscribes with it."""

    async def run(self, stage: Stage) -> Any:
        """Stop it."""
        stage.lab.coordinator.remove_writer(stage.lab.writer(self.writer))
        await self.application(stage).stop()


class StartService(WriterStep, frozen=True, kw_only=True, tag="start_service"):
    """The application starts, and its writer subscribes with a new instance id."""

    async def run(self, stage: Stage) -> Any:
        """Start it."""
        await self.application(stage).start()
        writer = stage.lab.writer(self.writer)
        if not any(each is writer for each in stage.lab.coordinator.writers):
            stage.lab.coordinator.add_writer(writer)


class CrashService(WriterStep, frozen=True, kw_only=True, tag="crash_service"):
    """The application's process dies: it writes nothing more, and its writer is gone, until ``start_service``."""

    async def run(self, stage: Stage) -> Any:
        """Let it die."""
        writer = stage.lab.writer(self.writer)
        stage.lab.coordinator.remove_writer(writer)
        stage.killed.append(f"writer:{writer.name}")
        await self.application(stage).fail("the process died")


class Facts(WriterStep, frozen=True, kw_only=True, tag="facts"):
    """Look at an application: returns what it says of itself, as ``vss lab show`` prints it."""

    async def run(self, stage: Stage) -> Any:
        """Look."""
        return self.application(stage).describe()
