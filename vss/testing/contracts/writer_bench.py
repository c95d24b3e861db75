"""The machine on which a writer is judged: volumes with faults below them, watched files, a coordinator, a complete provider.

One bench is one simulated world. The writer under test stands behind an ``ObservedWriter``; what it did to its files is in
``files.changes``. Helpers that "demand" fail the check; the others only do and tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vss.coordinator import Coordinator, Limits, Session, WriterStatus
from vss.documents import BackupType, WriterMetadata
from vss.documents.file_sets import select_files
from vss.documents.machine_paths import FileListing, is_in_file_set
from vss.documents.selection import component_set, explicit_when_everything_is_chosen
from vss.errors import VssError
from vss.hresult import HResult
from vss.ids import Guid
from vss.lab.application import Application
from vss.machines import WriterState
from vss.ports import Ports
from vss.roles.provider import Provider
from vss.roles.volume import FileSystem
from vss.roles.writer import Writer
from vss.testing.contracts.observed_writer import HandlerCall, ObservedWriter, is_legal_failure
from vss.testing.contracts.verdict import broken, page
from vss.testing.contracts.watched_files import Change, WatchedFiles
from vss.testing.instant_provider import InstantProvider
from vss.testing.stubs import stub_guid
from vss.volumes import BlockVolume, FaultyStore, MemoryStore, VolumeNamespace

if TYPE_CHECKING:
    from vss.testing.contracts.writer_base import WriterChecks

WORK_PAUSE_S = 0.02
SETTLE_S = 1.0
_SIGNS_OF_LIFE_S = 120.0


@dataclass(frozen=True, slots=True)
class BenchHost:
    """The machine as the writer sees it (``vss.plugins.hosts.WriterHost``)."""

    ports: Ports
    files: FileSystem
    machine_name: str = "CONTRACT"
    name: str = "writer"
    root: Path | None = None


@dataclass
class Load:
    """What the application does meanwhile: operations begun and done, the first error of each kind."""

    begun: int = 0
    done: int = 0
    errors: list[str] = field(default_factory=list)


class WriterBench:
    """See the module. Made by ``boot``."""

    def __init__(self, checks: WriterChecks, ports: Ports, limits: Limits | None) -> None:
        """Make volumes, coordinator and provider; the writer comes with ``boot``."""
        self.checks = checks
        self.ports = ports
        self.stores: list[FaultyStore] = []
        self.volumes: list[BlockVolume] = []
        for name in checks.volumes:
            store = FaultyStore(MemoryStore(checks.volume_size_bytes, name=name), records_writes=False)
            self.stores.append(store)
            self.volumes.append(BlockVolume.format(ports, name, store, volume_id=stub_guid(f"volume {name}")))
        self.files = WatchedFiles(VolumeNamespace(self.volumes), ports)
        self.coordinator = Coordinator(ports, limits=limits)
        self.provider: Provider = InstantProvider(ports)
        self.load = Load()
        self._applications: list[Writer] = []
        self._number = 0

    async def boot(self) -> None:
        """Bring up volumes, provider, writer and its application, and let that work a little."""
        for volume in self.volumes:
            self.coordinator.add_volume(volume)
        await self.coordinator.add_provider(self.provider)
        self.writer = self.checks.make_writer(BenchHost(self.ports, self.files))
        self.observed = await self.add(self.writer)
        for _ in range(3):
            await self.work_once()

    async def add(self, writer: Writer) -> ObservedWriter:
        """Let a writer subscribe and its application start."""
        if not isinstance(writer, Writer):
            broken(
                f"make_writer returned {writer!r:.60}",
                expected="an instance of vss.Writer",
                found=type(writer).__name__,
                mend="derive the class from vss.Writer and return an instance",
                source="vss.roles.writer",
            )
        observed = ObservedWriter(writer, self.ports)
        self.coordinator.add_writer(observed)
        if isinstance(writer, Application):
            await writer.start()
        self._applications.append(writer)
        return observed

    async def shut_down(self) -> None:
        """Close the coordinator and bring the applications down."""
        await self.coordinator.close()
        for writer in self._applications:
            if isinstance(writer, Application):
                await writer.stop()
        await self.checks.after_stop(self.writer)

    @property
    def name(self) -> str:
        """How messages call the writer."""
        return f"writer '{self.writer.name}'"

    # -- the application's own work --------------------------------------------------------------------------------------------

    async def work_once(self) -> None:
        """Let the application do one operation, where the author said how."""
        if self.checks.has_work:
            self._number += 1
            self.load.begun += 1
            await self.checks.work(self.writer, self._number)
            self.load.done += 1

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[Load]:
        """Let the application work in the background, an operation every 20 ms."""
        task = asyncio.create_task(self._work_on(), name="the application's work")
        try:
            yield self.load
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _work_on(self) -> None:
        while True:
            try:
                await self.work_once()
            except VssError as error:
                self.load.errors.append(str(error))
            await self.ports.clock.sleep(WORK_PAUSE_S)

    async def wait_until_busy(self) -> None:
        """Return while an operation of the background work is under way, if there is such a moment within a second."""
        for _ in range(2000):
            if self.load.begun > self.load.done:
                return
            await self.ports.clock.sleep(0.0005)

    async def demand_signs_of_life(self, after: str) -> None:
        """Fail unless the application can work again: one operation within two minutes."""
        if not self.checks.has_work:
            return
        try:
            async with asyncio.timeout(_SIGNS_OF_LIFE_S):
                await self.work_once()
        except TimeoutError:
            broken(
                f"{self.name} does not work again after {after}",
                expected="an operation of the application that comes to an end",
                found=f"it still waited {_SIGNS_OF_LIFE_S:g} s later",
                mend="thaw in on_abort as in on_thaw, whatever step was reached, and wake everyone who waits",
                source=page("CVssWriter::OnAbort"),
            )

    # -- sessions --------------------------------------------------------------------------------------------------------------

    async def metadata(self, session: Session) -> WriterMetadata | None:
        """Gather, and return the metadata of the writer under test; None where it is not listed."""
        found = await session.gather_writer_metadata()
        return next((each for each in found if each.instance_id == self.writer.instance_id), None)

    async def demand_metadata(self, session: Session) -> WriterMetadata:
        """Gather, and fail unless the writer under test is listed."""
        metadata = await self.metadata(session)
        if metadata is None:
            call = self.observed.last("identify")
            broken(
                f"{self.name} is not listed",
                expected="its metadata in the answer to GatherWriterMetadata",
                found=f"Identify ended with {call.error!r}" if call and call.error else "metadata of other ids",
                mend="answer identify with writer_class_id as writer_id and the instance_id that subscribing gave",
                source=page("CVssWriter::OnIdentify"),
            )
        return metadata

    async def prepare(
        self,
        session: Session,
        *,
        backup_type: BackupType = BackupType.FULL,
        select: bool = True,
        chosen: Callable[[int], bool] = lambda index: True,
        volumes: Sequence[str] | None = None,
    ) -> WriterMetadata:
        """Go from initialise to the answers of PrepareForBackup; ``chosen`` picks components by their position."""
        session.initialize_for_backup()
        session.set_backup_state(select_components=select, bootable_system_state=False, backup_type=backup_type)
        metadata = await self.demand_metadata(session)
        if select:
            for index, component in enumerate(explicit_when_everything_is_chosen(metadata)):
                if chosen(index):
                    session.add_component(
                        metadata.instance_id,
                        metadata.writer_id,
                        component.type,
                        component.logical_path,
                        component.component_name,
                    )
        session.start_snapshot_set()
        for name in self.checks.volumes if volumes is None else volumes:
            await session.add_to_snapshot_set(name)
        await session.prepare_for_backup()
        return metadata

    def report(self, session: Session, succeeded: Callable[[int], bool | None]) -> None:
        """Report components by their position in the document as backed up, as failed, or (None) not at all."""
        for writer in session.document.writers:
            for index, component in enumerate(writer.components):
                verdict = succeeded(index)
                if verdict is not None:
                    session.set_backup_succeeded(
                        writer.instance_id,
                        writer.writer_id,
                        component.type,
                        component.logical_path,
                        component.component_name,
                        verdict,
                    )

    async def status(self, session: Session) -> WriterStatus:
        """Return the status of the writer under test."""
        found = await session.gather_writer_status()
        return next(each for each in found if each.instance_id == self.writer.instance_id)

    async def demand_healthy(self, session: Session, step: str) -> None:
        """Fail where the writer failed at a step of a session that nothing disturbed."""
        status = await self.status(session)
        if status.failure is HResult.S_OK and not status.state.is_failed:
            return
        broken(
            f"{self.name} failed in a session that nothing disturbed, seen after {step}",
            expected="S_OK and no failed state",
            found=f"{status.state.name}, {status.failure.name}: {status.message or 'no message'}{self._handler_trace()}",
            mend="look at the handler named; where a refusal is right here, give the writer what it needs in make_writer",
            source=page("Overview of processing a backup under VSS"),
        )

    def _handler_trace(self) -> str:
        failed = [call for call in self.observed.calls if call.error is not None]
        return f" ({failed[-1].handler} raised {failed[-1].error!r})" if failed else ""

    async def backup(
        self,
        *,
        backup_type: BackupType = BackupType.FULL,
        select: bool = True,
        chosen: Callable[[int], bool] = lambda index: True,
        succeeded: Callable[[int], bool | None] = lambda index: True,
        on_snapshot: Callable[[Session], Awaitable[None]] | None = None,
    ) -> WriterStatus:
        """Take a whole backup, whatever the writer says to it; return its status at the end."""
        async with self.coordinator.open_session() as session:
            await self.prepare(session, backup_type=backup_type, select=select, chosen=chosen)
            await session.do_snapshot_set()
            if on_snapshot is not None:
                await on_snapshot(session)
            self.report(session, succeeded)
            await session.backup_complete()
            return await self.status(session)

    async def demand_backup(
        self,
        when: str,
        *,
        on_snapshot: Callable[[Session], Awaitable[None]] | None = None,
        succeeded: Callable[[int], bool | None] = lambda index: True,
    ) -> None:
        """Take a whole backup and fail at the first step that the writer refuses."""
        async with self.coordinator.open_session() as session:
            await self.prepare(session)
            await self.demand_healthy(session, f"PrepareForBackup ({when})")
            await session.do_snapshot_set()
            await self.demand_healthy(session, f"DoSnapshotSet ({when})")
            if on_snapshot is not None:
                await on_snapshot(session)
            self.report(session, succeeded)
            await session.backup_complete()
            await self.demand_healthy(session, f"BackupComplete ({when})")

    async def try_backup(self, backup_type: BackupType = BackupType.FULL) -> VssError | None:
        """Take a backup that may fail; return what the coordinator raised."""
        try:
            await self.backup(backup_type=backup_type)
        except VssError as error:
            return error
        return None

    async def demand_recovered(self, after: str) -> None:
        """Fail unless the writer works on and takes part in the next backup; waits for its freeze timer first."""
        await self.ports.clock.sleep(self.observed.freeze_timeout_s + SETTLE_S)
        self.demand_legal_failures(after)
        await self.demand_signs_of_life(after)
        await self.demand_backup(f"the session after {after}")
        await self.demand_signs_of_life(f"the session after {after}")

    def demand_legal_failures(self, when: str) -> None:
        """Fail where a handler raised what no handler may."""
        for call in self.observed.calls:
            if call.error is None or isinstance(call.error, asyncio.CancelledError) or is_legal_failure(call.error):
                continue
            self.refuse_escape(call, when)

    def refuse_escape(self, call: HandlerCall, when: str) -> None:
        """Fail: an exception escaped a handler."""
        broken(
            f"{self.name} lets {type(call.error).__name__} escape {call.handler} ({when})",
            expected="a return, or a WriterError with a code of vss.hresult.WRITER_FAILURES",
            found=repr(call.error),
            mend="catch it in the handler and raise WriterError or WriterRetryableError from it",
            source=page("CVssWriter::OnFreeze") + "; event 12366",
        )

    # -- the writer's files ----------------------------------------------------------------------------------------------------

    async def live_files(self) -> list[str]:
        """Return the machine paths of every file on every volume, in order."""
        return await list_files(self.files.files, self.checks.volumes)

    async def own_files(self, metadata: WriterMetadata, backup_type: BackupType = BackupType.FULL) -> list[str]:
        """Return the live files that the writer declares for a backup type, by the place they are read from."""
        sets = [component_set(metadata, each) for each in explicit_when_everything_is_chosen(metadata)]
        selected = select_files(sets, metadata.excluded, backup_type, FileListing(await self.live_files()))
        return [each.source_path for each in selected]

    def changes_of(self, metadata: WriterMetadata, changes: Sequence[Change]) -> list[Change]:
        """Return the changes of files that the writer declares as its own."""
        specs = [spec for component in metadata.components for spec in component.files]
        return [
            change
            for change in changes
            if change.kind != "directory" and any(is_in_file_set(change.path, s.path, s.filespec, s.recursive) for s in specs)
        ]

    def state_of(self, status: WriterStatus) -> WriterState:
        """Return the state in a status."""
        return status.state


async def list_files(files: FileSystem, volumes: Sequence[str]) -> list[str]:
    """Return the machine paths of the files on ``volumes``, depth first, in the order of their names."""
    found: list[str] = []
    waiting = [f"{name}\\" for name in reversed(volumes)]
    while waiting:
        path = waiting.pop()
        if (await files.stat(path)).is_directory:
            base = path if path.endswith("\\") else f"{path}\\"
            waiting.extend(f"{base}{name}" for name in reversed(await files.list_directory(path)))
        else:
            found.append(path)
    return found


async def read_file(files: FileSystem, path: str) -> bytes:
    """Return a whole file."""
    handle = await files.open(path)
    try:
        return await handle.pread(0, handle.size_bytes)
    finally:
        await handle.close()


def session_ids(calls: Sequence[HandlerCall]) -> list[Guid]:
    """Return the sessions that appear in calls, each once, in order."""
    return list(dict.fromkeys(call.session_id for call in calls))
