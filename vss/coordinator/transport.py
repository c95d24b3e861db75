"""Transportable sets: what goes into the document where they are made, and what another machine imports from it.

A set that cannot be imported leaves nothing behind; one whose LUNs arrive in part is imported in part, and the rest can never
be had. Shadow copies that are not said to outlive a session go with the session that imports them. Source: Volume Shadow Copy
Service documentation, "Importing transportable shadow copied volumes", "IVssBackupComponents::ImportSnapshots".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vss.coordinator.contexts import SnapshotAttributes
from vss.documents import BackupComponents
from vss.documents.transported import SnapshotDescription
from vss.errors import DocumentError, NotFoundError, ProviderError, VssError
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.provider import ImportResult, Provider, SnapshotProperties, TransportableSet

if TYPE_CHECKING:
    from vss.coordinator.coordinator import Coordinator


async def describe(coordinator: Coordinator, set_id: Guid, providers: Sequence[Provider]) -> tuple[SnapshotDescription, ...]:
    """Ask the providers of a set that was just made for what another machine needs of it; nothing where nothing travels."""
    found: list[SnapshotDescription] = []
    for provider in providers:
        ask = provider.get_target_luns
        travelling: TransportableSet | None = await coordinator.registry.ask(
            provider,
            "get_target_luns",
            lambda ask=ask: ask(set_id),  # type: ignore[misc]
            coordinator.limits.query_s,
        )
        for properties, lun_id in () if travelling is None else travelling.copies:
            found.append(
                SnapshotDescription(
                    snapshot_id=properties.snapshot_id,
                    provider_id=properties.provider_id,
                    original_volume=properties.original_volume,
                    original_volume_id=properties.original_volume_id,
                    snapshots_in_set=properties.snapshots_in_set,
                    created_ns=properties.created_ns,
                    attributes=properties.attributes,
                    context=properties.context,
                    size_bytes=properties.size_bytes,
                    originating_machine=properties.originating_machine,
                    lun_id=lun_id,
                )
            )
    return tuple(found)


async def import_set(coordinator: Coordinator, document: BackupComponents) -> ImportResult:
    """Make the shadow copies that ``document`` describes this machine's own.

    Raises:
        DocumentError: it describes none (VSS_E_NONTRANSPORTABLE_BCD, event 8221).
        NotFoundError: a provider of the set is not registered here, or the set does not wait for import (any more).
        ProviderError: no LUN arrived; it can be tried again.
    """
    set_id = document.snapshot_set_id
    if not document.snapshots:
        coordinator.caller.log.write(8221, f"set {set_id}")
        raise DocumentError(
            f"the document of set {set_id} describes no shadow copy that could be imported",
            hresult=HResult.VSS_E_NONTRANSPORTABLE_BCD,
            hint="only a set made with the attribute TRANSPORTABLE can be imported",
        )
    by_provider: dict[Guid, list[SnapshotDescription]] = {}
    for each in document.snapshots:
        by_provider.setdefault(each.provider_id, []).append(each)
    providers = [(_provider(coordinator, provider_id), described) for provider_id, described in by_provider.items()]
    imported: list[Guid] = []
    missing: list[str] = []
    errors: list[VssError] = []
    for provider, described in providers:
        try:
            result = await _import_from(coordinator, provider, _transportable(set_id, described))
        except VssError as error:
            errors.append(error)
            missing += [each.lun_id for each in described]
        else:
            imported += result.imported
            missing += result.missing
    await coordinator.refresh_snapshots()
    if not imported:
        raise errors[0] if errors else _nothing(set_id)
    code = HResult.VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED if missing else HResult.S_OK
    return ImportResult(code, tuple(imported), tuple(missing))


def _nothing(set_id: Guid) -> ProviderError:
    return ProviderError(f"no shadow copy of set {set_id} was imported", hresult=HResult.VSS_E_NO_SNAPSHOTS_IMPORTED)


def _provider(coordinator: Coordinator, provider_id: Guid) -> Provider:
    for each in coordinator.providers:
        if each.provider_id == provider_id:
            return each
    raise NotFoundError(
        f"provider {provider_id} of the transportable set is not registered here", hresult=HResult.VSS_E_PROVIDER_NOT_REGISTERED
    )


def _transportable(set_id: Guid, described: Sequence[SnapshotDescription]) -> TransportableSet:
    return TransportableSet(
        set_id,
        tuple(
            (
                SnapshotProperties(
                    snapshot_id=each.snapshot_id,
                    snapshot_set_id=set_id,
                    provider_id=each.provider_id,
                    original_volume=each.original_volume,
                    original_volume_id=each.original_volume_id,
                    snapshots_in_set=each.snapshots_in_set,
                    created_ns=each.created_ns,
                    attributes=each.attributes,
                    size_bytes=each.size_bytes,
                    device_name="",
                    context=each.context,
                    originating_machine=each.originating_machine,
                ),
                each.lun_id,
            )
            for each in described
        ),
    )


async def _import_from(coordinator: Coordinator, provider: Provider, travelling: TransportableSet) -> ImportResult:
    result: ImportResult = await coordinator.registry.ask(
        provider, "import", lambda: provider.import_snapshots(travelling), coordinator.limits.import_s
    )
    return result


def goes_with_its_session(properties: SnapshotProperties) -> bool:
    """Whether an imported shadow copy is deleted when the session that imported it ends."""
    return not properties.attributes & SnapshotAttributes.NO_AUTO_RELEASE
