"""``lab.toml``: what a person edits. Parsed strictly: an unknown key, a wrong type or a dangling name is an error that names
the key, what was expected and what was found.

Sizes are bytes or text with a binary unit (``"64 MiB"``). ``options`` of a provider, writer or workload belong to its plugin,
which checks them.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import msgspec

from vss.documents.exclusions import parse_exclusion
from vss.errors import ConfigurationError, InvalidArgumentError
from vss.lab.toml_tables import toml_tables
from vss.roles.machine_settings import MachineSettings

_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"(\d+)\s*([KMGT]iB|B|)")

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
FileName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$", description="a name that can be a file's")
]
DriveName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z]:$", description="a drive name such as D:")]

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=60_000)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all tables."""


class MachineTable(Strict, frozen=True, kw_only=True):
    """The machine.

    Attributes:
        name: as documents carry it.
        seed: the root of every random stream.
        start: wall clock when the lab is made.
        limits: the time limits, ``strict`` or ``windows``.
    """

    name: Name = "LAB01"
    seed: int = 0
    start: datetime.datetime = datetime.datetime(2026, 1, 5, 8, 0, tzinfo=datetime.UTC)
    limits: str = "strict"


class VolumeTable(Strict, frozen=True, kw_only=True):
    """One volume: its drive name, its size, and how slow its disk is.

    Attributes:
        name: drive name.
        size: of a new disk, bytes or text with a unit; the image that is there may be longer, not shorter.
        read_latency_ms: simulated milliseconds per read; one disk does one thing at a time.
        write_latency_ms: the same per write.
        flush_latency_ms: the same per flush; a hold of writes lasts at least this long.
    """

    name: DriveName
    size: int | str
    read_latency_ms: Milliseconds = 0.0
    write_latency_ms: Milliseconds = 0.0
    flush_latency_ms: Milliseconds = 0.0


class ProviderTable(Strict, frozen=True, kw_only=True):
    """One provider, by the name its plugin registered."""

    kind: Name


class WriterTable(Strict, frozen=True, kw_only=True):
    """One writer: a name of its own, the kind its plugin registered, and that kind's options."""

    name: Name
    kind: Name
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class WorkloadTable(Strict, frozen=True, kw_only=True):
    """One workload: a name of its own, the kind its plugin registered, and that kind's options.

    Attributes:
        name: unique among workloads; its record is kept in ``workloads/NAME.json``.
        kind: as registered.
        only_under_load: whether it rests in ``vss lab run`` and works only while a backup or restore does.
        options: the kind's own.
    """

    name: FileName
    kind: Name
    only_under_load: bool = False
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class LabConfiguration(Strict, frozen=True, kw_only=True):
    """The whole file.

    Attributes:
        environment: variables, for the paths that writers declare.
        files_not_to_backup: by application, files that no backup of the machine takes (``D:\\temp\\* /s``).
        files_not_to_snapshot: by application, files that are deleted from its shadow copies.
    """

    machine: MachineTable = MachineTable()
    volumes: list[VolumeTable] = msgspec.field(default_factory=list)
    providers: list[ProviderTable] = msgspec.field(default_factory=list)
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    files_not_to_backup: dict[str, list[str]] = msgspec.field(default_factory=dict)
    files_not_to_snapshot: dict[str, list[str]] = msgspec.field(default_factory=dict)
    writers: list[WriterTable] = msgspec.field(default_factory=list)
    workloads: list[WorkloadTable] = msgspec.field(default_factory=list)


def parse_size(value: int | str, key: str) -> int:
    """Return a size in bytes.

    Raises:
        ConfigurationError: ``value`` is no size; names ``key``.
    """
    if isinstance(value, int):
        size = value
    else:
        match = _SIZE.fullmatch(value.strip())
        if match is None:
            raise ConfigurationError(f"{key}: expected bytes or a size such as '64 MiB', found '{value}'")
        size = int(match[1]) * _UNITS[match[2]]
    if size <= 0:
        raise ConfigurationError(f"{key}: expected a positive size, found {size}")
    return size


def parse_configuration(text: str, source: str = "lab.toml") -> LabConfiguration:
    """Parse and check the text of a ``lab.toml``.

    Raises:
        ConfigurationError: not TOML, or a key that is unknown, missing, of the wrong type, or names nothing.
    """
    return configuration_of(toml_tables(text, source), source)


def configuration_of(data: Mapping[str, Any], source: str = "lab.toml") -> LabConfiguration:
    """Check tables that were read elsewhere; errors as ``parse_configuration``."""
    try:
        configuration = msgspec.convert(data, LabConfiguration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {error}", hint="'vss schema lab' prints what the file may hold") from error
    _check(configuration, source)
    return configuration


def _check(configuration: LabConfiguration, source: str) -> None:
    if configuration.machine.limits not in ("strict", "windows"):
        raise ConfigurationError(
            f"{source}: machine.limits: expected 'strict' or 'windows', found '{configuration.machine.limits}'"
        )
    if configuration.machine.start.tzinfo is None:
        raise ConfigurationError(f"{source}: machine.start: expected a time with its offset (…Z), found one without")
    for index, volume in enumerate(configuration.volumes):
        parse_size(volume.size, f"{source}: volumes[{index}].size")
    _check_settings(configuration, source)
    if not configuration.volumes:
        raise ConfigurationError(f"{source}: volumes: expected at least one volume, found none")
    _require_unique((each.name.upper() for each in configuration.volumes), f"{source}: volumes")
    _require_unique((each.kind for each in configuration.providers), f"{source}: providers")
    _require_unique((each.name for each in configuration.writers), f"{source}: writers")
    _require_unique((each.name for each in configuration.workloads), f"{source}: workloads")


def _check_settings(configuration: LabConfiguration, source: str) -> None:
    for key in ("files_not_to_backup", "files_not_to_snapshot"):
        entries: dict[str, list[str]] = getattr(configuration, key)
        for application, texts in entries.items():
            for text in texts:
                try:
                    parse_exclusion(text, application, configuration.environment)
                except InvalidArgumentError as error:
                    raise ConfigurationError(f"{source}: {key}: {error.message}", hint=error.hint) from error


def _require_unique(names: Iterable[str], key: str) -> None:
    seen: list[str] = []
    for name in names:
        if name in seen:
            raise ConfigurationError(f"{key}: '{name}' stands there twice")
        seen.append(name)


def settings_from(configuration: LabConfiguration) -> MachineSettings:
    """Return what requestors and the service are told of the machine."""
    return MachineSettings(
        environment=configuration.environment,
        files_not_to_backup={name: tuple(texts) for name, texts in configuration.files_not_to_backup.items()},
        files_not_to_snapshot={name: tuple(texts) for name, texts in configuration.files_not_to_snapshot.items()},
    )


def configuration_schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return msgspec.json.schema(LabConfiguration)
