"""Verifying a backup set: every file against the manifest, then every writer's files by that writer's verifier.

Wrong bytes are findings, not exceptions, and name path and offset; only a set whose own documents are damaged raises. What
was not judged is said: a writer without a verifier has its files judged by digest only, and the report names the method.
Verifiers are strangers: one that raises, or judges none of a writer's files, makes that writer's files not verified, which
counts as a finding.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from vss.documents import BackupComponents, SelectedComponent
from vss.errors import NotFoundError, VssError
from vss.events import CorruptionFound, FileVerified
from vss.ids import Guid
from vss.ports import HostFile, Ports
from vss.roles.verifier import FileSource, FileVerification, Finding, Progress, VerificationReport, Verifier
from vss_requestors.blocking_work import finished
from vss_requestors.copying import BATCH_BYTES, COPY_BYTES_PER_S, PIECE_BYTES, quick_digest
from vss_requestors.errors import TargetError, target_errors
from vss_requestors.pacing import Throttle
from vss_requestors.repository.file_source import SetFileSource
from vss_requestors.repository.layout import (
    EVENTS_FILE,
    FILES_DIRECTORY,
    MANIFEST_FILE,
    MAX_DEPTH,
    SESSION_FILE,
    SUMS_FILE,
)
from vss_requestors.repository.records import Manifest, ManifestFile
from vss_requestors.repository.set_reader import BackupSet, open_set
from vss_requestors.results import SetVerification

QUICK_DIGEST_DIGITS = 16


async def verify_set(
    ports: Ports,
    path: Path,
    verifiers: Mapping[Guid, Verifier],
    *,
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> SetVerification:
    """Verify the set in directory ``path``: seal, documents, every file by SHA-256, every writer's files by its verifier.

    Raises:
        NotFoundError: no set there.
        BackupSetError: the set's own documents are missing or damaged, or it was never finished.
        InvalidArgumentError: the throttle is not above zero.
    """
    backup_set = await open_set(ports, path)
    return await verify_opened_set(ports, backup_set, verifiers, throttle_bytes_per_s=throttle_bytes_per_s, progress=progress)


async def verify_opened_set(
    ports: Ports,
    backup_set: BackupSet,
    verifiers: Mapping[Guid, Verifier],
    *,
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> SetVerification:
    """The same for a set that is open already."""
    manifest = backup_set.manifest
    files, findings = await verify_digests(
        ports,
        backup_set.root,
        manifest.files,
        with_sha256=True,
        throttle=Throttle(ports.clock, throttle_bytes_per_s),
        progress=progress,
    )
    findings.extend(await ports.blocking(lambda: _extra_files(ports, backup_set.root, manifest)))
    missing = {finding.path for finding in findings if finding.code == "missing file"}
    for writer in backup_set.writers:
        entries = [entry for entry in backup_set.files_of(writer.instance_id) if entry.machine_path not in missing]
        verifier = verifiers.get(writer.writer_id)
        if verifier is None or not entries:
            continue
        report = await verify_writer(
            ports,
            backup_set.root,
            entries,
            verifier,
            components=claimed_components(backup_set.document, writer.instance_id),
            throttle_bytes_per_s=throttle_bytes_per_s,
            progress=progress,
        )
        files = merge_files(files, report.files)
        findings.extend(report.findings)
    emit_report(ports, files, findings)
    return SetVerification(
        set_id=backup_set.record.set_id,
        state=backup_set.record.state,
        files=tuple(files),
        findings=tuple(findings),
        writers_without_verifier=tuple(
            writer.friendly_name
            for writer in backup_set.writers
            if writer.writer_id not in verifiers and backup_set.files_of(writer.instance_id)
        ),
    )


def claimed_components(document: BackupComponents, instance_id: Guid) -> tuple[SelectedComponent, ...]:
    """Return the components of a writer instance whose files a set claims to hold: all but those reported as failed."""
    part = document.writer(instance_id)
    return () if part is None else tuple(each for each in part.components if each.backup_succeeded is not False)


async def verify_digests(
    ports: Ports,
    root: Path,
    entries: Sequence[ManifestFile],
    *,
    with_sha256: bool,
    throttle: Throttle,
    progress: Progress | None = None,
) -> tuple[list[FileVerification], list[Finding]]:
    """Read every file of ``entries`` again and compare size and digests; without SHA-256 the quick digests alone."""
    files: list[FileVerification] = []
    findings: list[Finding] = []
    for entry in entries:
        found = await _verify_file(ports, root, entry, with_sha256=with_sha256, throttle=throttle, progress=progress)
        findings.extend(found)
        method = "SHA-256" if with_sha256 else "XXH3"
        files.append(FileVerification(entry.machine_path, entry.size_bytes, method, is_good=not found))
    return files, findings


async def _verify_file(
    ports: Ports,
    root: Path,
    entry: ManifestFile,
    *,
    with_sha256: bool,
    throttle: Throttle,
    progress: Progress | None,
) -> list[Finding]:
    """Compare one file; returns the first difference, or nothing."""

    async def verify() -> list[Finding]:
        handle: HostFile | None = None
        try:
            handle = await finished(ports, lambda: _open(ports, root, entry), let_go=lambda opened: opened.close())
            size_bytes = await finished(ports, handle.size)
            if size_bytes != entry.size_bytes:
                return [_wrong_size(entry, size_bytes)]
            return await _compare(ports, handle, entry, with_sha256=with_sha256, throttle=throttle, progress=progress)
        except NotFoundError:
            return [Finding(entry.machine_path, "missing file", f"'{entry.path}' is missing from the backup set")]
        except (TargetError, OSError) as error:
            return [Finding(entry.machine_path, "unreadable file", str(error))]
        finally:
            if handle is not None:
                handle.close()

    found: list[Finding] = await ports.faults("requestor.verify", verify, file=entry.machine_path)
    return found


def _open(ports: Ports, root: Path, entry: ManifestFile) -> HostFile:
    path = root / entry.path
    with target_errors(entry.path, "read"):
        if not ports.files.exists(path) or ports.files.is_directory(path):
            raise NotFoundError(entry.path)
        return ports.files.open(path)


def _wrong_size(entry: ManifestFile, size_bytes: int) -> Finding:
    return Finding(
        entry.machine_path,
        "wrong size",
        f"'{entry.path}' has {size_bytes} bytes, expected {entry.size_bytes}",
        offset=min(size_bytes, entry.size_bytes),
        expected=str(entry.size_bytes),
        found=str(size_bytes),
    )


async def _compare(
    ports: Ports,
    handle: HostFile,
    entry: ManifestFile,
    *,
    with_sha256: bool,
    throttle: Throttle,
    progress: Progress | None,
) -> list[Finding]:
    sha256 = hashlib.sha256()
    offset = 0
    while offset < entry.size_bytes:
        start, length = offset, min(BATCH_BYTES, entry.size_bytes - offset)

        def work(start: int = start, length: int = length) -> Finding | None:
            data = memoryview(handle.pread(start, length))
            if with_sha256:
                sha256.update(data)
            return _first_wrong_piece(entry, start, data)

        finding = await finished(ports, work, cost_s=length / COPY_BYTES_PER_S)
        if finding is not None:
            return [finding]
        offset += length
        if progress is not None:
            progress(entry.machine_path, offset, entry.size_bytes)
        await throttle.passed(length)
    if with_sha256 and sha256.hexdigest() != entry.sha256:
        return [
            Finding(
                entry.machine_path,
                "wrong digest",
                f"'{entry.path}' has another SHA-256 than the manifest",
                expected=entry.sha256,
                found=sha256.hexdigest(),
            )
        ]
    return []


def _first_wrong_piece(entry: ManifestFile, start: int, data: memoryview) -> Finding | None:
    for position in range(0, len(data), PIECE_BYTES):
        offset = start + position
        first = offset // PIECE_BYTES * QUICK_DIGEST_DIGITS
        expected = entry.quick_digests[first : first + QUICK_DIGEST_DIGITS]
        found = quick_digest(data[position : position + PIECE_BYTES])
        if found != expected:
            length = min(PIECE_BYTES, entry.size_bytes - offset)
            return Finding(
                entry.machine_path,
                "wrong digest",
                f"'{entry.path}' was changed within {length} bytes from offset {offset}",
                offset=offset,
                expected=expected,
                found=found,
            )
    return None


async def verify_writer(
    ports: Ports,
    root: Path,
    entries: Sequence[ManifestFile],
    verifier: Verifier,
    *,
    components: Sequence[SelectedComponent] = (),
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """Let one writer's verifier judge ``entries``, the files of ``components``, read from the set. Whatever it raises becomes a
    finding."""
    source = SetFileSource(ports, root, entries, components)
    try:
        return await verify_source(source, verifier, throttle_bytes_per_s=throttle_bytes_per_s, progress=progress)
    finally:
        source.close()


async def verify_source(
    source: FileSource,
    verifier: Verifier,
    *,
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """Let one writer's verifier judge the files of ``source``, wherever they are read. Whatever it raises becomes a finding."""
    paths = source.paths()
    try:
        report = await verifier.verify(source, throttle_bytes_per_s=throttle_bytes_per_s, progress=progress)
    except asyncio.CancelledError:
        raise
    except VssError as error:
        return _not_judged(paths, f"verifier '{verifier.name}' failed: {error.message}")
    except Exception as error:  # noqa: BLE001 - a plugin's exception must not end the backup, and must not pass as "good"
        return _not_judged(paths, f"verifier '{verifier.name}' failed: {type(error).__name__}: {error}")
    if not report.files and not report.findings:
        return _not_judged(paths, f"verifier '{verifier.name}' judged none of {len(paths)} files")
    return report


