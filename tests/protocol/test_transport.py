"""A transportable set: made on one machine, described in its document, imported on another by a session there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.protocol.kit import TravellingProvider, begin, logged
from vss.coordinator import Coordinator, Session, SnapshotAttributes, SnapshotContext
from vss.documents import BackupComponents
from vss.documents.xml import parse_backup_components, render_backup_components
from vss.errors import BadStateError, DocumentError, NotFoundError, ProviderError, VssError
from vss.events import Event, SnapshotsImported
from vss.hresult import HResult
from vss.machines import SessionState
from vss.ports import Ports
from vss.roles.provider import BreakOptions, Provider
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.volumes import BlockVolume, MemoryStore
from vss_providers.array import ArrayProvider
from vss_providers.luns import SimulatedArray

TRANSPORTABLE = SnapshotAttributes.TRANSPORTABLE


class Pair:
    """Two machines whose providers share an array."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.luns: dict[Any, Any] = {}
        self.calls: list[str] = []
        self.provider = TravellingProvider(luns=self.luns, calls=self.calls)
        self.other_provider = TravellingProvider(luns=self.luns)
        self.other = Coordinator(ports)

    async def build(self) -> None:
        volumes = [StubVolume(self.ports, name, self.calls) for name in ("D:", "L:")]
        self.scene = await Scene.build(self.ports, providers=[self.provider], volumes=volumes, calls=self.calls)
        await self.other.add_provider(self.other_provider)

    async def make(self, context: SnapshotContext = SnapshotContext.BACKUP) -> BackupComponents:
        """Take a transportable set on the first machine; return its document as another machine reads it."""
        async with self.scene.coordinator.open_session() as session:
            await begin(self.scene, session, context=context, attributes=TRANSPORTABLE, volumes=("D:", "L:"))
            await session.do_snapshot_set()
            return parse_backup_components(session.save_as_xml())

    async def session(self, document: BackupComponents) -> Session:
        session = self.other.open_session()
        session.initialize_for_backup(document)
        return session


def play(story: Callable[[Pair], Awaitable[Any]]) -> list[Event]:
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        pair = Pair(ports)
        await pair.build()
        await story(pair)
        await pair.other.close()
        await pair.scene.coordinator.close()
        pair.scene.assert_nothing_left()

    run(main, emit=events.append)
    return events


def test_the_document_describes_what_another_machine_imports() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        assert [(each.original_volume, each.lun_id) for each in document.snapshots] == [("D:", "lun D:"), ("L:", "lun L:")]
        assert all(each.attributes & TRANSPORTABLE for each in document.snapshots)
        async with await pair.session(document) as session:
            result = await session.import_snapshots()
            assert session.state is SessionState.IMPORTED
            assert (result.hresult, result.missing) == (HResult.S_OK, ())
            assert [each.snapshot_id for each in document.snapshots] == list(result.imported)
            found = await session.query()
            assert [each.original_volume for each in found] == ["D:", "L:"]
            assert all(each.attributes & SnapshotAttributes.IMPORTED for each in found)
            assert session.snapshot_set_id == document.snapshot_set_id

    events = play(story)
    (imported,) = [each for each in events if isinstance(each, SnapshotsImported)]
    assert len(imported.imported) == 2


def test_the_set_outlives_the_session_that_made_it_and_goes_with_the_one_that_imported_it() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        assert len(pair.luns) == 1
        assert "provider.delete_snapshot" not in pair.calls
        async with await pair.session(document) as session:
            await session.import_snapshots()
        assert await pair.other.query_snapshots() == []

    play(story)


def test_persistent_ones_stay_on_the_machine_that_imported_them() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make(SnapshotContext.APP_ROLLBACK)
        async with await pair.session(document) as session:
            await session.import_snapshots()
        assert len(await pair.other.query_snapshots()) == 2

    play(story)


