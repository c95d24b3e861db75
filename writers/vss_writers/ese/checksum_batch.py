"""Checksums of many pages per call, in numpy: how a whole database is verified at memory speed.

Every block is looked at as a matrix of 64-bit words. XOR along its rows and along its columns gives, with the parity of each of
these few words, all bits of the ECC; the XOR of everything gives the other half. Batches of 128 to 512 pages keep the
intermediate results in the processor's cache; buffers are made once and reused.

Pages that are not simply good are judged again one by one by ``checksum.verify_page``, which is the only place that decides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from vss_writers.ese.checksum import Buffer, PageCheck, PageVerdict, blocks_of, verify_page
from vss_writers.ese.layout import OFFSET_DBTIME, OFFSET_FLAGS, OFFSET_PREVIOUS, PageFlag

_COLUMNS = 64
_INDEX_MASKS = tuple(
    int.from_bytes(bytes(sum(1 << bit for bit in range(8) if (8 * byte + bit) >> power & 1) for byte in range(8)), "little")
    for power in range(6)
)
"""For each of the six lowest index bits the bits of a word that have it set: 0xAAAA…, 0xCCCC…, 0xF0F0… and so on."""

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
        self._rows = block_size // 8 // _COLUMNS
        blocks = batch_pages * self._blocks_per_page
        self._row_xor: _Words = np.empty((blocks, self._rows), np.uint64)
        self._column_xor: _Words = np.empty((blocks, _COLUMNS), np.uint64)
        self._masks = np.array(_INDEX_MASKS, np.uint64)
        self._mask = np.uint64(8 * block_size - 1)

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

    def _checksums_hold(self, words: _Words, first_page_number: int) -> npt.NDArray[np.bool_]:
        per_page = self._blocks_per_page
        count = len(words)
        numbers = np.repeat(np.arange(first_page_number, first_page_number + count, dtype=np.uint64), per_page)
        computed = self._compute(words.reshape(count * per_page, self._rows, _COLUMNS), numbers)
        if per_page == 1:
            return np.asarray(computed == words[:, 0])
        stored = words[:, (0, 5, 6, 7)]
        return np.asarray((computed.reshape(count, per_page) == stored).all(axis=1))

    def _compute(self, blocks: _Words, page_numbers: _Words) -> _Words:
        count = len(blocks)
        rows = self._row_xor[:count]
        columns = self._column_xor[:count]
        np.bitwise_xor.reduce(blocks, axis=2, out=rows)
        np.bitwise_xor.reduce(blocks, axis=1, out=columns)
        # The stored checksum (word 0 of the header block) counts as zero; XOR takes it out again.
        header = blocks[:: self._blocks_per_page, 0, 0]
        rows[:: self._blocks_per_page, 0] ^= header
        columns[:: self._blocks_per_page, 0] ^= header
        total = np.bitwise_xor.reduce(rows, axis=1)
        low = self._index_bits(total)
        low |= self._index_bits(_parities(columns)) << np.uint64(6)
        low |= self._index_bits(_parities(rows)) << np.uint64(12)
        odd = (np.bitwise_count(total) & np.uint8(1)).astype(np.uint64)
        high = low ^ (odd * self._mask)
        xor = (total >> np.uint64(32)) ^ (total & np.uint64(0xFFFFFFFF)) ^ page_numbers
        return np.asarray((high << np.uint64(48)) | (low << np.uint64(32)) | xor)

    def _index_bits(self, word: _Words) -> _Words:
        """XOR of the indices (six bits) of a word's one-bits, for every word of a vector."""
        parity = np.bitwise_count(word[:, None] & self._masks) & np.uint8(1)
        weights = np.array([1, 2, 4, 8, 16, 32], np.uint64)
        return np.asarray(parity.astype(np.uint64) @ weights)


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


def _parities(words: npt.NDArray[Any]) -> _Words:
    """Pack the parity of each of a row's words into one word, first word in bit 0."""
    bits = np.bitwise_count(words) & np.uint8(1)
    packed = np.packbits(bits, axis=1, bitorder="little")
    padded = np.zeros((len(words), 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)[:, 0]
