"""The part of a writer that is not a writer: the application behind it, which the lab starts and stops with the machine."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Application(Protocol):
    """What a writer object offers in addition when there is an application to run. Both calls may raise ``VssError``."""

    async def start(self) -> None:
        """The machine has booted: bring the application up (mount, recover)."""
        ...

    async def stop(self) -> None:
        """The machine goes down in good order: bring the application down cleanly. Harmless when it is not up."""
        ...

    async def fail(self, reason: str) -> None:
        """A disk under it is gone: stop at once, write nothing more. Harmless when it is not up or not concerned."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return JSON-ready facts for ``vss lab show`` (databases, their state, logs)."""
        ...


@runtime_checkable
class Mortal(Protocol):
    """What an application offers in addition that dies with its writer's process, when a plan of faults kills that."""

    def die(self) -> None:
        """The process was killed: nothing is written any more, nobody is told, and what was in memory is gone. ``start`` comes
        when the process is back."""
        ...
