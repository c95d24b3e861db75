"""What a fault makes of one plain read, write or other effect."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.io_faults import IoFault, corrupted, cut_at_sectors, flipped, no_io_faults, struck, struck_read, struck_write

DATA = bytes(range(256)) * 8


def written(fault: IoFault | None, offset: int = 100) -> list[tuple[int, bytes]]:
    pieces: list[tuple[int, bytes]] = []
    struck_write(fault, offset, DATA, lambda at, data: pieces.append((at, data)))
    return pieces


def test_nothing_strikes_where_there_is_no_plan() -> None:
    assert no_io_faults("store.write", 5, volume="D:") is None
    assert written(None) == [(100, DATA)]
    assert struck_read(None, lambda: b"x") == b"x"
    assert struck(None, lambda: 5) == 5


def test_a_failure_names_the_file_or_the_site() -> None:
    fault = IoFault("set.write", "fail", code=errno.ENOSPC)
    with pytest.raises(OSError, match=r"No space left.*/a/b"):
        struck_write(fault, 0, b"x", lambda at, data: None, "/a/b")
    with pytest.raises(OSError, match=r"set\.write"):
        struck(fault, lambda: None)
    with pytest.raises(KeyError):
        struck_read(IoFault("set.read", "fail", error=KeyError()), lambda: b"")


def test_an_effect_can_be_done_and_denied_or_not_done_and_claimed() -> None:
    done: list[int] = []
    with pytest.raises(OSError, match="Input/output"):
        struck(IoFault("set.rename", "fail-after", code=errno.EIO), lambda: done.append(1))
    assert struck(IoFault("set.rename", "lie"), lambda: done.append(2)) is None
    assert done == [1]


@pytest.mark.parametrize(
    ("keep", "kept"), [("", slice(0, 1)), ("prefix", slice(0, 1)), ("suffix", slice(4, 5)), ("checkerboard", slice(1, 5, 2))]
)
def test_a_torn_write_leaves_whole_sectors(keep: str, kept: slice) -> None:
    assert written(IoFault("store.write", "torn", keep=keep)) == cut_at_sectors(100, DATA)[kept]


def test_a_write_of_one_sector_is_never_torn_inside() -> None:
    pieces: list[tuple[int, bytes]] = []
    struck_write(IoFault("store.write", "torn"), 512, DATA[:512], lambda at, data: pieces.append((at, data)))
    assert pieces == []


@given(st.integers(0, 2000), st.binary(max_size=3000))
def test_cutting_at_sectors_loses_nothing(offset: int, data: bytes) -> None:
    parts = cut_at_sectors(offset, data)
    assert b"".join(part for _, part in parts) == data
    assert all(start % 512 == 0 for start, _ in parts[1:])
    assert all(start // 512 == (start + len(part) - 1) // 512 for start, part in parts)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 200), st.integers(1, 8))
def test_flipping_twice_is_nothing(data: bytes, offset: int, bits: int) -> None:
    once = flipped(data, offset, bits)
    assert sum((a ^ b).bit_count() for a, b in zip(data, once, strict=True)) == bits
    assert flipped(once, offset, bits) == data


def test_a_fault_that_is_for_writes_leaves_what_is_read() -> None:
    assert IoFault("store.read", "stale").read(DATA) == DATA
    assert IoFault("store.read", "partial", count=1, of=4).read(DATA) == DATA[:512]


def test_nothing_cannot_be_flipped() -> None:
    assert flipped(b"", 3, 5) == corrupted(b"", "bitflip") == b""
