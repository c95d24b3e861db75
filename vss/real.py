"""The real world: stock event loop, the host's clocks, files, threads and programs.

Decides nothing of its own: each port does what the host does, with the same errors as its simulated twin (one contract test
runs over both kinds of files). Invariants: a file under its final name is old or new, never a mixture; ``remove_tree`` never
follows a link; a program that outlives its limit, or whose caller is cancelled, is killed with everything it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import ctypes
import errno
import fcntl
import itertools
import os
import random
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vss.errors import Interrupted
from vss.events import Event
from vss.ids import Guid, seeded_guid
from vss.interrupts import Interrupts
from vss.ports import FaultSite, HostFiles, IdSource, Ports, Processes, ProcessResult
from vss.simulation.fault_world import with_faults
from vss.simulation.ports import SeededIds, SeededStreams, discard

T = TypeVar("T")


class RealClock:
    """The host's monotonic and wall clock."""

    def __init__(self) -> None:
        """Let the world begin now."""
        self._start_ns = time.monotonic_ns()

    def now_ns(self) -> int:
        """Nanoseconds since the world began; never decreases."""
        return time.monotonic_ns() - self._start_ns

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may jump."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Suspend the calling task."""
        await asyncio.sleep(seconds)


class SystemIds:
    """GUIDs from the system's randomness."""

    def __init__(self) -> None:
        """Open the source."""
        self._stream = random.SystemRandom()

    def guid(self) -> Guid:
        """Return a new GUID."""
        return seeded_guid(self._stream)


_FALLOC_FL_KEEP_SIZE, _FALLOC_FL_PUNCH_HOLE = 1, 2


def _punch_hole(descriptor: int, offset: int, length: int) -> None:
    """fallocate(2), which the standard library does not have; ``ENOSYS`` where the host does not either."""
    fallocate = getattr(ctypes.CDLL(None, use_errno=True), "fallocate", None)
    if fallocate is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_longlong, ctypes.c_longlong)
    while fallocate(descriptor, _FALLOC_FL_KEEP_SIZE | _FALLOC_FL_PUNCH_HOLE, offset, length):
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))


