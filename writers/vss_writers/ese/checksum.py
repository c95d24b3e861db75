"""Checksums of headers and pages: XOR-32 and the error-correcting XE-64, one page at a time.

The page number is part of every page's checksum, so a page in the wrong place fails too. One wrong bit is located exactly;
two are always noticed; three may look like one (the format's own limit). Batches of pages: ``checksum_batch``.

Numbers of bits are ``8 × byte + bit in byte``. XE-64 of a block is four numbers in one: the XOR of the indices of all one-bits
(low half of the ECC), the same XORed with all ones if their count is odd (high half), and the XOR of all dwords with the page
number.

Sources: published engine, checksum code (ChecksumPage, ECC); libesedb format documentation.
"""

from __future__ import annotations

import struct
from enum import Enum
from functools import cache
from typing import NamedTuple

import numpy as np

from vss_writers.ese.layout import (
    BLOCK_CHECKSUM_OFFSETS,
    MAGIC,
    OFFSET_FLAGS,
    PAGE_HEADER_SIZE,
    SMALL_PAGE_MAX,
    PageFlag,
)

XOR32_SEED = MAGIC

FLAG_BIT = 301
"""Index of flag 0x2000 in the page header: never corrected, since it decides which checksum applies."""

Buffer = bytes | bytearray | memoryview

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_DWORD = np.dtype("<u4")
_WORD = np.dtype("<u8")
_ODD = np.uint8(1)
_LARGE_BLOCK = 4096
"""Blocks from this size on are looked at word by word in numpy; for smaller ones its calls cost more than they save."""
_NEW_CHECKSUM_FORMAT = int(PageFlag.NEW_CHECKSUM_FORMAT)


def xor32(data: Buffer) -> int:
    """XOR-32 over ``data``: dwords, the last one padded with zeros; the field itself is left out by the caller."""
    return xor_dwords(data) ^ XOR32_SEED


