"""Options as a scenario file has them, turned into those of a requestor: names checked, texts parsed as on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss_requestors.component_selection import ComponentName
from vss_requestors.new_target_names import parse_new_target
from vss_requestors.options import BackupOptions, RestoreOptions

_PATHS = ("target", "document_file", "source")
_NOT_WRITTEN = ("records", "progress", "previous", "increments", "document", "provider_id", "backup_type")


def written_options(kind: type[BackupOptions | RestoreOptions], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of ``kind`` that ``options`` describe.

    Raises:
        ConfigurationError: one is unknown, or cannot be written.
        InvalidArgumentError: a new target is none.
    """
    known = [each.name for each in fields(kind) if each.name not in _NOT_WRITTEN]
    parsed: dict[str, Any] = {}
    for key, value in options.items():
        if key not in known:
            raise ConfigurationError(f"options: no option is called '{key}'{nearest(key, known)}")
        parsed[key] = _value(key, value)
    return parsed


def _value(key: str, value: Any) -> Any:
    if key == "components":
        return tuple(ComponentName.parse(str(each)) for each in _list(key, value))
    if key == "new_targets":
        return tuple(parse_new_target(str(each)) for each in _list(key, value))
    return Path(str(value)) if key in _PATHS else value


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ConfigurationError(f"options: {key}: expected a list, found {value!r}")
    return value
