"""What a backup or a restore is asked to do. Contradictions are refused here, before a session exists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from vss.documents import BackupComponents, BackupType, NewTarget
from vss.documents.restore_options import is_private, parse_restore_options
from vss.errors import InvalidArgumentError
from vss.events import Record
from vss.ids import GUID_NULL, Guid
from vss.roles.verifier import Progress
from vss_requestors.component_selection import ComponentName
from vss_requestors.pacing import check_throttle
from vss_requestors.restore_wishes import RollForward, Wish

VerifyOn = Literal["set", "shadow copy", "both"]
"""Where a writer's verifier reads the files of a backup."""

Records = Callable[[], Sequence[Record]]
"""Returns everything recorded so far, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """How to back up.

    Attributes:
        target: directory that gets ``SET-ID/``; not needed for ``snapshot_only``.
        backup_type: COPY by default: it leaves history and logs alone unless FULL is said.
        components: what to include; everything where empty.
        document_file: where to save the backup components document besides the set.
        provider_id: whose shadow copies; GUID_NULL leaves the choice to the machine.
        previous: the document of the backup that an incremental or differential one builds on.
        persistent: shadow copies outlive the session.
        rollback: shadow copies fit for application rollback; implies ``persistent``.
        snapshot_only: make shadow copies, copy nothing, report nothing as backed up.
        send_backup_complete: False leaves BackupComplete out; the writers wait for it and truncate nothing until it is sent.
        verify: read the copy again and run the writers' verifiers before anything is reported as successful.
        verify_on: where the verifiers read: the set (the default), the shadow copies, or both.
        throttle_bytes_per_s: limit for copying and for verifying.
        stop_on_writer_error: end at the first writer that fails instead of leaving it out.
        bootable_system_state: what SetBackupState is told.
        records: where the events of this run can be read; None where nobody records.
        progress: called while copying and verifying.
    """

    target: Path | None = None
    backup_type: BackupType = BackupType.COPY
    components: tuple[ComponentName, ...] = ()
    document_file: Path | None = None
    provider_id: Guid = GUID_NULL
    previous: BackupComponents | None = None
    persistent: bool = False
    rollback: bool = False
    snapshot_only: bool = False
    send_backup_complete: bool = True
    verify: bool = True
    verify_on: VerifyOn = "set"
    throttle_bytes_per_s: float | None = None
    stop_on_writer_error: bool = False
    bootable_system_state: bool = False
    records: Records | None = None
    progress: Progress | None = None

    def check(self) -> None:
        """Refuse what cannot mean anything.

        Raises:
            InvalidArgumentError: the message names option, expectation and finding.
        """
        if self.backup_type in (BackupType.UNDEFINED, BackupType.OTHER):
            raise InvalidArgumentError(
                f"backup type {self.backup_type.name} means nothing to a writer, "
                "expected FULL, COPY, INCREMENTAL, DIFFERENTIAL or LOG"
            )
        if self.verify_on not in get_args(VerifyOn):
            raise InvalidArgumentError(f"verification on {self.verify_on!r}, expected one of {', '.join(get_args(VerifyOn))}")
        if self.target is None and not self.snapshot_only:
            raise InvalidArgumentError("a backup needs a target directory")
        needs_previous = self.backup_type in (BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)
        if self.previous is not None and not needs_previous:
            raise InvalidArgumentError(
                f"a previous document goes with INCREMENTAL or DIFFERENTIAL, found {self.backup_type.name}"
            )
        check_throttle(self.throttle_bytes_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreOptions:
    """How to restore.

    Attributes:
        source: the set's directory, or one that holds exactly one set.
        document: the document a person kept (``/S``); must be the one in the set.
        components: which of the set; everything that was backed up where empty.
        verify: check the set against manifest and verifiers first; digests are checked while copying either way.
        restore_options: the restore options string, for every component; in the writer's own form passed on unread.
        additional_restores: more sets follow; writers put off recovery.
        increments: sets that are restored after ``source`` in the same call, in order; recovery waits for the last.
        new_targets: file sets that go elsewhere; their writers must support it.
        authoritative: ask for an authoritative restore; every writer must support it.
        roll_forward: how far the writers apply their logs; every writer must support it. None leaves it to them.
        restore_names: components that get another name; their writers must support it.
        instances: components that go to another instance of their writer, by its instance name.
    """

    source: Path
    document: BackupComponents | None = None
    components: tuple[ComponentName, ...] = ()
    verify: bool = True
    restore_options: str = ""
    additional_restores: bool = False
    increments: tuple[Path, ...] = ()
    new_targets: tuple[NewTarget, ...] = ()
    authoritative: bool = False
    roll_forward: RollForward | None = None
    restore_names: tuple[Wish, ...] = ()
    instances: tuple[Wish, ...] = ()
    throttle_bytes_per_s: float | None = None
    progress: Progress | None = None

    def check(self) -> None:
        """Refuse what cannot mean anything.

        Raises:
            InvalidArgumentError: the message names option, expectation and finding.
        """
        check_throttle(self.throttle_bytes_per_s)
        if not is_private(self.restore_options):
            parse_restore_options(self.restore_options)
