"""Which logs go after a backup: the rule as a table, and its reasons."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss_writers.ese.truncation import OtherDatabase, SnapshotKind, TruncationLimit, TruncationPlan, plan_truncation


def plan(kind: SnapshotKind = SnapshotKind.FULL, **changes: object) -> TruncationPlan:
    values: dict[str, object] = {
        "lowest": 5,
        "highest": 20,
        "checkpoint_generation": 12,
        "copy_generation_last": 18,
        "others": (),
        "all_databases_attached": True,
        "is_circular": False,
        **changes,
    }
    return plan_truncation(kind, **values)  # type: ignore[arg-type]


def test_a_full_backup_truncates_up_to_the_checkpoint() -> None:
    found = plan()

    assert (found.remove_first, found.remove_last, found.keep_first, found.keep_last) == (5, 11, 12, 20)
    assert found.removed_count == 7
    assert found.limit is TruncationLimit.CHECKPOINT
    assert "0xc" in found.reason


def test_the_last_copied_generation_stays_when_the_checkpoint_is_beyond_it() -> None:
    found = plan(checkpoint_generation=19)

    assert (found.remove_last, found.keep_first) == (17, 18)
    assert found.limit is TruncationLimit.BACKUP_MARK


def test_databases_outside_the_backup_keep_what_came_after_their_own_full_backup() -> None:
    others = (OtherDatabase("D:\\A.edb", 9), OtherDatabase("D:\\B.edb", 7))

    found = plan(others=others)
    assert (found.remove_last, found.keep_first, found.limit) == (6, 7, TruncationLimit.OTHER_DATABASE)
    assert "B.edb" in found.reason
    assert plan(SnapshotKind.INCREMENTAL, others=others).remove_last == 11


def test_a_database_never_backed_up_keeps_everything() -> None:
    found = plan(others=(OtherDatabase("D:\\A.edb", 0),))

    assert found.removed_count == 0
    assert (found.keep_first, found.keep_last) == (5, 20)
    assert "never backed up" in found.reason


@pytest.mark.parametrize(
    ("kind", "changes", "limit"),
    [
        (SnapshotKind.COPY, {}, TruncationLimit.KIND),
        (SnapshotKind.DIFFERENTIAL, {}, TruncationLimit.KIND),
        (SnapshotKind.FULL, {"is_circular": True}, TruncationLimit.CIRCULAR),
        (SnapshotKind.FULL, {"all_databases_attached": False}, TruncationLimit.DATABASES_UNKNOWN),
        (SnapshotKind.FULL, {"lowest": 0, "highest": 0}, TruncationLimit.NOTHING_TO_DELETE),
        (SnapshotKind.FULL, {"checkpoint_generation": 5}, TruncationLimit.CHECKPOINT),
    ],
)
def test_nothing_goes_and_the_plan_says_why(kind: SnapshotKind, changes: dict[str, object], limit: TruncationLimit) -> None:
    found = plan(kind, **changes)

    assert found.removed_count == 0
    assert (found.remove_first, found.remove_last) == (0, 0)
    assert found.limit is limit
    assert found.reason


@given(
    kind=st.sampled_from(SnapshotKind),
    lowest=st.integers(0, 30),
    length=st.integers(0, 30),
    checkpoint=st.integers(1, 60),
    copied=st.integers(1, 60),
    others=st.lists(st.integers(0, 60), max_size=3),
    attached=st.booleans(),
)
def test_nothing_that_somebody_needs_ever_goes(
    kind: SnapshotKind, lowest: int, length: int, checkpoint: int, copied: int, others: list[int], attached: bool
) -> None:
    found = plan(
        kind,
        lowest=lowest,
        highest=lowest + length if lowest else 0,
        checkpoint_generation=checkpoint,
        copy_generation_last=copied,
        others=tuple(OtherDatabase(str(high), high) for high in others),
        all_databases_attached=attached,
    )

    if found.removed_count:
        assert attached
        assert kind.truncates
        assert found.remove_first == lowest
        assert found.remove_last == found.keep_first - 1
        assert found.remove_last < min(checkpoint, copied)
        if kind is SnapshotKind.FULL:
            assert all(found.remove_last < high for high in others)


def test_what_builds_on_an_earlier_full_backup_and_what_deletes_logs() -> None:
    assert [kind for kind in SnapshotKind if kind.is_incremental] == [SnapshotKind.INCREMENTAL, SnapshotKind.DIFFERENTIAL]
    assert [kind for kind in SnapshotKind if kind.truncates] == [SnapshotKind.FULL, SnapshotKind.INCREMENTAL]


def test_without_a_word_about_them_no_other_database_and_no_circular_logging_stand_in_the_way() -> None:
    plain = plan_truncation(SnapshotKind.FULL, lowest=1, highest=9, checkpoint_generation=5, copy_generation_last=9)

    assert (plain.remove_first, plain.remove_last, plain.limit) == (1, 4, TruncationLimit.CHECKPOINT)


def test_where_two_keep_the_same_generation_the_first_is_named() -> None:
    others = [OtherDatabase("x.edb", 5)]
    tied = {"lowest": 1, "highest": 9, "checkpoint_generation": 5, "copy_generation_last": 5, "others": others}

    assert plan(**tied).limit is TruncationLimit.CHECKPOINT
    assert plan(**tied).remove_last == 4
