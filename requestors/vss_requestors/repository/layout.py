"""Where things stand in a backup set, and how a machine path becomes a path in it and never anything else.

    SET-ID/session.json              the seal: state, digests of the documents; written last
    SET-ID/manifest.json             every file: size, SHA-256, quick digest, machine path
    SET-ID/SHA256SUMS                the same for ``sha256sum -c``
    SET-ID/backup_components.xml     the backup components document
    SET-ID/writer_metadata/*.xml     the writers' documents
    SET-ID/events.jsonl              what happened
    SET-ID/files/D/…                 the files, under the volume's letter, with the writers' own names

``relative_path`` is the only way from ``D:\\a\\b`` to ``files/D/a/b``. It is total over what it accepts and refuses the rest,
so a reader that recomputes it and compares cannot be led out of the set by a hostile manifest.
"""

from __future__ import annotations

from vss.errors import InvalidArgumentError
from vss.volumes.paths import check_name, split_path

SESSION_FILE = "session.json"
MANIFEST_FILE = "manifest.json"
SUMS_FILE = "SHA256SUMS"
COMPONENTS_FILE = "backup_components.xml"
EVENTS_FILE = "events.jsonl"
WRITERS_DIRECTORY = "writer_metadata"
FILES_DIRECTORY = "files"

MAX_DEPTH = 64
"""Deepest path that a set holds; deeper ones are hostile or a loop."""


def split_machine_path(path: str) -> tuple[str, str]:
    """Return volume and path inside it: ``D:\\a\\b`` gives ``("D:", "/a/b")``; volumes in
    upper case, as they compare without; a trailing backslash means nothing.

    Raises:
        InvalidArgumentError: the path names no volume, or has a part that no path may have, or is too deep.
    """
    volume, inner = split_path(path.rstrip("\\") or path)
    check_name(volume[:-1], path)
    depth = inner.count("/")
    if depth > MAX_DEPTH:
        raise InvalidArgumentError(f"path {path!r}: expected at most {MAX_DEPTH} levels, found {depth}")
    return volume.upper(), inner


def relative_path(machine_path: str) -> str:
    """Return where the file stands in the set: ``D:\\a\\b`` gives ``files/D/a/b``.

    Raises:
        InvalidArgumentError: as ``split_machine_path``, or the path names a volume and no file.
    """
    volume, path = split_machine_path(machine_path)
    if path == "/":
        raise InvalidArgumentError(f"machine path {machine_path!r} names a volume, expected a file")
    return f"{FILES_DIRECTORY}/{volume[:-1]}{path}"


def sums_line(sha256: str, path: str) -> str:
    """Return one line for ``sha256sum -c``, escaped as coreutils does it (GNU coreutils manual, "md5sum invocation")."""
    escaped = path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != path else ""
    return f"{mark}{sha256}  {escaped}\n"
