"""The ``[writers.options]`` table of the Exchange-like store, checked strictly.

storage_group = "First Storage Group"
databases = ["Mailbox Database 1", "Mailbox Database 2"]
database_directory = 'D:\\Exchange\\SG1'
log_directory = 'L:\\Exchange\\SG1'
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from vss.errors import ConfigurationError
from vss.lab.configuration import parse_size
from vss_writers.ese.log_profile import LogProfile

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
_DIRECTORY = re.compile(r"[A-Za-z]:(\\[^\\/:*?\"<>|\x00-\x1f]+)+")


class StorageGroupOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One storage group: one log stream, several mailbox databases.

    Attributes:
        storage_group: its display name.
        databases: names of the mailbox databases; each is a file ``NAME.edb`` in ``database_directory``.
        database_directory: machine path of the databases.
        log_directory: machine path of transaction logs and checkpoint.
        base_name: first three characters of the log files.
        log_profile: names and sizes of logs: ``exchange-2007``, or ``exchange-2003`` for the older ones.
        log_file_size: size of one generation; by default what the profile has (1 MiB, 5 MiB).
        first_generation: of the log stream that a new group begins with; near 0x7FFFF800 they soon end.
        checkpoint_depth: how much log may be outstanding before pages are written.
        page_size: 4096 or 8192.
        cache_pages: bound of the buffer pool.
        idle_seconds: after how long without work changed pages are written; 0: never.
        circular: whether old generations go as soon as the checkpoint has passed them.
        deleted_item_retention_days: how long deleted messages can be recovered (14 on a real server); 0: not at all.
        retain_until_backup: whether they stay beyond that until a backup has them.
    """

    storage_group: str = "First Storage Group"
    databases: list[str] = msgspec.field(default_factory=lambda: ["Mailbox Database 1"])
    database_directory: str = "D:\\Exchange\\SG1"
    log_directory: str = "L:\\Exchange\\SG1"
    base_name: str = "E00"
    log_profile: LogProfile = LogProfile.EXCHANGE_2007
    log_file_size: int | str | None = None
    first_generation: int = 1
    checkpoint_depth: int | str = 20 << 20
    page_size: int = 8192
    cache_pages: int = 4096
    idle_seconds: float = 30.0
    circular: bool = False
    deleted_item_retention_days: float = 0.0
    retain_until_backup: bool = False

    @property
    def log_file_bytes(self) -> int:
        """Size of one generation in bytes."""
        if self.log_file_size is None:
            return self.log_profile.log_file_size
        return parse_size(self.log_file_size, "log_file_size")

    @property
    def checkpoint_depth_bytes(self) -> int:
        """Checkpoint depth in bytes."""
        return parse_size(self.checkpoint_depth, "checkpoint_depth")

    def database_path(self, name: str) -> str:
        """Return the machine path of a database file."""
        return f"{self.database_directory}\\{name}.edb"


def parse_options(name: str, options: Mapping[str, Any]) -> StorageGroupOptions:
    """Check the options of writer ``name``.

    Raises:
        ConfigurationError: names the key, what was expected and what was found.
    """
    where = f"options of writer '{name}'"
    try:
        parsed = msgspec.convert(dict(options), StorageGroupOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    if not parsed.databases:
        raise ConfigurationError(f"{where}: databases: expected at least one name, found none")
    lowered = [each.lower() for each in parsed.databases]
    for index, database in enumerate(parsed.databases):
        if not database.strip() or _FORBIDDEN.search(database):
            raise ConfigurationError(f"{where}: databases[{index}]: '{database}' cannot be a file name")
        if lowered.index(database.lower()) != index:
            raise ConfigurationError(f"{where}: databases[{index}]: '{database}' stands there twice")
    for key in ("database_directory", "log_directory"):
        path = getattr(parsed, key)
        if _DIRECTORY.fullmatch(path) is None:
            raise ConfigurationError(f"{where}: {key}: expected a path such as 'D:\\Exchange\\SG1', found '{path}'")
    if re.fullmatch(r"[A-Za-z0-9]{3}", parsed.base_name) is None:
        raise ConfigurationError(f"{where}: base_name: expected three letters or digits, found '{parsed.base_name}'")
    if parsed.deleted_item_retention_days < 0:
        found = parsed.deleted_item_retention_days
        raise ConfigurationError(f"{where}: deleted_item_retention_days: expected 0 or more, found {found}")
    if parsed.idle_seconds < 0:
        raise ConfigurationError(f"{where}: idle_seconds: expected 0 or more, found {parsed.idle_seconds}")
    last = parsed.log_profile.generation_max - 1
    if not 1 <= parsed.first_generation <= last:
        raise ConfigurationError(f"{where}: first_generation: expected 1 to {last}, found {parsed.first_generation}")
    if parsed.page_size not in (4096, 8192):
        raise ConfigurationError(f"{where}: page_size: expected 4096 or 8192, found {parsed.page_size}")
    if parsed.log_file_bytes < 16384 or parsed.log_file_bytes % 4096:
        raise ConfigurationError(
            f"{where}: log_file_size: expected at least 16 KiB in steps of 4 KiB, found {parsed.log_file_bytes} bytes"
        )
    return parsed
