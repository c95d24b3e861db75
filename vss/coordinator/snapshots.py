"""The finished shadow copies of a machine: which provider has which, asked anew before anything is listed.

Providers may give shadow copies up by themselves (no room, a lost disk), so what is known here is only what was true when they
were last asked: listing asks again. A shadow copy that was just made is known by its provider before anybody asks.
Source: Volume Shadow Copy Service documentation, "IVssBackupComponents::Query", "::DeleteSnapshots".
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from vss.coordinator.calls import Call, Caller
from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.limits import Limits
from vss.coordinator.provider_answers import require_properties
from vss.coordinator.providers import translate
from vss.errors import NotFoundError, ProviderVetoError, VssError
from vss.events import SnapshotDeleted
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import Provider, SnapshotProperties

_FAILED = "its set failed"


@dataclass(frozen=True, slots=True)
class Deletion:
    """What DeleteSnapshots did. It goes one by one and stops at the first that cannot be deleted.

    Attributes:
        deleted_count: how many are gone.
        non_deleted_id: the one that stopped it; GUID_NULL when all are gone.
        failure: why; None when all are gone.
    """

    deleted_count: int
    non_deleted_id: Guid = GUID_NULL
    failure: VssError | None = None

    @property
    def hresult(self) -> HResult:
        """S_OK, or the code of the failure."""
        return HResult.S_OK if self.failure is None else self.failure.hresult


class SnapshotRegistry:
    """Shadow copies by id. Only finished ones are here: a set in creation is its session's business."""

    def __init__(self, ports: Ports, caller: Caller, limits: Limits) -> None:
        """Begin with none."""
        self._ports = ports
        self._caller = caller
        self._limits = limits
        self._snapshots: dict[Guid, tuple[Provider, SnapshotProperties]] = {}
        self._owners: dict[Guid, Provider] = {}
        self._failed_sets: dict[Guid, None] = {}  # sets of which a provider may have kept something that it did not give up

    def made(self, snapshot_id: Guid, provider: Provider) -> None:
        """A set was finished: remember who has the shadow copy, even while its properties are unknown."""
        self._owners[snapshot_id] = provider

    async def refresh(self, providers: Sequence[Provider]) -> None:
        """Ask every provider which shadow copies it has."""
        found: dict[Guid, tuple[Provider, SnapshotProperties]] = {}
        for provider in providers:
            for properties in await self._query(provider):
                found[properties.snapshot_id] = (provider, properties)
        self._take(found)
        await self._delete_what_failed()

    async def take_up(self, providers: Sequence[Provider]) -> list[tuple[Provider, VssError]]:
        """The same for a machine that starts: what a provider had before stays known where it does not answer now; return
        those, each with what went wrong."""
        found: dict[Guid, tuple[Provider, SnapshotProperties]] = {}
        silent: list[tuple[Provider, VssError]] = []
        for provider in providers:
            try:
                for properties in await self._query(provider):
                    found[properties.snapshot_id] = (provider, properties)
            except VssError as error:
                silent.append((provider, error))
                found |= {key: each for key, each in self._snapshots.items() if each[0] is provider}
        self._take(found)
        return silent

    async def _query(self, provider: Provider) -> list[SnapshotProperties]:
        return require_properties(provider, await self.ask(provider, "query", provider.query, self._limits.query_s))

    def _take(self, found: dict[Guid, tuple[Provider, SnapshotProperties]]) -> None:
        self._snapshots = found
        self._owners = {snapshot_id: provider for snapshot_id, (provider, _) in found.items()}

    async def delete_failed_set(
        self, provider: Provider, snapshot_set_id: Guid, snapshot_ids: Sequence[Guid]
    ) -> list[VssError]:
        """Delete what ``provider`` has of a set that failed after it was told to finish it; return what went wrong.

        ``snapshot_ids`` are what it was to make: deleted where it does not say what it has. What stays is deleted when the
        shadow copies are listed next.
        """
        errors: list[VssError] = []
        try:
            found = [each.snapshot_id for each in await self._query(provider) if each.snapshot_set_id == snapshot_set_id]
        except VssError as error:
            errors.append(error)
            found = list(snapshot_ids)
        for snapshot_id in found:
            self._owners[snapshot_id] = provider
            try:
                await self.delete_if_there(snapshot_id, _FAILED)
            except VssError as error:
                del self._owners[snapshot_id]
                errors.append(error)
        if errors:
            self._failed_sets[snapshot_set_id] = None
        return errors

    async def _delete_what_failed(self) -> None:
        """Delete what turned up of failed sets: nobody knows of it, and nobody would ask for it."""
        if not self._failed_sets:
            return
        for snapshot_id, (_, properties) in list(self._snapshots.items()):
            if properties.snapshot_set_id in self._failed_sets:
                try:
                    await self.delete_if_there(snapshot_id, _FAILED)
                except VssError:
                    del self._snapshots[snapshot_id]  # of a set that does not exist: not listed, and tried again next time

    def of_context(self, context: SnapshotContext) -> list[SnapshotProperties]:
        """Return what was found last, of one context (ALL: every one), in the providers' order."""
        return [
            properties
            for _, properties in self._snapshots.values()
            if context is SnapshotContext.ALL or properties.context == context
        ]

    def of_volume(self, provider: Provider, volume_id: Guid) -> list[SnapshotProperties]:
        """Return what was found last of one volume at one provider, oldest first."""
        found = [
            properties
            for owner, properties in self._snapshots.values()
            if owner is provider and properties.original_volume_id == volume_id
        ]
        return sorted(found, key=lambda each: each.created_ns)

    def find(self, snapshot_id: Guid) -> tuple[Provider, SnapshotProperties]:
        """Return provider and properties; ``NotFoundError`` where there is none."""
        found = self._snapshots.get(snapshot_id)
        if found is None:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
        return found

    def of_set(self, snapshot_set_id: Guid) -> list[tuple[Provider, SnapshotProperties]]:
        """Return what was found last of one set; ``NotFoundError`` where nothing is left of it."""
        found = [each for each in self._snapshots.values() if each[1].snapshot_set_id == snapshot_set_id]
        if not found:
            raise NotFoundError(f"shadow copy set {snapshot_set_id} does not exist")
        return found

    def is_known(self, snapshot_id: Guid) -> bool:
        """Whether the providers named this shadow copy when they were last asked."""
        return snapshot_id in self._snapshots

    async def delete_if_there(self, snapshot_id: Guid, reason: str) -> bool:
        """Delete one shadow copy; return whether it existed.

        Raises:
            ProviderError: the provider failed; the shadow copy counts as still there.
        """
        provider = self._owners.get(snapshot_id)
        if provider is None:
            return False
        try:
            await self.ask(provider, "delete", lambda: provider.delete_snapshot(snapshot_id), self._limits.delete_s)
            existed = True
        except NotFoundError:
            existed = False
        self._owners.pop(snapshot_id, None)
        self._snapshots.pop(snapshot_id, None)
        if existed:
            self._ports.emit(SnapshotDeleted(snapshot_id=str(snapshot_id), reason=reason))
        return existed

    async def delete(self, snapshot_ids: Sequence[Guid], *, force: bool) -> Deletion:
        """Delete one by one, in the order given; an exposed one needs ``force``, which takes the exposure back first."""
        for count, snapshot_id in enumerate(snapshot_ids):
            try:
                await self._unexpose_for_deletion(snapshot_id, force=force)
                if not await self.delete_if_there(snapshot_id, "deleted by the requestor"):
                    raise NotFoundError(f"shadow copy {snapshot_id} does not exist ({count} of {len(snapshot_ids)} deleted)")
            except VssError as error:
                return Deletion(count, snapshot_id, error)
        return Deletion(len(snapshot_ids))

    async def _unexpose_for_deletion(self, snapshot_id: Guid, *, force: bool) -> None:
        found = self._snapshots.get(snapshot_id)
        if found is None or not found[1].exposed_name:
            return
        provider, properties = found
        if not force:
            raise ProviderVetoError(
                f"shadow copy {snapshot_id} is exposed as {properties.exposed_name}", hint="unexpose it, or delete with force"
            )
        await self.ask(provider, "expose", lambda: provider.set_exposed_name(snapshot_id, ""), self._limits.query_s)

    async def ask(self, provider: Provider, step: str, method: Callable[[], Coroutine[Any, Any, Any]], limit_s: float) -> Any:
        """Call a provider about finished shadow copies.

        Raises:
            NotFoundError: the provider says that there is no such thing.
            ProviderError: it failed otherwise; what it must not return is translated.
        """
        call = Call(f"provider:{provider.name}", f"provider.{step}", method, (("provider", provider.name),))
        outcome = await self._caller.call(call, limit_s)
        if outcome.is_ok:
            return outcome.value
        if isinstance(outcome.error, NotFoundError):
            raise outcome.error
        raise translate(provider, step, outcome, self._caller.log)