def test_a_set_is_imported_once() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make(SnapshotContext.APP_ROLLBACK)
        async with await pair.session(document) as session:
            await session.import_snapshots()
            with pytest.raises(BadStateError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is HResult.VSS_E_BAD_STATE
        async with await pair.session(document) as session:
            with pytest.raises(NotFoundError):
                await session.import_snapshots()
            assert session.state is SessionState.DOCUMENT_LOADED

    play(story)


def test_luns_that_do_not_arrive_leave_a_part_of_the_set() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        pair.other_provider.arrives = lambda lun_id: lun_id == "lun L:"
        async with await pair.session(document) as session:
            result = await session.import_snapshots()
            assert result.hresult is HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED
            assert result.missing == ("lun D:",)
            assert [each.original_volume for each in await session.query()] == ["L:"]

    play(story)


def test_nothing_that_arrives_is_an_error() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        pair.other_provider.arrives = lambda lun_id: False
        async with await pair.session(document) as session:
            with pytest.raises(ProviderError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is HResult.VSS_E_NO_SNAPSHOTS_IMPORTED

    play(story)


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (HResult.VSS_E_MISSING_DISK, HResult.VSS_E_MISSING_DISK),
        (HResult.VSS_E_MISSING_VOLUME, HResult.VSS_E_MISSING_VOLUME),
        (HResult.VSS_E_MISSING_HIDDEN_VOLUME, HResult.VSS_E_MISSING_HIDDEN_VOLUME),
        (HResult.VSS_E_DYNAMIC_DISK_ERROR, HResult.VSS_E_DYNAMIC_DISK_ERROR),
        (HResult.E_FAIL, HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR),
    ],
)
def test_what_a_provider_says_is_missing_is_passed_on_and_can_be_tried_again(given: HResult, seen: HResult) -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        pair.other_provider.behaviour["import_snapshots"] = ProviderError("nothing arrived", hresult=given)
        async with await pair.session(document) as session:
            with pytest.raises(ProviderError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is seen
            pair.other_provider.behaviour.clear()
            assert (await session.import_snapshots()).hresult is HResult.S_OK

    play(story)


def test_the_document_of_another_set_is_refused_and_named_in_the_log() -> None:
    async def story(pair: Pair) -> None:
        document = replace(await pair.make(), snapshots=())
        async with await pair.session(document) as session:
            with pytest.raises(DocumentError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is HResult.VSS_E_NONTRANSPORTABLE_BCD

    assert ("VSS", 8221) in logged(play(story))


def test_a_provider_that_is_not_registered_there_is_named() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        machine = Coordinator(pair.ports)
        async with machine.open_session() as session:
            session.initialize_for_backup(document)
            with pytest.raises(NotFoundError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is HResult.VSS_E_PROVIDER_NOT_REGISTERED
        await machine.close()

    play(story)


def test_a_provider_that_cannot_import_says_so() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        provider: Provider = StubProvider("Travelling provider")
        machine = Coordinator(pair.ports)
        await machine.add_provider(provider)
        async with machine.open_session() as session:
            session.initialize_for_backup(document)
            with pytest.raises(VssError) as caught:
                await session.import_snapshots()
            assert caught.value.hresult is HResult.VSS_E_NOT_SUPPORTED
        await machine.close()

    play(story)


def test_a_set_that_does_not_travel_asks_nobody_for_its_luns() -> None:
    async def story(pair: Pair) -> None:
        async with pair.scene.coordinator.open_session() as session:
            await begin(pair.scene, session)
            await session.do_snapshot_set()
            assert session.document.snapshots == ()
        assert "provider.get_target_luns" not in pair.calls

    play(story)


def test_a_shadow_copy_described_twice_is_no_document() -> None:
    async def story(pair: Pair) -> None:
        document = await pair.make()
        twice = render_backup_components(replace(document, snapshots=document.snapshots[:1] * 2))
        with pytest.raises(DocumentError, match="again, first in line"):
            parse_backup_components(twice)

    play(story)


@pytest.mark.parametrize("context", [SnapshotContext.APP_ROLLBACK, SnapshotContext.BACKUP])
def test_bytes_travel_over_a_simulated_array(context: SnapshotContext) -> None:
    """Two machines on one array: what the first held at the point in time is read by the second, and broken off there."""

    async def main(ports: Ports) -> None:
        array = SimulatedArray(arrival_s=2.0)
        machine, other = Coordinator(ports), Coordinator(ports)
        volume = BlockVolume.format(ports, "D:", MemoryStore(4 << 20, name="D:"), volume_id=ports.ids.guid())
        provider = ArrayProvider(ports, array=array, machine_name="A")
        machine.add_volume(volume)
        await provider.attach(volume)
        await machine.add_provider(provider)
        await other.add_provider(ArrayProvider(ports, array=array, machine_name="B"))
        machine.add_writer(StubWriter("A"))
        await _write(volume, b"before")
        async with machine.open_session() as session:
            scene = Scene(ports, machine, [])
            (snapshot_id,) = await begin(scene, session, context=context, attributes=TRANSPORTABLE)
            await session.do_snapshot_set()
            await _write(volume, b"after!")
            document = session.save_as_xml()
            with pytest.raises(NotFoundError):
                await session.open_snapshot(snapshot_id)
            assert [bool(each.attributes & SnapshotAttributes.NOT_SURFACED) for each in await session.query()] == [True]
        (waiting,) = await machine.query_snapshots()
        assert waiting.attributes & SnapshotAttributes.NOT_SURFACED

        async with other.open_session() as session:
            session.initialize_for_backup(parse_backup_components(document))
            assert (await session.import_snapshots()).imported == (snapshot_id,)
            files = await session.open_snapshot(snapshot_id)
            file = await files.open("/file")
            assert await file.pread(0, 6) == b"before"
            (broken,) = await session.break_snapshot_set(waiting.snapshot_set_id, BreakOptions.MAKE_READ_WRITE)
            assert broken.device is not None
        assert await machine.query_snapshots() == []
        await other.close()
        await machine.close()

    run(main)


async def _write(volume: BlockVolume, data: bytes) -> None:
    file = await volume.files.open("/file", write=True, create=True)
    await file.pwrite(0, data)
    await file.sync()
    await file.close()
