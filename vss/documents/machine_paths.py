"""Machine paths and file specifications: ``D:\\Exchange``, ``*.log``. Pure text; nothing here looks at a disk.

Comparison is without case. A volume is what stands before the first backslash (``D:``), or a ``\\\\?\\Volume{…}`` prefix. The
wildcards are ``*`` and ``?``; ``*.*`` means every name, as on Windows. Source: VSS documentation, "IVssWMFiledesc".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from vss.errors import InvalidArgumentError

_VOLUME = re.compile(r"(?:\\\\\?\\Volume\{[0-9a-f-]{36}\}|[^\\/:*?\"<>|%\x00-\x1f]+:)(?=\\|$)", re.IGNORECASE)
VARIABLE = re.compile("%([^%]+)%")
"""An environment variable in a path."""


def normalise(path: str) -> str:
    """Return ``path`` without trailing backslash, slashes turned into backslashes.

    Raises:
        InvalidArgumentError: a part is empty, ``.`` or ``..``, so the path may leave where it seems to be.
    """
    text = path.replace("/", "\\").rstrip("\\")
    volume = _VOLUME.match(text)
    rest = text[volume.end() :] if volume else text
    if any(part in ("", ".", "..") or "\0" in part for part in rest.split("\\")[1:]):
        raise InvalidArgumentError(f"path '{path}' is not plain: empty, '.' and '..' parts are not accepted")
    return text


def volume_of(path: str) -> str:
    """Return the volume part of a machine path; drive letters in upper case.

    Raises:
        InvalidArgumentError: the path names no volume (it is relative, or an environment variable was not expanded).
    """
    match = _VOLUME.match(path.replace("/", "\\"))
    if match is None:
        raise InvalidArgumentError(f"path '{path}' names no volume, expected something like 'D:\\directory'")
    volume = match[0]
    return volume.upper() if len(volume) == 2 else volume


def without_volume(path: str) -> str:
    """Return what stands behind the volume, beginning with a backslash; empty for the volume itself."""
    match = _VOLUME.match(path)
    return path if match is None else path[match.end() :]


def expand_variables(path: str, environment: Mapping[str, str]) -> str:
    """Return ``path`` with ``%NAME%`` replaced; names compare without case, unknown ones stay."""
    values = {name.lower(): value for name, value in environment.items()}
    return VARIABLE.sub(lambda match: values.get(match[1].lower(), match[0]), path)


@lru_cache(maxsize=4096)
def _pattern(filespec: str) -> re.Pattern[str]:
    if filespec == "*.*":
        filespec = "*"
    # Runs of stars are one star: "a**b" must not try every way of sharing a name between two of them.
    parts = (
        ".*" if part.startswith("*") else "." if part == "?" else re.escape(part) for part in re.findall(r"\*+|.", filespec)
    )
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)


def matches_filespec(name: str, filespec: str) -> bool:
    """Whether a file name (without directory) fits the wildcard."""
    return _pattern(filespec).fullmatch(name) is not None


class FileListing:
    """The files of one or more volumes, found by directory. Order of the answers is the order given."""

    __slots__ = ("_by_directory",)

    def __init__(self, paths: Iterable[str]) -> None:
        """Take full machine paths of files.

        Raises:
            InvalidArgumentError: a path is not plain.
        """
        self._by_directory: dict[str, list[tuple[str, str]]] = {}
        for path in paths:
            plain = normalise(path)
            directory, _, name = plain.rpartition("\\")
            self._by_directory.setdefault(directory.lower(), []).append((name, plain))

    def find(self, directory: str, filespec: str, recursive: bool) -> list[str]:
        """Return the paths of the files in ``directory`` (and below) whose names fit ``filespec``."""
        wanted = normalise(directory).lower()
        if recursive:
            below = wanted + "\\"
            groups = [files for where, files in self._by_directory.items() if where == wanted or where.startswith(below)]
        else:
            groups = [self._by_directory.get(wanted, [])]
        return [path for files in groups for name, path in files if matches_filespec(name, filespec)]


def is_in_file_set(path: str, directory: str, filespec: str, recursive: bool) -> bool:
    """Whether the file ``path`` belongs to the file set; a directory without volume stands for every volume."""
    where, _, name = normalise(path).lower().rpartition("\\")
    wanted = normalise(directory).lower()
    if _VOLUME.match(wanted) is None:
        where = without_volume(where)
    inside = where == wanted or (recursive and where.startswith(wanted + "\\"))
    return inside and matches_filespec(name, filespec)
