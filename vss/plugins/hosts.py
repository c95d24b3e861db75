"""What factories are handed, and the face of a workload. Protocols only: the lab implements the hosts.

Factory signatures, by kind:

    writer      factory(host: WriterHost, options: Mapping[str, Any]) -> Writer
    provider    factory(ports: Ports) -> Provider
    requestor   factory() -> Requestor
    verifier    factory() -> Verifier
    workload    factory(host: WorkloadHost, options: Mapping[str, Any]) -> Workload

``options`` is the table a person wrote for this object in ``lab.toml``, without the keys that the lab itself consumes. A
factory raises ``ConfigurationError`` naming the key when an option cannot mean anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from vss.ports import Ports
from vss.roles.provider import Provider
from vss.roles.requestor import Requestor
from vss.roles.verifier import Verifier
from vss.roles.volume import FileSystem
from vss.roles.writer import Writer


class WriterHost(Protocol):
    """What a writer may use of the machine it lives on."""

    @property
    def ports(self) -> Ports:
        """Clock, randomness, ids, events."""
        ...

    @property
    def files(self) -> FileSystem:
        """The machine's live files, by machine path (``D:\\Exchange\\DB1.edb``)."""
        ...

    @property
    def machine_name(self) -> str:
        """The machine's name, as documents carry it."""
        ...

    @property
    def name(self) -> str:
        """The name the lab gives this writer; unique on the machine."""
        ...

    @property
    def root(self) -> Path | None:
        """Where the lab lies on the host, for files that a person named relative to it; None for a machine in memory."""
        ...


class WorkloadHost(Protocol):
    """What a workload may use of the machine it loads."""

    @property
    def ports(self) -> Ports:
        """Clock, randomness, ids, events."""
        ...

    @property
    def files(self) -> FileSystem:
        """The machine's live files, by machine path."""
        ...

    @property
    def machine_name(self) -> str:
        """The machine's name, as documents carry it."""
        ...

    @property
    def name(self) -> str:
        """The name the lab gives this workload; unique on the machine."""
        ...

    def writer(self, name: str) -> Writer:
        """Return the writer that the lab calls ``name``; ``NotFoundError`` where there is none."""
        ...


@runtime_checkable
class Workload(Protocol):
    """Users of an application, in virtual or real time, with their own record of what was acknowledged to them.

    One whose application acknowledges only what survives a loss of power says so by an attribute ``is_durable`` that is true:
    its record is then compared after a simulated loss of power, too.
    """

    @property
    def name(self) -> str:
        """The name the lab gives this workload."""
        ...

    async def run_until(self, now_ns: int) -> None:
        """Work until the clock shows ``now_ns`` (nanoseconds of ``Clock.now_ns``); return early when stopped."""
        ...

    async def stop(self) -> None:
        """Finish the operation under way, then let ``run_until`` return."""
        ...

    def report(self) -> dict[str, Any]:
        """Return JSON-ready counts (operations, bytes, digest of what was acknowledged)."""
        ...

    async def check(self) -> list[str]:
        """Compare the application's data with the workload's own record; return one sentence per difference."""
        ...

    def state(self) -> bytes:
        """Return the workload's own record, to be kept beside the lab."""
        ...

    def load_state(self, state: bytes) -> None:
        """Take up the record that ``state`` returned earlier."""
        ...


def is_durable(workload: Workload) -> bool:
    """Whether what is acknowledged to these users survives a loss of power."""
    return bool(getattr(workload, "is_durable", False))


WriterFactory = Callable[[WriterHost, Mapping[str, Any]], Writer]
ProviderFactory = Callable[[Ports], Provider]
RequestorFactory = Callable[[], Requestor]
VerifierFactory = Callable[[], Verifier]
WorkloadFactory = Callable[[WorkloadHost, Mapping[str, Any]], Workload]