def xor_dwords(data: Buffer) -> int:
    """XOR of the dwords of ``data``, the last one padded with zeros."""
    size = len(data)
    total = int.from_bytes(data[size & ~3 :], "little") if size & 3 else 0
    if size >= _DWORD.itemsize:
        total ^= int(np.bitwise_xor.reduce(np.frombuffer(data, _DWORD, size // _DWORD.itemsize)))
    return total


def xe64(block: Buffer, page_number: int) -> int:
    """XE-64 of one block, a power of two bytes long; the caller has zeroed the stored checksum where the block holds one."""
    bits = 8 * len(block)
    if len(block) < _LARGE_BLOCK:
        low, xor = _fold(int.from_bytes(block, "little"), bits, 32)
    else:
        words = np.frombuffer(block, _WORD)
        parities = np.packbits(np.bitwise_count(words) & _ODD, bitorder="little").tobytes()
        word_index, _ = _fold(int.from_bytes(parities, "little"), len(words), 1)
        low, xor = _fold(int(np.bitwise_xor.reduce(words)), 64, 32)
        low |= 64 * word_index
    low_bits, parity = _fold(xor, 32, 1)
    low |= low_bits
    high = low ^ (bits - 1) if parity else low
    return (high << 16 | low) << 32 | (xor ^ page_number)


def _fold(number: int, bits: int, to_bits: int) -> tuple[int, int]:
    """Fold ``number`` in halves from ``bits`` to ``to_bits`` bits; return the XOR of its one-bits' indices, as far as they were
    folded away, and what is left of it."""
    # Folding a block in halves keeps, for the index bit just folded away, the parity of the upper half and leaves all
    # lower index bits' parities unchanged: each level costs half of the one before.
    low = 0
    for half, mask in _halves(bits, to_bits):
        upper = number >> half
        if upper.bit_count() & 1:
            low |= half
        number = upper ^ (number & mask)
    return low, number


@cache
def _halves(bits: int, to_bits: int) -> tuple[tuple[int, int], ...]:
    """Sizes of the halves on the way from ``bits`` to ``to_bits``, and the masks for the lower ones."""
    halves: list[tuple[int, int]] = []
    while bits > to_bits:
        bits //= 2
        halves.append((bits, (1 << bits) - 1))
    return tuple(halves)


def is_zero(page: Buffer) -> bool:
    """Whether every byte is zero."""
    # Comparing memory is a hundred times faster than ``any`` over the bytes; most pages differ in their first word.
    return not any(page[:PAGE_HEADER_SIZE]) and bytes(page) == bytes(len(page))


def uses_ecc(page: Buffer) -> bool:
    """Whether the page carries the error-correcting checksum."""
    return bool(_U32.unpack_from(page, OFFSET_FLAGS)[0] & _NEW_CHECKSUM_FORMAT)


def blocks_of(page_size: int) -> tuple[int, int]:
    """Number and size of the checksummed blocks of a page."""
    return (1, page_size) if page_size <= SMALL_PAGE_MAX else (4, page_size // 4)


def block_checksum(page: Buffer, block: int, page_number: int) -> int:
    """Checksum of one block of a page as it lies there; of block 0 without its first 8 bytes."""
    _, size = blocks_of(len(page))
    view = memoryview(page)
    if block == 0:
        return xe64(bytes(8) + view[8:size], page_number)
    return xe64(view[size * block : size * (block + 1)], page_number)


def seal_page(page: bytearray, page_number: int) -> None:
    """Store the checksum(s) that belong to the page's content and number."""
    if not uses_ecc(page):
        struct.pack_into("<I", page, 4, page_number)
        struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
        return
    count, _ = blocks_of(len(page))
    # Blocks 1-3 first: their checksums lie inside block 0 and are covered by its own.
    for block in reversed(range(count)):
        struct.pack_into("<Q", page, BLOCK_CHECKSUM_OFFSETS[block], block_checksum(page, block, page_number))


class PageVerdict(Enum):
    """What a page's checksum says."""

    GOOD = "good"
    BLANK = "blank"
    """All zero: never written (−1019 where data is expected)."""
    CORRECTABLE = "correctable"
    """One wrong bit per damaged block; where is known."""
    WRONG_PAGE_NUMBER = "wrong page number"
    BAD_CHECKSUM = "bad checksum"

    @property
    def is_good(self) -> bool:
        """Whether the page is as it was written."""
        return self is PageVerdict.GOOD


class PageCheck(NamedTuple):
    """Verdict on one page, with the proof: stored and computed checksum of the first block that differs."""

    verdict: PageVerdict
    stored: int = 0
    computed: int = 0
    wrong_bits: tuple[int, ...] = ()
    """Bit numbers within the page, for ``CORRECTABLE``."""
    probable_page_number: int = 0
    """For ``WRONG_PAGE_NUMBER``: the page whose content this seems to be."""


GOOD = PageCheck(PageVerdict.GOOD)
BLANK = PageCheck(PageVerdict.BLANK)


def verify_page(page: Buffer, page_number: int) -> PageCheck:
    """Judge one page as stored at ``page_number``."""
    if is_zero(page):
        return BLANK
    if not uses_ecc(page):
        return _verify_legacy(page, page_number)
    return _verify_blocks(page, page_number)


def correct_page(page: Buffer, check: PageCheck, page_number: int) -> bytes | None:
    """Return the page with the wrong bits of ``check`` flipped back, or None if that does not make it good."""
    corrected = bytearray(page)
    for bit in check.wrong_bits:
        corrected[bit // 8] ^= 1 << bit % 8
    return bytes(corrected) if verify_page(corrected, page_number).verdict.is_good else None


def _verify_legacy(page: Buffer, page_number: int) -> PageCheck:
    stored, stored_number = struct.unpack_from("<II", page)
    computed = xor32(memoryview(page)[4:])
    if stored != computed:
        # A flipped flag bit makes a page of the newer format look like an old one; the checksum cannot hold then either.
        return PageCheck(PageVerdict.BAD_CHECKSUM, stored, computed)
    if stored_number != page_number:
        return PageCheck(PageVerdict.WRONG_PAGE_NUMBER, stored, computed, probable_page_number=stored_number)
    return GOOD


def _verify_blocks(page: Buffer, page_number: int) -> PageCheck:
    count, size = blocks_of(len(page))
    first: tuple[int, int] | None = None
    wrong_bits: list[int] = []
    flips_in_stored = 0
    for block in range(count):
        offset = BLOCK_CHECKSUM_OFFSETS[block]
        stored = _U64.unpack_from(page, offset)[0]
        if block and flips_in_stored // 64 == block:
            stored ^= 1 << flips_in_stored % 64
        computed = block_checksum(page, block, page_number)
        if stored == computed:
            continue
        first = first or (stored, computed)
        bit = locate_wrong_bit(stored ^ computed, size, is_header_block=block == 0)
        if bit is None:
            return _uncorrectable(stored, computed, page_number, is_first_block=block == 0)
        wrong_bits.append(bit + 8 * size * block)
        if block == 0 and count > 1 and 40 * 8 <= bit < 64 * 8:
            # The wrong bit lies in the stored checksum of a later block: that block is judged against the mended value.
            flips_in_stored = 64 * (1 + (bit - 40 * 8) // 64) + (bit - 40 * 8) % 64
    if first is None:
        return GOOD
    return PageCheck(PageVerdict.CORRECTABLE, *first, wrong_bits=tuple(wrong_bits))


def _uncorrectable(stored: int, computed: int, page_number: int, *, is_first_block: bool) -> PageCheck:
    difference = stored ^ computed
    if is_first_block and difference >> 32 == 0:
        probable = (difference & 0xFFFFFFFF) ^ page_number
        return PageCheck(PageVerdict.WRONG_PAGE_NUMBER, stored, computed, probable_page_number=probable)
    return PageCheck(PageVerdict.BAD_CHECKSUM, stored, computed)


def locate_wrong_bit(difference: int, block_size: int, *, is_header_block: bool) -> int | None:
    """The one wrong bit that explains ``difference`` (stored XOR computed), or None if no single bit does."""
    ecc, xor = difference >> 32, difference & 0xFFFFFFFF
    mask = 8 * block_size - 1
    if ((ecc >> 16) ^ ecc) & mask != mask or xor.bit_count() != 1:
        return None
    bit = ecc & 0xFFFF
    if bit >= 8 * block_size or (is_header_block and bit == FLAG_BIT):
        return None
    return bit
