"""Contexts and attributes: the vendor's bits, what follows from them, and what a requestor may add."""

from __future__ import annotations

from itertools import combinations

import pytest

from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext, check_attributes
from vss.errors import InvalidArgumentError

A = SnapshotAttributes
C = SnapshotContext


def test_attributes_have_the_bits_of_the_public_header() -> None:
    assert {each.name: hex(each.value) for each in A} == {
        "PERSISTENT": "0x1",
        "NO_AUTORECOVERY": "0x2",
        "CLIENT_ACCESSIBLE": "0x4",
        "NO_AUTO_RELEASE": "0x8",
        "NO_WRITERS": "0x10",
        "TRANSPORTABLE": "0x20",
        "NOT_SURFACED": "0x40",
        "NOT_TRANSACTED": "0x80",
        "HARDWARE_ASSISTED": "0x10000",
        "DIFFERENTIAL": "0x20000",
        "PLEX": "0x40000",
        "IMPORTED": "0x80000",
        "EXPOSED_LOCALLY": "0x100000",
        "EXPOSED_REMOTELY": "0x200000",
        "AUTORECOVER": "0x400000",
        "ROLLBACK_RECOVERY": "0x800000",
        "DELAYED_POSTSNAPSHOT": "0x1000000",
        "TXF_RECOVERY": "0x2000000",
        "FILE_SHARE": "0x4000000",
    }
    assert A.NONE == 0


@pytest.mark.parametrize(
    ("context", "bits", "has_writers", "is_auto_release", "is_persistent", "is_client_accessible"),
    [
        (C.BACKUP, A.NONE, True, True, False, False),
        (C.FILE_SHARE_BACKUP, A.NO_WRITERS, False, True, False, False),
        (C.APP_ROLLBACK, A.PERSISTENT | A.NO_AUTO_RELEASE, True, False, True, False),
        (C.NAS_ROLLBACK, A.PERSISTENT | A.NO_AUTO_RELEASE | A.NO_WRITERS, False, False, True, False),
        (C.CLIENT_ACCESSIBLE_WRITERS, A.PERSISTENT | A.CLIENT_ACCESSIBLE | A.NO_AUTO_RELEASE, True, False, True, True),
        (
            C.CLIENT_ACCESSIBLE,
            A.PERSISTENT | A.CLIENT_ACCESSIBLE | A.NO_AUTO_RELEASE | A.NO_WRITERS,
            False,
            False,
            True,
            True,
        ),
    ],
)
def test_what_follows_from_a_context(
    context: C, bits: A, has_writers: bool, is_auto_release: bool, is_persistent: bool, is_client_accessible: bool
) -> None:
    assert int(context) == int(bits)
    assert context.has_writers is has_writers
    assert context.is_auto_release is is_auto_release
    assert context.is_persistent is is_persistent
    assert context.is_client_accessible is is_client_accessible


def test_the_context_of_all_is_every_bit_and_nobodys_previous_versions() -> None:
    assert int(C.ALL) == 2**32 - 1
    assert not C.ALL.is_client_accessible


ADDED = (
    A.NO_AUTORECOVERY,
    A.TRANSPORTABLE,
    A.NOT_TRANSACTED,
    A.DIFFERENTIAL,
    A.PLEX,
    A.ROLLBACK_RECOVERY,
    A.TXF_RECOVERY,
)
EXCLUDE = ({A.DIFFERENTIAL, A.PLEX}, {A.NO_AUTORECOVERY, A.ROLLBACK_RECOVERY}, {A.NO_AUTORECOVERY, A.TXF_RECOVERY})


@pytest.mark.parametrize("attribute", list(A))
def test_a_requestor_adds_seven_of_the_attributes_and_no_other(attribute: A) -> None:
    if attribute in ADDED:
        check_attributes(C.BACKUP, attribute)
    else:
        with pytest.raises(InvalidArgumentError, match="expected attributes of"):
            check_attributes(C.BACKUP, attribute | A.TRANSPORTABLE)


@pytest.mark.parametrize("pair", list(combinations(ADDED, 2)))
def test_three_pairs_exclude_each_other(pair: tuple[A, A]) -> None:
    if set(pair) in EXCLUDE:
        with pytest.raises(InvalidArgumentError, match="exclude each other"):
            check_attributes(C.BACKUP, pair[0] | pair[1])
    else:
        check_attributes(C.BACKUP, pair[0] | pair[1])


@pytest.mark.parametrize("context", [C.ALL, C.CLIENT_ACCESSIBLE, C.CLIENT_ACCESSIBLE_WRITERS])
def test_contexts_that_take_no_addition(context: C) -> None:
    check_attributes(context, A.NONE)
    with pytest.raises(InvalidArgumentError, match=f"context {context.name} cannot be modified"):
        check_attributes(context, A.TRANSPORTABLE)