class RealFile:
    """An open file of the host."""

    def __init__(self, files: RealFiles, descriptor: int, path: Path) -> None:
        """Own ``descriptor``."""
        self._files = files
        self._descriptor = descriptor
        self._path = path

    def _check(self) -> int:
        if self._descriptor < 0 or self._files.is_shut:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(self._path))
        return self._descriptor

    def pread(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes from ``offset``; the kernel's short reads are continued."""
        descriptor = self._check()
        piece = os.pread(descriptor, length, offset)
        if len(piece) == length or not piece:
            return piece
        pieces = [piece]
        have = len(piece)
        while have < length and (piece := os.pread(descriptor, length - have, offset + have)):
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def pwrite(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write all of ``data`` at ``offset``; the kernel's short writes are continued."""
        descriptor = self._check()
        written = os.pwrite(descriptor, data, offset)
        if written == len(data):
            return
        rest = memoryview(data).cast("B")[written:]
        while rest:
            offset += written
            written = os.pwrite(descriptor, rest, offset)
            rest = rest[written:]

    def punch_hole(self, offset: int, length: int) -> None:
        """Make ``length`` bytes inside the file zeros and give the host their room; zeros are written where it has no holes."""
        descriptor = self._check()
        try:
            _punch_hole(descriptor, offset, length)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            self.pwrite(offset, bytes(length))

    def truncate(self, size: int) -> None:
        """Cut or extend (with zeros) to ``size`` bytes."""
        os.ftruncate(self._check(), size)

    def size(self) -> int:
        """Return the length in bytes."""
        return os.fstat(self._check()).st_size

    def sync(self) -> None:
        """Make the written bytes durable."""
        os.fsync(self._check())

    def close(self) -> None:
        """Release the handle; calling it twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealFiles:
    """The host's file tree. Errors are the host's ``OSError``."""

    is_shut = False
    _temporary_numbers = itertools.count()

    @contextlib.contextmanager
    def shut(self) -> Iterator[None]:
        """Refuse every access, through open handles too, inside the block: what a simulated crash killed has no effect."""
        self.is_shut = True
        try:
            yield
        finally:
            self.is_shut = False

    def _check(self, path: Path) -> Path:
        if self.is_shut:
            raise OSError(errno.EIO, "the world has ended", str(path))
        return path

    def open(self, path: Path, *, write: bool = False, create: bool = False, exclusive: bool = False) -> RealFile:
        """Open a file; ``exclusive`` implies ``create`` and fails where the file exists."""
        flags = os.O_CLOEXEC | (os.O_RDWR if write or create or exclusive else os.O_RDONLY)
        flags |= (os.O_CREAT if create or exclusive else 0) | (os.O_EXCL if exclusive else 0)
        descriptor = os.open(self._check(path), flags, 0o666)
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return RealFile(self, descriptor, path)

    def read_bytes(self, path: Path) -> bytes:
        """Return a whole (small) file."""
        return self._check(path).read_bytes()

    def write_atomically(self, path: Path, data: bytes) -> None:
        """Replace ``path`` by ``data``: temporary file beside it, sync, rename, directory sync.

        The temporary file is called ``.NAME.PID-N.tmp``; a crash may leave it behind, never half a ``NAME``.
        """
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(self._temporary_numbers)}.tmp")
        file = self.open(temporary, exclusive=True)
        try:
            try:
                file.pwrite(0, data)
                file.sync()
            finally:
                file.close()
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.sync_directory(path.parent)

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents; an existing one is fine."""
        self._check(path).mkdir(parents=True, exist_ok=True)

    def list_directory(self, path: Path) -> list[str]:
        """Return the names in a directory, sorted."""
        return sorted(entry.name for entry in self._check(path).iterdir())

    def is_directory(self, path: Path) -> bool:
        """Whether ``path`` is a directory."""
        return self._check(path).is_dir()

    def exists(self, path: Path) -> bool:
        """Whether anything stands at ``path``, a dangling link included."""
        return os.path.lexists(self._check(path))

    def rename(self, source: Path, target: Path) -> None:
        """Rename over ``target``."""
        self._check(source).replace(target)

    def remove(self, path: Path) -> None:
        """Remove a file, a link or an empty directory."""
        if stat.S_ISDIR(self._check(path).lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()

    def remove_tree(self, path: Path) -> None:
        """Remove a directory and all below it, never following a link; a missing one is fine.

        Raises:
            NotADirectoryError: ``path`` is a file or a link.
        """
        try:
            mode = self._check(path).lstat().st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(mode):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        shutil.rmtree(path)

    def sync_directory(self, path: Path) -> None:
        """Make the names in a directory durable."""
        descriptor = os.open(self._check(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, path: Path) -> int:
        """Return the room left for an ordinary user where ``path`` stands."""
        room = os.statvfs(self._check(path))
        return room.f_bavail * room.f_frsize

    def lock(self, path: Path) -> RealLock:
        """Take the exclusive lock on the file at ``path``, made empty where missing; ``BlockingIOError`` when it is taken.

        The kernel gives it back when the process ends, killed or not. The file stays: removing it would let two processes
        hold locks on two files of one name.
        """
        descriptor = os.open(self._check(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BaseException:
            os.close(descriptor)
            raise
        return RealLock(descriptor)


class RealLock:
    """A lock of the kernel (``flock``) on an open file of its own."""

    def __init__(self, descriptor: int) -> None:
        """Own ``descriptor``, which holds the lock."""
        self._descriptor = descriptor

    def close(self) -> None:
        """Give the lock back; calling it twice is harmless."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class RealProcesses:
    """The host's programs, each in a process group of its own.

    A thread waits for each, not the loop's child watcher: cancelled at the wrong moment, the loop's own subprocess transport
    was seen to wait for ever for a program that had been killed and collected (CPython 3.11).
    """

    async def run(self, arguments: Sequence[str], *, timeout_s: float, stdin: bytes = b"") -> ProcessResult:
        """Run to the end.

        Raises:
            TimeoutError: it took longer than ``timeout_s``; the program and what it started were killed.
            OSError: it could not be started.
        """
        pipe = subprocess.PIPE
        # Not in a thread: a cancellation there would lose a program that nobody knows of. Starting takes a millisecond.
        child = subprocess.Popen(list(arguments), stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)  # noqa: ASYNC220
        future = asyncio.get_running_loop().run_in_executor(None, child.communicate, stdin)
        try:
            async with asyncio.timeout(timeout_s):
                stdout, stderr = await asyncio.shield(future)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            await _settled(future)
            raise
        return ProcessResult(child.returncode, stdout, stderr)


async def _settled(future: asyncio.Future[Any]) -> None:
    """Wait until a thread is done, however often the caller is cancelled meanwhile; what it raised is of no interest."""
    while not future.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([future])
    if not future.cancelled():
        future.exception()


async def in_thread(work: Callable[[], T], *, cost_s: float = 0.0) -> T:
    """Do ``work`` in a thread and return its result; ``cost_s`` is for the simulated world.

    A thread cannot be cancelled, so a cancelled caller goes on only when the thread is done: nobody may undo what is still
    being written.
    """
    future = asyncio.get_running_loop().run_in_executor(None, contextvars.copy_context().run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await _settled(future)
        raise


def real_ports(
    *,
    seed: int | None = None,
    emit: Callable[[Event], None] | None = None,
    files: HostFiles | None = None,
    processes: Processes | None = None,
    faults: FaultSite | None = None,
) -> Ports:
    """Return the ports of the real world; with ``seed``, ids and random streams are drawn from it."""
    streams = SeededStreams(random.SystemRandom().getrandbits(128) if seed is None else seed)
    ids: IdSource = SystemIds() if seed is None else SeededIds(streams)
    ports = Ports(
        clock=RealClock(),
        random=streams,
        ids=ids,
        files=RealFiles() if files is None else files,
        processes=RealProcesses() if processes is None else processes,
        blocking=in_thread,
        emit=discard if emit is None else emit,
        is_simulated=False,
    )
    return with_faults(ports, faults)


def run_real(
    main: Callable[[Ports], Awaitable[T]],
    *,
    seed: int | None = None,
    emit: Callable[[Event], None] | None = None,
    files: HostFiles | None = None,
    processes: Processes | None = None,
    faults: FaultSite | None = None,
) -> T:
    """Run ``main`` in the real world, under the stock loop, and return its result.

    Raises:
        Interrupted: SIGINT or SIGTERM came; ``main`` was cancelled and has cleaned up.
    """
    ports = real_ports(seed=seed, emit=emit, files=files, processes=processes, faults=faults)

    async def await_main() -> T:
        return await main(ports)

    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(await_main(), name="main")
        with Interrupts(lambda: loop.call_soon_threadsafe(task.cancel)) as interrupts:
            try:
                return loop.run_until_complete(task)
            except BaseException as error:
                if interrupts.signum is not None:
                    raise Interrupted(interrupts.signum) from error
                raise
