"""The calls of a session about finished shadow copies.

Query shows what the session's context is for; all of them in the context ALL. Getting, opening, deleting, breaking, exposing
and reverting go by id, whatever the context. Source: documentation of the IVssBackupComponents methods of these names.
"""

from __future__ import annotations

from collections.abc import Sequence

from vss.coordinator.contexts import SnapshotAttributes
from vss.coordinator.fault_points import passes
from vss.coordinator.session_core import SessionCore
from vss.coordinator.snapshots import Deletion
from vss.errors import BadStateError, InvalidArgumentError, UnsupportedError
from vss.events import SnapshotSetBroken
from vss.hresult import HResult
from vss.ids import Guid
from vss.machines import SessionCall
from vss.roles.provider import BreakOptions, BrokenSnapshot, CopyStatus, SnapshotProperties
from vss.roles.volume import FileSystem

_EXPOSURES = (SnapshotAttributes.EXPOSED_LOCALLY, SnapshotAttributes.EXPOSED_REMOTELY)


class SnapshotCalls(SessionCore):
    """What a session can do with shadow copies, its own and others'."""

    @passes("coord.query")
    async def query(self) -> list[SnapshotProperties]:
        """Ask the providers and return the finished shadow copies of this session's context ("Query")."""
        self._machine.call(SessionCall.QUERY)
        return await self._coordinator.query_snapshots(self._context)

    def get_snapshot_properties(self, snapshot_id: Guid) -> SnapshotProperties:
        """Return what is known of a finished shadow copy ("GetSnapshotProperties").

        Raises:
            NotFoundError: there is none.
        """
        self._machine.call(SessionCall.GET_SNAPSHOT_PROPERTIES)
        return self._coordinator.snapshot(snapshot_id)

    @passes("coord.open")
    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """Return the files of a finished shadow copy, read-only (the vendor's device object)."""
        self._machine.call(SessionCall.OPEN_SNAPSHOT)
        return await self._coordinator.open_snapshot(snapshot_id)

    async def delete_snapshots(self, snapshot_ids: Sequence[Guid], *, force: bool = False) -> int:
        """Delete shadow copies one by one; return how many ("DeleteSnapshots").

        Raises:
            NotFoundError: one does not exist; those before it are gone.
            ProviderError: a provider failed, or one is exposed and there is no ``force``; those before it are gone.
        """
        result = await self.try_delete_snapshots(snapshot_ids, force=force)
        if result.failure is not None:
            raise result.failure
        return result.deleted_count

    @passes("coord.delete")
    async def try_delete_snapshots(self, snapshot_ids: Sequence[Guid], *, force: bool = False) -> Deletion:
        """The same with the vendor's result: how many are gone, and the first that is not."""
        self._machine.call(SessionCall.DELETE_SNAPSHOTS)
        return await self._coordinator.registry.delete(snapshot_ids, force=force)

    async def delete_snapshot_set(self, snapshot_set_id: Guid, *, force: bool = False) -> Deletion:
        """Delete what is left of a set, in the order of its volumes ("DeleteSnapshots" with VSS_OBJECT_SNAPSHOT_SET).

        Raises:
            NotFoundError: nothing is left of it.
        """
        self._machine.call(SessionCall.DELETE_SNAPSHOTS)
        await self._coordinator.refresh_snapshots()
        members = [properties.snapshot_id for _, properties in self._coordinator.registry.of_set(snapshot_set_id)]
        return await self._coordinator.registry.delete(members, force=force)

    @passes("coord.break")
    async def break_snapshot_set(
        self, snapshot_set_id: Guid, options: BreakOptions = BreakOptions.NONE
    ) -> list[BrokenSnapshot]:
        """Make ordinary disks of a set ("BreakSnapshotSet", "BreakSnapshotSetEx").

        Raises:
            NotFoundError: nothing is left of the set.
            ProviderVetoError: its copies do not stand alone: they were not made by a hardware provider.
        """
        self._machine.call(SessionCall.BREAK_SNAPSHOT_SET)
        registry = self._coordinator.registry
        await self._coordinator.refresh_snapshots()
        providers = dict.fromkeys(provider for provider, _ in registry.of_set(snapshot_set_id))
        broken: list[BrokenSnapshot] = []
        for provider in providers:
            broken += await registry.ask(
                provider,
                "break",
                lambda provider=provider: provider.break_snapshot_set(snapshot_set_id, options),  # type: ignore[misc]
                self._limits.delete_s,
            )
        self._ports.emit(SnapshotSetBroken(snapshot_set_id=str(snapshot_set_id)))
        await self._coordinator.refresh_snapshots()
        return broken

    @passes("coord.expose")
    async def expose_snapshot(self, snapshot_id: Guid, attributes: SnapshotAttributes, name: str) -> str:
        """Let the files of a shadow copy be reached as ``name``; return the name ("ExposeSnapshot").

        Raises:
            InvalidArgumentError: not exactly one of EXPOSED_LOCALLY and EXPOSED_REMOTELY, or no name.
            BadStateError: client accessible, or locally one that is not persistent.
        """
        self._machine.call(SessionCall.EXPOSE_SNAPSHOT)
        if attributes not in _EXPOSURES or not name:
            raise InvalidArgumentError(
                f"expected EXPOSED_LOCALLY or EXPOSED_REMOTELY and a name, found {attributes!r} and '{name}'"
            )
        provider, properties = self._coordinator.registry.find(snapshot_id)
        is_local = attributes is SnapshotAttributes.EXPOSED_LOCALLY
        if properties.attributes & SnapshotAttributes.CLIENT_ACCESSIBLE:
            raise BadStateError(f"shadow copy {snapshot_id} is client accessible: it cannot be exposed")
        if is_local and not properties.attributes & SnapshotAttributes.PERSISTENT:
            raise BadStateError(f"shadow copy {snapshot_id} is not persistent: it cannot be exposed locally")
        registry = self._coordinator.registry
        await registry.ask(provider, "expose", lambda: provider.set_exposed_name(snapshot_id, name), self._limits.query_s)
        await self._coordinator.refresh_snapshots()
        return name

    @passes("coord.unexpose")
    async def unexpose_snapshot(self, snapshot_id: Guid) -> None:
        """Take the exposure back ("UnexposeSnapshot"); ``BadStateError`` where it is not exposed."""
        self._machine.call(SessionCall.UNEXPOSE_SNAPSHOT)
        registry = self._coordinator.registry
        provider, properties = registry.find(snapshot_id)
        if not properties.exposed_name:
            raise BadStateError(f"shadow copy {snapshot_id} is not exposed")
        await registry.ask(provider, "expose", lambda: provider.set_exposed_name(snapshot_id, ""), self._limits.query_s)
        await self._coordinator.refresh_snapshots()

    @passes("coord.revert")
    async def revert_to_snapshot(self, snapshot_id: Guid, *, force_dismount: bool = False) -> None:
        """Bring the original volume back to a shadow copy ("RevertToSnapshot"); it cannot be cancelled.

        Raises:
            UnsupportedError: the shadow copy is not persistent (VSS_E_UNSUPPORTED_CONTEXT), or its provider cannot (E_NOTIMPL).
        """
        self._machine.call(SessionCall.REVERT_TO_SNAPSHOT)
        provider, properties = self._coordinator.registry.find(snapshot_id)
        if not properties.attributes & SnapshotAttributes.PERSISTENT:
            raise UnsupportedError(
                f"shadow copy {snapshot_id} is not persistent: a volume is not reverted to it",
                hresult=HResult.VSS_E_UNSUPPORTED_CONTEXT,
            )
        if not provider.capabilities.supports_revert:
            raise UnsupportedError(f"provider '{provider.name}' cannot revert volumes", hresult=HResult.E_NOTIMPL)
        await self._coordinator.registry.ask(
            provider,
            "revert",
            lambda: provider.revert(snapshot_id, force_dismount=force_dismount),
            self._limits.revert_s,
        )

    async def query_revert_status(self, volume: str) -> CopyStatus | None:
        """Return how far the last revert of ``volume`` is; None where there was none ("QueryRevertStatus")."""
        self._machine.call(SessionCall.QUERY_REVERT_STATUS)
        target = self._coordinator.volume(volume)
        for provider in self._coordinator.providers:
            status: CopyStatus | None = await self._coordinator.registry.ask(
                provider,
                "query_revert",
                lambda provider=provider: provider.query_revert(target),  # type: ignore[misc]
                self._limits.query_s,
            )
            if status is not None:
                return status
        return None
