"""FilesNotToBackup and FilesNotToSnapshot: files that a machine keeps out of every backup, or out of the shadow copies.

Entries belong to applications. ``[drive][path]\\file [/s]``: a leading backslash means all drives, ``/s`` the directories
below, variables are expanded, wildcards stand in the file part only; ``$AllVolumes$\\…`` is the other list's word for all
drives. An application whose name is that of a writer that runs is that writer's business: its entries do not apply. Source:
"Registry keys and values for backup and restore", "Excluding files from shadow copies".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vss.documents.environment import Environment, expanded
from vss.documents.machine_paths import is_in_file_set, normalise
from vss.errors import InvalidArgumentError, UnknownVariableError

RECURSIVE = "/s"
ALL_VOLUMES = "$AllVolumes$"
USER_PROFILE = "$UserProfile$"

Entries = Mapping[str, tuple[str, ...]]
"""By application."""

DEFAULT_FILES_NOT_TO_BACKUP: Entries = {
    "Memory Page File": ("\\Pagefile.sys",),
    "Offline Files Cache": ("%Systemroot%\\CSC\\* /s",),
    "Power Management": ("\\hiberfil.sys",),
    "Single Instance Storage": ("\\SIS Common Store\\*.* /s",),
    "Temporary Files": ("%TEMP%\\* /s",),
}
"""What Windows comes with, less what belongs to programs that no machine here has. Entries whose variable is not defined do not
apply; a machine's own entries under the same name take their place."""


@dataclass(frozen=True, slots=True)
class FileExclusion:
    """One entry: the directory (without volume for all drives), the file part, whether it goes below, and whose it is."""

    path: str
    filespec: str
    recursive: bool
    application: str

    def matches(self, machine_path: str) -> bool:
        """Whether the entry names this file."""
        return is_in_file_set(machine_path, self.path, self.filespec, self.recursive)


def parse_exclusion(text: str, application: str, environment: Environment) -> FileExclusion:
    """Read one entry.

    Raises:
        InvalidArgumentError: not an entry: no directory, or wildcards in it.
        UnknownVariableError: the machine has no such variable.
    """
    words = text.rstrip()
    is_recursive = words.casefold().endswith(f" {RECURSIVE}")
    path = words[: -len(RECURSIVE)].rstrip() if is_recursive else words
    if path.startswith(ALL_VOLUMES):
        path = path[len(ALL_VOLUMES) :]
    if path.startswith(USER_PROFILE):
        path = f"%USERPROFILE%{path[len(USER_PROFILE) :]}"
    directory, backslash, filespec = expanded(path, environment).rpartition("\\")
    if not backslash or not filespec or "*" in directory or "?" in directory:
        raise InvalidArgumentError(
            f"'{text}' of '{application}', expected something like 'D:\\directory\\*.tmp /s',"
            " with wildcards in the file part only"
        )
    return FileExclusion(normalise(directory) if directory else "", filespec, is_recursive, application)


def exclusions_of(
    entries: Entries, environment: Environment, *, writers: Iterable[str] = (), defaults: Entries | None = None
) -> tuple[FileExclusion, ...]:
    """Return the entries that apply on a machine where ``writers`` (by friendly name) run; ``defaults`` where it has none.

    Raises:
        InvalidArgumentError, UnknownVariableError: one of ``entries`` means nothing here; never for the defaults.
    """
    running = {each.casefold() for each in writers}
    own = {each.casefold() for each in entries}
    found: list[FileExclusion] = []
    for application, texts in (defaults or {}).items():
        if application.casefold() not in own:
            found += _those_that_apply(texts, application, environment)
    for application, texts in entries.items():
        if application.casefold() not in running:
            found += [parse_exclusion(text, application, environment) for text in texts]
    return tuple(found)


def _those_that_apply(texts: Iterable[str], application: str, environment: Environment) -> list[FileExclusion]:
    found: list[FileExclusion] = []
    for text in texts:
        try:
            found.append(parse_exclusion(text, application, environment))
        except UnknownVariableError:
            continue
    return found


def exclusion_of(machine_path: str, exclusions: Iterable[FileExclusion]) -> FileExclusion | None:
    """Return the first entry that names the file, or None."""
    return next((each for each in exclusions if each.matches(machine_path)), None)
