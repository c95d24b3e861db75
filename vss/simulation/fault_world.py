"""Putting a plan into a world: its sites, its plain calls, its host files and its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, runtime_checkable

from vss.events import Event
from vss.io_faults import IoFaultSite
from vss.ports import FaultSite, Ports, no_faults
from vss.simulation.faulty_files import FaultyFiles


@runtime_checkable
class Plan(Protocol):
    """What ``FaultPlan`` is to a world."""

    def attach(self, ports: Ports) -> None:
        """Begin a run."""
        ...

    def listen(self, event: Event) -> None:
        """Take note of an event."""
        ...

    @property
    def at(self) -> IoFaultSite:
        """The site of plain calls."""
        ...

    @property
    def has_failed_flushes(self) -> bool:
        """Whether a failed sync may lose data."""
        ...


def with_faults(ports: Ports, faults: FaultSite | None) -> Ports:
    """Return ``ports`` with a plan in force; another fault site, or none, is just put in its place."""
    if faults is None:
        return ports
    if not isinstance(faults, Plan):
        return replace(ports, faults=faults)
    faults.attach(replace(ports, faults=no_faults))
    return replace(
        ports,
        faults=faults,
        io_faults=faults.at,
        files=FaultyFiles(ports.files, faults.at, keeps_unsynced=faults.has_failed_flushes),
        emit=_heard(faults.listen, ports.emit),
    )


def _heard(listen: Callable[[Event], None], emit: Callable[[Event], None]) -> Callable[[Event], None]:
    def tell(event: Event) -> None:
        listen(event)
        emit(event)

    return tell
