"""The log stream: what is flushed survives anything, what is damaged is noticed, generations follow on each other."""

from __future__ import annotations

import asyncio
import errno
import random

import pytest

from tests.writers.ese.store_kit import LOGS, is_power_loss, stream_owner, stream_parameters
from vss_writers.ese.checksum import xor_dwords
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.log_checksum import CHECKSUM_SIZE, FILL_SECTOR, LogState, scan
from vss_writers.ese.log_file import LogFlag, LogHeader
from vss_writers.ese.log_page_change import PageChange
from vss_writers.ese.log_preparation import make_reserve_logs
from vss_writers.ese.log_reader import LoadedLog, judge_log, list_logs, load_log, offset_of, position_at
from vss_writers.ese.log_records import Commit0, End
from vss_writers.ese.log_stream import LogStream, begin_generation, open_stream
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.page_operation import InsertNode

CURRENT = f"{LOGS}\\E00.log"


def record(number: int, size: int = 30) -> bytes:
    """A record that can be told from others; equal sectors on purpose where it is long."""
    return PageChange(InsertNode(5, 1, 0, b"%d" % number, bytes([number % 256]) * size), 1, number + 1, number).pack()


def numbers_of(log: LoadedLog) -> list[int]:
    return [
        int(change.operation.suffix)
        for _, change in log.records
        if isinstance(change, PageChange) and isinstance(change.operation, InsertNode)
    ]


async def read_numbers(files: MemoryFileSystem, *, go_on: bool = False) -> list[int]:
    """Numbers of all records in all logs; with ``go_on`` the stream is opened at its end and something is added."""
    logs = await list_logs(files, LOGS, "E00")
    numbers: list[int] = []
    for generation, path in logs.archived.items():
        log = await load_log(files, path, may_be_torn=False)
        assert log.is_closed
        assert log.header.generation == generation
        numbers += numbers_of(log)
    if logs.current is None:
        return numbers
    log = await load_log(files, logs.current, may_be_torn=True)
    numbers += numbers_of(log)
    if go_on and not log.is_closed:
        stream = await open_stream(files, stream_parameters(), stream_owner(), log)
        for number in (1000, 1001):
            await stream.append(record(number, 600))
            await stream.flush()
        await stream.close()
    return numbers


async def write_numbers(files: MemoryFileSystem, seed: int, count: int, acknowledged: list[int]) -> LogStream:
    choices = random.Random(seed)
    stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
    for number in range(count):
        await stream.append(record(number, choices.choice([1, 30, 200, 480, 1500, 3000])))
        if choices.random() < 0.5:
            await stream.flush()
            acknowledged.append(number)
    return stream


def test_records_come_back_in_order_over_many_generations() -> None:
    files = MemoryFileSystem()

    async def main() -> None:
        stream = await write_numbers(files, 1, 80, [])
        await stream.flush()
        assert stream.generation > 3
        assert await read_numbers(files) == list(range(80))
        assert files.paths()[-1] == "L:/logs/E00tmp.log"

    asyncio.run(main())


def test_the_records_of_a_log_bear_their_positions() -> None:
    files = MemoryFileSystem()

    async def main() -> None:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        positions = [await stream.append(record(number, 700)) for number in range(5)]
        await stream.flush()

        log = await load_log(files, CURRENT, may_be_torn=False)

        assert [position for position, _ in log.records] == positions
        assert [offset_of(position) for position in positions] == log.offsets

    asyncio.run(main())


