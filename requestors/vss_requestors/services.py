"""Stopping and starting services around a restore, for the two restore methods that name one.

    STOP_RESTORE_START    PreRestore · stop · files · start · PostRestore
    RESTORE_STOP_START    PreRestore · files · PostRestore · stop · start

A machine offers ``stop_service`` and ``start_service`` by name, or it has applications behind its writers (an object with
``start`` and ``stop`` under a name of the machine's, as labs do); else such a restore is refused before anything is asked of
the writer. A service that was stopped is started again whatever happens to the files. Source: "Setting VSS restore methods",
"Stopping services for restore by requestors".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from vss.documents import RestoreMethodKind, WriterMetadata
from vss.errors import NotFoundError, RestoreRefusedError, UnsupportedError
from vss.roles.requestor import Machine
from vss_requestors.restore_placement import method_of

_WITH_SERVICE = (RestoreMethodKind.STOP_RESTORE_START, RestoreMethodKind.RESTORE_STOP_START)


@runtime_checkable
class ServiceControl(Protocol):
    """What a machine may offer: its services by name, compared without case."""

    async def stop_service(self, name: str) -> None:
        """Stop it cleanly; ``NotFoundError`` where there is none of that name, nothing where it is stopped."""
        ...

    async def start_service(self, name: str) -> None:
        """Start it; ``NotFoundError`` where there is none of that name."""
        ...

    def has_service(self, name: str) -> bool:
        """Whether there is one of that name."""
        ...


@runtime_checkable
class _Application(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class ApplicationServices:
    """The applications behind a machine's writers as services, under the machine's name for the writer or its own name."""

    def __init__(self, writers: Mapping[str, Any]) -> None:
        """Take the machine's writers by name; those without an application are left out."""
        self._applications: dict[str, _Application] = {}
        for name, writer in writers.items():
            if isinstance(writer, _Application):
                self._applications[name.casefold()] = writer
                self._applications.setdefault(str(getattr(writer, "name", name)).casefold(), writer)

    def has_service(self, name: str) -> bool:
        """Whether an application has that name."""
        return name.casefold() in self._applications

    async def stop_service(self, name: str) -> None:
        """Bring the application down cleanly."""
        await self._application(name).stop()

    async def start_service(self, name: str) -> None:
        """Bring the application up."""
        await self._application(name).start()

    def _application(self, name: str) -> _Application:
        if name.casefold() not in self._applications:
            raise NotFoundError(f"no service '{name}': found {', '.join(self._applications) or 'none'}")
        return self._applications[name.casefold()]


def services_of(machine: Machine) -> ServiceControl | None:
    """Return what the machine offers, or None."""
    if isinstance(machine, ServiceControl):
        return machine
    writers = getattr(machine, "writers", None)
    return ApplicationServices(writers) if isinstance(writers, Mapping) else None


def service_of(metadata: WriterMetadata, control: ServiceControl | None) -> str:
    """Return the service that the writer's restore method stops and starts; nothing for other methods.

    Raises:
        RestoreRefusedError: the method needs a service and names none.
        UnsupportedError: the machine has no such service, or none that can be stopped and started.
    """
    kind = method_of(metadata)
    if kind not in _WITH_SERVICE or metadata.restore_method is None:
        return ""
    name = metadata.restore_method.service
    if not name:
        raise RestoreRefusedError(f"writer '{metadata.friendly_name}' declares restore method {kind.name} and names no service")
    if control is None or not control.has_service(name):
        found = "no services that can be stopped" if control is None else "none of that name"
        raise UnsupportedError(
            f"restore method {kind.name} of writer '{metadata.friendly_name}' stops service '{name}', the machine has {found}"
        )
    return name
