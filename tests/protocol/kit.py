"""What the protocol tests share: a story in a fresh world, and what was logged in it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from vss.coordinator import Limits, Session, SnapshotContext, WriterStatus
from vss.coordinator.contexts import SnapshotAttributes
from vss.documents import BackupType
from vss.errors import NotFoundError
from vss.events import ApplicationLogged, Event
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import ImportResult, Provider, ProviderType, SnapshotProperties, TransportableSet
from vss.roles.writer import Writer
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubVolume

Story = Callable[[Scene], Awaitable[Any]]
Build = Callable[[Ports, list[str]], Any]


def play(
    story: Story,
    *,
    writers: Sequence[Writer] | None = None,
    providers: Sequence[Provider] | None = None,
    volumes: Sequence[str] = ("D:",),
    limits: Limits | None = None,
    is_clean: bool = True,
) -> list[Event]:
    """Run ``story`` on a machine of stubs whose calls all go to one list; return what was recorded. Nothing may be left."""
    events: list[Event] = []

    async def main(ports: Ports) -> None:
        calls: list[str] = []
        for role in (*(writers or ()), *(providers or ())):
            if hasattr(role, "calls"):
                role.calls = calls
        scene = await Scene.build(
            ports,
            writers=writers,
            providers=providers,
            volumes=[StubVolume(ports, name, calls) for name in volumes],
            calls=calls,
            limits=limits,
        )
        scene.events = events
        await story(scene)
        if is_clean:
            scene.assert_nothing_left()
        await scene.coordinator.close()

    run(main, emit=events.append)
    return events


def logged(events: Sequence[Event]) -> list[tuple[str, int]]:
    """Source and id of every entry of the event log."""
    return [(each.source, each.event_id) for each in events if isinstance(each, ApplicationLogged)]


def of(calls: Sequence[str], *prefixes: str) -> list[str]:
    """The calls that begin so."""
    return [each for each in calls if each.startswith(prefixes)]


class TravellingProvider(StubProvider):
    """A stub whose transportable shadow copies are on LUNs that every other one sees: ``arrives`` says which arrive.

    Hand the same ``luns`` to several to let them share an array.
    """

    def __init__(self, *, luns: dict[Guid, list[SnapshotProperties]] | None = None, **options: Any) -> None:
        options.setdefault("type", ProviderType.HARDWARE)
        super().__init__("Travelling provider", **options)
        self.luns = {} if luns is None else luns
        self.arrives: Callable[[str], bool] = lambda lun_id: True

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        await super().post_final_commit_snapshots(snapshot_set_id)
        made = [each for each in self.finished.values() if each.snapshot_set_id == snapshot_set_id]
        if made[0].attributes & SnapshotAttributes.TRANSPORTABLE:
            self.luns[snapshot_set_id] = [replace(each, context=each.attributes & 0x1D) for each in made]
            for each in made:
                del self.finished[each.snapshot_id]

    async def get_target_luns(self, snapshot_set_id: Guid) -> TransportableSet | None:
        await self._record("get_target_luns")
        made = self.luns.get(snapshot_set_id)
        return (
            None
            if made is None
            else TransportableSet(snapshot_set_id, tuple((one, f"lun {one.original_volume}") for one in made))
        )

    async def import_snapshots(self, transportable: TransportableSet) -> ImportResult:
        await self._record("import_snapshots")
        if self.luns.pop(transportable.snapshot_set_id, None) is None:
            raise NotFoundError(f"no set {transportable.snapshot_set_id} waits for import")
        arrived = [properties for properties, lun_id in transportable.copies if self.arrives(lun_id)]
        missing = tuple(lun_id for _, lun_id in transportable.copies if not self.arrives(lun_id))
        for each in arrived:
            self.finished[each.snapshot_id] = replace(each, attributes=each.attributes | SnapshotAttributes.IMPORTED)
        code = HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED if missing else HResult.S_OK
        return ImportResult(code, tuple(each.snapshot_id for each in arrived), missing)


async def status_of(session: Session, name: str) -> WriterStatus:
    """What the session's GatherWriterStatus says of one writer."""
    return next(each for each in await session.gather_writer_status() if each.name == name)


async def begin(
    scene: Scene,
    session: Session,
    *,
    context: SnapshotContext = SnapshotContext.BACKUP,
    attributes: SnapshotAttributes = SnapshotAttributes.NONE,
    volumes: Sequence[str] = ("D:",),
) -> list[Guid]:
    """Bring a session in volume mode to where DoSnapshotSet is due; return the ids of its shadow copies."""
    session.initialize_for_backup()
    if context is not SnapshotContext.BACKUP or attributes:
        session.set_context(context, attributes)
    if context.has_writers:
        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
        await session.gather_writer_metadata()
    session.start_snapshot_set()
    ids = [await session.add_to_snapshot_set(each) for each in volumes]
    if context.has_writers:
        await session.prepare_for_backup()
    return ids


async def take(scene: Scene, context: SnapshotContext, **options: Any) -> list[Guid]:
    """Take one set in a session of its own; persistent contexts leave its shadow copies behind."""
    async with scene.coordinator.open_session() as session:
        ids = await begin(scene, session, context=context, **options)
        await session.do_snapshot_set()
    return ids


def provider_of(scene: Scene) -> StubProvider:
    """The scene's first provider."""
    provider = scene.coordinator.providers[0]
    assert isinstance(provider, StubProvider)
    return provider
