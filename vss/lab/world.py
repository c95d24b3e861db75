"""Running a lab that lies on the host: one start of the machine in virtual time, its files and its state on disk.

Every start draws from random streams of its own (seed and number of the start), takes the clock up where the last one left it,
appends its events to ``events.jsonl`` and replaces ``state.json`` last. Same lab, same commands: same bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from vss.errors import AlreadyExistsError, ConfigurationError, NotFoundError, VolumeWriteError
from vss.events import Record
from vss.lab.configuration import LabConfiguration, parse_configuration
from vss.lab.lab import Lab
from vss.lab.state import CONFIGURATION_FILE, EVENTS_FILE, LabState, read_state, seed_of_start, write_state
from vss.lab.stores import DirectoryKeeper
from vss.observe import Recorder, jsonl
from vss.ports import NANOSECONDS, FaultSite, HostFiles, Ports
from vss.simulation import Simulation

if TYPE_CHECKING:
    from vss.plugins.registry import Registry

T = TypeVar("T")

Watch = Callable[[Record], None]


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
    files: HostFiles, root: Path, text: str, registry: Registry, *, watch: Watch | None = None
) -> tuple[LabConfiguration, list[Record]]:
    """Make a lab in ``root``, an empty or missing directory, and start and stop it once.

    Raises:
        AlreadyExistsError: something stands there.
        ConfigurationError: ``text`` is not a valid ``lab.toml``.
        VolumeWriteError: the directory cannot be written.
    """
    configuration = parse_configuration(text)
    if files.exists(root) and (not files.is_directory(root) or files.list_directory(root)):
        raise AlreadyExistsError(f"{root} exists and is not an empty directory: a lab is never made over other files")
    try:
        files.make_directory(root)
        files.write_atomically(root / CONFIGURATION_FILE, text.encode("utf-8"))
    except OSError as error:
        raise VolumeWriteError(f"{root}: a lab cannot be made there: {error}") from error
    records = _live(files, root, configuration, LabState(), registry, Lab.create, _nothing, watch, None)[1]
    return configuration, records


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
) -> tuple[T, list[Record]]:
    """Start the lab in ``root``, run ``main`` on it, stop it; return the result and what was recorded.

    Whatever ``main`` raises comes through after the machine has been stopped and its state kept.

    Raises:
        NotFoundError: ``root`` holds no lab.
        ConfigurationError: its files are damaged.
    """
    configuration = read_configuration(files, root)
    state = read_state(files, root)
    return _live(files, root, configuration, state, registry, Lab.start, main, watch, faults)


def _live(
    files: HostFiles,
    root: Path,
    configuration: LabConfiguration,
    state: LabState,
    registry: Registry,
    boot: Callable[[Lab], Awaitable[None]],
    main: Callable[[Lab], Awaitable[T]],
    watch: Watch | None,
    faults: FaultSite | None,
) -> tuple[T, list[Record]]:
    """Live one life of the machine, from boot to the state on disk."""
    start = state.starts + 1
    keeper = DirectoryKeeper(files, root, state.lost_volumes)

    async def life(ports: Ports) -> T:
        lab = Lab(configuration, ports, registry, keeper)
        try:
            await boot(lab)
            return await main(lab)
        finally:
            await lab.stop()

    recorder = Recorder(lambda: simulation.now_ns)
    if watch is not None:
        recorder.subscribe(watch)
    simulation = Simulation(
        life,
        seed=seed_of_start(configuration.machine.seed, start),
        files=files,
        emit=recorder.emit,
        start_now_ns=state.now_ns,
        start_wall_ns=round(configuration.machine.start.timestamp()) * NANOSECONDS + state.now_ns,
        faults=faults,
    )
    try:
        result = simulation.run()
    finally:
        recorder.flush()
        _append_events(files, root, state, recorder.records)
        kept = msgspec.structs.replace(
            state,
            now_ns=simulation.now_ns,
            starts=start,
            events=state.events + len(recorder.records),
            lost_volumes=keeper.lost_volumes,
        )
        write_state(files, root, kept)
    return result, recorder.records


def _append_events(files: HostFiles, root: Path, state: LabState, records: list[Record]) -> None:
    lines = b"".join(jsonl.encode(Record(state.events + each.sequence, each.instant_ns, each.event)) for each in records)
    log = files.open(root / EVENTS_FILE, write=True, create=True)
    try:
        log.pwrite(log.size(), lines)
        log.sync()
    finally:
        log.close()
