"""The express writer: a writer that is its document and nothing else. It answers Identify and sleeps through every event.

Its files are backed up as any other writer's and restored without it. ``express_writer`` is the factory for a machine that
names the document in its configuration (option ``document``: a path, relative to the lab's directory); ``ExpressWriters`` keeps
the documents that were registered at run time, as IVssExpressWriter does. What a document may hold is
``vss.documents.express``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from vss.documents import WriterMetadata
from vss.documents.express import check_express_metadata, load_express_metadata
from vss.errors import AlreadyExistsError, ConfigurationError, NotFoundError
from vss.ids import Guid
from vss.ports import HostFiles, Ports
from vss.roles.writer import Writer, WriterContext

MAX_DOCUMENT_BYTES = 16 << 20


class ExpressWriter(Writer):
    """A document as a writer."""

    def __init__(self, metadata: WriterMetadata) -> None:
        """Stand for ``metadata``; ``UnsupportedError`` where they need a writer that runs."""
        check_express_metadata(metadata)
        self.writer_class_id = metadata.writer_id
        self.name = metadata.friendly_name
        self.instance_name = metadata.instance_name
        self._metadata = metadata

    async def identify(self) -> WriterMetadata:
        """Return the document under the instance id of this machine."""
        return replace(self._metadata, instance_id=self.instance_id)

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Nobody is there to prepare."""

    async def on_freeze(self, context: WriterContext) -> None:
        """Nobody is there to freeze."""

    async def on_thaw(self, context: WriterContext) -> None:
        """Nobody is there to thaw."""

    async def on_abort(self, context: WriterContext) -> None:
        """Nothing to undo."""


class ExpressWriterHost(Protocol):
    """What the factory uses of the machine."""

    @property
    def ports(self) -> Ports:
        """Host files."""
        ...

    @property
    def root(self) -> Path | None:
        """What the document's path is relative to; None where there is no such directory."""
        ...


def express_writer(host: ExpressWriterHost, options: Mapping[str, Any]) -> ExpressWriter:
    """Return the express writer whose document the option ``document`` names.

    Raises:
        ConfigurationError: the option is missing or not the only one, or its file cannot be read.
        DocumentError: the file is no writer metadata document.
        UnsupportedError: the document needs a writer that runs.
    """
    unknown = sorted(set(options) - {"document"})
    if unknown:
        raise ConfigurationError(f"options.{unknown[0]}: an express writer has the option 'document' only")
    path = options.get("document")
    if not isinstance(path, str) or not path:
        raise ConfigurationError(f"options.document: expected the path of a writer metadata document, found {path!r}")
    place = Path(path) if host.root is None else host.root / path
    return ExpressWriter(load_express_metadata(_read(host.ports.files, place, path), path))


def _read(files: HostFiles, place: Path, name: str) -> bytes:
    try:
        handle = files.open(place)
        try:
            return handle.pread(0, MAX_DOCUMENT_BYTES + 1)  # one more than may be: the parser refuses it
        finally:
            handle.close()
    except OSError as error:
        raise ConfigurationError(f"options.document: '{name}' cannot be read: {error.strerror or error}") from error


class ExpressWriters:
    """The registered express writers of a machine (IVssExpressWriter: Register, Unregister, LoadMetadata)."""

    def __init__(self) -> None:
        """Begin with none."""
        self._writers: dict[Guid, ExpressWriter] = {}

    def register(self, document: bytes, name: str = "express writer document") -> ExpressWriter:
        """Register a document and return its writer.

        Raises:
            DocumentError: it is no writer metadata document.
            UnsupportedError: it needs a writer that runs.
            AlreadyExistsError: a writer of this id is registered.
        """
        writer = ExpressWriter(load_express_metadata(document, name))
        if writer.writer_class_id in self._writers:
            raise AlreadyExistsError(f"express writer '{writer.name}' ({writer.writer_class_id}) is registered already")
        self._writers[writer.writer_class_id] = writer
        return writer

    def unregister(self, writer_id: Guid) -> ExpressWriter:
        """Take a writer out and return it; ``NotFoundError`` where none has this id."""
        if writer_id not in self._writers:
            raise NotFoundError(f"no express writer {writer_id} is registered: found {len(self._writers)}")
        return self._writers.pop(writer_id)

    @property
    def writers(self) -> tuple[ExpressWriter, ...]:
        """The writers in the order of their registration."""
        return tuple(self._writers.values())
