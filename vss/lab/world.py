"""Running a lab that lies on the host: one start of the machine in virtual time, its files and its state on disk.

Every start draws from random streams of its own (seed and number of the start), takes the clock up where the last one left it,
appends its events to ``events.jsonl`` and replaces ``state.json`` last. Same lab, same commands: same bytes. One process at a
time: the lab is locked while it runs, by a lock that ends with the process.

A signal is taken over for the whole life: it cancels what runs on the machine, the machine is shut down in order, and its
state is kept before ``Interrupted`` is raised; so nothing on disk can be half a life old.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from vss.errors import AlreadyExistsError, ConfigurationError, Interrupted, LabInUseError, NotFoundError, VolumeWriteError
from vss.events import Record
from vss.interrupts import Interrupts
from vss.lab.configuration import LabConfiguration, parse_configuration
from vss.lab.lab import Lab
from vss.lab.life import Life, Watch
from vss.lab.state import CONFIGURATION_FILE, LOCK_FILE, LabState, read_state
from vss.ports import FaultSite, HostFiles

if TYPE_CHECKING:
    from vss.plugins import PluginHost, Registry

T = TypeVar("T")


class LabRun(NamedTuple, Generic[T]):
    """What came of one start of a lab.

    Attributes:
        result: what ``main`` returned.
        records: what was recorded.
        warnings: what went wrong beside it (an observer that raised), one sentence each.
    """

    result: T
    records: list[Record]
    warnings: list[str]


def read_configuration(files: HostFiles, root: Path) -> LabConfiguration:
    """Read ``lab.toml``.

    Raises:
        NotFoundError: there is none.
        ConfigurationError: it cannot be read or does not say what it must.
    """
    path = root / CONFIGURATION_FILE
    try:
        text = files.read_bytes(path).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{root} is not a lab: expected {CONFIGURATION_FILE} there", hint=f"make one with 'vss lab create {root}'"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return parse_configuration(text, str(path))


def create_lab(
    files: HostFiles,
    root: Path,
    text: str,
    registry: Registry,
    *,
    watch: Watch | None = None,
    plugins: PluginHost | None = None,
) -> tuple[LabConfiguration, list[Record]]:
    """Make a lab in ``root``, an empty or missing directory, and start and stop it once; whole, or nothing is left of it.

    Raises:
        AlreadyExistsError: something stands there.
        ConfigurationError: ``text`` is not a valid ``lab.toml``.
        VolumeWriteError: the directory cannot be written.
    """
    configuration = parse_configuration(text)
    if files.exists(root) and (not files.is_directory(root) or files.list_directory(root)):
        raise AlreadyExistsError(f"{root} exists and is not an empty directory: a lab is never made over other files")
    was_there = files.exists(root)
    try:
        files.make_directory(root)
        lock = files.lock(root / LOCK_FILE)
    except OSError as error:
        raise VolumeWriteError(f"{root}: a lab cannot be made there: {error}") from error
    life = Life(files, root, configuration, LabState(), registry, plugins, watch)
    try:
        with _uninterrupted(life), _whole_or_gone(files, root, leave_directory=was_there):
            files.write_atomically(root / CONFIGURATION_FILE, text.encode("utf-8"))
            life.live(Lab.create, _nothing)
    except OSError as error:
        raise VolumeWriteError(f"{root}: a lab cannot be made there: {error}") from error
    finally:
        lock.close()
    return configuration, life.records


@contextmanager
def _whole_or_gone(files: HostFiles, root: Path, *, leave_directory: bool) -> Iterator[None]:
    """Remove what was made when the block fails."""
    try:
        yield
    except BaseException as error:
        try:
            _unmake(files, root, leave_directory=leave_directory)
        except OSError as problem:
            error.add_note(f"what was made could not be removed: {problem}")
        raise


def _unmake(files: HostFiles, root: Path, *, leave_directory: bool) -> None:
    for name in files.list_directory(root):
        if files.is_directory(root / name):
            files.remove_tree(root / name)
        else:
            files.remove(root / name)
    if not leave_directory:
        files.remove(root)


async def _nothing(lab: Lab) -> None:
    """Do nothing with the machine."""


def run_in_lab(
    files: HostFiles,
    root: Path,
    main: Callable[[Lab], Awaitable[T]],
    registry: Registry,
    *,
    watch: Watch | None = None,
    faults: FaultSite | None = None,
    plugins: PluginHost | None = None,
    under_load: bool = False,
    expendable: Sequence[str] = (),
) -> LabRun[T]:
    """Start the lab in ``root``, run ``main`` on it, stop it.

    Whatever ``main`` raises comes through after the machine has been stopped and its state kept.

    Args:
        files: the host.
        root: the lab's directory.
        main: what to do with the machine.
        registry: where the kinds that ``lab.toml`` names come from.
        watch: shown every record, outside windows that hold writes.
        faults: a fault plan.
        plugins: whose observers see every record, and whose choice of provider counts.
        under_load: whether the workloads work while ``main`` does.
        expendable: volumes that come up as lost where their image cannot be used; else that is an error.

    Raises:
        NotFoundError: ``root`` holds no lab.
        LabInUseError: another process runs it.
        ConfigurationError: its files are damaged.
        Interrupted: SIGINT or SIGTERM came; the machine was shut down in order and its state is kept.
    """
    configuration = read_configuration(files, root)
    with _locked(files, root):
        state = read_state(files, root)
        life = Life(files, root, configuration, state, registry, plugins, watch, faults=faults, expendable=expendable)

        async def work(lab: Lab) -> T:
            if not under_load:
                return await main(lab)
            async with lab.under_load():
                return await main(lab)

        with _uninterrupted(life):
            result = life.live(Lab.start, work)
    return LabRun(result, life.records, life.warnings)


@contextmanager
def _locked(files: HostFiles, root: Path) -> Iterator[None]:
    """Keep other processes out."""
    try:
        lock = files.lock(root / LOCK_FILE)
    except BlockingIOError as error:
        raise LabInUseError(
            f"lab {root} is in use: another process is running this machine", hint="wait until it is done, then try again"
        ) from error
    except OSError as error:
        raise ConfigurationError(f"lab {root} cannot be locked: {error}") from error
    try:
        yield
    finally:
        lock.close()


@contextmanager
def _uninterrupted(life: Life) -> Iterator[None]:
    """Let a signal cancel what the machine is doing, and raise ``Interrupted`` once everything is kept."""
    with Interrupts(life.cancel) as interrupts:
        try:
            yield
        except BaseException as error:
            if interrupts.signum is not None:
                raise Interrupted(interrupts.signum) from error
            raise
        if interrupts.signum is not None:  # it came when nothing could be cancelled any more
            raise Interrupted(interrupts.signum)
