"""The checkpoint file: offsets, two copies, and what happens to each of them."""

from __future__ import annotations

import asyncio
import struct

import pytest

from vss_writers.ese.checkpoint import Checkpoint, read_checkpoint, unpack_checkpoint, write_checkpoint
from vss_writers.ese.checksum import xor32
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition, LogTime, Signature
from vss_writers.ese.log_file import Attachment, EngineParameters
from vss_writers.ese.memory_files import MemoryFileSystem, PowerLossError

PATH = "L:\\logs\\E00.chk"
OLD = Checkpoint(LogPosition(3, 8, 22), Signature(9))
CHECKPOINT = Checkpoint(
    LogPosition(0x123, 0x40, 0x1F),
    Signature(9, LogTime(1, 2, 3, 4, 5, 107), "SERVER"),
    EngineParameters("C:\\", "L:\\logs"),
    LogPosition(0x100, 0, 0),
    LogPosition(0x101, 8, 22),
    LogTime(2, 2, 3, 4, 5, 107),
    LogPosition(0x102, 8, 22),
    LogTime(3, 2, 3, 4, 5, 107),
    (Attachment(1, "D:\\DB1.edb", Signature(4)),),
)


def test_fields_lie_where_the_format_has_them() -> None:
    page = CHECKPOINT.pack()

    assert page[4:12] == CHECKPOINT.last_full_backup_checkpoint.pack()
    assert page[12:20] == CHECKPOINT.position.pack()
    assert page[20:48] == CHECKPOINT.signature.pack()
    assert page[615:623] == CHECKPOINT.full_backup_position.pack()
    assert page[623:631] == CHECKPOINT.full_backup_time.pack()
    assert page[631:639] == CHECKPOINT.incremental_backup_position.pack()
    assert page[647] == 1
    assert struct.unpack_from("<I", page, 667) == (4,)
    assert page[679] == 1
    assert struct.unpack_from("<I", page)[0] == xor32(page[4:])


def test_the_file_holds_two_equal_copies_and_comes_back() -> None:
    files = MemoryFileSystem()
    asyncio.run(write_checkpoint(files, PATH, CHECKPOINT))

    data = files.read(PATH)
    assert len(data) == 8192
    assert data[:4096] == data[4096:]
    assert asyncio.run(read_checkpoint(files, PATH)) == CHECKPOINT


def test_one_damaged_copy_does_no_harm_two_do() -> None:
    page = CHECKPOINT.pack()
    bad = bytes([page[0] ^ 1]) + page[1:]

    assert unpack_checkpoint(bad + page) == CHECKPOINT
    assert unpack_checkpoint(page + bad) == CHECKPOINT
    for data in (bad + bad, page[:100], b""):
        with pytest.raises(JetError) as caught:
            unpack_checkpoint(data, path=PATH)
        assert caught.value.code == JetCode.CheckpointCorrupt


def test_an_impossible_attachment_list_is_damage_and_an_older_version_has_none() -> None:
    page = bytearray(CHECKPOINT.pack())
    struct.pack_into("<H", page, 681, 60000)
    struct.pack_into("<I", page, 0, xor32(bytes(page[4:])))
    with pytest.raises(JetError, match="runs over"):
        Checkpoint.unpack(bytes(page))
    page[647] = 0
    struct.pack_into("<I", page, 0, xor32(bytes(page[4:])))
    assert Checkpoint.unpack(bytes(page)).attachments == ()


def test_a_missing_file_has_its_own_code() -> None:
    with pytest.raises(JetError) as caught:
        asyncio.run(read_checkpoint(MemoryFileSystem(), PATH))
    assert caught.value.code == JetCode.CheckpointFileNotFound


@pytest.mark.parametrize("effect", range(4))
@pytest.mark.parametrize("keep", [False, True])
def test_power_loss_leaves_the_old_or_the_new_checkpoint(effect: int, keep: bool) -> None:
    files = MemoryFileSystem()
    asyncio.run(write_checkpoint(files, PATH, OLD))
    files.effect_count, files.power_loss_at = 0, effect

    with pytest.raises(PowerLossError):
        asyncio.run(write_checkpoint(files, PATH, CHECKPOINT))

    assert asyncio.run(read_checkpoint(files.after_power_loss(keep), PATH)) in (OLD, CHECKPOINT)
