"""Known answers of the checksums, and that every wrong bit is found where it is."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import GOLDEN_NAMES, golden
from vss_writers.ese.checksum import (
    FLAG_BIT,
    PageVerdict,
    correct_page,
    locate_wrong_bit,
    seal_page,
    verify_page,
    xe64,
    xor32,
)
from vss_writers.ese.checksum_batch import BatchVerifier
from vss_writers.ese.header import unpack_headers
from vss_writers.ese.layout import BLOCK_CHECKSUM_OFFSETS, OFFSET_FLAGS, PageFlag, page_count, page_offset

PAGE_SIZES = (2048, 4096, 8192, 16384, 32768)


def pattern(size: int) -> bytes:
    return bytes((index * index >> 3) & 255 for index in range(size))


def random_page(page_size: int, page_number: int, *, seed: int = 1, ecc: bool = True) -> bytearray:
    page = bytearray(random.Random(seed).randbytes(page_size))
    flags = struct.unpack_from("<I", page, OFFSET_FLAGS)[0] & ~PageFlag.NEW_CHECKSUM_FORMAT
    struct.pack_into("<I", page, OFFSET_FLAGS, flags | (PageFlag.NEW_CHECKSUM_FORMAT if ecc else 0))
    seal_page(page, page_number)
    return page


def flipped(page: bytes | bytearray, *bits: int) -> bytearray:
    damaged = bytearray(page)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return damaged


def scalar_xe64(block: bytes, page_number: int) -> int:
    """The definition, bit by bit: the oracle."""
    index_xor = count = dwords = 0
    for byte, value in enumerate(block):
        for bit in range(8):
            if value >> bit & 1:
                index_xor ^= 8 * byte + bit
                count += 1
    for offset in range(0, len(block), 4):
        dwords ^= int.from_bytes(block[offset : offset + 4], "little")
    mask = 8 * len(block) - 1
    high = index_xor ^ (mask if count & 1 else 0)
    return (high << 16 | index_xor) << 32 | (dwords ^ page_number)


# -- known answers --------------------------------------------------------------------------------------------------------


def test_known_answers_of_xe64() -> None:
    only = bytearray(8192)
    only[8] = 1
    last = bytearray(8192)
    last[8191] = 0x80

    assert xe64(bytes(8192), 1) == 0x0000000000000001
    assert xe64(only, 1) == 0xFFBF004000000000
    assert xe64(last, 1) == 0x0000FFFF80000001
    assert xe64(bytes(8) + pattern(8192)[8:], 4) == 0xFFF6000907040306
    assert xe64(bytes(8) + pattern(4096)[8:], 4) == 0x7FF6000907040306


def test_known_answer_of_xor32() -> None:
    assert xor32(pattern(4096)[4:]) == 0x88ABCDEF
    assert xor32(b"") == 0x89ABCDEF
    assert xor32(b"\x01\x00\x00") == 0x89ABCDEE


@pytest.mark.parametrize(
    ("name", "page_number", "stored", "header"),
    [("basic.edb", 4, 0x13C013C079864F4B, 0x98A810D4), ("Current.mdb", 8, 0x7EDF01202F3E31BF, 0xFB372390)],
)
def test_known_answers_of_real_files(name: str, page_number: int, stored: int, header: int) -> None:
    data = golden(name)
    page = bytearray(data[page_offset(page_number, 4096) :][:4096])

    assert struct.unpack_from("<Q", page)[0] == stored
    page[:8] = bytes(8)
    seal_page(page, page_number)
    assert struct.unpack_from("<Q", page)[0] == stored
    assert xor32(data[4:4096]) == header == struct.unpack_from("<I", data)[0]


@given(st.binary(min_size=64, max_size=64), st.integers(0, 2**32 - 1))
def test_folding_agrees_with_the_definition(block: bytes, page_number: int) -> None:
    assert xe64(block, page_number) == scalar_xe64(block, page_number)


@pytest.mark.parametrize("size", [1024, 2048, 4096, 8192])
def test_blocks_of_every_size_agree_with_the_definition(size: int) -> None:
    stream = random.Random(size)
    one = bytearray(size)
    one[stream.randrange(size)] = 1 << stream.randrange(8)

    for block in (stream.randbytes(size), bytes(one), b"\xff" * size):
        assert xe64(block, 77) == scalar_xe64(block, 77)
        assert xe64(memoryview(block), 77) == scalar_xe64(block, 77)


# -- one page -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", PAGE_SIZES)
@pytest.mark.parametrize("ecc", [True, False])
def test_a_sealed_page_is_good_at_its_number_only(page_size: int, ecc: bool) -> None:
    page = random_page(page_size, 77, ecc=ecc)

    assert verify_page(page, 77).verdict.is_good
    check = verify_page(page, 78)
    assert check.verdict is PageVerdict.WRONG_PAGE_NUMBER
    assert check.probable_page_number == 77


def test_an_all_zero_page_is_blank_and_nothing_else() -> None:
    assert verify_page(bytes(8192), 5).verdict is PageVerdict.BLANK
    page = bytearray(8192)
    page[5000] = 1
    assert verify_page(page, 5).verdict is PageVerdict.BAD_CHECKSUM


@settings(max_examples=200)
@given(st.sampled_from(PAGE_SIZES), st.data())
def test_every_single_flip_outside_the_checksum_is_located(page_size: int, data: st.DataObject) -> None:
    stored = 64 * 8 if page_size > 8192 else 64
    bit = data.draw(st.integers(stored, 8 * page_size - 1).filter(lambda number: number != FLAG_BIT))
    page = random_page(page_size, 9)
    damaged = flipped(page, bit)

    check = verify_page(damaged, 9)

    assert check.verdict is PageVerdict.CORRECTABLE
    assert check.wrong_bits == (bit,)
    assert correct_page(damaged, check, 9) == page


@settings(max_examples=150)
@given(st.sampled_from((4096, 8192, 16384)), st.data())
def test_two_flips_are_never_taken_for_good_or_for_one(page_size: int, data: st.DataObject) -> None:
    block = min(page_size, 4096 if page_size == 16384 else page_size)
    bits = data.draw(st.lists(st.integers(64 * 8, 8 * block - 1), min_size=2, max_size=2, unique=True))

    check = verify_page(flipped(random_page(page_size, 9), *bits), 9)

    assert check.verdict is PageVerdict.BAD_CHECKSUM


def test_a_flip_in_the_stored_checksum_is_noticed_but_not_correctable() -> None:
    page = random_page(8192, 9)

    verdicts = {verify_page(flipped(page, bit), 9).verdict for bit in range(64)}

    assert verdicts <= {PageVerdict.BAD_CHECKSUM, PageVerdict.WRONG_PAGE_NUMBER}


def test_the_flag_that_chooses_the_checksum_is_never_corrected() -> None:
    assert verify_page(flipped(random_page(8192, 9), FLAG_BIT), 9).verdict is PageVerdict.BAD_CHECKSUM
    ecc = FLAG_BIT | ~FLAG_BIT << 16 & 0xFFFF0000
    difference = ecc << 32 | 1
    assert locate_wrong_bit(difference, 8192, is_header_block=True) is None
    assert locate_wrong_bit(difference, 8192, is_header_block=False) == FLAG_BIT


def test_a_bit_behind_the_block_is_no_explanation() -> None:
    ecc = 0x9000 | (0x9000 ^ 0x7FFF) << 16
    assert locate_wrong_bit(ecc << 32 | 1, 4096, is_header_block=False) is None


@pytest.mark.parametrize("page_size", [16384, 32768])
def test_each_block_of_a_large_page_may_have_its_own_wrong_bit(page_size: int) -> None:
    block_bits = 2 * page_size
    page = random_page(page_size, 3)
    bits = tuple(block * block_bits + 1000 for block in range(4))

    check = verify_page(flipped(page, *bits), 3)

    assert check.wrong_bits == bits
    assert correct_page(flipped(page, *bits), check, 3) == page


@pytest.mark.parametrize("block", [1, 2, 3])
def test_a_flip_in_the_stored_checksum_of_a_later_block_does_not_condemn_that_block(block: int) -> None:
    page = random_page(16384, 3)
    bit = 8 * BLOCK_CHECKSUM_OFFSETS[block] + 17

    check = verify_page(flipped(page, bit), 3)

    assert check.verdict is PageVerdict.CORRECTABLE
    assert check.wrong_bits == (bit,)
    assert correct_page(flipped(page, bit), check, 3) == page


def test_a_block_beyond_correction_condemns_the_page() -> None:
    check = verify_page(flipped(random_page(16384, 3), 40_000, 40_001), 3)

    assert check.verdict is PageVerdict.BAD_CHECKSUM
    assert check.stored != check.computed


def test_a_correction_that_does_not_help_is_refused() -> None:
    page = random_page(8192, 9)
    check = verify_page(flipped(page, 5000), 9)

    assert correct_page(flipped(page, 5000, 6000), check, 9) is None


def test_three_flips_can_look_like_one() -> None:
    """The format's own limit: two flips in the same bit of their dwords hide behind the third."""
    page = random_page(8192, 9)

    check = verify_page(flipped(page, 1000, 1000 + 32, 2001), 9)

    assert check.verdict is PageVerdict.CORRECTABLE
    assert not set(check.wrong_bits) & {1000, 1032, 2001}


