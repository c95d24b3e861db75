"""The XML documents of one backup: into the set, and to the file a person asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vss.documents import BackupComponents, WriterMetadata
from vss.documents.xml import render_backup_components, render_writer_metadata
from vss.ports import Ports
from vss_requestors.blocking_work import finished
from vss_requestors.errors import target_errors
from vss_requestors.repository.set_writer import SetWriter


class SetDocuments:
    """Keeps what writers declared; writes it and the components document when the time has come."""

    def __init__(self, ports: Ports, document_file: Path | None) -> None:
        """Nothing is known yet; ``document_file`` gets a copy of the components document."""
        self._ports = ports
        self._document_file = document_file
        self._has_document_file = False
        self._writers: list[tuple[WriterMetadata, bytes]] = []

    def take(self, writers: Sequence[WriterMetadata]) -> None:
        """Keep the metadata of ``writers``; ``DocumentError`` now, and not after the snapshot, for what cannot be kept."""
        self._writers = [(writer, render_writer_metadata(writer)) for writer in writers]

    async def write(self, written: SetWriter, document: BackupComponents) -> bytes:
        """Write all into the set; return the bytes of the components document."""
        data = render_backup_components(document)
        await written.write_components(data)
        for writer, metadata in self._writers:
            await written.write_writer_metadata(writer.writer_id, writer.instance_id, metadata)
        return data

    async def write_file(self, data: bytes) -> None:
        """Write the person's copy, where one was asked for."""
        path = self._document_file
        if path is None:
            return

        def write() -> None:
            with target_errors(path.name, "write"):
                self._ports.files.write_atomically(path, data)

        await finished(self._ports, write)
        self._has_document_file = True

    async def remove_file(self) -> None:
        """Remove the person's copy, if it was written."""
        path = self._document_file
        if path is not None and self._has_document_file:
            await finished(self._ports, lambda: self._ports.files.remove(path))
