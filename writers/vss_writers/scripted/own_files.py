"""The application behind the writer: files of its own, made once, and whether it is up.

Files are made at the first start of a machine and never again, or a restore could not be told from a restart: a marker on the
volume of the first file says that they were made. A disk that was lost and replaced has lost the marker, too; its files are
then made anew.
"""

from __future__ import annotations

import hashlib
import re

from vss.errors import VssError
from vss.roles.volume import FileSystem
from vss_writers.scripted.content import made_bytes, write_file
from vss_writers.scripted.script import Script, machine_directory, machine_file, made_size

MARKER_DIRECTORY = "Scripted Writer"


class OwnFiles:
    """The made files of one writer."""

    def __init__(self, files: FileSystem, script: Script, name: str) -> None:
        """Look after the files of the writer that the lab calls ``name``."""
        self._files = files
        self._made = [(machine_file(each.path), made_size(each), each.seed) for each in script.files]
        paths = [path for path, _, _ in self._made]
        paths += [machine_directory(each.path) for component in script.components for each in component.file_sets]
        self.volumes = sorted({path.partition("\\")[0] for path in paths})
        self._marker = _marker(paths[0].partition("\\")[0], name) if self._made else ""

    @property
    def count(self) -> int:
        """How many files the script makes."""
        return len(self._made)

    async def make(self) -> int:
        """Make the files if this was not done before; return how many were made.

        Raises:
            VssError: a volume is missing, full or failing.
        """
        if not self._made or await self._files.exists(self._marker):
            return 0
        for path, size_bytes, seed in self._made:
            await write_file(self._files, path, made_bytes(path, size_bytes, seed))
        await write_file(self._files, self._marker, b"")
        return len(self._made)

    async def first_lost_volume(self) -> str:
        """Return the first volume of the writer that cannot be reached, or nothing."""
        for volume in self.volumes:
            try:
                await self._files.list_directory(volume + "\\")
            except VssError:
                return volume
        return ""


def _marker(volume: str, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return f"{volume}\\{MARKER_DIRECTORY}\\{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.made"