def _not_judged(paths: Sequence[str], message: str) -> VerificationReport:
    return VerificationReport(findings=tuple(Finding(path, "not verified", message) for path in paths[:1]))


def merge_files(files: Sequence[FileVerification], judged: Sequence[FileVerification]) -> list[FileVerification]:
    """Return ``files`` with what a verifier said of them added: pages, method, and good only where both agree."""
    by_path = {each.path.lower(): each for each in judged}
    merged: list[FileVerification] = []
    for file in files:
        other = by_path.pop(file.path.lower(), None)
        if other is not None:
            is_good = file.is_good and other.is_good
            file = FileVerification(file.path, file.size_bytes, f"{file.method}, {other.method}", other.pages, is_good)
        merged.append(file)
    return merged


def emit_report(ports: Ports, files: Sequence[FileVerification], findings: Sequence[Finding]) -> None:
    """Record what was found: one event per good file and per finding."""
    for file in files:
        if file.is_good:
            ports.emit(FileVerified(path=file.path, size_bytes=file.size_bytes, pages=file.pages, method=file.method))
    for finding in findings:
        if not finding.is_warning:
            ports.emit(
                CorruptionFound(
                    path=finding.path,
                    code=finding.code,
                    message=finding.message,
                    page_number=finding.page_number,
                    offset=finding.offset,
                )
            )


def _extra_files(ports: Ports, root: Path, manifest: Manifest) -> list[Finding]:
    """Files below the set that no document names: harmless to a restore, but somebody put them there."""
    known = {entry.path for entry in manifest.files} | {entry.path for entry in manifest.documents}
    known |= {SESSION_FILE, MANIFEST_FILE, SUMS_FILE, EVENTS_FILE}
    directories = {parent for path in known for parent in _parents(path)} | {FILES_DIRECTORY}
    findings: list[Finding] = []
    pending = [""]
    with target_errors(root.name, "read"):
        while pending:
            directory = pending.pop()
            for name in ports.files.list_directory(root / directory):
                path = f"{directory}/{name}" if directory else name
                if path in known:
                    continue
                if path in directories and path.count("/") < MAX_DEPTH:
                    pending.append(path)
                else:
                    findings.append(Finding(path, "extra file", f"'{path}' is not part of the backup set", is_warning=True))
    return sorted(findings, key=lambda finding: finding.path)


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