def test_each_log_names_the_one_before_by_its_creation_time() -> None:
    files = MemoryFileSystem()

    async def main() -> list[LogHeader]:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        for _ in range(2):
            await stream.roll_over()
        paths = [*(await list_logs(files, LOGS, "E00")).archived.values(), CURRENT]
        return [(await load_log(files, path, may_be_torn=False)).header for path in paths]

    headers = asyncio.run(main())
    assert [header.generation for header in headers] == [1, 2, 3]
    assert not headers[0].previous_created
    assert [header.previous_created for header in headers[1:]] == [header.created for header in headers[:-1]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_power_loss_at_every_effect_loses_nothing_acknowledged(seed: int) -> None:
    async def main() -> None:
        clean = MemoryFileSystem()
        await write_numbers(clean, seed, 40, [])
        for effect in range(clean.effect_count + 1):
            for choice in (False, True, random.Random(effect), random.Random(-effect)):
                files, acknowledged = MemoryFileSystem(power_loss_at=effect), [-1]
                await until_power_loss(write_numbers(files, seed, 40, acknowledged))
                survivor = files.after_power_loss(choice)
                survivor.power_loss_at = random.Random(effect).randrange(1, 9)
                await until_power_loss(read_numbers(survivor, go_on=True))
                survivor = survivor.after_power_loss(choice)

                numbers = await read_numbers(survivor, go_on=True)

                kept = [number for number in numbers if number < 1000]
                assert kept == list(range(len(kept))), f"effect {effect}"
                assert len(kept) > acknowledged[-1], f"effect {effect}"
                assert [number for number in await read_numbers(survivor) if number < 1000] == kept

    asyncio.run(main())


async def until_power_loss(work: object) -> None:
    try:
        await work  # type: ignore[misc]
    except Exception as error:
        if not is_power_loss(error):
            raise


def one_log(*sizes: int, flush: bool = True) -> bytes:
    """A log with one record for each size, each flushed by itself."""
    files = MemoryFileSystem()

    async def main() -> None:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        for number, size in enumerate(sizes):
            await stream.append(record(number, size))
            if flush:
                await stream.flush()
        await stream.flush()

    asyncio.run(main())
    return files.read(CURRENT)


def judged(data: bytes) -> LoadedLog:
    return judge_log(data, CURRENT, may_be_torn=True)


def test_unwritten_space_holds_the_pattern() -> None:
    data = one_log(30)

    assert data[4096 + 1024 :] == FILL_SECTOR * ((len(data) - 5120) // 512)
    assert FILL_SECTOR[:17] == bytes([0xDA] * 16 + [0xEA])
    assert judged(data).scan.is_tail_clean


def test_every_flipped_bit_of_acknowledged_records_is_noticed() -> None:
    data = one_log(700, 1500, 30, 2500)
    whole = judged(data)
    assert whole.scan.state is LogState.WHOLE
    last_sector = whole.scan.last_checksum // 512 * 512

    for offset in range(4096, last_sector, 37):
        bad = bytearray(data)
        bad[offset] ^= 0x10
        with pytest.raises(JetError) as caught:
            judged(bytes(bad))
        assert caught.value.code == JetCode.LogFileCorrupt
        assert caught.value.offset is not None


def test_the_last_sector_is_restored_from_its_shadow() -> None:
    data = one_log(700, 30)
    sector = judged(data).scan.last_checksum // 512 * 512
    bad = bytearray(data)
    bad[sector : sector + 512] = bytes(512)

    log = judged(bytes(bad))

    assert log.scan.from_shadow
    assert numbers_of(log) == [0, 1]
    bad[sector + 600] ^= 1
    with pytest.raises(JetError):
        judged(bytes(bad))


def test_damage_of_the_shadow_alone_does_no_harm() -> None:
    data = bytearray(one_log(700, 30))
    sector = judged(bytes(data)).scan.last_checksum // 512 * 512
    data[sector + 512 : sector + 1024] = FILL_SECTOR

    assert numbers_of(judged(bytes(data))) == [0, 1]


def test_two_lost_sectors_with_equal_content_are_noticed_although_the_sum_holds() -> None:
    data = bytearray(one_log(30, 3000))
    start = 4096 + 1024
    assert data[start : start + 512] == data[start + 512 : start + 1024]
    data[start : start + 1024] = FILL_SECTOR * 2

    log = judged(bytes(data))

    assert log.scan.state is LogState.TORN
    assert numbers_of(log) == [0]


def test_data_that_looks_like_the_pattern_is_kept() -> None:
    files = MemoryFileSystem()

    async def main() -> LoadedLog:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        # The record's data begins at byte 83 of the sector; the pattern in it is shifted so that it lines up.
        data = FILL_SECTOR[83:] + FILL_SECTOR * 4
        await stream.append(PageChange(InsertNode(5, 1, 0, b"12345678901", data), 1, 2, 1).pack())
        await stream.flush()
        await stream.append(record(2))
        await stream.flush()
        return await load_log(files, CURRENT, may_be_torn=True)

    log = asyncio.run(main())
    assert log.scan.state is LogState.WHOLE
    assert FILL_SECTOR in [log.scan.data[at : at + 512] for at in range(4096, log.data_end, 512)]
    assert len(log.records) == 2


def test_data_behind_the_torn_part_means_damage() -> None:
    data = bytearray(one_log(30, 3000, 3000))
    data[4096 + 1024 : 4096 + 1536] = FILL_SECTOR

    with pytest.raises(JetError, match="damaged"):
        judged(bytes(data))


def test_a_log_of_another_generation_does_not_pass() -> None:
    data = one_log(30, 700)
    header = LogHeader.unpack(data)

    assert scan(data, header.generation).state is LogState.WHOLE
    assert scan(data, header.generation + 1).state is LogState.DAMAGED


@pytest.mark.parametrize(("start", "value"), [(0, 0), (1, 0xFF), (5, 0xFF), (9, 0xFF), (21, 0)])
def test_an_impossible_checksum_record_is_damage(start: int, value: int) -> None:
    data = bytearray(one_log(700, 700))
    data[4096 + start] = value

    assert scan(bytes(data), 1).state is LogState.DAMAGED


def test_an_empty_log_is_whole_and_one_that_lost_its_first_sector_is_torn() -> None:
    empty = one_log()
    assert judged(empty).scan.state is LogState.WHOLE
    assert judged(empty).data_end == 4096
    lost = bytearray(one_log(3000))
    lost[4096:4608] = FILL_SECTOR

    log = judged(bytes(lost))

    assert log.scan.state is LogState.TORN
    assert log.records == []


def test_a_torn_log_is_refused_where_it_must_be_whole() -> None:
    data = bytearray(one_log(30, 3000))
    data[4096 + 1024 : 4096 + 2048] = FILL_SECTOR * 2

    with pytest.raises(JetError, match="records are torn"):
        judge_log(bytes(data), CURRENT, may_be_torn=False)


def test_a_log_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(JetError, match="expected 16384 bytes, found 16000"):
        judged(one_log(30)[:16000])


def test_records_behind_the_end_and_unknown_ones_are_refused() -> None:
    files = MemoryFileSystem()

    async def main(packed: bytes) -> None:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        await stream.append(packed)
        await stream.append(Commit0(1, 1).pack())
        await stream.flush()
        await load_log(files, CURRENT, may_be_torn=True)

    with pytest.raises(JetError, match="follow the end"):
        asyncio.run(main(End().pack()))
    files.delete(CURRENT)
    with pytest.raises(JetError, match="unknown record type 254"):
        asyncio.run(main(b"\xfe"))
    files.delete(CURRENT)
    with pytest.raises(JetError, match=r"runs over|malformed|cut off"):
        asyncio.run(main(record(1)[:40]))


def test_positions_and_offsets() -> None:
    assert position_at(3, 4096 + 22) == LogPosition(3, 8, 22)
    assert offset_of(LogPosition(3, 8, 22)) == 4118
    assert xor_dwords(b"") == 0
    assert xor_dwords(b"\x01\x02\x03\x04\x05") == 0x04030201 ^ 0x05


def test_a_record_larger_than_a_log_is_refused_and_does_no_harm() -> None:
    files = MemoryFileSystem()

    async def main() -> list[int]:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        with pytest.raises(JetError) as caught:
            await stream.append(bytes(16000))
        assert caught.value.code == JetCode.LogBufferTooSmall
        await stream.append(record(0))
        await stream.flush()
        return await read_numbers(files)

    assert asyncio.run(main()) == [0]


def test_waiting_commits_share_one_write() -> None:
    files = MemoryFileSystem()

    async def main() -> int:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        positions = [await stream.append(record(number)) for number in range(10)]
        before = stream.flush_count
        await asyncio.gather(*(stream.flush(position) for position in positions))
        assert stream.flushed_position > positions[-1]
        await stream.flush(positions[0])
        await stream.flush()
        return stream.flush_count - before

    assert asyncio.run(main()) == 1


def test_generations_end_before_their_numbers_do() -> None:
    files = MemoryFileSystem()

    async def main() -> None:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None, generation=0x7FFFF7FF)
        with pytest.raises(JetError) as caught:
            await stream.roll_over()
        assert caught.value.code == JetCode.LogSequenceEnd
        with pytest.raises(JetError):
            await stream.append(record(1))

    asyncio.run(main())


def test_a_failed_write_stops_the_stream_for_good() -> None:
    files = MemoryFileSystem()

    def fail(kind: str, path: str) -> None:
        if kind == "sync":
            raise OSError(errno.EIO, "device failed")

    async def main() -> None:
        stream = await begin_generation(files, stream_parameters(), stream_owner(), None)
        await stream.append(record(1))
        files.fail = fail
        for _ in range(2):
            with pytest.raises(JetError) as caught:
                await stream.flush()
            assert caught.value.code == JetCode.LogWriteFail
        assert stream.error is caught.value
        with pytest.raises(JetError):
            await stream.append(record(2))
        with pytest.raises(JetError):
            await stream.roll_over()

    asyncio.run(main())


def test_a_full_disk_is_met_with_the_reserve_logs_until_they_are_gone() -> None:
    files = MemoryFileSystem()
    used: list[str] = []

    async def main() -> None:
        owner = stream_owner(on_low_space=used.append)
        stream = await begin_generation(files, stream_parameters(), owner, None)
        await make_reserve_logs(files, LOGS, "E00", 16 * 1024)
        await make_reserve_logs(files, LOGS, "E00", 16 * 1024)
        files.space_bytes = sum(len(files.read(path)) for path in files.paths()) + 100
        await stream.roll_over()
        assert stream.header.flags & LogFlag.RESERVED
        await stream.roll_over()
        assert stream.header.flags & LogFlag.RESERVED
        with pytest.raises(JetError) as caught:
            await stream.roll_over()
        assert caught.value.code == JetCode.LogDiskFull

    asyncio.run(main())
    assert used == [f"{LOGS}\\E00res00001.jrs", f"{LOGS}\\E00res00002.jrs"]


def test_headers_remember_circular_logging() -> None:
    files = MemoryFileSystem()

    async def main() -> list[LogFlag]:
        stream = await begin_generation(files, stream_parameters(is_circular=True), stream_owner(), None)
        flags = [stream.header.flags]
        await stream.close()
        log = await load_log(files, CURRENT, may_be_torn=True)
        stream = await open_stream(files, stream_parameters(), stream_owner(), log)
        await stream.roll_over()
        flags.append(stream.header.flags)
        await stream.roll_over()
        return [*flags, stream.header.flags]

    assert asyncio.run(main()) == [LogFlag.CIRCULAR, LogFlag.CIRCULAR_HISTORY, LogFlag.CIRCULAR_HISTORY]


def test_a_checksum_record_never_crosses_a_sector() -> None:
    for size in range(380, 460):
        log = judged(one_log(size, 10, flush=True))
        assert numbers_of(log) == [0, 1]
        assert log.scan.last_checksum % 512 <= 512 - CHECKSUM_SIZE
