"""Opening a backup set: everything a reader may rely on is checked here, before anybody acts on it.

From the seal (``session.json``) the chain of digests goes to manifest, sums and events, from the manifest to the documents
and files. Paths of the manifest are recomputed from the machine paths and compared, so no entry can point outside the set.
Errors are ``NotFoundError`` (nothing there) and ``BackupSetError`` (something there, and not right), naming the file, what
was expected and what was found. The files themselves are read by ``vss_requestors.verify``, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vss.documents import BackupComponents, WriterMetadata
from vss.documents.ranges import within
from vss.documents.xml import parse_backup_components, parse_writer_metadata
from vss.errors import BackupSetError, DocumentError, InvalidArgumentError, NotFoundError
from vss.ids import Guid
from vss.ports import Ports
from vss_requestors.errors import target_errors
from vss_requestors.repository.layout import (
    COMPONENTS_FILE,
    EVENTS_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SUMS_FILE,
    WRITERS_DIRECTORY,
    relative_path,
)
from vss_requestors.repository.records import (
    MANIFEST_SCHEMA,
    SET_SCHEMA,
    Manifest,
    ManifestFile,
    SessionRecord,
    T,
    decode,
    sha256_of,
)

MAX_DOCUMENT_BYTES = 16 << 20
MAX_MANIFEST_BYTES = 256 << 20
"""Larger documents are hostile: nothing that is written here comes near."""

MAX_FILE_BYTES = 1 << 44
"""Ranges beyond the largest file of the file systems that are backed up are hostile too."""


@dataclass(frozen=True, slots=True)
class BackupSet:
    """A set whose seal, manifest and documents are good. ``record.state`` says whether it is complete."""

    root: Path
    record: SessionRecord
    manifest: Manifest
    document: BackupComponents
    writers: tuple[WriterMetadata, ...]

    def require_complete(self) -> None:
        """Refuse a set that no restore may use.

        Raises:
            BackupSetError: the set is still being written, was interrupted, or failed.
        """
        if self.record.state != "complete":
            cause = f": {self.record.error}" if self.record.error else ""
            raise BackupSetError(
                f"backup set '{self.record.set_id}' has state '{self.record.state}', expected 'complete'{cause}",
                hint="take an earlier set" if self.record.state == "failed" else "the backup was interrupted; take another set",
            )

    def files_of(self, instance_id: Guid) -> tuple[ManifestFile, ...]:
        """Return the files that belong to a writer instance, in manifest order."""
        wanted = str(instance_id)
        return tuple(entry for entry in self.manifest.files if any(owner.writer == wanted for owner in entry.owners))


async def find_set(ports: Ports, path: Path) -> Path:
    """Return the set that ``path`` means: itself, or the only set in it.

    Raises:
        NotFoundError: no set there.
        InvalidArgumentError: several; the message names them.
    """

    def find() -> list[str] | None:
        with target_errors(path.name, "read"):
            if not ports.files.exists(path):
                raise NotFoundError(f"no backup set at '{path}'")
            if not ports.files.is_directory(path):
                raise NotFoundError(f"'{path}' is a file, expected the directory of a backup set")
            if ports.files.exists(path / SESSION_FILE):
                return None
            names = ports.files.list_directory(path)
            return [name for name in names if ports.files.exists(path / name / SESSION_FILE)]

    found = await ports.blocking(find)
    if found is None:
        return path
    if not found:
        raise NotFoundError(f"no backup set at '{path}': no '{SESSION_FILE}' there or one level below")
    if len(found) > 1:
        raise InvalidArgumentError(f"'{path}' holds {len(found)} backup sets: {', '.join(found)}", hint="name one of them")
    return path / found[0]


async def open_set(ports: Ports, path: Path) -> BackupSet:
    """Open the set in directory ``path`` and check everything but the files themselves.

    Raises:
        NotFoundError: there is no such directory.
        BackupSetError: a document is missing, damaged or does not belong to the others.
    """
    reader = _Reader(ports, path)
    return await ports.blocking(reader.read)


class _Reader:
    """The checks, in order. Synchronous: runs as one piece of blocking work."""

    def __init__(self, ports: Ports, root: Path) -> None:
        self._files = ports.files
        self._root = root

    def read(self) -> BackupSet:
        with target_errors(self._root.name, "read"):
            if not self._files.is_directory(self._root):
                raise NotFoundError(f"no backup set at '{self._root}'")
        record = self._record(SESSION_FILE, SessionRecord, MAX_DOCUMENT_BYTES)
        if record.schema != SET_SCHEMA:
            raise BackupSetError(f"'{SESSION_FILE}' has schema {record.schema!r}, expected {SET_SCHEMA!r}")
        if not record.is_seal_good:
            raise BackupSetError(f"'{SESSION_FILE}' is damaged: its seal does not belong to its content")
        if record.state == "writing":
            BackupSet(self._root, record, Manifest(set_id=record.set_id), BackupComponents(), ()).require_complete()
        manifest_data = self._sealed(MANIFEST_FILE, record.manifest_sha256, MAX_MANIFEST_BYTES)
        self._sealed(SUMS_FILE, record.sums_sha256, MAX_MANIFEST_BYTES)
        self._sealed(EVENTS_FILE, record.events_sha256, MAX_MANIFEST_BYTES, record.events_size_bytes)
        manifest = self._decode(MANIFEST_FILE, manifest_data, Manifest)
        _check_manifest(manifest, record)
        document, writers = self._documents(manifest)
        return BackupSet(self._root, record, manifest, document, writers)

    def _read(self, name: str, limit_bytes: int) -> bytes:
        path = self._root / name
        with target_errors(name, "read"):
            if not self._files.exists(path) or self._files.is_directory(path):
                raise BackupSetError(f"backup set lacks '{name}'", hint="the backup was interrupted, or the set is not whole")
            handle = self._files.open(path)
            try:
                size = handle.size()
                if size > limit_bytes:
                    raise BackupSetError(f"'{name}' has {size} bytes, expected at most {limit_bytes}")
                return handle.pread(0, size)
            finally:
                handle.close()

    def _record(self, name: str, kind: type[T], limit_bytes: int) -> T:
        return self._decode(name, self._read(name, limit_bytes), kind)

    def _decode(self, name: str, data: bytes, kind: type[T]) -> T:
        try:
            return decode(data, kind)
        except ValueError as error:
            raise BackupSetError(f"'{name}' is damaged: {error}") from error

    def _sealed(self, name: str, sha256: str, limit_bytes: int, size_bytes: int | None = None) -> bytes:
        data = self._read(name, limit_bytes)
        if size_bytes is not None:
            data = data[:size_bytes]  # what came after the seal is not covered by it
        found = sha256_of(data)
        if found != sha256:
            raise BackupSetError(f"'{name}' is damaged: SHA-256 expected {sha256}, found {found}")
        return data

    def _documents(self, manifest: Manifest) -> tuple[BackupComponents, tuple[WriterMetadata, ...]]:
        document: BackupComponents | None = None
        writers: list[WriterMetadata] = []
        for entry in manifest.documents:
            data = self._read(entry.path, MAX_DOCUMENT_BYTES)
            found = sha256_of(data)
            if found != entry.sha256 or len(data) != entry.size_bytes:
                raise BackupSetError(f"'{entry.path}' is damaged: SHA-256 expected {entry.sha256}, found {found}")
            try:
                if entry.path == COMPONENTS_FILE:
                    document = parse_backup_components(data, entry.path)
                else:
                    writers.append(parse_writer_metadata(data, entry.path))
            except DocumentError as error:
                raise BackupSetError(f"'{entry.path}' cannot be read: {error.message}") from error
        if document is None:
            raise BackupSetError(f"the manifest lacks '{COMPONENTS_FILE}'")
        return document, tuple(writers)


def _check_manifest(manifest: Manifest, record: SessionRecord) -> None:
    if manifest.schema != MANIFEST_SCHEMA:
        raise BackupSetError(f"'{MANIFEST_FILE}' has schema {manifest.schema!r}, expected {MANIFEST_SCHEMA!r}")
    if manifest.set_id != record.set_id:
        raise BackupSetError(f"'{MANIFEST_FILE}' belongs to set '{manifest.set_id}', expected '{record.set_id}'")
    seen: dict[str, str] = {}
    for entry in manifest.files:
        try:
            expected = relative_path(entry.machine_path)
        except InvalidArgumentError as error:
            raise BackupSetError(f"'{MANIFEST_FILE}' names a file that no set may hold: {error.message}") from error
        if entry.path != expected:
            raise BackupSetError(f"'{MANIFEST_FILE}' puts '{entry.machine_path}' at '{entry.path}', expected '{expected}'")
        if entry.size_bytes < 0:
            raise BackupSetError(f"'{MANIFEST_FILE}' gives '{entry.path}' {entry.size_bytes} bytes")
        if entry.path in seen:
            raise BackupSetError(f"'{MANIFEST_FILE}' names '{entry.path}' twice")
        _check_ranges(entry)
        seen[entry.path] = entry.machine_path
    for document in manifest.documents:
        directory, _, name = document.path.rpartition("/")
        is_writer = directory == WRITERS_DIRECTORY and name.endswith(".xml") and "\0" not in name
        if document.path != COMPONENTS_FILE and not is_writer:
            raise BackupSetError(f"'{MANIFEST_FILE}' names the document '{document.path}', which no set has")


def _check_ranges(entry: ManifestFile) -> None:
    try:
        ranges = entry.byte_ranges
    except InvalidArgumentError as error:
        raise BackupSetError(f"'{MANIFEST_FILE}' gives '{entry.path}' ranges that are none: {error.message}") from error
    if within(ranges, MAX_FILE_BYTES) != ranges and entry.ranges:
        raise BackupSetError(
            f"'{MANIFEST_FILE}' gives '{entry.path}' ranges that overlap, are not in order or lie too far: {entry.ranges}"
        )
    length = sum(each.length for each in ranges)
    if length != entry.size_bytes:
        raise BackupSetError(f"'{MANIFEST_FILE}' gives '{entry.path}' {entry.size_bytes} bytes, its ranges have {length}")
