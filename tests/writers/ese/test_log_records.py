"""Log records: every kind comes back as it was, sizes are the format's, damage is named."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import BackupInfo, LogPosition, LogTime, Signature
from vss_writers.ese.layout import BackupType
from vss_writers.ese.log_file import EngineParameters
from vss_writers.ese.log_page_change import ChangeFlag, PageChange
from vss_writers.ese.log_record_reader import unpack_record
from vss_writers.ese.log_record_type import RecordType
from vss_writers.ese.log_records import (
    AttachDatabase,
    Backup2,
    BackupPhase,
    BackupScope,
    Begin0,
    Commit0,
    CreateDatabase,
    DetachDatabase,
    End,
    ExtendDatabase,
    FlushCheck,
    Init2,
    LogRecord,
    Macro,
    Nop,
    RecoveryUndo2,
    Rollback,
    Terminate2,
)
from vss_writers.ese.page_operation import (
    DeleteNode,
    Format,
    Image,
    InsertNode,
    PageOperation,
    ReplaceNode,
    SetExternalHeader,
    SetFlags,
    SetLinks,
)

TIME = LogTime(1, 2, 3, 4, 5, 107)
SIGN = Signature(1, TIME, "A")
POSITION = LogPosition(0x123, 8, 22)

OPERATIONS: list[tuple[PageOperation, int, int]] = [
    (Format(5, 7, 0x2803), 95, 36),
    (InsertNode(5, 3, 2, b"key", b"data", 1), 29, 50 + 7),
    (ReplaceNode(5, 3, b"data"), 33, 50 + 4),
    (ReplaceNode(5, 3, b"data", 2), 33, 50 + 4),
    (DeleteNode(5, 3), 35, 44),
    (SetExternalHeader(5, b"abc"), 38, 46 + 3),
    (SetLinks(5, 4, 6), 63, 40),
    (SetFlags(5, 0x2803), 64, 36),
    (Image(5, b"a" * 100 + bytes(1900) + b"z" * 48), 62, 38 + 148),
    (Image(5, bytes(range(1, 256)) * 8 + b"12345678"), 62, 38 + 2048),
]

OTHERS: list[tuple[LogRecord, int, int]] = [
    (Nop(), 0, 1),
    (End(), 4, 1),
    (FlushCheck(0xDEADBEEF), 71, 9),
    (Begin0(1, 77), 8, 8),
    (Commit0(1, 77), 9, 8),
    (Rollback(1), 7, 4),
    (Macro(1, is_begin=True, dbtime=9), 11, 11),
    (Macro(1, is_begin=False, dbtime=9), 12, 11),
    (CreateDatabase(1, 2, SIGN, "D:\\a.edb", 0x620, 12), 14, 47 + 18),
    (AttachDatabase(1, 2, SIGN, SIGN, POSITION, "D:\\Ж.edb"), 15, 75 + 18),
    (DetachDatabase(1, 2, "D:\\a.edb"), 16, 7 + 18),
    (ExtendDatabase(2, 33, 96), 68, 14),
    (Init2(EngineParameters("a", "b"), TIME), 49, 576),
    (Terminate2(RecordType.TERM2, POSITION, POSITION, is_hard=False, time=TIME), 50, 26),
    (Terminate2(RecordType.RECOVERY_QUIT2, POSITION, POSITION, is_hard=True, time=TIME), 52, 26),
    (RecoveryUndo2(TIME), 51, 9),
    (
        Backup2(BackupPhase.UPDATE, BackupType.OS_SNAPSHOT, BackupScope.FULL, 1, BackupInfo(POSITION, TIME, 1, 2), "p"),
        60,
        36,
    ),
]


@pytest.mark.parametrize(("operation", "kind", "size"), OPERATIONS)
def test_page_changes_have_the_formats_number_and_size_and_come_back(operation: PageOperation, kind: int, size: int) -> None:
    change = PageChange(operation, 1, 1001, 1000, transaction=7, flags=ChangeFlag.NONE)
    data = change.pack()

    assert data[0] == kind
    assert len(data) == size
    record, end = unpack_record(b"x" + data + b"y", 1)
    assert end == 1 + size
    assert isinstance(record, PageChange)
    assert (record.operation, record.dbid, record.dbtime, record.dbtime_before) == (operation, 1, 1001, 1000)
    assert record.transaction == 7


def test_the_tree_of_a_page_travels_with_node_records() -> None:
    change = PageChange(DeleteNode(5, 3), 1, 2, 1, objid=33, flags=ChangeFlag.SPACE)

    record, _ = unpack_record(change.pack(), 0)

    assert record == change


def test_an_operation_without_a_record_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError, match="no record"):
        PageChange(None, 1, 2, 1).pack()  # type: ignore[arg-type]


@pytest.mark.parametrize(("record", "kind", "size"), OTHERS)
def test_other_records_have_the_formats_number_and_size_and_come_back(record: LogRecord, kind: int, size: int) -> None:
    data = record.pack()

    assert data[0] == kind
    assert len(data) == size
    assert unpack_record(data, 0) == (record, size)


@given(
    line=st.integers(0, 2000),
    prefix=st.integers(0, 255),
    suffix=st.binary(max_size=300),
    data=st.binary(max_size=4000),
    flags=st.integers(0, 3),
)
@settings(max_examples=60, deadline=None)
def test_any_insertion_comes_back(line: int, prefix: int, suffix: bytes, data: bytes, flags: int) -> None:
    operation = InsertNode(9, line, prefix, suffix, data, flags)

    record, _ = unpack_record(PageChange(operation, 1, 2, 1).pack(), 0)

    assert isinstance(record, PageChange)
    assert record.operation == operation


@given(
    data=st.lists(st.sampled_from([b"\0", b"\x01", bytes(100), b"abc" * 30]), max_size=40), size=st.sampled_from([2048, 8192])
)
@settings(max_examples=60, deadline=None)
def test_any_page_image_comes_back(data: list[bytes], size: int) -> None:
    image = b"".join(data)[:size].ljust(size, b"\0")

    packed = PageChange(Image(9, image), 1, 2, 1).pack()
    record, _ = unpack_record(packed, 0)

    assert isinstance(record, PageChange)
    assert record.operation == Image(9, image)


def test_unknown_types_and_cut_records_are_named_with_their_offset() -> None:
    for data in (b"\x00\xfe", b"\x00" + PageChange(InsertNode(1, 1, 0, b"k", b"data"), 1, 2, 1).pack()[:-1], b"\x00\x08\x01"):
        with pytest.raises(JetError) as caught:
            unpack_record(data, 1)
        assert caught.value.code == JetCode.LogFileCorrupt
        assert caught.value.offset == 1


@pytest.mark.parametrize(("record", "kind", "size"), OTHERS[3:])
def test_every_record_refuses_to_be_cut(record: LogRecord, kind: int, size: int) -> None:
    with pytest.raises(JetError):
        unpack_record(record.pack()[: size - 1], 0)


def test_sizes_that_make_no_sense_are_refused() -> None:
    image = bytearray(PageChange(Image(9, bytes(2048)), 1, 2, 1).pack())
    image[34:36] = b"\xff\xff"
    backup = bytearray(OTHERS[-1][0].pack())
    backup[1] = 99
    for data in (image, backup):
        with pytest.raises(JetError, match="malformed"):
            unpack_record(bytes(data), 0)


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    codes = [JetCode.LogFileCorrupt]
    end = 1
    try:
        _, end = unpack_record(data, 0)
    except JetError as error:
        codes.append(error.code)

    assert set(codes) == {JetCode.LogFileCorrupt}
    assert 0 < end <= len(data)
