"""What a lab on disk remembers between runs besides its volumes: the clock, how often it was started, the workloads' records.

Files of a lab directory: ``lab.toml`` (a person's), ``state.json`` and ``workloads/NAME.json`` (ours, replaced atomically),
``volumes/D.img`` …, ``events.jsonl``, ``suspended.json`` while a backup waits for BackupComplete, and ``.lock``, which is
locked while the machine runs.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from vss.errors import ConfigurationError, NotFoundError
from vss.ports import HostFiles

CONFIGURATION_FILE = "lab.toml"
STATE_FILE = "state.json"
EVENTS_FILE = "events.jsonl"
LOCK_FILE = ".lock"
SUSPENDED_FILE = "suspended.json"
VOLUMES_DIRECTORY = "volumes"
WORKLOADS_DIRECTORY = "workloads"


class LabState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine between two runs.

    Attributes:
        schema: version of this file.
        now_ns: the monotonic clock when the lab was last closed.
        starts: how often it was started; every start has random streams of its own.
        events: records in ``events.jsonl``.
        events_bytes: its length; what stands after that belongs to a run that was killed.
        lost_volumes: volumes whose disk is gone.
        is_running: whether a run is under way; one that finds it set knows that the run before it was killed.
    """

    schema: str = "vss.lab-state/1"
    now_ns: int = 0
    starts: int = 0
    events: int = 0
    events_bytes: int = 0
    lost_volumes: list[str] = msgspec.field(default_factory=list)
    is_running: bool = False


def image_path(root: Path, volume: str) -> Path:
    """Return where the image of a volume lies: ``volumes/D.img``."""
    return root / VOLUMES_DIRECTORY / f"{volume.rstrip(':').upper()}.img"


def workload_path(root: Path, name: str) -> Path:
    """Return where a workload's record lies."""
    return root / WORKLOADS_DIRECTORY / f"{name}.json"


def read_state(files: HostFiles, root: Path) -> LabState:
    """Read ``state.json``.

    Raises:
        NotFoundError: ``root`` holds no lab.
        ConfigurationError: the file is damaged.
    """
    try:
        data = files.read_bytes(root / STATE_FILE)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFoundError(
            f"{root} is not a lab: expected {CONFIGURATION_FILE} and {STATE_FILE} there",
            hint=f"make one with 'vss lab create {root}'",
        ) from error
    except OSError as error:
        raise ConfigurationError(f"{root / STATE_FILE} cannot be read: {error}") from error
    try:
        state = msgspec.json.decode(data, type=LabState)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{root / STATE_FILE} is damaged: {error}") from error
    if state.schema != LabState().schema:
        raise ConfigurationError(f"{root / STATE_FILE}: expected schema '{LabState().schema}', found '{state.schema}'")
    return state


def write_state(files: HostFiles, root: Path, state: LabState) -> None:
    """Replace ``state.json``."""
    files.write_atomically(root / STATE_FILE, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")


def seed_of_start(seed: int, start: int) -> int:
    """Return the seed of one start of the lab, so that no two starts draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{start}".encode()).digest()[:8], "big")
