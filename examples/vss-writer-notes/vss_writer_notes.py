"""A complete third-party writer: notes in one directory, one file each.

Freezing it means that no note is half written: ``add`` waits while the writer is frozen. That is all a writer of plain files
needs; one with transaction logs also flushes in ``on_freeze`` and truncates in ``on_backup_complete``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from vss import Writer, hookimpl
from vss.documents import (
    Component,
    ComponentType,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import ConfigurationError
from vss.plugins.hosts import WriterHost
from vss.plugins.registry import Registrar
from vss.roles import WriterContext

VSS_API = "1.0"


class NotesWriter(Writer):
    """Notes of a person."""

    writer_class_id = UUID("5d2a1d0c-4f6e-4c56-9d0e-2f8a3f6f7b11")
    name = "Notes Writer"

    def __init__(self, host: WriterHost, directory: str) -> None:
        """Keep notes in ``directory``, a machine path such as ``D:\\Notes``."""
        self.instance_name = host.name
        self._files = host.files
        self._directory = directory
        self._is_thawed = asyncio.Event()
        self._is_thawed.set()

    async def add(self, name: str, text: str) -> None:
        """Write a note; waits while the writer is frozen."""
        await self._is_thawed.wait()
        await self._files.make_directory(self._directory)
        note = await self._files.open(f"{self._directory}\\{name}.txt", write=True, create=True)
        try:
            await note.pwrite(0, text.encode())
            await note.sync()
        finally:
            await note.close()

    async def identify(self) -> WriterMetadata:
        """Declare one component: the whole directory."""
        component = Component(
            type=ComponentType.FILE_GROUP,
            component_name="Notes",
            caption="all notes",
            files=(FileSpec(self._directory, "*.txt"),),
            selectable_for_restore=True,
        )
        return WriterMetadata(
            writer_id=self.writer_class_id,
            instance_id=self.instance_id,
            friendly_name=self.name,
            instance_name=self.instance_name,
            usage=UsageType.USER_DATA,
            source=SourceType.OTHER,
            restore_method=RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.NEVER),
            components=(component,),
        )

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Nothing slow to do."""

    async def on_freeze(self, context: WriterContext) -> None:
        """Start no new note."""
        self._is_thawed.clear()

    async def on_thaw(self, context: WriterContext) -> None:
        """Go on."""
        self._is_thawed.set()

    async def on_abort(self, context: WriterContext) -> None:
        """Go on, whatever was reached."""
        self._is_thawed.set()


def create(host: WriterHost, options: Mapping[str, Any]) -> NotesWriter:
    """Make the writer from its table in ``lab.toml``: ``directory = "D:\\\\Notes"``."""
    directory = options.get("directory")
    if not isinstance(directory, str):
        raise ConfigurationError(f"writer '{host.name}': 'directory' must be a path such as D:\\Notes, found {directory!r}")
    return NotesWriter(host, directory)


@hookimpl
def vss_register_writers(registry: Registrar) -> None:
    """Offer the writer to labs as ``kind = "notes"``."""
    registry.writer("notes", create, summary="a directory of notes")
