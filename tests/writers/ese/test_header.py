"""The database header: what goes in comes out, what real files hold survives, damage has a name."""

from __future__ import annotations

import dataclasses
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.writers.ese.kit import GOLDEN_NAMES, SIGNATURE, golden
from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import HEADER_PROBE_SIZE, DatabaseHeader, unpack_headers
from vss_writers.ese.header_values import BackupInfo, EccCounter, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType, DatabaseState

HEADER = DatabaseHeader(
    SIGNATURE,
    state=DatabaseState.DIRTY_SHUTDOWN,
    dbtime=0x1234567890,
    attach_position=LogPosition(7, 8, 22),
    full_previous=BackupInfo(LogPosition(5, 9, 1), LogTime(1, 2, 3, 4, 5, 107, is_os_snapshot=True), 3, 5),
    full_previous_type=BackupType.OS_SNAPSHOT,
    bad_checksum=EccCounter(2, LogTime(1, 1, 1, 1, 1, 107), 1),
    generation_max_committed=9,
)


def resealed(page: bytearray) -> bytes:
    struct.pack_into("<I", page, 0, xor32(memoryview(page)[4:]))
    return bytes(page)


@pytest.mark.parametrize("page_size", [2048, 4096, 8192, 16384, 32768])
def test_a_header_survives_packing(page_size: int) -> None:
    header = dataclasses.replace(HEADER, page_size=page_size)

    assert DatabaseHeader.unpack(header.pack()) == header
    assert len(header.pack()) == page_size


def test_fields_lie_where_the_format_says() -> None:
    page = HEADER.pack()

    assert struct.unpack_from("<I", page, 4)[0] == 0x89ABCDEF
    assert struct.unpack_from("<II", page, 8) == (0x620, 0)
    assert struct.unpack_from("<Q", page, 16)[0] == 0x1234567890
    assert page[24:52] == SIGNATURE.pack()
    assert struct.unpack_from("<I", page, 52)[0] == 2
    assert struct.unpack_from("<HHi", page, 80) == (22, 8, 7)
    assert struct.unpack_from("<II", page, 232) == (0x0C, 8192)
    assert struct.unpack_from("<I", page, 356)[0] == 1
    assert struct.unpack_from("<I", page, 416)[0] == 9
    assert struct.unpack_from("<I", page, 667)[0] == 1


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_headers_that_windows_wrote_pack_to_the_same_bytes(name: str) -> None:
    data = golden(name)
    pair = unpack_headers(data[:HEADER_PROBE_SIZE])

    assert not pair.has_damage
    assert pair.header.pack() == data[: pair.header.page_size]


