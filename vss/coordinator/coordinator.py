"""The coordinator: the service in the middle. It knows the machine's volumes, writers and providers, and hands out sessions.

The story of a set is in ``vss.coordinator.creation``, what a requestor calls is in ``vss.coordinator.session``. Kept here:
one set in creation at a time, from StartSnapshotSet to the end of DoSnapshotSet; the order of writers (as registered), which is
the order of every step; which sessions are open. Finished shadow copies are in ``vss.coordinator.snapshots``.
Source: Volume Shadow Copy Service documentation, "The VSS model", "State transitions in shadow copy providers".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from vss.coordinator.calls import Call, Caller
from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.limits import Limits
from vss.coordinator.obituaries import Obituaries
from vss.coordinator.provider_answers import require_files
from vss.coordinator.providers import translate
from vss.coordinator.session import Session
from vss.coordinator.session_core import SessionCore
from vss.coordinator.snapshots import SnapshotRegistry
from vss.coordinator.transactions import TransactionManager
from vss.coordinator.waiting import WaitingBackups
from vss.coordinator.writer_status import StatusBoard
from vss.errors import AlreadyExistsError, NotFoundError, SetInProgressError
from vss.events import CreationLockFreed, CreationLockTaken, PluginProblem
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.machine_settings import MachineSettings
from vss.roles.provider import Provider, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.roles.writer import Writer

ChooseProvider = Callable[[Volume, SnapshotContext], Guid]
"""A machine's preference: the provider id for a volume, or GUID_NULL for the default order."""


