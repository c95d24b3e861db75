"""What the requestors return: frozen records that are JSON as they stand. Durations in nanoseconds, sizes in bytes.

The exit code is part of the data, so that every front end gives the same answer. No record carries a host path.
"""

from __future__ import annotations

import msgspec

from vss.exit_codes import ExitCode
from vss.roles.verifier import FileVerification, Finding


class PhaseTiming(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the story and how long it took."""

    phase: str
    duration_ns: int
    outcome: str = "ok"


class FreezeTiming(msgspec.Struct, frozen=True, kw_only=True):
    """From the first Freeze to the last Thaw, against its limit."""

    duration_ns: int
    limit_ns: int


class HoldTiming(msgspec.Struct, frozen=True, kw_only=True):
    """How long one volume held writes, and what was queued meanwhile."""

    volume: str
    held_ns: int
    queued_count: int
    queued_bytes: int


class CopiedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file in the set."""

    path: str
    size_bytes: int
    sha256: str


class ComponentOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was reported to the writer of one component; ``succeeded`` is None where nothing was reported."""

    writer: str
    component: str
    succeeded: bool | None
    reason: str = ""


class TruncatedLogs(msgspec.Struct, frozen=True, kw_only=True):
    """What a store did to its logs in BackupComplete."""

    store: str
    removed_first: int
    removed_last: int
    removed_count: int
    kept_first: int
    kept_last: int
    reason: str


class SnapshotMade(msgspec.Struct, frozen=True, kw_only=True):
    """One shadow copy of the set, and whether it outlives the session."""

    snapshot_id: str
    volume: str
    is_kept: bool


class LeftOutFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that the machine keeps out: of every backup, or (``is_deleted``) of the shadow copy."""

    path: str
    application: str
    is_deleted: bool = False


class BackupResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole backup."""

    set_id: str
    session_id: str
    backup_type: str
    state: str  # of the set on disk: "complete" or "failed"; "" where none was written
    is_verified: bool
    backup_complete: str
    phases: tuple[PhaseTiming, ...]
    freeze: FreezeTiming | None
    holds: tuple[HoldTiming, ...]
    snapshots: tuple[SnapshotMade, ...]
    copied: tuple[CopiedFile, ...]
    copied_bytes: int
    verified: tuple[FileVerification, ...]
    findings: tuple[Finding, ...]
    components: tuple[ComponentOutcome, ...]
    truncations: tuple[TruncatedLogs, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    exit_code: int
    left_out: tuple[LeftOutFile, ...] = ()

    @property
    def is_success(self) -> bool:
        """Whether every component succeeded, with nothing to warn of."""
        return self.exit_code == ExitCode.OK


class WriterCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """One writer of a backup that waited for BackupComplete: whether it was told, and what went wrong."""

    writer: str
    is_told: bool
    reason: str = ""


class CompletionResult(msgspec.Struct, frozen=True, kw_only=True):
    """BackupComplete sent by itself."""

    set_id: str
    session_id: str
    phases: tuple[PhaseTiming, ...]
    writers: tuple[WriterCompletion, ...]
    truncations: tuple[TruncatedLogs, ...]
    exit_code: int


class SetVerification(msgspec.Struct, frozen=True, kw_only=True):
    """A backup set as judged."""

    set_id: str
    state: str
    files: tuple[FileVerification, ...]
    findings: tuple[Finding, ...]
    writers_without_verifier: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing wrong was found in a complete set."""
        return self.state == "complete" and all(finding.is_warning for finding in self.findings)

    @property
    def exit_code(self) -> ExitCode:
        """6 where bytes are wrong or the set never became complete, 3 where there is something to warn of."""
        if not self.is_good:
            return ExitCode.VERIFICATION_MISMATCH
        return ExitCode.WARNINGS if self.findings else ExitCode.OK


class RestoredFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the set and what was done with it: "restored", "same bytes there", "newer log kept"."""

    path: str
    destination: str
    size_bytes: int
    action: str


class RestoredComponent(msgspec.Struct, frozen=True, kw_only=True):
    """What was reported to the writer of one component: "ALL", "NONE" or "FAILED", and what the writer said."""

    writer: str
    component: str
    status: str
    reason: str = ""


class RestoreResult(msgspec.Struct, frozen=True, kw_only=True):
    """The whole restore."""

    set_id: str
    session_id: str
    phases: tuple[PhaseTiming, ...]
    verification: SetVerification | None
    files: tuple[RestoredFile, ...]
    restored_bytes: int
    components: tuple[RestoredComponent, ...]
    warnings: tuple[str, ...]
    exit_code: int
    earlier: tuple[RestoreResult, ...] = ()  # the sets of the chain that were restored before this one

    @property
    def is_success(self) -> bool:
        """Whether every component was restored whole, with nothing to warn of."""
        return self.exit_code == ExitCode.OK
