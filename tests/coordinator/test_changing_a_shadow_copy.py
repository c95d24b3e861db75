"""Auto-recovery: who may change a shadow copy while PostSnapshot runs, what goes wrong, and what is not handed out later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.coordinator import Coordinator, Session, SnapshotAttributes, SnapshotContext
from vss.coordinator.optimization import DEPTH_MAX, Optimization
from vss.coordinator.service_log import ServiceLog
from vss.documents import BackupType
from vss.documents.exclusions import exclusions_of
from vss.errors import NotFoundError, ProviderError, VolumeError
from vss.events import Event, FaultFired, FileNotInSnapshot
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.machine_settings import MachineSettings
from vss.roles.provider import ProviderType
from vss.roles.volume import FileStat, FileSystem
from vss.roles.writer import WriterContext
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubVolume, StubWriter
from vss.testing.stubs import StubFiles

A, C = SnapshotAttributes, SnapshotContext


class PagedFiles(StubFiles):
    """A shadow copy with a page file."""

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.is_torn = False

    async def list_directory(self, path: str) -> list[str]:
        return ["pagefile.sys", "kept.txt"]

    async def stat(self, path: str) -> FileStat:
        return FileStat(0, False, 0)

    async def remove(self, path: str) -> None:
        self.removed.append(path)

    async def sync(self) -> None:
        if self.is_torn:
            raise VolumeError("torn")


class PagedProvider(StubProvider):
    """Opens a new file system each time it is asked."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.opened: list[PagedFiles] = []

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        await super().open_snapshot(snapshot_id)
        self.opened.append(PagedFiles())
        return self.opened[-1]


async def machine(ports: Ports, provider: StubProvider, *writers: StubWriter) -> Coordinator:
    settings = MachineSettings(files_not_to_snapshot={"Memory": ("\\pagefile.sys",)})
    coordinator = Coordinator(ports, settings=settings)
    coordinator.add_volume(StubVolume(ports, "D:"))
    for writer in writers:
        coordinator.add_writer(writer)
    await coordinator.add_provider(provider)
    return coordinator


async def take(session: Session, context: SnapshotContext, attributes: SnapshotAttributes = A.NONE) -> None:
    session.initialize_for_backup()
    if context is not C.BACKUP or attributes:
        session.set_context(context, attributes)
    if context.has_writers:
        session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
        await session.gather_writer_metadata()
    session.start_snapshot_set()
    await session.add_to_snapshot_set("D:")
    if context.has_writers:
        await session.prepare_for_backup()
    await session.do_snapshot_set()


@pytest.mark.parametrize(
    ("context", "attributes", "is_kept_out"),
    [
        (C.BACKUP, A.NONE, True),
        (C.BACKUP, A.NOT_TRANSACTED, True),
        (C.APP_ROLLBACK, A.NONE, True),
        (C.BACKUP, A.NO_AUTORECOVERY, False),
        (C.NAS_ROLLBACK, A.NONE, False),
        (C.CLIENT_ACCESSIBLE, A.NONE, False),
        (C.CLIENT_ACCESSIBLE_WRITERS, A.NONE, False),
    ],
)
def test_files_are_kept_out_of_shadow_copies_that_can_be_changed(
    context: SnapshotContext, attributes: SnapshotAttributes, is_kept_out: bool
) -> None:
    events: list[Event] = []
    provider = PagedProvider(type=ProviderType.SYSTEM)  # the only one that people's previous versions come from

    async def story(ports: Ports) -> None:
        coordinator = await machine(ports, provider, StubWriter("A"))
        async with coordinator.open_session() as session:
            await take(session, context, attributes)
        await coordinator.close()

    run(story, emit=events.append)

    assert [each.removed for each in provider.opened] == ([["/pagefile.sys"]] if is_kept_out else [])
    assert any(isinstance(each, FileNotInSnapshot) for each in events) is is_kept_out


def test_a_writer_of_the_entrys_name_sees_to_its_files_itself() -> None:
    provider = PagedProvider()

    async def story(ports: Ports) -> None:
        coordinator = await machine(ports, provider, StubWriter("Memory"))
        async with coordinator.open_session() as session:
            await take(session, C.BACKUP)
        await coordinator.close()

    run(story)

    assert provider.opened == []


def in_post_snapshot(work: Callable[[WriterContext], Awaitable[Any]], provider: StubProvider, faults: str = "") -> list[Event]:
    """Run a backup whose writer does ``work`` in PostSnapshot; return the events."""
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_post_snapshot": work})], providers=[provider])
        await scene.backup()

    run(story, emit=events.append, faults=FaultPlan.parse(faults) if faults else None)
    return events


@pytest.mark.parametrize(
    ("raised", "error", "told"),
    [
        (VolumeError("the copy is torn"), VolumeError, "^the copy is torn$"),
        (RuntimeError("odd"), ProviderError, "failed in open: RuntimeError: odd"),
    ],
)
def test_what_a_provider_says_of_a_copy_it_cannot_open_reaches_the_writer(
    raised: Exception, error: type[Exception], told: str
) -> None:
    async def work(context: WriterContext) -> None:
        with pytest.raises(error, match=told):
            await context.snapshot_files("D:")

    in_post_snapshot(work, StubProvider(behaviour={"open_snapshot": raised}))


def test_the_fault_site_of_opening_is_the_providers_own() -> None:
    async def work(context: WriterContext) -> None:
        await context.snapshot_files("D:")

    events = in_post_snapshot(work, StubProvider(), "provider.open fail")

    assert not [each for each in events if isinstance(each, FaultFired)]


@pytest.mark.parametrize("how", ["finished", "failed"])
def test_what_was_opened_for_changes_is_not_handed_out_after_the_set_ended(how: str) -> None:
    provider = PagedProvider()

    async def work(context: WriterContext) -> None:
        files = await context.snapshot_files("D:")
        assert isinstance(files, PagedFiles)
        files.is_torn = how == "failed"

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=[StubWriter("A", behaviour={"on_post_snapshot": work})], providers=[provider])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            if how == "failed":
                with pytest.raises(ProviderError, match="could not be kept: torn"):
                    await session.do_snapshot_set()
            else:
                await session.do_snapshot_set()
            provider.behaviour["open_snapshot"] = NotFoundError("it is no longer to be changed")
            with pytest.raises(NotFoundError, match="no longer to be changed"):
                await session.writable_snapshot("D:")

    run(story)


class DeepFiles(PagedFiles):
    """A directory in every directory, and a temporary file beside it."""

    async def list_directory(self, path: str) -> list[str]:
        return ["below", "x.tmp"]

    async def stat(self, path: str) -> FileStat:
        return FileStat(0, path.endswith("below"), 0)


def test_directories_are_looked_into_to_a_bounded_depth() -> None:
    files = DeepFiles()

    async def main(ports: Ports) -> None:
        async def opened(volume: str) -> FileSystem:
            return files

        exclusions = exclusions_of({"Temporary": ("\\*.tmp /s",)}, {})
        await Optimization(ports, ServiceLog(ports.emit), exclusions, 60.0).run(["D:"], opened)

    run(main)

    assert DEPTH_MAX == 64
    assert len(files.removed) == 1 + DEPTH_MAX  # the root's, and one for each directory that was looked into
