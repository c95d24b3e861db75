"""The ports: the only way from the framework and the roles to clock, randomness, ids, host files, processes and threads.

Everything that differs between the simulated and the real world goes through one ``Ports`` record, so that coordinator,
sessions, requestors and role plugins are the same code in both. Implementations: ``vss.simulation.ports`` (virtual time, one
seed, one run) and ``vss.real`` (stock loop). Nothing here reads a clock or a file; nothing else may.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from vss.events import Event
from vss.ids import Guid
from vss.io_faults import IoFaultSite, no_io_faults

T = TypeVar("T")

NANOSECONDS = 1_000_000_000


class Clock(Protocol):
    """Two clocks: monotonic for durations, wall for stamps. Nothing may subtract wall instants to get a duration."""

    def now_ns(self) -> int:
        """Nanoseconds since the world began; never decreases."""
        ...

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        ...


class RandomStreams(Protocol):
    """Named generators from one seed; drawing from one never moves another."""

    def stream(self, name: str) -> random.Random:
        """Return the generator called ``name``; the same object for the same name."""
        ...


class IdSource(Protocol):
    """Where GUIDs come from."""

    def guid(self) -> Guid:
        """Return a new GUID."""
        ...


class HostFile(Protocol):
    """An open file of the host. Offsets and lengths in bytes; short reads only at the end of the file."""

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``."""
        ...

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``."""
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        ...

    def size(self) -> int:
        """Return the length in bytes."""
        ...

    def sync(self) -> None:
        """Make the written bytes durable."""
        ...

    def close(self) -> None:
        """Release the handle; calling it twice is harmless."""
        ...


@runtime_checkable
class HolePunching(Protocol):
    """What a ``HostFile`` may offer besides; ``blank`` does without where it does not."""

    def punch_hole(self, offset: int, length: int) -> None:
        """Make ``length`` bytes inside the file zeros and give the host their room, where it takes it."""
        ...


def blank(file: HostFile, offset: int, length: int) -> None:
    """Make ``length`` bytes inside ``file`` zeros: by a hole where the file can have one, else by writing them."""
    if isinstance(file, HolePunching):
        file.punch_hole(offset, length)
    else:
        file.pwrite(offset, bytes(length))


class HostLock(Protocol):
    """An exclusive lock that is held. The host gives it back when the process ends, however that happens."""

    def close(self) -> None:
        """Give the lock back; calling it twice is harmless."""
        ...


class HostFiles(Protocol):
    """The host's file tree. Synchronous: wrap long work in ``Ports.blocking``. Errors are the ``OSError`` of the host."""

    def open(self, path: Path, *, write: bool = False, create: bool = False, exclusive: bool = False) -> HostFile:
        """Open a file; ``exclusive`` implies ``create`` and fails where the file exists."""
        ...

    def read_bytes(self, path: Path) -> bytes:
        """Return a whole (small) file."""
        ...

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data``: temporary file, sync, rename, directory sync. Old or new content, never a mixture."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        ...

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    def is_directory(self, path: Path) -> bool:
        """Whether ``path`` is a directory."""
        ...

    def exists(self, path: Path) -> bool:
        """Whether anything stands at ``path``."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file or an empty directory."""
        ...

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it, never following a link; a missing one is fine."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        ...

    def free_bytes(self, path: Path) -> int:
        """Return the room left where ``path`` stands."""
        ...

    def lock(self, path: Path) -> HostLock:
        """Take the exclusive lock on the file at ``path``, made empty where missing; ``BlockingIOError`` when it is taken."""
        ...


@dataclass(frozen=True, slots=True)
class ProcessResult:
    """What a finished process left behind."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class Processes(Protocol):
    """Running other programs. Always an argument list, never a shell."""

    async def run(self, arguments: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> ProcessResult:
        """Run to the end; kill and raise ``TimeoutError`` after ``timeout_s``."""
        ...


class Blocking(Protocol):
    """Work that would block the loop: a thread in the real world, inline plus ``cost_s`` of virtual time in the simulated."""

    def __call__(self, work: Callable[[], T], *, cost_s: float = 0.0) -> Awaitable[T]:
        """Do ``work`` and return its result. When the caller is cancelled, ``work`` is over before that is noticed."""
        ...


class FaultSite(Protocol):
    """Where injected faults strike. Every role call and every effect passes a site with a stable name."""

    async def __call__(self, site: str, work: Callable[[], Awaitable[Any]], **selectors: str) -> Any:
        """Run ``work`` as the fault plan for ``site`` says; with no fault, just run it."""
        ...


async def no_faults(site: str, work: Callable[[], Awaitable[Any]], **selectors: str) -> Any:
    """The fault site of a world without faults."""
    return await work()


@dataclass(frozen=True, slots=True)
class Ports:
    """One world's way out.

    Attributes:
        clock: monotonic and wall time, sleeping.
        random: named random streams.
        ids: GUIDs.
        files: the host's file tree.
        processes: other programs.
        blocking: for work that would block the loop.
        emit: records one event; the recorder stamps it.
        faults: the fault site.
        io_faults: the fault site of plain calls.
        is_simulated: whether time is virtual. For reports only; no role may branch on it.
    """

    clock: Clock
    random: RandomStreams
    ids: IdSource
    files: HostFiles
    processes: Processes
    blocking: Blocking
    emit: Callable[[Event], None]
    faults: FaultSite = no_faults
    io_faults: IoFaultSite = no_io_faults
    is_simulated: bool = True
