"""A shadow copy as a read-only mount of the host, through FUSE (``mfusepy``, extra ``fuse``).

Decides what the host sees: directories 0555, files 0444, nothing can be changed. The mount stays until it is interrupted
(SIGINT, SIGTERM) or taken away with ``fusermount3 -u``, and on every way out it is unmounted; only a kill -9 leaves a dead
mount point, which ``fusermount3 -u`` removes.

``ShadowTree`` is what FUSE calls, and knows nothing of it, so that it can be judged without a mount. A shadow copy answers at
once, never waiting, so its asynchronous face is driven by hand here: FUSE calls back synchronously while the loop stands still.
"""

from __future__ import annotations

import errno
import importlib
import signal
import stat
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from vss.errors import AlreadyExistsError, NotFoundError, UnsupportedError, VssError
from vss.ports import HostFiles
from vss.roles.volume import File, FileStat, FileSystem

T = TypeVar("T")

BLOCK_BYTES = 4096


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits; what it raises comes out as an ``OSError`` of the host."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    except NotFoundError as error:
        raise OSError(errno.ENOENT, error.message) from error
    except VssError as error:
        raise OSError(errno.EIO, error.message) from error
    coroutine.close()
    raise AssertionError("a shadow copy answers without waiting")


class ShadowTree:
    """The operations of a read-only tree, named as FUSE names them."""

    use_ns = True

    def __init__(self, files: FileSystem, on_mounted: Callable[[], None] = lambda: None) -> None:
        """Show ``files``; ``on_mounted`` is called when the host has accepted the mount."""
        self._files = files
        self._on_mounted = on_mounted
        self._open: dict[int, File] = {}
        self._opened_ever = 0

    def init(self, path: str) -> None:
        """The mount stands."""
        self._on_mounted()

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        """Return type, rights, size and times of ``path``."""
        found: FileStat = at_once(self._files.stat(path)) if path != "/" else FileStat(0, is_directory=True, modified_ns=0)
        return {
            "st_mode": stat.S_IFDIR | 0o555 if found.is_directory else stat.S_IFREG | 0o444,
            "st_nlink": 2 if found.is_directory else 1,
            "st_size": found.size_bytes,
            "st_blocks": -(-found.size_bytes // 512),
            "st_mtime": found.modified_ns,
            "st_ctime": found.modified_ns,
            "st_atime": found.modified_ns,
        }

    def readdir(self, path: str, fh: int) -> list[str]:
        """Return the names in a directory."""
        return [".", "..", *at_once(self._files.list_directory(path))]

    def open(self, path: str, flags: int) -> int:
        """Open a file; the kernel refuses writing before it comes here."""
        file = at_once(self._files.open(path))
        self._opened_ever += 1
        self._open[self._opened_ever] = file
        return self._opened_ever

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end."""
        return at_once(self._open[fh].pread(offset, size))

    def release(self, path: str, fh: int) -> int:
        """Close a file."""
        at_once(self._open.pop(fh).close())
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        """Return the sizes of the file system: nothing is free."""
        return {"f_bsize": BLOCK_BYTES, "f_frsize": BLOCK_BYTES, "f_blocks": 0, "f_bfree": 0, "f_bavail": 0, "f_namemax": 255}


def mount(files: FileSystem, target: Path, host: HostFiles, on_mounted: Callable[[], None] = lambda: None) -> None:
    """Mount ``files`` at ``target``, a new or empty directory, and return when it is unmounted again.

    Raises:
        UnsupportedError: ``mfusepy`` or libfuse is not installed, or the host refuses to mount.
        AlreadyExistsError: something stands at ``target``.
    """
    fuse = _fuse()
    was_there = host.exists(target)
    if was_there and (not host.is_directory(target) or host.list_directory(target)):
        raise AlreadyExistsError(f"{target}: expected nothing there or an empty directory")
    host.make_directory(target)
    try:
        with _default_signals():
            fuse(ShadowTree(files, on_mounted), str(target), foreground=True, nothreads=True, ro=True, fsname="vss-shadow-copy")
    except RuntimeError as error:
        raise UnsupportedError(
            f"{target}: the host refuses to mount a shadow copy there: FUSE answered {error}",
            hint="'vss doctor' says whether FUSE is there; without --mount the files are written out",
        ) from error
    finally:
        if not was_there:
            host.remove(target)


def _fuse() -> Callable[..., object]:
    try:
        fuse: Callable[..., object] = importlib.import_module("mfusepy").FUSE
    except (ImportError, OSError) as error:  # OSError: the package is there, libfuse is not
        raise UnsupportedError(
            f"mounting needs mfusepy and libfuse: {error}", hint="install the extra: pip install 'vss-lab[fuse]'"
        ) from error
    return fuse


@contextmanager
def _default_signals() -> Iterator[None]:
    """Leave SIGTERM to libfuse, which ends the mount in order; it keeps its hands off what has a handler already."""
    try:
        previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    except ValueError:  # not the main thread: signals are not ours
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
