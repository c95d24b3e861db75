"""The coordinator: the service in the middle. It knows the machine's volumes, writers and providers, and hands out sessions.

The story of a set is in ``vss.coordinator.creation``, what a requestor calls is in ``vss.coordinator.session``. Kept here:
one set in creation at a time, from StartSnapshotSet to the end of DoSnapshotSet; the finished shadow copies of all providers;
the order of writers (as registered), which is the order of every step.
"""

from __future__ import annotations

from collections.abc import Callable

from vss.coordinator.calls import Call, Caller
from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.limits import Limits
from vss.coordinator.providers import translate
from vss.coordinator.session import Session
from vss.coordinator.session_core import SessionCore
from vss.errors import AlreadyExistsError, NotFoundError, SetInProgressError
from vss.events import SnapshotDeleted
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import Provider, SnapshotProperties
from vss.roles.volume import FileSystem, Volume
from vss.roles.writer import Writer

ChooseProvider = Callable[[Volume, SnapshotContext], Guid]
"""A machine's preference: the provider id for a volume, or GUID_NULL for the default order."""


class Coordinator:
    """One per machine."""

    def __init__(self, ports: Ports, *, limits: Limits | None = None, choose_provider: ChooseProvider | None = None) -> None:
        """Begin with no volume, writer or provider."""
        self.ports = ports
        self.limits = limits or Limits()
        self.caller = Caller(ports)
        self.writers: list[Writer] = []
        self.providers: list[Provider] = []
        self.volumes: dict[str, Volume] = {}
        self._choose_provider = choose_provider
        self._creating: SessionCore | None = None
        self._sessions: list[SessionCore] = []
        self._snapshots: dict[Guid, tuple[Provider, SnapshotProperties]] = {}
        self._owners: dict[Guid, Provider] = {}

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
                raise AlreadyExistsError(
                    f"writer '{writer.name}' has subscribed already (class {writer.writer_class_id},"
                    f" instance name '{writer.instance_name}')",
                    hresult=HResult.VSS_E_WRITER_ALREADY_SUBSCRIBED,
                )
        writer.instance_id = self.ports.ids.guid()
        self.writers.append(writer)

    def remove_writer(self, writer: Writer) -> None:
        """Let a writer unsubscribe; running sessions keep the participants they have."""
        self.writers = [each for each in self.writers if each is not writer]

    async def add_provider(self, provider: Provider) -> None:
        """Register a provider and take up the shadow copies it has; ``AlreadyExistsError`` when its id is registered."""
        if any(each.provider_id == provider.provider_id for each in self.providers):
            raise AlreadyExistsError(
                f"a provider with id {provider.provider_id} is registered already",
                hresult=HResult.VSS_E_PROVIDER_ALREADY_REGISTERED,
            )
        self.providers.append(provider)
        await self.refresh_snapshots()

    def preferred_provider(self, volume: Volume, context: SnapshotContext) -> Guid:
        """The machine's own choice for ``volume``; GUID_NULL for the default order."""
        return GUID_NULL if self._choose_provider is None else self._choose_provider(volume, context)

    # -- sessions --------------------------------------------------------------------------------------------------------------

    def open_session(self) -> Session:
        """Hand out a session; whoever takes it releases it."""
        session = Session(self, self.ports.ids.guid())
        self._sessions.append(session)
        return session

    def session_ended(self, session: SessionCore) -> None:
        """A session was released."""
        self.creation_ended(session)
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

    def creation_ended(self, session: SessionCore) -> None:
        """``session`` gives the creation lock back; harmless when it has none."""
        if self._creating is session:
            self._creating = None

    # -- finished shadow copies ------------------------------------------------------------------------------------------------

    def snapshot_made(self, snapshot_id: Guid, provider: Provider) -> None:
        """A set was finished: remember who has the shadow copy, even while its properties are unknown."""
        self._owners[snapshot_id] = provider

    async def refresh_snapshots(self) -> None:
        """Ask every provider which shadow copies it has."""
        found: dict[Guid, tuple[Provider, SnapshotProperties]] = {}
        for provider in self.providers:
            call = Call(f"provider:{provider.name}", "provider.query", provider.query, (("provider", provider.name),))
            outcome = await self.caller.call(call, self.limits.query_s)
            if not outcome.is_ok:
                raise translate(provider, "query", outcome)
            for properties in outcome.value:
                found[properties.snapshot_id] = (provider, properties)
        self._snapshots = found
        self._owners = {snapshot_id: provider for snapshot_id, (provider, _) in found.items()}

    def snapshots(self, context: SnapshotContext = SnapshotContext.ALL) -> list[SnapshotProperties]:
        """Return the finished shadow copies of a context (ALL: every one), in the providers' order."""
        return [
            properties
            for _, properties in self._snapshots.values()
            if context is SnapshotContext.ALL or properties.context == context
        ]

    def snapshot(self, snapshot_id: Guid) -> SnapshotProperties:
        """Return one shadow copy; ``NotFoundError`` where there is none."""
        return self._find(snapshot_id)[1]

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Return the files of a shadow copy."""
        provider, _ = self._find(snapshot_id)
        selectors = (("provider", provider.name),)
        call = Call(f"provider:{provider.name}", "provider.open", lambda: provider.open_snapshot(snapshot_id), selectors)
        outcome = await self.caller.call(call, self.limits.query_s)
        if not outcome.is_ok:
            raise translate(provider, "open_snapshot", outcome)
        files: FileSystem = outcome.value
        return files

    async def delete_snapshot_if_there(self, snapshot_id: Guid, reason: str) -> bool:
        """Delete a shadow copy; return whether it existed."""
        provider = self._owners.get(snapshot_id)
        if provider is None:
            return False
        selectors = (("provider", provider.name),)
        call = Call(f"provider:{provider.name}", "provider.delete", lambda: provider.delete_snapshot(snapshot_id), selectors)
        outcome = await self.caller.call(call, self.limits.delete_s)
        if not outcome.is_ok and not isinstance(outcome.error, NotFoundError):
            raise translate(provider, "delete", outcome)
        self._owners.pop(snapshot_id, None)
        self._snapshots.pop(snapshot_id, None)
        if not outcome.is_ok:
            return False
        self.ports.emit(SnapshotDeleted(snapshot_id=str(snapshot_id), reason=reason))
        return True

    def _find(self, snapshot_id: Guid) -> tuple[Provider, SnapshotProperties]:
        found = self._snapshots.get(snapshot_id)
        if found is None:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        return found

    async def close(self) -> None:
        """The machine goes down: release what is open, let providers close, collect calls that were given up."""
        for session in list(self._sessions):
            await session.release()
        for provider in self.providers:
            await provider.close()
        await self.caller.close(self.limits.abort_s)
