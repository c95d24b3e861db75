"""What a machine says of itself beside its parts: environment variables, and the files it keeps out of backups.

A machine may offer ``settings``; one that does not has neither. Source: "Registry keys and values for backup and restore".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """One machine's settings; the lists are by application, in the form of ``vss.documents.exclusions``."""

    environment: Mapping[str, str] = field(default_factory=dict)
    files_not_to_backup: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files_not_to_snapshot: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def settings_of(machine: object) -> MachineSettings:
    """Return what ``machine`` offers, or settings that say nothing."""
    settings = getattr(machine, "settings", None)
    return settings if isinstance(settings, MachineSettings) else MachineSettings()
