"""Writing a backup set in place, so that a half-written one never looks whole.

Order: the directory and a seal with state "writing" first; then files and documents; then everything is made durable, names
included; then the seal is replaced atomically by one with state "complete" or "failed". Whatever stops the process in
between, ``session.json`` says "writing" or is missing, and readers refuse the set.

The seal is replaced a second time when BackupComplete has been delivered; that changes ``session.json`` and appends to
``events.jsonl`` only, and in that order is harmless at any point: the older seal covers a prefix of the longer event log.
"""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec

from vss.errors import AlreadyExistsError, VerificationError
from vss.ids import Guid
from vss.ports import HostFile, Ports
from vss_requestors.blocking_work import finished
from vss_requestors.errors import target_errors
from vss_requestors.repository.layout import (
    COMPONENTS_FILE,
    EVENTS_FILE,
    MANIFEST_FILE,
    SESSION_FILE,
    SUMS_FILE,
    WRITERS_DIRECTORY,
    relative_path,
    sums_line,
)
from vss_requestors.repository.records import (
    Manifest,
    ManifestDocument,
    ManifestFile,
    SessionRecord,
    encode,
    sha256_of,
)


class SetWriter:
    """One backup set while it is written: ``begin``, then files and documents, then ``finish``.

    Attributes:
        root: the set's directory.
        record: the seal as it was last written.
        is_begun: whether the directory is this set's own, to be sealed as failed when things go wrong.
    """

    def __init__(self, ports: Ports, target: Path, record: SessionRecord) -> None:
        """Prepare the set that ``record`` describes, below ``target``; nothing is written yet."""
        self.root = target / record.set_id
        self.record = record
        self.files: list[ManifestFile] = []
        self.is_begun = False
        self._documents: dict[str, ManifestDocument] = {}
        self._directories: dict[str, None] = {}
        self._ports = ports

    async def begin(self) -> None:
        """Make the directory, with a seal that says "writing".

        Raises:
            AlreadyExistsError: a set with this id is there.
            TargetError: the directory cannot be made or written.
        """

        def make() -> None:
            with target_errors(self.record.set_id, "make"):
                if self._ports.files.exists(self.root):
                    raise AlreadyExistsError(f"backup set '{self.record.set_id}' exists already in the target directory")
                self._ports.files.make_directory(self.root)
                self.is_begun = True
                self._ports.files.write_atomically(self.root / SESSION_FILE, encode(self.record.sealed()))
                for directory in (self.root.parent, self.root.parent.parent):  # the target itself may be new
                    self._ports.files.sync_directory(directory)

        await finished(self._ports, make)

    def open_file(self, machine_path: str) -> HostFile:
        """Make the file for ``machine_path`` and its directories; synchronous, so call it through ``Ports.blocking``.

        Raises:
            InvalidArgumentError: the path cannot stand in a set.
            TargetError: the host refused.
        """
        path = relative_path(machine_path)
        with target_errors(path, "make"):
            parent = PurePosixPath(path).parent
            if str(parent) not in self._directories:
                self._ports.files.make_directory(self.root / parent)
                self._remember_directories(parent)
            return self._ports.files.open(self.root / path, write=True, exclusive=True)

    def _remember_directories(self, directory: PurePosixPath) -> None:
        for each in (directory, *directory.parents):
            self._directories[str(each)] = None

    def add_file(self, entry: ManifestFile) -> None:
        """Take a finished file into the manifest."""
        self.files.append(entry)

    def discard_file(self, machine_path: str) -> None:
        """Remove a file that could not be copied whole; synchronous. What cannot be removed is reported by verification."""
        with contextlib.suppress(OSError):
            self._ports.files.remove(self.root / relative_path(machine_path))

    async def write_document(self, path: str, data: bytes) -> None:
        """Write or replace one document (``backup_components.xml``, ``writer_metadata/….xml``)."""

        def write() -> None:
            with target_errors(path, "write"):
                parent = PurePosixPath(path).parent
                self._ports.files.make_directory(self.root / parent)
                self._remember_directories(parent)
            self._write_and_check(path, data)

        await finished(self._ports, write)
        self._documents[path] = ManifestDocument(path=path, size_bytes=len(data), sha256=sha256_of(data))

    async def write_components(self, data: bytes) -> None:
        """Write the backup components document."""
        await self.write_document(COMPONENTS_FILE, data)

    async def write_writer_metadata(self, writer_id: Guid, instance_id: Guid, data: bytes) -> None:
        """Write one writer's document."""
        await self.write_document(f"{WRITERS_DIRECTORY}/{writer_id}_{instance_id}.xml", data)

    def manifest(self) -> Manifest:
        """Return the manifest as it stands."""
        files = sorted(self.files, key=lambda entry: entry.path)
        documents = sorted(self._documents.values(), key=lambda entry: entry.path)
        return Manifest(set_id=self.record.set_id, files=tuple(files), documents=tuple(documents))

    async def sync(self) -> None:
        """Make the names of everything written so far durable; the bytes of files and documents are already."""
        directories = list(self._directories)

        def sync_directories() -> None:
            for directory in directories:
                with target_errors(directory, "sync"):
                    self._ports.files.sync_directory(self.root / directory)

        await finished(self._ports, sync_directories)

    async def finish(self, record: SessionRecord, events: bytes) -> SessionRecord:
        """Write manifest, sums and events, make all durable, then the seal. Returns the sealed record.

        Raises:
            TargetError: the target failed; the set still says "writing".
            VerificationError: a record reads other than it was written.
        """
        manifest = self.manifest()
        manifest_data = encode(manifest)
        lines = [sums_line(entry.sha256, entry.path) for entry in manifest.documents]
        lines += [sums_line(entry.sha256, entry.path) for entry in manifest.files]
        lines.append(sums_line(sha256_of(manifest_data), MANIFEST_FILE))
        sums_data = "".join(lines).encode()
        sealed = _with_events(record, events)
        sealed = msgspec.structs.replace(sealed, manifest_sha256=sha256_of(manifest_data), sums_sha256=sha256_of(sums_data))
        for name, data in ((MANIFEST_FILE, manifest_data), (SUMS_FILE, sums_data), (EVENTS_FILE, events)):
            await self._write(name, data)
        await self.sync()
        return await self._seal(sealed)

    async def reseal(self, record: SessionRecord, events: bytes) -> SessionRecord:
        """Replace events and seal of a finished set; ``events`` must begin with the sealed ones."""
        await self._write(EVENTS_FILE, events)
        return await self._seal(_with_events(record, events))

    async def _seal(self, record: SessionRecord) -> SessionRecord:
        self.record = record.sealed()
        await self._write(SESSION_FILE, encode(self.record))
        return self.record

    async def _write(self, name: str, data: bytes) -> None:
        await finished(self._ports, partial(self._write_and_check, name, data))

    def _write_and_check(self, name: str, data: bytes) -> None:
        """Write a record and read it again: a set whose records are damaged cannot be restored, however good its files are."""
        with target_errors(name, "write"):
            self._ports.files.write_atomically(self.root / name, data)
        with target_errors(name, "read"):
            found = self._ports.files.read_bytes(self.root / name)
        if found != data:
            raise VerificationError(
                f"{name} of backup set '{self.record.set_id}' does not read as it was written: expected {len(data)} bytes with"
                f" SHA-256 {sha256_of(data)}, found {len(found)} with {sha256_of(found)}",
                hint="the target damages what is written to it: choose another one",
            )


def _with_events(record: SessionRecord, events: bytes) -> SessionRecord:
    return msgspec.structs.replace(record, events_size_bytes=len(events), events_sha256=sha256_of(events))
