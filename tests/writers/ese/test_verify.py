"""Verification of whole files: every kind of damage is found where it is, and counted as the engine's tool counts it."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from tests.writers.ese.kit import GOLDEN_NAMES, SIGNATURE, golden, run, sample, sample_bytes
from vss_writers.ese.checksum import seal_page, xor32
from vss_writers.ese.errors import JetCode
from vss_writers.ese.header import DatabaseHeader, unpack_headers
from vss_writers.ese.header_values import BackupInfo, LogPosition
from vss_writers.ese.layout import PAGE_CATALOG, SYSTEM_PAGES, DatabaseState, PageFlag, page_count, page_offset
from vss_writers.ese.reader import read_from
from vss_writers.ese.verify import Report, verify_database

SIZE = 8192
TABLE_ROOT = SYSTEM_PAGES + 1
"""Root of the sample's table: a branch page."""


def verified(data: bytes | bytearray, batch_pages: int = 16) -> Report:
    return run(verify_database(read_from(bytes(data)), len(data), path="DB1.edb", batch_pages=batch_pages))


def flip(data: bytearray, page_number: int, *bits: int) -> None:
    for bit in bits:
        data[page_offset(page_number, SIZE) + bit // 8] ^= 1 << bit % 8


def write_page(data: bytearray, page_number: int, page: bytearray) -> None:
    seal_page(page, page_number)
    start = page_offset(page_number, SIZE)
    data[start : start + SIZE] = page


def read_page(data: bytes | bytearray, page_number: int) -> bytearray:
    return bytearray(data[page_offset(page_number, SIZE) :][:SIZE])


def a_leaf(data: bytes | bytearray) -> int:
    """A leaf with siblings on both sides."""
    for number in range(1, page_count(len(data), SIZE) + 1):
        page = read_page(data, number)
        previous, following, flags = *struct.unpack_from("<II", page, 16), struct.unpack_from("<I", page, 36)[0]
        if previous and following and flags & PageFlag.LEAF:
            return number
    raise AssertionError("the sample has no such leaf")


def dirty(data: bytes) -> bytearray:
    header = replace(unpack_headers(data).header, state=DatabaseState.DIRTY_SHUTDOWN).pack()
    return bytearray(header + header + data[2 * SIZE :])


# -- nothing wrong --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_pages", [1, 7, 256])
def test_a_good_file_is_intact(batch_pages: int) -> None:
    data = sample_bytes(SIZE)
    report = verified(data, batch_pages)

    assert report.is_intact
    assert report.passes_checksum_rule
    assert report.header is not None
    counters = report.counters
    assert counters.pages_seen == page_count(len(data), SIZE)
    assert counters.dbtime_highest == report.header.dbtime == sample(SIZE).pages.dbtime
    assert counters.bad_checksums == counters.correctable_checksums == counters.wrong_page_numbers == 0
    assert counters.uninitialized_pages > 0
    assert counters.reads == 1 + -(-counters.pages_seen // batch_pages)


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_files_that_windows_wrote_are_intact(name: str) -> None:
    assert verified(golden(name)).is_intact


def test_progress_is_told_and_the_throttle_is_awaited() -> None:
    data = sample_bytes(SIZE)
    seen: list[tuple[int, int]] = []
    throttled: list[int] = []

    async def throttle(size_bytes: int) -> None:
        throttled.append(size_bytes)

    def progress(done: int, total: int) -> None:
        seen.append((done, total))

    report = run(verify_database(read_from(data), len(data), batch_pages=64, on_progress=progress, throttle=throttle))
    assert seen[0] == (64, report.counters.pages_seen)
    assert seen[-1] == (report.counters.pages_seen, report.counters.pages_seen)
    assert sum(throttled) == report.counters.pages_seen * SIZE


# -- pages ----------------------------------------------------------------------------------------------------------------


def test_one_flipped_bit_is_a_finding_that_says_where() -> None:
    data = bytearray(sample_bytes(SIZE))
    flip(data, PAGE_CATALOG, 12_345)
    report = verified(data)

    (finding,) = report.findings
    assert not report.is_intact
    assert report.passes_checksum_rule, "the engine's own tool only warns"
    assert finding.code == JetCode.ReadVerifyFailure
    assert (finding.page_number, finding.offset) == (PAGE_CATALOG, page_offset(PAGE_CATALOG, SIZE))
    assert finding.is_correctable
    assert finding.wrong_bits == (12_345,)
    assert report.counters.correctable_checksums == 1
    error = finding.error("DB1.edb")
    assert (error.code, error.path, error.page_number) == (JetCode.ReadVerifyFailure, "DB1.edb", PAGE_CATALOG)


def test_damage_beyond_correction() -> None:
    data = bytearray(sample_bytes(SIZE))
    flip(data, 40, 5000, 5001)
    report = verified(data)

    (finding,) = report.findings
    assert not finding.is_correctable
    assert not report.passes_checksum_rule
    assert report.counters.bad_checksums == 1
    assert finding.detail.startswith("bad checksum: stored 0x")


def test_pages_in_each_others_place() -> None:
    data = bytearray(sample_bytes(SIZE))
    one, other = read_page(data, 4), read_page(data, 7)
    data[page_offset(4, SIZE) :][:SIZE] = other
    start = page_offset(4, SIZE)
    data[start : start + SIZE] = other
    start = page_offset(7, SIZE)
    data[start : start + SIZE] = one
    report = verified(data)

    assert [(finding.page_number, finding.detail.split(", ")[-1]) for finding in report.findings] == [
        (4, "probably page 7"),
        (7, "probably page 4"),
    ]
    assert report.counters.wrong_page_numbers == 2
    assert not report.passes_checksum_rule


@pytest.mark.parametrize("seed", range(3))
def test_every_damaged_page_is_found(seed: int) -> None:
    stream = random.Random(seed)
    data = bytearray(sample_bytes(SIZE))
    used = [number for number in range(1, page_count(len(data), SIZE) + 1) if any(read_page(data, number))]
    damaged = sorted(stream.sample(used, 12))
    for number in damaged:
        flip(data, number, *stream.sample(range(64, 8 * SIZE), stream.choice((1, 2))))

    assert [finding.page_number for finding in verified(data).findings] == damaged


# -- what only a clean file must satisfy ----------------------------------------------------------------------------------


def test_a_blank_page_that_others_point_to() -> None:
    data = bytearray(sample_bytes(SIZE))
    leaf = a_leaf(data)
    start = page_offset(leaf, SIZE)
    data[start : start + SIZE] = bytes(SIZE)
    report = verified(data)

    (finding,) = report.findings
    assert finding.code == JetCode.PageNotInitialized
    assert finding.page_number == leaf
    assert report.passes_checksum_rule, "checksums alone cannot tell"
    assert verified(dirty(bytes(data))).is_intact, "the log may still bring it"


def test_a_file_that_ends_before_its_last_page() -> None:
    data = sample_bytes(SIZE)
    used = max(number for number in range(1, page_count(len(data), SIZE) + 1) if any(read_page(data, number)))
    report = verified(data[: page_offset(used, SIZE)])

    assert report.findings
    assert {finding.code for finding in report.findings} == {JetCode.PageNotInitialized}
    assert f"lies behind the last page, {used - 1}" in report.findings[-1].detail


def test_a_page_newer_than_the_header() -> None:
    data = bytearray(sample_bytes(SIZE))
    page = read_page(data, 40)
    struct.pack_into("<Q", page, 8, 10**9)
    write_page(data, 40, page)
    report = verified(data)

    (finding,) = report.findings
    assert finding.code == JetCode.DbTimeCorrupted
    assert finding.page_number == 40
    assert (report.counters.dbtime_highest, report.counters.dbtime_highest_page) == (10**9, 40)
    assert verified(dirty(bytes(data))).is_intact


def test_a_branch_page_whose_entries_are_no_pointers() -> None:
    data = bytearray(sample_bytes(SIZE))
    page = read_page(data, TABLE_ROOT)
    struct.pack_into("<HH", page, SIZE - 8, 8000, 8000)
    write_page(data, TABLE_ROOT, page)

    codes = {finding.code for finding in verified(data).findings if finding.page_number == TABLE_ROOT}
    assert codes == {JetCode.PageTagCorrupted}


def test_damaged_branch_pages_are_not_followed() -> None:
    data = bytearray(sample_bytes(SIZE))
    flip(data, TABLE_ROOT, 5000)
    leaf = a_leaf(data)
    flip(data, leaf, 6000)

    assert [finding.page_number for finding in verified(data).findings] == sorted((TABLE_ROOT, leaf))


# -- headers and sizes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("copy", "name"), [(0, "primary"), (1, "shadow")])
def test_a_damaged_header_is_a_finding_and_the_other_is_used(copy: int, name: str) -> None:
    data = bytearray(sample_bytes(SIZE))
    data[copy * SIZE + 100] ^= 1
    report = verified(data)

    (finding,) = report.findings
    assert finding.code == JetCode.DatabaseCorrupted
    assert finding.offset == copy * SIZE
    assert finding.detail.startswith(f"{name} header: header checksum stored")
    assert report.counters.pages_seen > 0


def test_without_a_header_nothing_more_is_looked_at() -> None:
    report = verified(bytes(100_000))

    assert report.header is None
    assert not report.is_intact
    assert not report.passes_checksum_rule
    assert report.counters.pages_seen == 0
    assert not verified(b"").is_intact


def test_a_ragged_end() -> None:
    data = sample_bytes(SIZE)
    report = verified(data + b"some bytes")

    (finding,) = report.findings
    assert (finding.code, finding.offset) == (JetCode.DatabaseCorrupted, len(data))


def test_a_device_that_gives_fewer_bytes_than_the_file_has() -> None:
    data = sample_bytes(SIZE)
    cut = page_offset(50, SIZE)

    report = run(verify_database(read_from(data[:cut]), len(data), batch_pages=64))

    assert [finding.code for finding in report.findings[:1]] == [JetCode.DiskIO]
    assert report.findings[0].offset == cut
    assert report.counters.pages_seen == 49


def test_the_patch_page_of_a_streaming_copy_is_sealed_like_a_header() -> None:
    pages = sample(SIZE).pages
    header = DatabaseHeader(SIGNATURE, full_current=BackupInfo(LogPosition(5, 8, 0), generation_low=5))
    trailer = bytearray(SIZE)
    trailer[100] = 7
    struct.pack_into("<I", trailer, 0, xor32(memoryview(trailer)[4:]))
    data = pages.to_bytes(header) + trailer

    assert verified(data).is_intact
    trailer[200] = 1
    (finding,) = verified(pages.to_bytes(header) + trailer).findings
    assert (finding.code, finding.offset) == (JetCode.BadPatchPage, len(data) - SIZE)
