"""From a finished backup to its result: what is read from the records, and the exit code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vss.documents import BackupType
from vss.events import Record
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss_requestors.phases import Phases
from vss_requestors.repository.records import ComponentRecord
from vss_requestors.repository.set_writer import SetWriter
from vss_requestors.results import BackupResult, ComponentOutcome, CopiedFile, LeftOutFile, SnapshotMade
from vss_requestors.run_records import deleted_of, freeze_of, holds_of, phases_of, truncations_of
from vss_requestors.set_judgement import SetJudgement


def backup_result(
    *,
    set_id: str,
    backup_type: BackupType,
    written: SetWriter | None,
    judgement: SetJudgement,
    components: Sequence[ComponentRecord],
    snapshots: Mapping[str, Guid],
    are_snapshots_kept: bool,
    left_out: Sequence[LeftOutFile] = (),
    warnings: Sequence[str],
    phases: Phases,
    records: Sequence[Record],
) -> BackupResult:
    """Put the result together; ``records`` are the run's own, empty where nobody recorded."""
    copied = sorted(written.files, key=lambda entry: entry.path) if written is not None else []
    return BackupResult(
        set_id=set_id,
        session_id=phases.session_id,
        backup_type=backup_type.name,
        state=written.record.state if written is not None else "",
        is_verified=judgement.is_verified,
        backup_complete=written.record.backup_complete if written is not None else "left out",
        phases=phases_of(records, phases.session_id) or tuple(phases.timings),
        freeze=freeze_of(records, set_id),
        holds=holds_of(records, list(snapshots)),
        snapshots=tuple(
            SnapshotMade(snapshot_id=str(snapshot_id), volume=volume, is_kept=are_snapshots_kept)
            for volume, snapshot_id in snapshots.items()
        ),
        copied=tuple(CopiedFile(path=each.machine_path, size_bytes=each.size_bytes, sha256=each.sha256) for each in copied),
        copied_bytes=sum(each.size_bytes for each in copied),
        verified=judgement.files,
        findings=judgement.findings,
        components=tuple(
            ComponentOutcome(writer=each.writer_name, component=each.component, succeeded=each.succeeded, reason=each.reason)
            for each in components
        ),
        truncations=truncations_of(records),
        warnings=tuple(warnings),
        notes=judgement.notes,
        left_out=(*deleted_of(records), *left_out),
        exit_code=exit_code(judgement, components, warnings, is_copied=written is not None),
    )


def exit_code(
    judgement: SetJudgement, components: Sequence[ComponentRecord], warnings: Sequence[str], *, is_copied: bool
) -> ExitCode:
    """Return 6 for wrong bytes, 1 where nothing succeeded, 3 for a part left out or a warning, 0 else."""
    if judgement.has_wrong_bytes:
        return ExitCode.VERIFICATION_MISMATCH
    if is_copied and not any(each.succeeded for each in components):
        return ExitCode.UNEXPECTED
    if warnings or any(each.succeeded is False for each in components):
        return ExitCode.WARNINGS
    return ExitCode.OK
