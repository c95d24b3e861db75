"""The two spellings of a path, and what each may contain.

Decides what a legal path is, once, for every file system of the volumes: inside a file system ``/Exchange/SG1/DB1.edb``
(absolute, POSIX-like); on the machine ``D:\\Exchange\\SG1\\DB1.edb`` (volume name, then backslashes). A name is 1 to 255 bytes
of UTF-8 without NUL, slash, backslash and colon, and is neither ``.`` nor ``..``: no path can leave where it starts.

Anything else is ``InvalidArgumentError``, never quietly put right.
"""

from __future__ import annotations

import re
from functools import lru_cache

from vss.errors import InvalidArgumentError

NAME_BYTES_MAX = 255
_FORBIDDEN = ("\0", "/", "\\", ":")
_VOLUME_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}:", re.ASCII)


def check_name(name: str, path: str) -> str:
    """Return ``name`` where it may stand in a path; the error quotes the whole ``path``."""
    if name in ("", ".", "..") or any(character in name for character in _FORBIDDEN):
        raise InvalidArgumentError(f"path {path!r}: expected plain names, found {name!r}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(f"path {path!r}: expected text that UTF-8 can carry, found {name!r}") from error
    if length > NAME_BYTES_MAX:
        raise InvalidArgumentError(f"path {path!r}: expected names of at most {NAME_BYTES_MAX} bytes, found one of {length}")
    return name


def check_volume_name(name: str) -> str:
    """Return ``name`` where it is a drive name: a letter, up to 31 letters, digits, ``_`` or ``-``, and a colon."""
    if _VOLUME_NAME.fullmatch(name) is None:
        raise InvalidArgumentError(f"expected a volume name such as 'D:', found {name!r}")
    return name


@lru_cache(4096)  # every access of an open volume parses a path, and few paths are used
def parse_path(path: str) -> tuple[str, ...]:
    """Return the names in an absolute path of a file system; none for ``/``."""
    if path == "/":
        return ()
    if not path.startswith("/"):
        raise InvalidArgumentError(f"path {path!r}: expected an absolute path such as '/Exchange/DB1.edb'")
    return tuple(check_name(name, path) for name in path[1:].split("/"))


@lru_cache(4096)
def split_path(machine_path: str) -> tuple[str, str]:
    """Return volume name and file system path of a machine path: ``D:\\a\\b`` gives ``("D:", "/a/b")``.

    The volume itself is ``D:\\`` or ``D:``, its path then ``/``.
    """
    volume, colon, rest = machine_path.partition(":")
    if not colon or _VOLUME_NAME.fullmatch(f"{volume}:") is None or (rest and not rest.startswith("\\")):
        raise InvalidArgumentError(f"path {machine_path!r}: expected a volume and a path such as 'D:\\Exchange\\DB1.edb'")
    if rest in ("", "\\"):
        return f"{volume}:", "/"
    names = [check_name(name, machine_path) for name in rest[1:].split("\\")]
    return f"{volume}:", "/" + "/".join(names)


def join_path(volume: str, path: str) -> str:
    """Return the machine path of ``path`` on ``volume``: the inverse of ``split_path``."""
    return f"{check_volume_name(volume)}\\" + "\\".join(parse_path(path))
