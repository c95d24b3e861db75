"""Sealing many pages at once gives the bytes that sealing each would give."""

from __future__ import annotations

import random
import struct

import pytest

from vss_writers.ese.checksum import PageVerdict, seal_page, verify_page
from vss_writers.ese.checksum_batch import sealed_pages
from vss_writers.ese.layout import OFFSET_FLAGS, PageFlag


def page(size: int, seed: int, flags: PageFlag) -> bytearray:
    data = bytearray(random.Random(seed).randbytes(size))
    struct.pack_into("<I", data, OFFSET_FLAGS, int(flags))
    return data


@pytest.mark.parametrize("size", [4096, 8192, 16384])
def test_a_batch_is_sealed_as_its_pages_are_one_by_one(size: int) -> None:
    pages = [page(size, seed, PageFlag.LEAF | PageFlag.NEW_CHECKSUM_FORMAT) for seed in range(5)]
    pages[2:2] = [bytearray(size), page(size, 9, PageFlag.LEAF)]
    numbers = [7, 8, 1000, 9, 4_000_000, 11, 12]

    batch = sealed_pages(list(zip(pages, numbers, strict=True)))

    for data, number, sealed in zip(pages, numbers, batch, strict=True):
        alone = bytearray(data)
        if any(alone):
            seal_page(alone, number)
        assert sealed == alone
        assert verify_page(sealed, number).verdict in (PageVerdict.GOOD, PageVerdict.BLANK)


def test_sealing_nothing_gives_nothing() -> None:
    assert sealed_pages([]) == []