# -- batches --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page_size", PAGE_SIZES)
def test_a_batch_says_what_single_pages_say(page_size: int) -> None:
    pages = [random_page(page_size, number, seed=number) for number in range(10, 22)]
    pages[1] = flipped(pages[1], 5000)
    pages[3] = bytearray(page_size)
    pages[4] = flipped(pages[4], 5000, 5002)
    pages[6] = random_page(page_size, 99)
    pages[7] = random_page(page_size, 17, ecc=False)
    pages[8] = flipped(random_page(page_size, 18, ecc=False), 3000)
    data = b"".join(pages) + b"ragged"
    verifier = BatchVerifier(page_size, 16)

    for _ in range(2):  # buffers are used again
        result = verifier.verify(data, 10)
        assert result.page_count == 12
        assert dict(result.findings) == {
            number: check for number, page in enumerate(pages, 10) if not (check := verify_page(page, number)).verdict.is_good
        }
        assert [number for number, _ in result.findings] == [11, 13, 14, 16, 18]


def test_a_batch_knows_the_highest_dbtime_and_those_above_a_limit() -> None:
    pages = []
    for number, dbtime in enumerate((5, 90, 70, 2**63), 1):
        page = random_page(4096, number, seed=number)
        struct.pack_into("<Q", page, 8, dbtime)
        seal_page(page, number)
        pages.append(page)
    pages[3] = flipped(pages[3], 9000)
    verifier = BatchVerifier(4096, 8)

    assert verifier.verify(b"".join(pages), 1)[2:4] == (90, 2)
    assert verifier.verify(b"".join(pages), 1, dbtime_limit=69).dbtimes_above == ((2, 90), (3, 70))
    assert verifier.verify(b"".join(pages), 1, dbtime_limit=90).dbtimes_above == ()


def test_an_empty_batch_holds_nothing() -> None:
    assert BatchVerifier(4096).verify(b"short", 1).page_count == 0


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_every_page_that_windows_wrote_verifies(name: str) -> None:
    data = golden(name)
    page_size = unpack_headers(data).header.page_size
    count = page_count(len(data), page_size)

    result = BatchVerifier(page_size, count).verify(data[2 * page_size :], 1)

    assert result.page_count == count
    assert {check.verdict for _, check in result.findings} <= {PageVerdict.BLANK}
    assert len(result.findings) < count
