"""The array provider: copies of LUNs, transport to another machine, LUNs that do not arrive, breaking off."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.providers.world import PERSISTENT, SIZE, Machine, get, put
from vss.coordinator import Coordinator
from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext
from vss.documents import BackupType
from vss.errors import (
    InvalidArgumentError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
    VssError,
)
from vss.events import Event, SnapshotDeleted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import BreakOptions, ProviderType
from vss.roles.volume import FileSystem
from vss.simulation import run
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_providers.array import DIFFERENTIAL, HARDWARE_ASSISTED, IMPORTED, NOT_SURFACED, PLEX, TRANSPORTABLE, ArrayProvider
from vss_providers.luns import Lun, SimulatedArray
from vss_providers.transport import TransportableSet

VOLATILE = 0


def two_machines(ports: Ports, array: SimulatedArray | None = None) -> tuple[Machine, ArrayProvider, SimulatedArray]:
    """A machine A on an array, and the provider of a machine B on the same."""
    array = array or SimulatedArray()
    first = Machine(ports, lambda ports: ArrayProvider(ports, array=array, machine_name="A"))
    return first, ArrayProvider(ports, array=array, machine_name="B"), array


def waiting(array: SimulatedArray) -> TransportableSet:
    (found,) = array.transportable.values()
    return found


@pytest.mark.parametrize("kind", [DIFFERENTIAL, PLEX])
def test_a_copy_shows_the_point_in_time_and_takes_writes_until_it_is_final(kind: int) -> None:
    async def main(ports: Ports) -> None:
        machine, _, _ = two_machines(ports)
        volume = await machine.add("D:")
        set_id, (snapshot_id,) = await machine.prepare(kind)
        await machine.provider.commit_snapshots(set_id)
        await put(volume, "/file", b"after" * 9999)
        await machine.provider.post_commit_snapshots(set_id, 1)
        with pytest.raises(NotFoundError):
            await machine.provider.open_snapshot(snapshot_id)
        await machine.provider.pre_final_commit_snapshots(set_id)
        files: FileSystem = await machine.provider.open_snapshot(snapshot_id)
        with pytest.raises(NotFoundError):
            await machine.provider.open_snapshot(Guid(int=1))
        file = await files.open("/recovered", write=True, create=True)
        await file.pwrite(0, b"yes")
        await files.sync()
        assert await machine.provider.query() == []
        await machine.provider.post_final_commit_snapshots(set_id)
        assert await machine.read(snapshot_id) == b"before D:"
        assert await machine.read(snapshot_id, "/recovered") == b"yes"
        assert await get(volume.files, "/file") == b"after" * 9999
        (properties,) = await machine.provider.query()
        assert properties.attributes == kind | HARDWARE_ASSISTED
        assert not properties.device_name.endswith("\\")
        with pytest.raises(VolumeWriteError):
            await file.pwrite(0, b"late")
        await machine.provider.delete_snapshot(snapshot_id)
        with pytest.raises(VolumeReadError):
            await get(files, "/file")
        with pytest.raises(NotFoundError):
            await machine.provider.delete_snapshot(snapshot_id)
        assert list(volume.device._filters) == []
        await machine.provider.close()

    run(main)


@pytest.mark.parametrize("seed", range(4))
def test_both_kinds_of_copy_are_exact_whatever_is_written(seed: int) -> None:
    async def main(ports: Ports) -> None:
        source = random.Random(seed)
        machine, _, array = two_machines(ports)
        volume = await machine.add("D:", size_bytes=SIZE + 1024)
        expected: list[tuple[Lun, bytes]] = []
        for number in range(6):
            await machine.create(DIFFERENTIAL if number % 2 else PLEX)
            copy = list(machine.provider._copies.values())[-1]
            expected.append((copy.target, volume.raw_store.read(0, volume.size_bytes)))
            for _ in range(5):
                length = source.choice([1, 512, 4096, 50_000])
                await volume.write(source.randrange(volume.size_bytes - length), source.randbytes(length))
        for lun, content in expected:
            for _ in range(10):
                at = source.randrange(volume.size_bytes - 70_000)
                assert lun.read(at, 70_000) == content[at : at + 70_000]
        assert array.find("no such LUN") is None

    run(main)


def test_what_the_array_cannot_honour_is_declined() -> None:
    async def main(ports: Ports) -> None:
        machine, provider, _ = two_machines(ports)
        volume = await machine.add("D:")
        assert machine.provider.type is ProviderType.HARDWARE
        for attributes in (0x4, DIFFERENTIAL | PLEX, DIFFERENTIAL | TRANSPORTABLE):
            assert not await machine.provider.is_volume_supported(volume, attributes)
        assert await machine.provider.is_volume_supported(volume, TRANSPORTABLE | PLEX | 0x9)
        stranger = BlockVolume.format(ports, "X:", MemoryStore(SIZE), volume_id=Guid(int=3))
        assert not await machine.provider.is_volume_supported(stranger, 0)
        with pytest.raises(VolumeNotSupportedError):
            await machine.provider.begin_prepare_snapshot(Guid(int=1), Guid(int=2), stranger, 0)
        volume.lose()
        await provider.attach(volume)
        assert not await machine.provider.is_volume_supported(volume, 0)
        volume.replace_with_blank()
        assert not await machine.provider.is_volume_supported(volume, 0)
        await machine.provider.attach(volume)
        assert await machine.provider.is_volume_supported(volume, 0)

    run(main)


def test_calls_out_of_order_and_aborts_leave_nothing_behind() -> None:
    async def main(ports: Ports) -> None:
        machine, _, array = two_machines(ports)
        volume = await machine.add("D:")
        provider = machine.provider
        set_id, _ = await machine.prepare(VOLATILE)
        with pytest.raises(ProviderVetoError, match="expected EndPrepareSnapshots in stage PREPARING"):
            await provider.end_prepare_snapshots(set_id)
        with pytest.raises(ProviderError, match="in the making"):
            await provider.commit_snapshots(Guid(int=5))
        await provider.abort_snapshots(Guid(int=5))
        await provider.abort_snapshots(set_id)
        await provider.abort_snapshots(set_id)
        await provider.begin_prepare_snapshot(Guid(int=6), Guid(int=7), volume, 0)
        with pytest.raises(ProviderVetoError, match="already"):
            await provider.begin_prepare_snapshot(Guid(int=6), Guid(int=8), volume, 0)
        await machine.prepare(VOLATILE)
        await provider.close()
        assert len(array._luns) == 1
        assert list(volume.device._filters) == []

    run(main)


def test_an_abort_interrupts_the_synchronisation() -> None:
    async def main(ports: Ports) -> None:
        machine, _, _ = two_machines(ports)
        volume = await machine.add("D:", size_bytes=3 << 20)
        await machine.provider.begin_prepare_snapshot(Guid(int=6), Guid(int=7), volume, 0)
        task = asyncio.ensure_future(machine.provider.end_prepare_snapshots(Guid(int=6)))
        await ports.clock.sleep(0)
        await machine.provider.abort_snapshots(Guid(int=6))
        with pytest.raises(ProviderVetoError, match="aborted while"):
            await task

    run(main)


@pytest.mark.parametrize("when", ["end prepare", "pre-commit", "replaced"])
def test_a_device_that_fails_vetoes_the_set(when: str) -> None:
    async def main(ports: Ports) -> None:
        machine, _, _ = two_machines(ports)
        store = FaultyStore(MemoryStore(SIZE, name="D:"))
        volume = await machine.add("D:", store)
        provider = machine.provider
        await provider.begin_prepare_snapshot(Guid(int=6), Guid(int=7), volume, DIFFERENTIAL if when == "replaced" else 0)
        if when == "end prepare":
            store.arm(StoreFault(StoreEffect.READ_ERROR))
            with pytest.raises(ProviderVetoError, match="could not be copied"):
                await provider.end_prepare_snapshots(Guid(int=6))
            return
        await provider.end_prepare_snapshots(Guid(int=6))
        if when == "replaced":
            volume.lose()
            volume.replace_with_blank()
            with pytest.raises(ProviderVetoError, match="lost or replaced"):
                await provider.pre_commit_snapshots(Guid(int=6))
            return
        await volume.write(0x8000, b"x")
        store.arm(StoreFault(StoreEffect.READ_ERROR))
        with pytest.raises(ProviderVetoError, match="could not be copied"):
            await provider.pre_commit_snapshots(Guid(int=6))

    run(main)


# -- transport -----------------------------------------------------------------------------------------------------------------


def test_a_transportable_set_is_seen_only_where_it_is_imported_and_once() -> None:
    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports, SimulatedArray(arrival_s=2.0))
        for name in ("D:", "E:"):
            await machine.add(name)
        ids = await machine.create(TRANSPORTABLE)
        await put(machine.volumes[0], "/file", b"after")
        assert [each.device_name for each in await machine.provider.query()] == ["", ""]
        with pytest.raises(NotFoundError):
            await machine.provider.open_snapshot(ids[0])
        transportable = waiting(array)

        result = await other.import_snapshots(transportable)

        assert (result.hresult, result.imported, result.missing) == (HResult.S_OK, tuple(ids), ())
        assert await get(await other.open_snapshot(ids[0]), "/file") == b"before D:"
        found = await other.query()
        assert [each.snapshot_id for each in found] == ids
        assert all(each.attributes & IMPORTED and not each.attributes & 0x40 for each in found)
        assert (found[0].originating_machine, found[0].service_machine, found[0].snapshots_in_set) == ("A", "B", 2)
        with pytest.raises(NotFoundError, match="waits for import"):
            await other.import_snapshots(transportable)
        assert await machine.provider.query() == []
        (third, _) = await machine.create(TRANSPORTABLE)
        await machine.provider.delete_snapshot(third)
        with pytest.raises(NotFoundError):
            await machine.provider.delete_snapshot(third)

    run(main)


def test_luns_that_do_not_arrive_are_missing() -> None:
    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports)
        for name in ("D:", "E:"):
            await machine.add(name)
        ids = await machine.create(TRANSPORTABLE)
        transportable = waiting(array)
        luns = [array.find(lun_id) for _, lun_id in transportable.copies]
        assert luns[0] is not None
        assert luns[1] is not None
        luns[0].is_withheld = luns[1].is_withheld = True
        with pytest.raises(ProviderError, match="none of its 2 LUNs") as caught:
            await other.import_snapshots(transportable)
        assert caught.value.hresult is HResult.VSS_E_MISSING_DISK
        luns[1].is_withheld = False

        result = await other.import_snapshots(transportable)

        assert result.hresult is HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED
        assert result.imported == (ids[1],)
        assert result.missing == (luns[0].lun_id,)
        assert [each.snapshot_id for each in await other.query()] == [ids[1]]

    run(main)


def test_a_lun_that_was_removed_is_missing_too() -> None:
    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports)
        await machine.add("D:")
        await machine.create(TRANSPORTABLE)
        transportable = waiting(array)
        lun = array.find(transportable.copies[0][1])
        assert lun is not None
        array.remove(lun)
        with pytest.raises(ProviderError, match="none of its 1 LUNs"):
            await other.import_snapshots(transportable)

    run(main)


def test_a_local_lun_that_does_not_arrive_fails_the_set_through_the_coordinator() -> None:
    class Withholding(SimulatedArray):
        def begin_copy(self, source: Lun, *, is_plex: bool) -> Lun:
            lun = super().begin_copy(source, is_plex=is_plex)
            lun.is_withheld = True
            return lun

    async def main(ports: Ports) -> None:
        error, ids, _ = await through_coordinator(ports, Withholding())
        assert isinstance(error, ProviderVetoError)
        assert "did not arrive" in error.message
        assert ids == []

    run(main)


async def through_coordinator(
    ports: Ports, array: SimulatedArray, attributes: SnapshotAttributes = SnapshotAttributes.NONE
) -> tuple[VssError | None, list[Guid], Coordinator]:
    coordinator = Coordinator(ports)
    volume = BlockVolume.format(ports, "D:", MemoryStore(SIZE, name="D:"), volume_id=Guid(int=1))
    await put(volume, "/file", b"before")
    coordinator.add_volume(volume)
    provider = ArrayProvider(ports, array=array, machine_name="A")
    await provider.attach(volume)
    await coordinator.add_provider(provider)
    error: VssError | None = None
    async with coordinator.open_session() as session:
        session.initialize_for_backup()
        session.set_context(SnapshotContext.APP_ROLLBACK, attributes)
        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
        await session.gather_writer_metadata()
        session.start_snapshot_set()
        await session.add_to_snapshot_set("D:")
        await session.prepare_for_backup()
        try:
            await session.do_snapshot_set()
        except VssError as caught:
            error = caught
    return error, [each.snapshot_id for each in coordinator.snapshots()], coordinator


def test_one_machine_takes_a_transportable_copy_and_another_backs_it_up() -> None:
    async def main(ports: Ports) -> None:
        array = SimulatedArray()
        error, _, _ = await through_coordinator(ports, array, SnapshotAttributes.TRANSPORTABLE)
        assert error is None
        elsewhere = Coordinator(ports)
        provider = ArrayProvider(ports, array=array, machine_name="B")
        await elsewhere.add_provider(provider)
        result = await provider.import_snapshots(waiting(array))
        await elsewhere.refresh_snapshots()
        (properties,) = elsewhere.snapshots()
        assert (properties.snapshot_id,) == result.imported
        assert await get(await elsewhere.open_snapshot(properties.snapshot_id), "/file") == b"before"

    run(main)


# -- breaking ------------------------------------------------------------------------------------------------------------------


async def with_one_copy(ports: Ports, attributes: int = PLEX) -> tuple[Machine, ArrayProvider, SimulatedArray, Guid, Guid]:
    machine, other, array = two_machines(ports)
    await machine.add("D:")
    (snapshot_id,) = await machine.create(attributes)
    set_id = Guid(int=1 << 16)
    return machine, other, array, set_id, snapshot_id


def test_a_broken_copy_is_a_disk_of_its_own() -> None:
    async def main(ports: Ports) -> None:
        machine, _, _, set_id, snapshot_id = await with_one_copy(ports)
        (broken,) = await machine.provider.break_snapshot_set(set_id, BreakOptions.MAKE_READ_WRITE)
        assert (broken.snapshot_id, broken.original_volume) == (snapshot_id, "D:")
        assert broken.device is not None
        broken.device.write(0x8000, b"mine")
        assert broken.device.read(0x8000, 4) == b"mine"
        assert await machine.provider.query() == []
        with pytest.raises(NotFoundError):
            await machine.provider.break_snapshot_set(set_id)

    run(main)


def test_a_copy_that_is_broken_without_options_stays_read_only() -> None:
    async def main(ports: Ports) -> None:
        machine, _, _, set_id, _ = await with_one_copy(ports, DIFFERENTIAL)
        (broken,) = await machine.provider.break_snapshot_set(set_id)
        assert broken.device is not None
        with pytest.raises(VolumeWriteError, match="read-only"):
            broken.device.write(0, b"x")

    run(main)


def test_a_masked_copy_is_gone_from_the_machine_and_masking_stands_alone() -> None:
    async def main(ports: Ports) -> None:
        machine, _, array, set_id, _ = await with_one_copy(ports)
        for options in (
            BreakOptions.MASK_LUNS | BreakOptions.MAKE_READ_WRITE,
            BreakOptions.REVERT_IDENTITY_ALL | BreakOptions.REVERT_IDENTITY_NONE,
        ):
            with pytest.raises(InvalidArgumentError):
                await machine.provider.break_snapshot_set(set_id, options)
        (broken,) = await machine.provider.break_snapshot_set(set_id, BreakOptions.MASK_LUNS)
        assert broken.device is None
        assert not array._luns[-1].has_arrived("A", ports.clock.now_ns())

    run(main)


def test_an_identity_is_given_only_while_the_original_is_hidden() -> None:
    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports)
        volume = await machine.add("D:")
        await machine.create(PLEX)
        with pytest.raises(ProviderError, match="visible") as caught:
            await machine.provider.break_snapshot_set(Guid(int=1 << 16), BreakOptions.REVERT_IDENTITY_ALL)
        assert caught.value.hresult is HResult.VSS_E_BREAK_REVERT_ID_FAILED
        assert len(await machine.provider.query()) == 1
        await machine.create(TRANSPORTABLE)
        await other.import_snapshots(waiting(array))
        original = array.lun_of(volume)
        assert original is not None
        wanted = original.lun_id
        (broken,) = await other.break_snapshot_set(Guid(int=2 << 16), BreakOptions.REVERT_IDENTITY_ALL)
        assert isinstance(broken.device, Lun)
        assert broken.device.lun_id == wanted != original.lun_id
        broken.device.flush()
        with pytest.raises(VolumeWriteError, match="through volume"):
            original.write(0, b"x")

    run(main)


# -- starting again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DIFFERENTIAL, PLEX])
def test_a_machine_that_starts_again_finds_its_persistent_copies_on_the_array(kind: int) -> None:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports)
        await machine.add("D:")
        (kept,) = await machine.create(kind | PERSISTENT)
        await put(machine.volumes[0], "/file", b"between")
        (volatile,) = await machine.create(kind)
        await machine.prepare(kind | PERSISTENT)  # and dies
        await machine.restart()
        await put(machine.volumes[0], "/file", b"after")
        assert [each.snapshot_id for each in await machine.provider.query()] == [kept]
        assert await machine.read(kept) == b"before D:"
        with pytest.raises(NotFoundError):
            await machine.read(volatile)
        assert len(array._luns) == 2
        assert await other.query() == []
        await machine.provider.delete_snapshot(kept)
        await machine.restart()
        assert await machine.provider.query() == []

    run(main, emit=events.append)

    assert len([each for each in events if isinstance(each, SnapshotDeleted)]) == 1


def test_what_waits_for_import_waits_over_a_restart() -> None:
    async def main(ports: Ports) -> None:
        machine, other, array = two_machines(ports)
        await machine.add("D:")
        (snapshot_id,) = await machine.create(TRANSPORTABLE | PERSISTENT)
        await machine.restart()
        (properties,) = await machine.provider.query()
        assert properties.attributes & NOT_SURFACED
        await other.import_snapshots(waiting(array))
        assert await get(await other.open_snapshot(snapshot_id), "/file") == b"before D:"
        await machine.restart()
        assert await machine.provider.query() == []
        assert await get(await other.open_snapshot(snapshot_id), "/file") == b"before D:"

    run(main)
