"""What a step of a scenario may use: the machine, the registry, what came of earlier steps, and their backup sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from vss.documents import BackupComponents
from vss.documents.xml_reader import parse_backup_components
from vss.errors import NotFoundError
from vss.events import Record
from vss.lab import Lab
from vss.plugins.registry import Registry
from vss.ports import HostFiles
from vss.scenarios.outcome import StepOutcome
from vss.scenarios.step import SETS

_DOCUMENT = "backup_components.xml"


class Stage:
    """One life of the machine, seen from a step."""

    def __init__(
        self,
        lab: Lab,
        registry: Registry,
        files: HostFiles,
        outcomes: dict[str, StepOutcome],
        records: Callable[[], Sequence[Record]],
        killed: list[str],
    ) -> None:
        """Look at ``lab``; ``outcomes`` and ``killed``, the roles that died, are shared with the runner."""
        self.lab = lab
        self.registry = registry
        self.files = files
        self.records = records
        self.killed = killed
        self.documents: dict[str, BackupComponents] = {}
        self.background: dict[str, asyncio.Task[None]] = {}
        self._outcomes = outcomes

    def set_of(self, step: str) -> Path:
        """Return the directory of the backup set that a step made.

        Raises:
            NotFoundError: the step has not run, or made none.
        """
        outcome = self._outcomes.get(step)
        set_id = outcome.data.get("set_id") if outcome is not None and isinstance(outcome.data, dict) else None
        if not set_id:
            raise NotFoundError(f"step '{step}' made no backup set")
        return SETS / str(set_id)

    def document_of(self, step: str) -> BackupComponents:
        """Return the backup components document that a step saved, or that is in the set that it made."""
        if step in self.documents:
            return self.documents[step]
        return parse_backup_components(self.files.read_bytes(self.set_of(step) / _DOCUMENT))

    # -- files, of the machine or (``set_step``) of the backup set that a step made --------------------------------------------

    async def files_called(self, pattern: str, set_step: str = "") -> list[str]:
        """Return the paths that match ``pattern``, without case, sorted: of the machine, or relative ones of a backup set."""
        if set_step:
            root = self.set_of(set_step)
            found = [path.relative_to(root).as_posix() for path in self._below(root)]
        else:
            volumes = [each.name for each in self.lab.volumes.values() if not each.is_lost]
            found = [path for name in volumes async for path in self.lab.files_below(name)]
        return [path for path in found if fnmatchcase(path.lower(), pattern.lower())]

    async def file_called(self, pattern: str, nth: int = 0, set_step: str = "") -> str:
        """Return one of the paths that match.

        Raises:
            NotFoundError: there are not so many.
        """
        found = await self.files_called(pattern, set_step)
        if not -len(found) <= nth < len(found):
            where = f"the backup set of step '{set_step}'" if set_step else "the machine"
            raise NotFoundError(f"no file of {where} matches '{pattern}'" + (f" [{nth}]: found {len(found)}" if found else ""))
        return found[nth]

    def _below(self, directory: Path) -> list[Path]:
        found: list[Path] = []
        for name in self.files.list_directory(directory):
            path = directory / name
            found += self._below(path) if self.files.is_directory(path) else [path]
        return found

    async def size_of(self, path: str, set_step: str = "") -> int:
        """Return a file's size in bytes."""
        return len(self.read_set_file(set_step, path)) if set_step else (await self.lab.files.stat(path)).size_bytes

    async def read_file(self, path: str, set_step: str = "") -> bytes:
        """Return a file's bytes."""
        if set_step:
            return self.read_set_file(set_step, path)
        file = await self.lab.files.open(path)
        try:
            return await file.pread(0, file.size_bytes)
        finally:
            await file.close()

    async def write_file(self, path: str, data: bytes, offset: int) -> None:
        """Write a file of the machine: whole (``offset`` -1) or a part of it; durable when it returns."""
        file = await self.lab.files.open(path, write=True, create=True)
        try:
            if offset < 0:
                await file.truncate(0)
            await file.pwrite(max(offset, 0), data)
            await file.sync()
        finally:
            await file.close()

    async def remove_file(self, path: str, set_step: str = "") -> None:
        """Remove a file."""
        if set_step:
            self.files.remove(self.set_of(set_step) / path)
        else:
            await self.lab.files.remove(path)

    def read_set_file(self, step: str, path: str) -> bytes:
        """Return the bytes of a file in a backup set."""
        return self.files.read_bytes(self.set_of(step) / path)

    def change_set_file(self, step: str, path: str, data: bytes, offset: int) -> None:
        """Overwrite a file of a backup set, whole (``offset`` -1; it is made where there is none) or a part of it."""
        file = self.files.open(self.set_of(step) / path, write=True, create=offset < 0)
        try:
            if offset < 0:
                file.truncate(0)
            file.pwrite(max(offset, 0), data)
            file.sync()
        finally:
            file.close()

    async def wait_for(self, step: str) -> None:
        """Wait until a step in the background has ended; at once where it has."""
        task = self.background.get(step)
        if task is not None:
            await asyncio.wait([task])
