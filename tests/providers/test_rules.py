"""What the coordinator promises of providers, tested with the real ones: who is chosen, how many, in which order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.providers.world import put
from vss.coordinator import Coordinator, Session
from vss.coordinator.contexts import SnapshotContext
from vss.documents import BackupType
from vss.errors import NotFoundError, ProviderError, ProviderVetoError, VolumeNotSupportedError
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import Provider, SnapshotProperties
from vss.simulation import run
from vss.volumes import BlockVolume, MemoryStore
from vss_providers.array import PROVIDER_ID as ARRAY
from vss_providers.array import ArrayProvider
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import PROVIDER_ID as COPY_ON_WRITE
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.system import SYSTEM_PROVIDER_ID, SystemProvider

SIZE = 1 << 20


async def machine(ports: Ports, providers: Sequence[Provider], names: str = "D") -> Coordinator:
    coordinator = Coordinator(ports)
    for name in names:
        store = MemoryStore(SIZE, name=f"{name}:")
        volume = BlockVolume.format(ports, f"{name}:", store, volume_id=Guid(int=ord(name)))
        await put(volume, "/file", b"content")
        coordinator.add_volume(volume)
        for provider in providers:
            await provider.attach(volume)
    for provider in providers:
        await coordinator.add_provider(provider)
    return coordinator


async def begin(session: Session, context: SnapshotContext) -> None:
    session.initialize_for_backup()
    session.set_context(context)
    session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
    if context.has_writers:
        await session.gather_writer_metadata()
    session.start_snapshot_set()


async def take(
    coordinator: Coordinator,
    context: SnapshotContext = SnapshotContext.NAS_ROLLBACK,
    provider_id: Guid = GUID_NULL,
    volumes: Sequence[str] = ("D:",),
) -> list[SnapshotProperties]:
    async with coordinator.open_session() as session:
        await begin(session, context)
        ids = [await session.add_to_snapshot_set(volume, provider_id) for volume in volumes]
        if context.has_writers:
            await session.prepare_for_backup()
        await session.do_snapshot_set()
        return [coordinator.snapshot(each) for each in ids]


def test_hardware_goes_before_software_and_software_before_system() -> None:
    async def main(ports: Ports) -> None:
        system, software, hardware = SystemProvider(ports), CopyOnWriteProvider(ports), ArrayProvider(ports)
        for providers, expected in (
            ([system, software, hardware], ARRAY),
            ([system, software], COPY_ON_WRITE),
            ([system], SYSTEM_PROVIDER_ID),
        ):
            fresh = [type(each)(ports) for each in providers]
            (properties,) = await take(await machine(ports, fresh))
            assert properties.provider_id == expected

    run(main)


def test_an_explicit_id_overrides_and_says_what_is_wrong_with_it() -> None:
    async def main(ports: Ports) -> None:
        coordinator = await machine(ports, [CloneProvider(ports), CopyOnWriteProvider(ports)])
        (properties,) = await take(coordinator, provider_id=COPY_ON_WRITE)
        assert properties.provider_id == COPY_ON_WRITE
        with pytest.raises(VolumeNotSupportedError) as caught:
            await take(coordinator, provider_id=CloneProvider.provider_id)  # it refuses persistent ones
        assert caught.value.hresult is HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER
        with pytest.raises(NotFoundError) as unknown:
            await take(coordinator, provider_id=Guid(int=5))
        assert unknown.value.hresult is HResult.VSS_E_PROVIDER_NOT_REGISTERED

    run(main)


def test_only_the_system_provider_makes_client_accessible_shadow_copies() -> None:
    async def main(ports: Ports) -> None:
        everybody = [ArrayProvider(ports), CopyOnWriteProvider(ports), CloneProvider(ports), SystemProvider(ports)]
        coordinator = await machine(ports, everybody)
        (properties,) = await take(coordinator, SnapshotContext.CLIENT_ACCESSIBLE)
        assert properties.provider_id == SYSTEM_PROVIDER_ID
        without = await machine(ports, [CopyOnWriteProvider(ports)])
        with pytest.raises(VolumeNotSupportedError):
            await take(without, SnapshotContext.CLIENT_ACCESSIBLE)

    run(main)


@pytest.mark.slow
def test_the_65th_client_accessible_shadow_copy_costs_the_oldest() -> None:
    async def main(ports: Ports) -> None:
        coordinator = await machine(ports, [SystemProvider(ports)])
        (other,) = await take(coordinator)
        made = [(await take(coordinator, SnapshotContext.CLIENT_ACCESSIBLE))[0].snapshot_id for _ in range(66)]
        left = [each.snapshot_id for each in coordinator.snapshots(SnapshotContext.CLIENT_ACCESSIBLE)]
        assert left == made[2:]
        assert coordinator.snapshot(other.snapshot_id)

    run(main)


@pytest.mark.slow
def test_a_volume_has_512_shadow_copies_and_not_one_more() -> None:
    async def main(ports: Ports) -> None:
        provider = CopyOnWriteProvider(ports)
        coordinator = await machine(ports, [provider])
        volume = coordinator.volume("D:")
        assert isinstance(volume, BlockVolume)
        for number in range(512):
            set_id = Guid(int=1000 + number)
            await provider.begin_prepare_snapshot(set_id, Guid(int=5000 + number), volume, 0x19)
            await provider.end_prepare_snapshots(set_id)
            await provider.pre_commit_snapshots(set_id)
            await provider.commit_snapshots(set_id)
            await provider.post_commit_snapshots(set_id, 1)
            await provider.pre_final_commit_snapshots(set_id)
            await provider.post_final_commit_snapshots(set_id)
        await coordinator.refresh_snapshots()
        assert len(coordinator.snapshots()) == 512
        with pytest.raises(ProviderError) as caught:
            await take(coordinator)
        assert caught.value.hresult is HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED
        with pytest.raises(ProviderError) as said:
            await provider.begin_prepare_snapshot(Guid(int=1), Guid(int=2), volume, 0x19)
        assert said.value.hresult is HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED
        await provider.delete_snapshot(Guid(int=5000))
        await coordinator.refresh_snapshots()
        assert await take(coordinator)

    run(main)


def test_deleting_goes_in_order_and_stops_at_the_first_that_is_not_there() -> None:
    async def main(ports: Ports) -> None:
        coordinator = await machine(ports, [CopyOnWriteProvider(ports)])
        ids = [(await take(coordinator))[0].snapshot_id for _ in range(3)]
        async with coordinator.open_session() as session:
            session.initialize_for_backup()
            with pytest.raises(NotFoundError, match="1 of 3"):
                await session.delete_snapshots([ids[0], Guid(int=9), ids[1]])
        assert [each.snapshot_id for each in coordinator.snapshots()] == ids[1:]

    run(main)


def test_a_set_keeps_its_count_and_devices_have_no_trailing_backslash() -> None:
    async def main(ports: Ports) -> None:
        everybody: list[Provider] = [CopyOnWriteProvider(ports), SystemProvider(ports), CloneProvider(ports)]
        for provider, context in zip(
            everybody,
            (SnapshotContext.NAS_ROLLBACK, SnapshotContext.CLIENT_ACCESSIBLE, SnapshotContext.FILE_SHARE_BACKUP),
            strict=True,
        ):
            coordinator = await machine(ports, [provider], "DE")
            async with coordinator.open_session() as session:
                await begin(session, context)
                ids = [await session.add_to_snapshot_set(volume) for volume in ("D:", "E:")]
                await session.do_snapshot_set()
                found = [session.get_snapshot_properties(each) for each in ids]
                assert all(each.device_name.startswith("\\\\?\\GLOBALROOT\\Device\\") for each in found)
                assert not any(each.device_name.endswith("\\") for each in found)
                assert len({each.device_name for each in found}) == 2
                await session.delete_snapshots([ids[0]])
                assert session.get_snapshot_properties(ids[1]).snapshots_in_set == 2

    run(main)


def test_a_query_sees_its_own_context_and_all_sees_everything() -> None:
    async def main(ports: Ports) -> None:
        coordinator = await machine(ports, [SystemProvider(ports)])
        wanted = [SnapshotContext.NAS_ROLLBACK, SnapshotContext.CLIENT_ACCESSIBLE, SnapshotContext.APP_ROLLBACK]
        made = [(await take(coordinator, context))[0].snapshot_id for context in wanted]
        for context, snapshot_id in zip(wanted, made, strict=True):
            assert [each.snapshot_id for each in coordinator.snapshots(context)] == [snapshot_id]
        assert coordinator.snapshots(SnapshotContext.BACKUP) == []
        assert [each.snapshot_id for each in coordinator.snapshots()] == made

    run(main)


def test_breaking_a_software_shadow_copy_is_vetoed_and_reverting_goes_through_the_session() -> None:
    async def main(ports: Ports) -> None:
        coordinator = await machine(ports, [CopyOnWriteProvider(ports)])
        (properties,) = await take(coordinator)
        volume = coordinator.volume("D:")
        assert isinstance(volume, BlockVolume)
        await put(volume, "/file", b"changed")
        async with coordinator.open_session() as session:
            session.initialize_for_backup()
            with pytest.raises(ProviderVetoError):
                await session.break_snapshot_set(properties.snapshot_set_id)
            await session.revert_to_snapshot(properties.snapshot_id)
            status = await session.query_revert_status("D:")
        assert status is not None
        assert status.is_finished
        file = await volume.files.open("/file")
        assert await file.pread(0, 100) == b"content"

    run(main)
