"""A machine of stubs in one call, and the shortest honest backup over it: what a protocol test is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vss.coordinator import Coordinator, Limits, Session
from vss.documents import BackupType
from vss.events import Event
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider
from vss.roles.volume import Volume
from vss.roles.writer import Writer
from vss.testing.stubs import StubProvider, StubVolume, StubWriter

Select = Callable[[Session], None]


@dataclass
class Scene:
    """A coordinator with its stub roles. ``calls`` is the shared list of what was called, in order."""

    ports: Ports
    coordinator: Coordinator
    calls: list[str]
    events: list[Event] = field(default_factory=list)

    @staticmethod
    async def build(
        ports: Ports,
        *,
        writers: Sequence[Writer] | None = None,
        providers: Sequence[Provider] | None = None,
        volumes: Sequence[Volume] | None = None,
        calls: list[str] | None = None,
        limits: Limits | None = None,
    ) -> Scene:
        """Make a machine with volume D:, writer A and one provider, each replaced by what is given."""
        calls = [] if calls is None else calls
        coordinator = Coordinator(ports, limits=limits)
        for volume in [StubVolume(ports, "D:", calls)] if volumes is None else volumes:
            coordinator.add_volume(volume)
        for writer in [StubWriter("A", calls)] if writers is None else writers:
            coordinator.add_writer(writer)
        for provider in [StubProvider(calls=calls)] if providers is None else providers:
            await coordinator.add_provider(provider)
        return Scene(ports, coordinator, calls)

    async def prepare(
        self, session: Session, *, volumes: Sequence[str] = ("D:",), backup_type: BackupType = BackupType.FULL
    ) -> list[Guid]:
        """Bring ``session`` from initialise to the answers of PrepareForBackup, with every component of every writer."""
        session.initialize_for_backup()
        session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=backup_type)
        for metadata in await session.gather_writer_metadata():
            for component in metadata.components:
                session.add_component(
                    metadata.instance_id,
                    metadata.writer_id,
                    component.type,
                    component.logical_path,
                    component.component_name,
                )
        session.start_snapshot_set()
        snapshot_ids = [await session.add_to_snapshot_set(each) for each in volumes]
        await session.prepare_for_backup()
        return snapshot_ids

    def report_all(self, session: Session, succeeded: bool = True) -> None:
        """Report every component of the document as backed up, or as failed."""
        for writer in session.document.writers:
            for component in writer.components:
                session.set_backup_succeeded(
                    writer.instance_id,
                    writer.writer_id,
                    component.type,
                    component.logical_path,
                    component.component_name,
                    succeeded,
                )

    async def backup(self, *, volumes: Sequence[str] = ("D:",)) -> list[Guid]:
        """Take a whole full backup without copying anything; return the ids of its shadow copies (deleted by then)."""
        async with self.coordinator.open_session() as session:
            snapshot_ids = await self.prepare(session, volumes=volumes)
            await session.do_snapshot_set()
            self.report_all(session)
            await session.backup_complete()
            await session.gather_writer_status()
        return snapshot_ids

    def assert_nothing_left(self) -> None:
        """Nobody frozen, nothing held, no lock, no unfinished set, no session: what must hold after every run."""
        assert not self.coordinator.is_creating, "the creation lock is held"
        assert self.coordinator.open_session_count == 0, "a session is open"
        assert self.coordinator.caller.left_behind_count == 0, "a call is still under way"
        for volume in self.coordinator.volumes.values():
            assert not volume.is_holding, f"volume {volume.name} holds writes"
        for provider in self.coordinator.providers:
            if isinstance(provider, StubProvider):
                assert provider.unfinished_count == 0, f"provider '{provider.name}' has an unfinished set"
        for writer in self.coordinator.writers:
            frozen = [each for each in self.calls if each.startswith(f"{writer.name}.on_")]
            last = {name: index for index, name in enumerate(frozen)}
            freeze = last.get(f"{writer.name}.on_freeze", -1)
            thaw = max(last.get(f"{writer.name}.on_thaw", -1), last.get(f"{writer.name}.on_abort", -1))
            assert thaw >= freeze, f"writer '{writer.name}' was left frozen"
