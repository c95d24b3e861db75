"""The requestor: a backup program. It is handed a machine and opens sessions on it; it never touches the coordinator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vss.ids import Guid
from vss.ports import Ports
from vss.roles.verifier import Verifier
from vss.roles.volume import FileSystem

if TYPE_CHECKING:
    from vss.coordinator.session import Session


class Machine(Protocol):
    """What a requestor sees of the machine it runs on."""

    @property
    def name(self) -> str:
        """The machine's name, as documents carry it."""
        ...

    @property
    def root(self) -> Path | None:
        """Where the lab lies on the host; None for a machine in memory. Backup targets inside it are refused."""
        ...

    @property
    def ports(self) -> Ports:
        """Clock, randomness, ids and host files."""
        ...

    @property
    def files(self) -> FileSystem:
        """The live files of all volumes by machine path (``D:\\Exchange\\DB1.edb``): to restore to, never to back up from."""
        ...

    @property
    def verifiers(self) -> Mapping[Guid, Verifier]:
        """The verifier of each writer class that has one."""
        ...

    def open_session(self) -> Session:
        """Return a fresh session; the caller releases it (``async with``)."""
        ...


class Requestor(ABC):
    """A named job over a machine. ``options`` are the requestor's own; the result is JSON-ready data for the reports."""

    name: str

    def written_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Turn options as a file or a command line has them (texts, numbers, lists) into those of ``run``.

        Raises:
            ConfigurationError: one is unknown, or its value means nothing.
        """
        return dict(options)

    @abstractmethod
    async def run(self, machine: Machine, **options: Any) -> Any:
        """Do the job. Raises ``VssError``; whatever happens, every session it opened is released."""
