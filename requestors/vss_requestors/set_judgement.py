"""Judging a set before it is sealed: what was copied is read again from the target, then the writers' verifiers judge it.

The same checks as ``vss_requestors.verify``, but with the quick digests (SHA-256 was computed from the bytes that were
written, and is what later verification uses), and with the findings turned into failed components. Verifiers read the set, the
shadow copies, or both; the set's digests are compared in any case, so that a verdict on the shadow copy holds for the copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vss.documents import BackupComponents, SelectedComponent
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.verifier import FileVerification, Finding, Progress, VerificationReport, Verifier
from vss.roles.volume import FileSystem
from vss_requestors.component_outcomes import ComponentOutcomes
from vss_requestors.file_sets import PlannedFile
from vss_requestors.options import VerifyOn
from vss_requestors.pacing import Throttle
from vss_requestors.repository.set_writer import SetWriter
from vss_requestors.snapshot_source import SnapshotFileSource
from vss_requestors.verify import claimed_components, emit_report, merge_files, verify_digests, verify_source, verify_writer


@dataclass(frozen=True, slots=True)
class SetJudgement:
    """What verification during a backup found. Without verification ``is_verified`` is False and the rest is empty."""

    is_verified: bool = False
    files: tuple[FileVerification, ...] = ()
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_wrong_bytes(self) -> bool:
        """Whether a finding is more than a warning."""
        return not all(finding.is_warning for finding in self.findings)


async def judge(
    ports: Ports,
    written: SetWriter,
    outcomes: ComponentOutcomes,
    verifiers: Mapping[Guid, Verifier],
    *,
    document: BackupComponents | None = None,
    verify_on: VerifyOn = "set",
    shadow_copies: Mapping[str, FileSystem] | None = None,
    planned: Sequence[PlannedFile] = (),
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> SetJudgement:
    """Judge what was copied, and fail the components whose files are wrong.

    Args:
        ports: the world.
        written: the set.
        outcomes: gets the findings.
        verifiers: by writer class.
        document: the session's, for verifiers that judge by what their writers wrote into it.
        verify_on: where the verifiers read.
        shadow_copies: by volume name, for verifiers that read there.
        planned: what was to be copied from them.
        throttle_bytes_per_s: limit for each reading.
        progress: called while reading.

    Raises:
        InvalidArgumentError: the throttle is not above zero.
    """
    entries = written.manifest().files
    throttle = Throttle(ports.clock, throttle_bytes_per_s)
    files, findings = await verify_digests(
        ports, written.root, entries, with_sha256=False, throttle=throttle, progress=progress
    )
    outcomes.take_findings(findings, entries, None)
    notes: list[str] = []
    writers = {each.metadata.instance_id: each.metadata for each in outcomes.components}
    for instance_id, metadata in writers.items():
        own = [entry for entry in entries if any(owner.writer == str(instance_id) for owner in entry.owners)]
        verifier = verifiers.get(metadata.writer_id)
        if not own:
            continue
        if verifier is None:
            notes.append(f"writer '{metadata.friendly_name}' has no verifier: its files were checked by digest only")
            continue
        components = _claimed(document, outcomes, instance_id)
        reports: list[VerificationReport] = []
        if verify_on != "shadow copy":
            from_set = verify_writer(
                ports,
                written.root,
                own,
                verifier,
                components=components,
                throttle_bytes_per_s=throttle_bytes_per_s,
                progress=progress,
            )
            reports.append(await from_set)
        if verify_on != "set":
            there = [each for each in planned if each.machine_path in {entry.machine_path for entry in own}]
            source = SnapshotFileSource(shadow_copies or {}, there, components)
            reports.append(await _verify_snapshot(source, verifier, throttle_bytes_per_s, progress))
        report = _combined(reports)
        outcomes.take_findings(report.findings, own, instance_id)
        files = merge_files(files, report.files)
        findings.extend(report.findings)
    emit_report(ports, files, findings)
    return SetJudgement(True, tuple(files), tuple(findings), tuple(notes))


async def _verify_snapshot(
    source: SnapshotFileSource, verifier: Verifier, throttle_bytes_per_s: float | None, progress: Progress | None
) -> VerificationReport:
    try:
        return await verify_source(source, verifier, throttle_bytes_per_s=throttle_bytes_per_s, progress=progress)
    finally:
        await source.close()


def _claimed(document: BackupComponents | None, outcomes: ComponentOutcomes, instance_id: Guid) -> list[SelectedComponent]:
    """The components of a writer whose files the set is to hold, as far as nothing of them has failed."""
    hopeful = [each.component.full_path for each in outcomes.hopeful if each.metadata.instance_id == instance_id]
    claimed = () if document is None else claimed_components(document, instance_id)
    return [each for each in claimed if each.full_path in hopeful]


def _combined(reports: Sequence[VerificationReport]) -> VerificationReport:
    """One report of several over the same files: good is what all found good, and nothing is said twice."""
    first, *others = reports
    bad = {each.path.lower() for report in others for each in report.files if not each.is_good}
    files = tuple(replace(each, is_good=each.is_good and each.path.lower() not in bad) for each in first.files)
    findings = dict.fromkeys(finding for report in reports for finding in report.findings)
    return VerificationReport(files, tuple(findings))
