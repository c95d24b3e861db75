"""New targets as a person writes them: ``D:\\data\\*.edb=E:\\moved``, with `` /s`` behind the file specification of a recursive
file set, as Windows writes it in its lists of excluded files."""

from __future__ import annotations

from vss.documents import NewTarget
from vss.documents.machine_paths import normalise, volume_of
from vss.errors import InvalidArgumentError

RECURSIVE = " /s"


def parse_new_target(text: str) -> NewTarget:
    """Return the new target in ``text``.

    Raises:
        InvalidArgumentError: a part is missing or is no path of the machine.
    """
    files, equals, destination = text.partition("=")
    is_recursive = files.casefold().endswith(RECURSIVE)
    directory, backslash, filespec = (files[: -len(RECURSIVE)] if is_recursive else files).rpartition("\\")
    if not (equals and backslash and filespec and destination):
        raise InvalidArgumentError(f"new target '{text}', expected something like 'D:\\data\\*.edb=E:\\moved'")
    for path in (directory, destination):
        volume_of(normalise(path))
    return NewTarget(directory if "\\" in directory else directory + "\\", filespec, is_recursive, destination)