class Coordinator:
    """One per machine."""

    def __init__(
        self,
        ports: Ports,
        *,
        limits: Limits | None = None,
        choose_provider: ChooseProvider | None = None,
        transaction_managers: Sequence[TransactionManager] = (),
        settings: MachineSettings | None = None,
    ) -> None:
        """Begin with no volume, writer or provider.

        Args:
            ports: the world.
            limits: the time limits; the strict ones where none are given.
            choose_provider: the machine's preference where a requestor names no provider.
            transaction_managers: the system's own, frozen after the last writer of a set.
            settings: environment variables, and files that are kept out.
        """
        self.ports = ports
        self.limits = limits or Limits()
        self.caller = Caller(ports)
        self.registry = SnapshotRegistry(ports, self.caller, self.limits)
        self.status_board = StatusBoard(ports, self.limits.writer_status_slots)
        self.writers: list[Writer] = []
        self.providers: list[Provider] = []
        self.volumes: dict[str, Volume] = {}
        self.transaction_managers = tuple(transaction_managers)
        self.settings = settings or MachineSettings()
        self.waiting = WaitingBackups(self)
        self._choose_provider = choose_provider
        self._creating: SessionCore | None = None
        self._sessions: list[SessionCore] = []
        self._obituaries = Obituaries()

    # -- the machine's parts ---------------------------------------------------------------------------------------------------

    def add_volume(self, volume: Volume) -> None:
        """Add a volume; ``AlreadyExistsError`` when the name is taken (names compare without case)."""
        if volume.name.lower() in self.volumes:
            raise AlreadyExistsError(f"the machine has a volume {volume.name} already")
        self.volumes[volume.name.lower()] = volume

    def volume(self, name: str) -> Volume:
        """Return a volume by name; ``NotFoundError`` where there is none."""
        found = self.volumes.get(name.rstrip("\\").lower())
        if found is None:
            known = ", ".join(each.name for each in self.volumes.values()) or "none"
            raise NotFoundError(f"the machine has no volume {name}: found {known}")
        return found

    def add_writer(self, writer: Writer) -> None:
        """Let a writer subscribe; it gets a new instance id. Instance names must be unique within a writer class."""
        for each in self.writers:
            if each is writer or (
                each.writer_class_id == writer.writer_class_id and each.instance_name == writer.instance_name
            ):
                if each is not writer:
                    self.caller.log.write(8218 if writer.instance_name else 8217, f"writer '{writer.name}'")
                raise AlreadyExistsError(
                    f"writer '{writer.name}' has subscribed already (class {writer.writer_class_id},"
                    f" instance name '{writer.instance_name}')",
                    hresult=HResult.VSS_E_WRITER_ALREADY_SUBSCRIBED,
                )
        writer.instance_id = self.ports.ids.guid()
        self.writers.append(writer)

    def remove_writer(self, writer: Writer) -> None:
        """Let a writer unsubscribe: nothing reaches it any more; in sessions that know it, it counts as not responding."""
        self.writers = [each for each in self.writers if each is not writer]
        writer.instance_id = GUID_NULL

    async def add_provider(self, provider: Provider) -> None:
        """Register a provider and take up the shadow copies it has; ``AlreadyExistsError`` when its id is registered.

        A provider that does not say what it has is told as a ``PluginProblem``; it is asked again whenever shadow copies are
        listed.
        """
        if any(each.provider_id == provider.provider_id for each in self.providers):
            raise AlreadyExistsError(
                f"a provider with id {provider.provider_id} is registered already",
                hresult=HResult.VSS_E_PROVIDER_ALREADY_REGISTERED,
            )
        self.providers.append(provider)
        for silent, error in await self.registry.take_up(self.providers):
            self.ports.emit(PluginProblem(plugin=silent.name, stage="query", message=error.message))

    def preferred_provider(self, volume: Volume, context: SnapshotContext) -> Guid:
        """The machine's own choice for ``volume``; GUID_NULL for the default order."""
        return GUID_NULL if self._choose_provider is None else self._choose_provider(volume, context)

    # -- sessions --------------------------------------------------------------------------------------------------------------

    def open_session(self) -> Session:
        """Hand out a session; whoever takes it releases it.

        The task that opens the session is its requestor: when that task ends without having released it, the session ends as by
        ``requestor_died``. Other tasks may use the session meanwhile.
        """
        session = Session(self, self.ports.ids.guid())
        self._sessions.append(session)
        self._obituaries.watch(session)
        return session

    async def requestor_died(self, session_id: Guid) -> None:
        """The requestor's process is gone: end its session as a release would. Writers get Abort where one is due, and
        BackupShutdown; auto-release shadow copies go ("Handling BackupShutdown events").

        Raises:
            NotFoundError: no open session has this id.
        """
        for session in self._sessions:
            if session.session_id == session_id:
                self._obituaries.note_dead(session)
                await session.release()
                return
        raise NotFoundError(f"no open session has the id {session_id}")

    async def requestor_killed(self, requestor: asyncio.Task[Any]) -> None:
        """A simulated crash killed the task ``requestor``: end every session it had open, as ``requestor_died`` does."""
        self._obituaries.note_killed(requestor)
        await self._obituaries.wait()

    def role_died(self, role: str) -> None:
        """A simulated crash killed a role. Where it was the service itself, ``coord``, what it kept in memory is gone: sessions
        and the creation lock. Nobody is told: frozen writers thaw by their own timers, volumes let their writes go by theirs,
        finished shadow copies are the providers'."""
        if role == "coord":
            self._creating = None
            for session in list(self._sessions):
                session.lose()
                self.session_ended(session)

    def session_ended(self, session: SessionCore) -> None:
        """A session was released."""
        self.creation_ended(session)
        self._obituaries.forget(session)
        self._sessions = [each for each in self._sessions if each is not session]

    @property
    def open_session_count(self) -> int:
        """Sessions handed out and not released."""
        return len(self._sessions)

    @property
    def is_creating(self) -> bool:
        """Whether a set is in creation."""
        return self._creating is not None

    def require_no_set_in_creation(self) -> None:
        """Refuse with ``SetInProgressError`` while a set is in creation."""
        if self._creating is not None:
            raise SetInProgressError(
                f"another shadow copy set is being created by session {self._creating.session_id}",
                hint="wait until it is taken, then start again",
            )

    def creation_started(self, session: SessionCore) -> None:
        """``session`` takes the creation lock."""
        self.require_no_set_in_creation()
        self._creating = session
        self.ports.emit(CreationLockTaken(session_id=str(session.session_id)))

    def creation_ended(self, session: SessionCore) -> None:
        """``session`` gives the creation lock back; harmless when it has none."""
        if self._creating is session:
            self._creating = None
            self.ports.emit(CreationLockFreed(session_id=str(session.session_id)))

    # -- finished shadow copies ------------------------------------------------------------------------------------------------

    def snapshot_made(self, snapshot_id: Guid, provider: Provider) -> None:
        """A set was finished: remember who has the shadow copy, even while its properties are unknown."""
        self.registry.made(snapshot_id, provider)

    async def refresh_snapshots(self) -> None:
        """Ask every provider which shadow copies it has."""
        await self.registry.refresh(self.providers)

    async def query_snapshots(self, context: SnapshotContext = SnapshotContext.ALL) -> list[SnapshotProperties]:
        """Ask the providers, and return the finished shadow copies of a context (ALL: every one), in the providers' order."""
        await self.registry.refresh(self.providers)
        return self.registry.of_context(context)

    def snapshots(self, context: SnapshotContext = SnapshotContext.ALL) -> list[SnapshotProperties]:
        """Return what the providers said when they were last asked; ``query_snapshots`` asks."""
        return self.registry.of_context(context)

    def snapshot(self, snapshot_id: Guid) -> SnapshotProperties:
        """Return one shadow copy; ``NotFoundError`` where there is none."""
        return self.registry.find(snapshot_id)[1]

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Return the files of a shadow copy."""
        provider, _ = self.registry.find(snapshot_id)
        files = await self.registry.ask(provider, "open", lambda: provider.open_snapshot(snapshot_id), self.limits.query_s)
        return require_files(provider, files)

    async def delete_snapshot_if_there(self, snapshot_id: Guid, reason: str) -> bool:
        """Delete a shadow copy; return whether it existed."""
        return await self.registry.delete_if_there(snapshot_id, reason)

    async def close(self) -> None:
        """The machine goes down: release what is open, let every provider close, collect calls that were given up.

        Raises:
            Exception: the first that a provider's close raised, after all were closed; the others are its notes.
        """
        for session in list(self._sessions):
            await session.release()
        await self._obituaries.wait()
        await self.waiting.end_all("the machine goes down")
        errors: list[BaseException] = []
        for provider in self.providers:
            call = Call(f"provider:{provider.name}", "close", provider.close, is_site=False)
            outcome = await self.caller.call(call, self.limits.close_s)
            if outcome.is_timeout:
                errors.append(translate(provider, "close", outcome, self.caller.log))
            elif outcome.error is not None:
                errors.append(outcome.error)
        await self.caller.close(self.limits.abort_s)
        if errors:
            for other in errors[1:]:
                errors[0].add_note(f"while closing: {other}")
            raise errors[0]
