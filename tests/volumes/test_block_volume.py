"""The block volume: files and blocks behind one gate, filters below it, loss and replacement; in virtual and in real time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.volumes.kit import ID, get, put
from vss.errors import (
    BadStateError,
    FlushWritesTimeoutError,
    HoldWritesTimeoutError,
    InvalidArgumentError,
    NotFoundError,
    VolumeDamagedError,
    VolumeError,
    VolumeFullError,
    VolumeReadError,
    VolumeWriteError,
)
from vss.events import Event, WritesReleased
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.real import real_ports
from vss.simulation import MemoryFiles, run
from vss.volumes import (
    BlockStore,
    BlockVolume,
    ExtentFileSystem,
    FaultyStore,
    ImageStore,
    Latency,
    MemoryStore,
    StoreEffect,
    StoreFault,
)

SIZE = 1 << 20


def formatted(ports: Ports, store: BlockStore | None = None, latency: Latency | None = None) -> BlockVolume:
    return BlockVolume.format(
        ports, "D:", MemoryStore(SIZE) if store is None else store, volume_id=ID, latency=latency or Latency()
    )


# -- files ---------------------------------------------------------------------------------------------------------------------


def test_files_are_written_read_and_listed() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        files = volume.files
        await files.make_directory("/Exchange/SG1")
        file = await files.open("/Exchange/SG1/DB1.edb", create=True, exclusive=True)
        await file.pwrite(10, memoryview(bytearray(8)).cast("I"))
        assert (file.path, file.size_bytes) == ("/Exchange/SG1/DB1.edb", 18)
        await file.truncate(5)
        await file.sync()
        assert await file.pread(0, 100) == bytes(5)
        await file.close()
        await file.close()
        await files.rename("/Exchange/SG1/DB1.edb", "/DB1.edb")
        assert await files.exists("/DB1.edb")
        assert (await files.stat("/DB1.edb")).size_bytes == 5
        assert (await files.stat("/DB1.edb")).modified_ns == ports.clock.wall_ns()
        assert await files.list_directory("/") == ["DB1.edb", "Exchange"]
        assert not files.is_read_only
        assert files.free_bytes > 0
        await files.sync()
        await files.remove("/DB1.edb")
        await files.sync()
        volume.close()
        with pytest.raises(NotFoundError):
            await files.stat("/DB1.edb")

    run(main)


def test_handles_refuse_what_they_were_not_opened_for() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        reader = await volume.files.open("/f")
        with pytest.raises(VolumeWriteError, match="reading only"):
            await reader.pwrite(0, b"x")
        with pytest.raises(VolumeWriteError, match="reading only"):
            await reader.truncate(0)
        await reader.close()
        for call in (reader.pread(0, 1), reader.pwrite(0, b"x"), reader.truncate(0), reader.sync()):
            with pytest.raises(BadStateError, match="closed"):
                await call
        with pytest.raises(NotFoundError):
            await volume.files.open("/nothing", write=True)

    run(main)


def test_a_mounted_volume_finds_its_files_size_and_id() -> None:
    files = MemoryFiles()

    async def main(ports: Ports) -> None:
        store = ImageStore.create(ports.files, Path("/image"), 2 * SIZE)
        volume = BlockVolume.format(ports, "D:", store, volume_id=ID, size_bytes=SIZE)
        await put(volume, "/f", b"content")
        volume.raw_store.write(SIZE, b"diff area behind the volume")
        volume.close()
        again = BlockVolume.mount(ports, "D:", ImageStore.open(ports.files, Path("/image")))
        assert (again.volume_id, again.size_bytes, again.raw_store.size_bytes) == (ID, SIZE, 2 * SIZE)
        assert await get(again, "/f") == b"content"
        assert BlockVolume.mount(ports, "E:", again.raw_store, volume_id=Guid(int=5)).volume_id == Guid(int=5)
        with pytest.raises(VolumeReadError):
            await again.read(SIZE, 1)
        with pytest.raises(VolumeWriteError):
            await again.write(SIZE - 1, b"ab")

    run(main, files=files)


def test_a_shadow_copy_device_is_mounted_read_only_or_for_its_writer() -> None:
    class Device:
        def __init__(self, data: bytes) -> None:
            self.data = bytearray(data)
            self.size_bytes = len(data)

        def read(self, offset: int, length: int) -> bytes:
            return bytes(self.data[offset : offset + length])

    class WritableDevice(Device):
        def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
            self.data[offset : offset + len(data)] = data

    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        image = volume.raw_store.read(0, SIZE)
        shadow = ExtentFileSystem.on_device(Device(image))
        assert shadow.is_read_only
        assert shadow.volume_id == ID
        file = await shadow.open("/f")
        assert await file.pread(0, 10) == b"content"
        await file.sync()
        await shadow.sync()
        for options in ({"write": True}, {"create": True}, {"exclusive": True}):
            with pytest.raises(VolumeWriteError, match="read-only"):
                await shadow.open("/f", **options)
        with pytest.raises(VolumeWriteError, match="read-only"):
            await shadow.remove("/f")
        device = WritableDevice(image)
        recovering = ExtentFileSystem.on_writable_device(device, ports.clock.wall_ns)
        written = await recovering.open("/f", write=True)
        await written.pwrite(0, b"CON")
        await recovering.rename("/f", "/g")
        await written.sync()
        assert await (await ExtentFileSystem.on_device(device).open("/g")).pread(0, 10) == b"CONtent"
        with pytest.raises(NotFoundError):
            await (await shadow.open("/g")).close()

    run(main)


def test_locate_leads_to_the_byte_on_the_disk() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"a" * 5000 + b"b")
        place = await volume.files.locate("/f", 5000)
        volume.raw_store.write(place, b"X")
        assert (await get(volume, "/f"))[4999:] == b"aX"

    run(main)


def test_capacity_errors_leave_the_file_as_before() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        file = await volume.files.open("/f", write=True)
        with pytest.raises(VolumeFullError):
            await file.pwrite(3, bytes(2 * SIZE))
        assert await get(volume, "/f") == b"content"

    run(main)


# -- hold ----------------------------------------------------------------------------------------------------------------------


def test_nothing_changes_the_store_while_writes_are_held() -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        file = await volume.files.open("/f", create=True)
        await file.pwrite(0, b"before the hold, never synced")
        await volume.flush_and_hold(10)
        assert volume.is_holding
        image = volume.raw_store.read(0, SIZE)
        changes = [
            file.pwrite(0, b"BEFORE"),
            volume.files.rename("/f", "/g"),
            volume.files.open("/h", create=True),
            file.truncate(9),
            file.sync(),
            volume.files.make_directory("/d"),
            volume.write(SIZE - 1000, b"raw"),
        ]
        tasks = []
        for change in changes:
            tasks.append(asyncio.ensure_future(change))
            await ports.clock.sleep(0.1)
        await ports.clock.sleep(5)
        assert volume.raw_store.read(0, SIZE) == image
        assert await file.pread(0, 6) == b"before"
        assert await volume.read(0, SIZE) == image
        assert volume.queued_count == 6
        await volume.release_writes()
        assert not volume.is_holding
        for task in tasks:
            await task
        assert await get(volume, "/g") == b"BEFORE th"
        assert await volume.files.list_directory("/") == ["d", "g", "h"]
        held = ExtentFileSystem.on_device(MemoryStore(SIZE, content=image))
        assert await held.list_directory("/") == ["f"]
        assert await (await held.open("/f")).pread(0, 100) == b"before the hold, never synced"

    run(main, emit=events.append)
    (released,) = [each for each in events if isinstance(each, WritesReleased)]
    assert (released.queued_count, released.queued_bytes) == (6, 6 + 3)


def test_many_writers_in_a_hold_are_served_in_issue_order() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        file = await volume.files.open("/f", create=True)
        await volume.flush_and_hold(10)

        async def append(number: int) -> None:
            await ports.clock.sleep(number / 100)
            await file.pwrite(0, bytes([number]))
            await file.pwrite(number, bytes([number]))

        tasks = [asyncio.ensure_future(append(number)) for number in range(1, 50)]
        await ports.clock.sleep(12)
        with pytest.raises(HoldWritesTimeoutError):
            await volume.release_writes()
        for task in tasks:
            await task
        assert await get(volume, "/f") == bytes([49, *range(1, 50)])

    run(main)


def test_a_slow_flush_loses_the_window_and_a_hold_can_be_tried_again() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports, latency=Latency(flush_s=11))
        with pytest.raises(FlushWritesTimeoutError):
            await volume.flush_and_hold(10)
        assert ports.clock.now_ns() == 10 * NANOSECONDS
        await volume.flush_and_hold(20)
        await volume.release_writes()

    run(main)


def test_an_unmounted_volume_can_be_held_written_and_flushed() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume(ports, "D:", MemoryStore(SIZE), volume_id=ID)
        with pytest.raises(BadStateError, match="mounted"):
            _ = volume.files
        await volume.write(5, b"abc")
        await volume.flush()
        await volume.flush_and_hold(1)
        await volume.release_writes()
        assert await volume.read(4, 5) == b"\0abc\0"
        assert volume.device.is_dirty is False
        volume.close()

    run(main)


# -- filters -------------------------------------------------------------------------------------------------------------------


class Saver:
    """A filter that keeps what is about to be overwritten, or refuses."""

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        self.saved: list[tuple[int, bytes]] = []
        self.error: VolumeError | None = None

    def before_write(self, offset: int, length: int) -> None:
        if self.error is not None:
            raise self.error
        self.saved.append((offset, self.store.read(offset, length)))


def test_filters_see_the_old_bytes_of_every_change() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"first content")
        before = volume.raw_store.read(0, SIZE)
        saver = Saver(volume.raw_store)
        volume.attach_filter(saver)
        await put(volume, "/f", b"other content")
        await put(volume, "/g", b"g" * 30_000)
        await volume.files.rename("/g", "/f")
        volume.detach_filter(saver)
        volume.detach_filter(saver)
        count = len(saver.saved)
        await put(volume, "/late", b"unseen")
        assert len(saver.saved) == count
        await volume.files.remove("/late")
        rebuilt = bytearray(volume.raw_store.read(0, SIZE))
        assert bytes(rebuilt) != before

    run(main)


def test_undoing_what_a_filter_saved_gives_the_old_volume() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"first content")
        before = volume.raw_store.read(0, SIZE)
        saver = Saver(volume.raw_store)
        volume.attach_filter(saver)
        for number in range(20):
            await put(volume, f"/g{number}", bytes([number]) * 9_000)
        await volume.files.remove("/f")
        await volume.files.sync()
        rebuilt = bytearray(volume.raw_store.read(0, SIZE))
        for offset, data in reversed(saver.saved):
            rebuilt[offset : offset + len(data)] = data
        assert bytes(rebuilt) == before

    run(main)


def test_a_filter_that_raises_fails_the_write_and_leaves_the_origin() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        saver = Saver(volume.raw_store)
        saver.error = VolumeFullError("diff area is full")
        before = volume.raw_store.read(0, SIZE)
        volume.attach_filter(saver)
        with pytest.raises(VolumeFullError, match="diff area"):
            await volume.write(100_000, b"x")
        file = await volume.files.open("/f", write=True)
        with pytest.raises(VolumeFullError, match="diff area"):
            await file.pwrite(0, b"x")
        assert volume.raw_store.read(0, SIZE) == before
        volume.detach_filter(saver)
        await file.pwrite(0, b"C")
        assert await get(volume, "/f") == b"Content"

    run(main)


# -- failing flushes -----------------------------------------------------------------------------------------------------------


def test_a_failed_flush_is_told_to_every_open_file_once() -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE))
        volume = formatted(ports, store)
        one = await volume.files.open("/one", create=True)
        two = await volume.files.open("/two", create=True)
        await one.pwrite(0, b"1")
        await two.pwrite(0, b"2")
        store.arm(StoreFault(StoreEffect.FLUSH_ERROR))
        with pytest.raises(VolumeWriteError, match="input/output error"):
            await one.sync()
        with pytest.raises(VolumeWriteError, match="an earlier flush"):
            await two.sync()
        await one.sync()
        await two.sync()
        late = await volume.files.open("/one", write=True)
        await late.sync()

    run(main)


def test_a_hold_over_a_failing_flush_fails_and_holds_nothing() -> None:
    async def main(ports: Ports) -> None:
        store = FaultyStore(MemoryStore(SIZE))
        volume = formatted(ports, store)
        file = await volume.files.open("/f", create=True)
        await file.pwrite(0, b"1")
        store.arm(StoreFault(StoreEffect.FLUSH_ERROR))
        with pytest.raises(VolumeWriteError):
            await volume.flush_and_hold(10)
        assert not volume.is_holding
        await volume.flush_and_hold(10)
        await volume.release_writes()

    run(main)


# -- loss ----------------------------------------------------------------------------------------------------------------------


def test_a_lost_volume_refuses_everything_until_it_is_replaced() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        file = await volume.files.open("/f", write=True)
        volume.attach_filter(Saver(volume.raw_store))
        volume.lose()
        volume.lose()
        assert volume.is_lost
        store = volume.raw_store
        for call in (
            lambda: store.read(0, 1),
            lambda: store.read_into(0, bytearray(1)),
            lambda: store.write(0, b"x"),
            store.flush,
            lambda: store.grow(SIZE * 2),
            lambda: volume.attach_filter(Saver(store)),
            volume.remount,
        ):
            with pytest.raises(VolumeError, match="volume D: is lost"):
                call()
        for work in (
            file.pread(0, 1),
            file.pwrite(0, b"x"),
            file.sync(),
            volume.files.stat("/f"),
            volume.files.open("/g", create=True),
            volume.read(0, 1),
            volume.write(0, b"x"),
            volume.flush_and_hold(10),
        ):
            with pytest.raises(VolumeError, match="is lost"):
                await work
        await volume.release_writes()
        store.close()
        volume.close()
        with pytest.raises(InvalidArgumentError, match="at least"):
            volume.replace_with_blank(MemoryStore(SIZE - 512))
        volume.replace_with_blank()
        assert not volume.is_lost
        assert volume.size_bytes == SIZE
        assert volume.files.volume_id == ID
        assert await volume.files.list_directory("/") == []
        with pytest.raises(VolumeError, match="lost"):
            await file.pread(0, 1)
        await put(volume, "/f", b"restored")
        with pytest.raises(BadStateError, match="a working one"):
            volume.replace_with_blank()

    run(main)


def test_losing_a_held_volume_fails_the_waiting_writes() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        await put(volume, "/f", b"content")
        file = await volume.files.open("/f", write=True)
        await volume.flush_and_hold(10)
        task = asyncio.ensure_future(file.pwrite(0, b"x"))
        await ports.clock.sleep(1)
        volume.lose()
        with pytest.raises(VolumeError, match="is lost"):
            await task
        await volume.release_writes()
        await ports.clock.sleep(20)

    run(main, unjudged="the volume goes without the VolumeLost that a machine tells")


def test_a_volume_that_was_lost_before_can_be_made_as_lost() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.lost(ports, "D:", SIZE, volume_id=ID)
        assert volume.is_lost
        with pytest.raises(VolumeError, match="is lost"):
            _ = volume.files
        volume.replace_with_blank(MemoryStore(2 * SIZE))
        assert volume.size_bytes == SIZE
        assert await volume.files.list_directory("/") == []

    run(main)


def test_remounting_brings_what_stands_on_the_store_now() -> None:
    async def main(ports: Ports) -> None:
        volume = formatted(ports)
        files = volume.files
        await put(volume, "/f", b"old")
        image = volume.raw_store.read(0, SIZE)
        await put(volume, "/f", b"new")
        await put(volume, "/g", b"new")
        file = await files.open("/g")
        volume.raw_store.write(0, image)
        volume.remount()
        assert volume.files is files
        assert await files.list_directory("/") == ["f"]
        assert await get(volume, "/f") == b"old"
        with pytest.raises(VolumeError, match="mounted anew"):
            await file.pread(0, 1)
        volume.raw_store.write(0x4000, bytes(0x4000))
        with pytest.raises(VolumeDamagedError):
            volume.remount()
        with pytest.raises(VolumeDamagedError):
            await files.stat("/f")
        with pytest.raises(VolumeDamagedError):
            BlockVolume.mount(ports, "E:", volume.raw_store)

    run(main)


@pytest.mark.parametrize(("name", "size"), [("D", SIZE), ("", SIZE), ("D:", SIZE + 1), ("D:", 0)])
def test_impossible_volumes_are_refused(name: str, size: int) -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(InvalidArgumentError):
            BlockVolume(ports, name, MemoryStore(SIZE), volume_id=ID, size_bytes=size)

    run(main)


# -- latency and the real loop -------------------------------------------------------------------------------------------------


def test_latency_costs_virtual_time_per_operation() -> None:
    async def main(ports: Ports) -> int:
        volume = formatted(ports, latency=Latency(read_s=1, write_s=2, flush_s=4))
        file = await volume.files.open("/f", create=True)
        await file.pwrite(0, b"x")
        await file.pread(0, 1)
        return ports.clock.now_ns() // NANOSECONDS

    assert run(main) == 2 + 2 + 1


def test_the_same_volume_works_on_the_stock_loop(tmp_path: Path) -> None:
    async def main() -> None:
        ports = real_ports(seed=1)
        store = ImageStore.create(ports.files, tmp_path / "image", SIZE)
        volume = formatted(ports, store)
        await put(volume, "/f", b"content")
        file = await volume.files.open("/f", write=True)
        await volume.flush_and_hold(10)
        tasks = [asyncio.ensure_future(file.pwrite(number, b"%d" % number)) for number in range(5)]
        await asyncio.sleep(0)
        assert volume.queued_count == 5
        await volume.release_writes()
        for task in tasks:
            await task
        await file.sync()  # so that the window is not spent on the host's disk
        await volume.flush_and_hold(0.1)
        late = asyncio.ensure_future(file.pwrite(6, b"T"))
        await late
        with pytest.raises(HoldWritesTimeoutError):
            await volume.release_writes()
        await file.sync()
        volume.close()
        again = BlockVolume.mount(ports, "D:", ImageStore.open(ports.files, tmp_path / "image"))
        assert await get(again, "/f") == b"01234nT"
        again.close()

    asyncio.run(main())


def test_what_is_discarded_reads_as_zeros_and_blank_places_stay_untouched() -> None:
    class Writes:
        def __init__(self) -> None:
            self.seen: list[tuple[int, int]] = []

        def before_write(self, offset: int, length: int) -> None:
            self.seen.append((offset, length))

    async def main(ports: Ports) -> None:
        store = MemoryStore(4 << 20)
        volume = BlockVolume(ports, "D:", store, volume_id=ID, size_bytes=3 << 20)
        await volume.write(100, b"x" * 1000)
        filter_ = Writes()
        volume.attach_filter(filter_)
        await volume.discard(200, (3 << 20) - 200)
        assert await volume.read(0, 2000) == bytes(100) + b"x" * 100 + bytes(1800)
        assert filter_.seen == [(200, 1 << 20)]
        with pytest.raises(VolumeWriteError):
            await volume.discard(1 << 20, 3 << 20)
        await volume.flush_and_hold(10)
        held = asyncio.ensure_future(volume.discard(0, 200))
        await ports.clock.sleep(1)
        assert await volume.read(100, 100) == b"x" * 100
        await volume.release_writes()
        await held
        assert await volume.read(100, 100) == bytes(100)

    run(main)
