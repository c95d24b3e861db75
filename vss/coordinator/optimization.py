"""FilesNotToSnapshot: what the service deletes from a shadow copy while it can still be changed.

It happens in the phase of PostSnapshot, after the writers, as the vendor's optimization writer does it; best effort within a
time limit, and a file that cannot be deleted stays and is named in the event log (8219, 8220, 8226). Not in sets that were
started with NO_AUTORECOVERY, nor in those that people see as previous versions. Source: Volume Shadow Copy Service
documentation, "Excluding files from shadow copies".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from vss.coordinator.service_log import ServiceLog
from vss.documents.exclusions import FileExclusion, exclusion_of
from vss.errors import VssError
from vss.events import FileNotInSnapshot
from vss.ports import Ports
from vss.roles.volume import FileSystem

DEPTH_MAX = 64
"""Directories below one another that are looked into."""

OpenWritable = Callable[[str], Awaitable[FileSystem]]


class Optimization:
    """Deletes the files of ``exclusions`` from the shadow copies of one set."""

    def __init__(self, ports: Ports, log: ServiceLog, exclusions: Sequence[FileExclusion], limit_s: float) -> None:
        """Prepare; nothing is looked for before ``run``."""
        self._ports = ports
        self._log = log
        self._exclusions = exclusions
        self._limit_s = limit_s

    async def run(self, volumes: Sequence[str], open_writable: OpenWritable) -> None:
        """Look through the shadow copies of ``volumes`` and delete; never raises for what cannot be deleted."""
        if not self._exclusions:
            return
        try:
            async with asyncio.timeout(self._limit_s):
                for volume in volumes:
                    await self._clean(volume, open_writable)
        except TimeoutError:
            self._log.write(8220, f"after {self._limit_s:g} s")

    async def _clean(self, volume: str, open_writable: OpenWritable) -> None:
        mine = [each for each in self._exclusions if not each.path or each.path[:1] == "\\" or _is_on(each.path, volume)]
        if not mine:
            return
        try:
            files = await open_writable(volume)
            found = [path for path in await _files_below(files) if exclusion_of(_machine_path(volume, path), mine)]
        except VssError as error:
            self._log.write(8219, f"shadow copy of {volume}: {error.message}")
            return
        for path in found:
            machine_path = _machine_path(volume, path)
            entry = exclusion_of(machine_path, mine)
            assert entry is not None, "it was found by it"
            try:
                await files.remove(path)
            except VssError as error:
                self._log.write(8226, f"{machine_path}: {error.message}")
            else:
                self._ports.emit(FileNotInSnapshot(path=machine_path, application=entry.application))


def _is_on(path: str, volume: str) -> bool:
    return path.partition("\\")[0].casefold() == volume.casefold()


def _machine_path(volume: str, path: str) -> str:
    return volume + path.replace("/", "\\")


async def _files_below(files: FileSystem) -> list[str]:
    """Every file of a volume, by its path there, in the order of the directories."""
    found: list[str] = []
    pending = [""]
    while pending:
        directory = pending.pop(0)
        for name in await files.list_directory(directory or "/"):
            path = f"{directory}/{name}"
            if not (await files.stat(path)).is_directory:
                found.append(path)
            elif path.count("/") <= DEPTH_MAX:
                pending.append(path)
    return found