@settings(max_examples=60)
@given(st.integers(0, 8 * 8192 - 1))
def test_every_flipped_bit_is_a_named_error(bit: int) -> None:
    page = bytearray(HEADER.pack())
    page[bit // 8] ^= 1 << bit % 8

    with pytest.raises(JetError) as caught:
        DatabaseHeader.unpack(page, path="DB1.edb", offset=8192)

    assert caught.value.code in (JetCode.DatabaseCorrupted, JetCode.InvalidDatabaseVersion)
    assert caught.value.path == "DB1.edb"
    assert caught.value.offset is not None
    assert caught.value.offset >= 8192


def test_wrong_contents_have_their_own_errors() -> None:
    page = bytearray(HEADER.pack())
    struct.pack_into("<I", page, 8, 0x621)
    with pytest.raises(JetError, match="format version expected 0x620, found 0x621") as caught:
        DatabaseHeader.unpack(resealed(page))
    assert caught.value.code == JetCode.InvalidDatabaseVersion

    with pytest.raises(JetError, match="magic number"):
        DatabaseHeader.unpack(bytes(8192))
    with pytest.raises(JetError, match="header of at least 2048 bytes expected, found 100"):
        DatabaseHeader.unpack(HEADER.pack()[:100])
    with pytest.raises(JetError, match="header of 8192 bytes expected, found"):
        DatabaseHeader.unpack(HEADER.pack()[:4096])


def test_page_size_zero_means_4096_and_unknown_states_are_kept() -> None:
    page = bytearray(dataclasses.replace(HEADER, page_size=4096).pack())
    struct.pack_into("<I", page, 236, 0)
    struct.pack_into("<I", page, 52, 99)
    header = DatabaseHeader.unpack(resealed(page))

    assert header.page_size == 4096
    assert header.state == 99
    assert not header.is_clean


# -- two copies -----------------------------------------------------------------------------------------------------------


def test_the_primary_is_used_when_both_hold() -> None:
    newer = dataclasses.replace(HEADER, dbtime=HEADER.dbtime + 1)

    pair = unpack_headers(newer.pack() + HEADER.pack())

    assert pair.header == newer
    assert not pair.has_damage


@pytest.mark.parametrize("page_size", [2048, 4096, 8192, 16384, 32768])
def test_the_shadow_is_used_when_the_primary_is_damaged(page_size: int) -> None:
    header = dataclasses.replace(HEADER, page_size=page_size)
    damaged = bytearray(header.pack())
    damaged[16] ^= 1

    pair = unpack_headers(bytes(damaged) + header.pack())

    assert pair.header == header
    assert pair.primary_error is not None
    assert pair.shadow_error is None
    assert pair.has_damage


def test_a_damaged_shadow_is_noted() -> None:
    pair = unpack_headers(HEADER.pack() + bytes(8192))

    assert pair.header == HEADER
    assert pair.shadow_error is not None


def test_two_damaged_headers_are_the_primarys_error() -> None:
    with pytest.raises(JetError, match="magic number") as caught:
        unpack_headers(bytes(HEADER_PROBE_SIZE), path="DB1.edb")
    assert caught.value.offset == 4


# -- small structures -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31 - 1), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_log_positions_order_as_their_bytes_do(generation: int, sector: int, byte: int) -> None:
    position = LogPosition(generation, sector, byte)

    assert LogPosition.unpack(position.pack()) == position
    assert int.from_bytes(position.pack(), "little") == generation << 32 | sector << 16 | byte


def test_a_log_position_prints_as_the_field_prints_it() -> None:
    assert str(LogPosition(0x1A, 0x2F, 0x16)) == "(0x1a,2F,16)"
    assert LogPosition(1, 9, 9) < LogPosition(2, 0, 0)


@given(st.datetimes(datetime(1900, 1, 1), datetime(2155, 12, 31)), st.sampled_from([None, UTC]))  # noqa: DTZ001
def test_times_survive_to_the_second(moment: datetime, zone: timezone | None) -> None:
    moment = moment.replace(microsecond=0, tzinfo=zone)

    time = LogTime.unpack(LogTime.of(moment).pack())

    assert time.to_datetime() == moment
    assert bool(time)


def test_times_with_a_zone_are_kept_as_utc_and_milliseconds_are_read() -> None:
    moment = datetime(2007, 12, 24, 3, 20, 10, tzinfo=timezone(timedelta(hours=2)))
    assert str(LogTime.of(moment)) == "12/24/2007 01:20:10"
    assert str(LogTime()) == "00/00/1900 00:00:00"
    assert LogTime().to_datetime() is None
    time = LogTime(1, 2, 3, 4, 5, 107, milliseconds=999, is_os_snapshot=True)
    assert LogTime.unpack(time.pack()) == time
    unpacked = time.to_datetime()
    assert unpacked is not None
    assert unpacked.microsecond == 999_000


def test_signatures_keep_fifteen_letters_of_the_computers_name() -> None:
    signature = Signature(1, LogTime(), "A" * 20)

    assert Signature.unpack(signature.pack()).computer == "A" * 15
    assert bool(signature)
    assert not Signature()
    assert not BackupInfo()
    assert BackupInfo(generation_low=1)
