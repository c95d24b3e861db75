"""Whether a directory may take a backup, asked before anything is asked of a writer. Leaves nothing behind.

A target inside the lab would be part of what is backed up, and lost with it; the comparison is of path parts, after ``..`` is
resolved lexically (the ports do not follow links).
"""

from __future__ import annotations

import os.path
from pathlib import Path

from vss.errors import AlreadyExistsError
from vss.ids import Guid
from vss.ports import HostFiles, Ports
from vss_requestors.errors import TargetFullError, TargetRefusedError, target_errors

PROBE_NAME = ".vss-target-probe"


def is_inside(path: Path, root: Path) -> bool:
    """Whether ``path`` is ``root`` or below it, compared lexically."""
    return Path(os.path.normpath(path)).is_relative_to(os.path.normpath(root))


async def check_target(ports: Ports, target: Path, *, lab: Path | None, needed_bytes: int = 0) -> None:
    """Refuse a directory that cannot take a backup; one that does not exist must be possible to make.

    Raises:
        TargetRefusedError: inside the lab, a file, or not writable.
        TargetFullError: less than ``needed_bytes`` free, or nothing at all.
    """
    if lab is not None and is_inside(target, lab):
        raise TargetRefusedError(
            f"backup target '{target}' lies inside the lab '{lab}'",
            hint="a backup kept inside what it protects is lost with it",
        )
    await ports.blocking(lambda: _probe(ports.files, target, needed_bytes))


def _probe(files: HostFiles, target: Path, needed_bytes: int) -> None:
    existing = target
    while not files.exists(existing) and existing != existing.parent:
        existing = existing.parent
    with target_errors(str(target), "write to"):
        if not files.is_directory(existing):
            raise TargetRefusedError(f"backup target '{target}' is not a directory: '{existing}' is a file")
        probe = existing / PROBE_NAME
        files.open(probe, write=True, create=True).close()
        files.remove(probe)
        free_bytes = files.free_bytes(existing)
    if free_bytes <= needed_bytes:
        raise TargetFullError(
            f"backup target '{target}' has {free_bytes} bytes free, expected more than {needed_bytes}",
            hint="free space there, or give another directory",
        )


async def check_set_is_new(ports: Ports, target: Path, set_id: Guid) -> None:
    """Refuse a set id that the target has already: ``AlreadyExistsError``."""

    def check() -> None:
        with target_errors(str(set_id), "read"):
            if ports.files.exists(target / str(set_id)):
                raise AlreadyExistsError(f"backup set '{set_id}' exists already in the target directory")

    await ports.blocking(check)


async def check_document(ports: Ports, path: Path) -> None:
    """Refuse a document file that exists already, or that cannot be made.

    Raises:
        AlreadyExistsError: it exists.
        TargetRefusedError: its directory does not exist.
    """

    def check() -> None:
        with target_errors(str(path), "write"):
            if ports.files.exists(path):
                raise AlreadyExistsError(f"document file '{path}' exists already", hint="give another name, or remove it first")
            if not ports.files.is_directory(path.parent):
                raise TargetRefusedError(f"document file '{path}' cannot be written: '{path.parent}' is not a directory")

    await ports.blocking(check)
