"""Checksums of many pages per call, in numpy: how a whole database is verified at memory speed.

A block is a row of 64-bit words. The XOR of all words gives XOR-32 and the six lowest bits of the ECC; the parity of every
word, packed into sixteen words (8 KB), gives the others. A few pages at a time take both passes, so that the second one finds
them in the processor's cache; buffers are made once and reused.

Pages that are not simply good are judged again one by one by ``checksum.verify_page``, which is the only place that decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from vss_writers.ese.checksum import (
    Buffer,
    PageCheck,
    PageVerdict,
    blocks_of,
    is_zero,
    seal_page,
    uses_ecc,
    verify_page,
)
from vss_writers.ese.layout import OFFSET_DBTIME, OFFSET_FLAGS, OFFSET_PREVIOUS, SMALL_PAGE_MAX, PageFlag

_WORD_BITS = 64
_INDEX_MASKS = np.array(
    [sum(1 << bit for bit in range(_WORD_BITS) if bit >> power & 1) for power in range(6)],
    np.uint64,
)
"""For each of the six lowest index bits the bits of a word that have it set: 0xAAAA…, 0xCCCC…, 0xF0F0… and so on."""
_ODD = np.uint8(1)
_CACHED_BLOCKS = 64
"""Blocks that both passes look at before the next ones: half a megabyte."""

DEFAULT_BATCH_PAGES = 256

_Words = npt.NDArray[np.uint64]


class BatchResult(NamedTuple):
    """What one batch holds; page numbers are absolute."""

    page_count: int
    findings: list[tuple[int, PageCheck]]
    """Verdicts on pages that are not good."""
    dbtime_highest: int = 0
    """Among good pages."""
    dbtime_page: int = 0
    dbtimes_above: tuple[tuple[int, int], ...] = ()
    """Good pages whose dbtime is above the limit, with it."""


class BatchVerifier:
    """Verifies up to ``batch_pages`` pages of one size per call. Not for use by two threads at once."""

    def __init__(self, page_size: int, batch_pages: int = DEFAULT_BATCH_PAGES) -> None:
        self.page_size = page_size
        self.batch_pages = batch_pages
        self._blocks_per_page, block_size = blocks_of(page_size)
        words = block_size // 8
        blocks = batch_pages * self._blocks_per_page
        self._words = words
        self._total: _Words = np.empty(blocks, np.uint64)
        self._counts: npt.NDArray[np.uint8] = np.empty((blocks, words), np.uint8)
        self._parts: _Words = np.empty((3, blocks), np.uint64)
        self._all_ones = np.uint64(8 * block_size - 1)

    def verify(self, data: Buffer, first_page_number: int, *, dbtime_limit: int | None = None) -> BatchResult:
        """Judge the pages in ``data``, which begins with page ``first_page_number``; a ragged end is not looked at."""
        count = min(len(data) // self.page_size, self.batch_pages)
        assert len(data) // self.page_size <= self.batch_pages, f"{len(data)} bytes, at most {self.batch_pages} pages"
        if count == 0:
            return BatchResult(0, [])
        view = memoryview(data)[: count * self.page_size]
        words = np.frombuffer(view, np.uint64).reshape(count, self.page_size // 8)
        is_good = (page_flags(words) & np.uint64(PageFlag.NEW_CHECKSUM_FORMAT)) != 0
        is_good &= self._checksums_hold(words, first_page_number)
        findings: list[tuple[int, PageCheck]] = []
        for index in np.flatnonzero(~is_good).tolist():
            start = index * self.page_size
            check = verify_page(view[start : start + self.page_size], first_page_number + index)
            if check.verdict is PageVerdict.GOOD:
                is_good[index] = True
            else:
                findings.append((first_page_number + index, check))
        dbtimes = np.where(is_good, words[:, OFFSET_DBTIME // 8], np.uint64(0))
        highest = int(np.argmax(dbtimes))
        result = BatchResult(count, findings, int(dbtimes[highest]), first_page_number + highest)
        if dbtime_limit is None or result.dbtime_highest <= dbtime_limit:
            return result
        above = np.flatnonzero(dbtimes > np.uint64(dbtime_limit)).tolist()
        return result._replace(dbtimes_above=tuple((first_page_number + index, int(dbtimes[index])) for index in above))

    def seal(self, pages: bytearray, numbers: Sequence[int]) -> None:
        """Store the checksum of every page in ``pages``, each one block long, that bears the number in ``numbers``."""
        assert self._blocks_per_page == 1, f"pages of {self.page_size} bytes are sealed one by one"
        words = np.frombuffer(pages, np.uint64).reshape(len(numbers), self._words)
        words[:, 0] = self._compute(words, np.array(numbers, np.uint64))

    def _checksums_hold(self, words: _Words, first_page_number: int) -> npt.NDArray[np.bool_]:
        per_page = self._blocks_per_page
        count = len(words)
        numbers = np.repeat(np.arange(first_page_number, first_page_number + count, dtype=np.uint64), per_page)
        computed = self._compute(words.reshape(count * per_page, self._words), numbers)
        if per_page == 1:
            return np.asarray(computed == words[:, 0])
        stored = words[:, (0, 5, 6, 7)]
        return np.asarray((computed.reshape(count, per_page) == stored).all(axis=1))

    def _compute(self, blocks: _Words, page_numbers: _Words) -> _Words:
        count = len(blocks)
        total, counts = self._total[:count], self._counts[:count]
        for start in range(0, count, _CACHED_BLOCKS):
            some = slice(start, start + _CACHED_BLOCKS)
            np.bitwise_count(blocks[some], out=counts[some])
            np.bitwise_xor.reduce(blocks[some], axis=1, out=total[some])
        counts &= _ODD
        parities = np.packbits(counts, axis=1, bitorder="little").view(np.uint64)
        # The stored checksum (word 0 of the header block) counts as zero.
        total[:: self._blocks_per_page] ^= blocks[:: self._blocks_per_page, 0]
        parities[:: self._blocks_per_page, 0] &= ~np.uint64(1)
        parts = self._parts[:, :count]
        parts[0] = total
        np.bitwise_xor.reduce(parities, axis=1, out=parts[1])
        parts[2] = _packed_parities(parities)
        # XOR of the indices of each part's one-bits, six bits each; together the XOR of all bit indices of the block.
        bits = np.bitwise_count(parts[:, None, :] & _INDEX_MASKS[:, None]) & _ODD
        index = np.packbits(bits, axis=1, bitorder="little")[:, 0].astype(np.uint64)
        low = index[0] | index[1] << np.uint64(6) | index[2] << np.uint64(12)
        high = low ^ ((np.bitwise_count(total) & _ODD) * self._all_ones)
        xor = (total >> np.uint64(32)) ^ (total & np.uint64(0xFFFFFFFF)) ^ page_numbers
        return np.asarray((high << np.uint64(48)) | (low << np.uint64(32)) | xor)


def _packed_parities(words: _Words) -> _Words:
    """The parity of each word of a row as one bit, first word in bit 0."""
    packed = np.packbits(np.bitwise_count(words) & _ODD, axis=1, bitorder="little")
    numbers = packed[:, 0].astype(np.uint64)
    return numbers | packed[:, 1].astype(np.uint64) << np.uint64(8) if packed.shape[1] > 1 else numbers


def sealed_pages(pages: Sequence[tuple[bytearray, int]]) -> list[bytes]:
    """Return the bytes to write for pages of one size, given with their numbers: checksums computed, blank pages left blank."""
    sealed = [b""] * len(pages)
    size = len(pages[0][0]) if pages else 0
    together: list[int] = []
    for index, (data, number) in enumerate(pages):
        if size > SMALL_PAGE_MAX or not uses_ecc(data):
            page = bytearray(data)
            if not is_zero(page):
                seal_page(page, number)
            sealed[index] = bytes(page)
        else:
            together.append(index)
    if together:
        joined = bytearray().join(pages[index][0] for index in together)
        BatchVerifier(size, len(together)).seal(joined, [pages[index][1] for index in together])
        images = memoryview(joined)
        for place, index in enumerate(together):
            sealed[index] = bytes(images[place * size : (place + 1) * size])
    return sealed


def page_flags(words: _Words) -> _Words:
    """Page flags of every page of a matrix of pages."""
    return np.asarray(words[:, OFFSET_FLAGS // 8] >> np.uint64(8 * (OFFSET_FLAGS % 8)))


def references(data: Buffer, page_size: int) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Sibling links (index in ``data``, previous, next) of the pages that have any, and the indices of branch pages."""
    count = len(data) // page_size
    words = np.frombuffer(memoryview(data)[: count * page_size], np.uint64).reshape(count, page_size // 8)
    links = words[:, OFFSET_PREVIOUS // 8]
    linked = np.flatnonzero(links).tolist()
    pairs = [(index, int(links[index]) & 0xFFFFFFFF, int(links[index]) >> 32) for index in linked]
    is_used = words[:, 0] != 0
    is_leaf = (page_flags(words) & np.uint64(PageFlag.LEAF | PageFlag.EMPTY)) != 0
    return pairs, np.flatnonzero(is_used & ~is_leaf).tolist()
