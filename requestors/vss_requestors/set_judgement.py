"""Judging a set before it is sealed: what was copied is read again from the target, then the writers' verifiers judge it.

The same checks as ``vss_requestors.verify``, but with the quick digests (SHA-256 was computed from the bytes that were
written, and is what later verification uses), and with the findings turned into failed components.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vss.ids import Guid
from vss.ports import Ports
from vss.roles.verifier import FileVerification, Finding, Progress, Verifier
from vss_requestors.component_outcomes import ComponentOutcomes
from vss_requestors.pacing import Throttle
from vss_requestors.repository.set_writer import SetWriter
from vss_requestors.verify import emit_report, merge_files, verify_digests, verify_writer


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
    throttle_bytes_per_s: float | None = None,
    progress: Progress | None = None,
) -> SetJudgement:
    """Judge what was copied, and fail the components whose files are wrong.

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
        report = await verify_writer(
            ports, written.root, own, verifier, throttle_bytes_per_s=throttle_bytes_per_s, progress=progress
        )
        outcomes.take_findings(report.findings, own, instance_id)
        files = merge_files(files, report.files)
        findings.extend(report.findings)
    emit_report(ports, files, findings)
    return SetJudgement(True, tuple(files), tuple(findings), tuple(notes))
