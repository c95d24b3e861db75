"""Headers of log files: offsets of the format, names, attachment lists, refusals."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from tests.writers.ese.store_kit import LOGS
from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition, LogTime, Signature
from vss_writers.ese.log_file import (
    Attachment,
    EngineParameters,
    LogFlag,
    LogHeader,
    checkpoint_name,
    current_log_name,
    pack_attachments,
    temporary_log_name,
    unpack_attachments,
)

SIGNATURE = Signature(0x11223344, LogTime(1, 2, 3, 4, 5, 107), "SERVER")
ATTACHMENT = Attachment(1, "D:\\Exchange\\DB1.edb", Signature(5), 1000, 33, 0, LogPosition(2, 9, 4), LogPosition(1, 8, 22))
HEADER = LogHeader(
    generation=0x1A2B,
    signature=SIGNATURE,
    created=LogTime(10, 20, 3, 24, 12, 107),
    previous_created=LogTime(9, 20, 3, 24, 12, 107),
    parameters=EngineParameters("C:\\sys", LOGS, is_circular=True),
    flags=LogFlag.CIRCULAR,
    checkpoint=LogPosition(0x1A20, 8, 22),
    attachments=(ATTACHMENT,),
)


def sealed(page: bytearray) -> bytes:
    struct.pack_into("<I", page, 0, xor32(bytes(page[4:])))
    return bytes(page)


def test_a_header_comes_back_as_it_was() -> None:
    assert LogHeader.unpack(HEADER.pack()) == HEADER
    assert HEADER.file_size_bytes == 1 << 20


def test_fields_lie_where_the_format_has_them() -> None:
    page = HEADER.pack()

    assert len(page) == 4096
    assert struct.unpack_from("<i", page, 4) == (0x1A2B,)
    assert struct.unpack_from("<HHHH", page, 8) == (512, 8, 2048, 8192)
    assert page[16:24] == HEADER.created.pack()
    assert page[24:32] == HEADER.previous_created.pack()
    assert struct.unpack_from("<III", page, 32) == (7, 3704, 12)
    assert page[44:72] == SIGNATURE.pack()
    assert page[72 : 72 + 7] == b"C:\\sys\0"
    assert page[72 + 261 : 72 + 261 + len(LOGS)] == LOGS.encode()
    assert page[72 + 522] == 1
    assert page[639] == 2
    assert page[640:648] == HEADER.checkpoint.pack()
    assert struct.unpack_from("<I", page, 667) == (3,)
    assert page[671] == 1
    assert struct.unpack_from("<I", page, 0)[0] == xor32(page[4:])


@pytest.mark.parametrize("offset", [0, 5, 100, 671, 4095])
def test_any_flipped_bit_of_the_header_is_found(offset: int) -> None:
    page = bytearray(HEADER.pack())
    page[offset] ^= 4

    with pytest.raises(JetError) as caught:
        LogHeader.unpack(bytes(page), path="x.log")

    assert caught.value.code == JetCode.LogFileCorrupt
    assert caught.value.path == "x.log"


@pytest.mark.parametrize(
    ("offset", "value", "code"),
    [(32, 8, JetCode.BadLogVersion), (36, 4000, JetCode.BadLogVersion), (8, 4096, JetCode.LogSectorSizeMismatch)],
)
def test_other_versions_and_sectors_are_refused(offset: int, value: int, code: JetCode) -> None:
    page = bytearray(HEADER.pack())
    struct.pack_into("<H", page, offset, value)

    with pytest.raises(JetError) as caught:
        LogHeader.unpack(sealed(page))

    assert caught.value.code == code


def test_a_short_header_and_an_impossible_attachment_list_are_refused() -> None:
    with pytest.raises(JetError, match="4096 bytes expected, found 100"):
        LogHeader.unpack(HEADER.pack()[:100])
    page = bytearray(HEADER.pack())
    struct.pack_into("<H", page, 673, 60000)
    with pytest.raises(JetError, match="path at byte 64 runs over") as caught:
        LogHeader.unpack(sealed(page))
    assert caught.value.code == JetCode.LogFileCorrupt
    with pytest.raises(ValueError, match="entry at byte 0 runs over"):
        unpack_attachments(b"\x01\x00")


def test_attachment_lists_keep_any_path_and_have_an_end() -> None:
    wide = replace(ATTACHMENT, dbid=2, path="D:\\Préférences\\Ж.edb")

    assert unpack_attachments(pack_attachments((ATTACHMENT, wide))) == (ATTACHMENT, wide)
    with pytest.raises(JetError) as caught:
        pack_attachments([ATTACHMENT] * 40)
    assert caught.value.code == JetCode.InvalidParameter


def test_names() -> None:
    assert current_log_name("E00") == "E00.log"
    assert temporary_log_name("E00") == "E00tmp.log"
    assert checkpoint_name("E00") == "E00.chk"
