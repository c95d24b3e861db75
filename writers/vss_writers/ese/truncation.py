"""Which log generations may be deleted after a backup: a pure rule, and the reason in words.

A generation goes only if nobody needs it any more: recovery of the running databases (checkpoint), a restore of this backup
(generations it copied stay up to the mark), and the databases of the same stream that this backup left out (they need what
came after their own last full backup). A database nobody attached is unknown here; that is why the caller has to say that all
were. Deletion goes upwards from the lowest generation, so a crash in between leaves an unbroken tail.

Sources: published engine, backup.cxx (ErrBKIPrepareLogFiles, ErrBKOSSnapshotTruncateLog).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class SnapshotKind(Enum):
    """Kind of a snapshot backup."""

    FULL = "full"
    INCREMENTAL = "incremental"
    COPY = "copy"
    DIFFERENTIAL = "differential"

    @property
    def is_incremental(self) -> bool:
        """Whether only logs are copied, building on an earlier full backup."""
        return self in (SnapshotKind.INCREMENTAL, SnapshotKind.DIFFERENTIAL)

    @property
    def truncates(self) -> bool:
        """Whether logs are deleted after it."""
        return self in (SnapshotKind.FULL, SnapshotKind.INCREMENTAL)


class TruncationLimit(Enum):
    """What kept the first generation that stays."""

    CHECKPOINT = "checkpoint"
    BACKUP_MARK = "backup mark"
    OTHER_DATABASE = "other database"
    NOTHING_TO_DELETE = "nothing to delete"
    KIND = "kind of backup"
    CIRCULAR = "circular logging"
    DATABASES_UNKNOWN = "databases unknown"


@dataclass(frozen=True, slots=True)
class OtherDatabase:
    """An attached database that the backup leaves out, and the last generation of its last full backup (0: none)."""

    path: str
    full_generation_high: int


@dataclass(frozen=True, slots=True)
class TruncationPlan:
    """What goes and what stays.

    Attributes:
        remove_first: lowest generation to delete, 0 where none goes.
        remove_last: highest generation to delete, 0 where none goes.
        keep_first: lowest generation that stays, 0 where there is no closed one.
        keep_last: highest closed generation, 0 where there is none.
        limit: what decided about ``keep_first``.
        reason: the same in words.
    """

    remove_first: int
    remove_last: int
    keep_first: int
    keep_last: int
    limit: TruncationLimit
    reason: str

    @property
    def removed_count(self) -> int:
        """How many generations go."""
        return self.remove_last - self.remove_first + 1 if self.remove_first else 0


def plan_truncation(
    kind: SnapshotKind,
    *,
    lowest: int,
    highest: int,
    checkpoint_generation: int,
    copy_generation_last: int,
    others: Sequence[OtherDatabase] = (),
    all_databases_attached: bool = True,
    is_circular: bool = False,
) -> TruncationPlan:
    """Decide what may be deleted.

    Args:
        kind: kind of the finished backup.
        lowest: lowest closed generation on disk, 0 for none.
        highest: highest closed generation on disk, 0 for none.
        checkpoint_generation: generation of the checkpoint at the freeze.
        copy_generation_last: last generation the backup copied: the one that the freeze closed.
        others: attached databases that the backup leaves out; they count for a full backup.
        all_databases_attached: whether the caller vouches that no database of the stream was detached.
        is_circular: whether circular logging is on.
    """
    refusal = _refusal(kind, all_databases_attached=all_databases_attached, is_circular=is_circular)
    if refusal is not None:
        return TruncationPlan(0, 0, lowest, highest, *refusal)
    keep_first, limit, reason = _first_kept(kind, checkpoint_generation, copy_generation_last, others)
    if lowest == 0 or keep_first <= lowest:
        return TruncationPlan(0, 0, lowest, highest, limit if lowest else TruncationLimit.NOTHING_TO_DELETE, reason)
    return TruncationPlan(lowest, keep_first - 1, keep_first, highest, limit, reason)


def _refusal(kind: SnapshotKind, *, all_databases_attached: bool, is_circular: bool) -> tuple[TruncationLimit, str] | None:
    if not kind.truncates:
        return TruncationLimit.KIND, f"a {kind.value} backup leaves the logs alone"
    if is_circular:
        return TruncationLimit.CIRCULAR, "circular logging deletes logs by itself"
    if not all_databases_attached:
        return TruncationLimit.DATABASES_UNKNOWN, "a database of the stream was not attached and may still need its logs"
    return None


def _first_kept(
    kind: SnapshotKind, checkpoint: int, copied: int, others: Sequence[OtherDatabase]
) -> tuple[int, TruncationLimit, str]:
    """Return the lowest generation that somebody needs, and who."""
    first, limit = checkpoint, TruncationLimit.CHECKPOINT
    reason = f"recovery starts at the checkpoint in generation {checkpoint:#x}"
    if copied < first:
        first, limit = copied, TruncationLimit.BACKUP_MARK
        reason = f"the backup copied up to generation {copied:#x}, which stays as the link to later logs"
    if kind is SnapshotKind.FULL:
        for other in others:
            if other.full_generation_high < first:
                first, limit = other.full_generation_high, TruncationLimit.OTHER_DATABASE
                reason = (
                    f"{other.path} is not in this backup and was last backed up at generation {first:#x}"
                    if first
                    else f"{other.path} is not in this backup and was never backed up"
                )
    return first, limit, reason
