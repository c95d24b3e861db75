"""The providers of one set: which one takes which volume, and every phase sent to all of them as one step.

A provider may return only the codes of ``PROVIDER_FAILURES``; anything else, also an exception of its own or silence, becomes
VSS_E_UNEXPECTED_PROVIDER_ERROR (vendor documentation, "Error handling in shadow copy providers"). One failing provider fails
the step, after all have answered.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from vss.coordinator.calls import Call, Caller, Outcome
from vss.coordinator.contexts import SnapshotAttributes
from vss.coordinator.service_log import KERNEL, ServiceLog
from vss.errors import (
    BadStateError,
    InsufficientStorageError,
    NotFoundError,
    ProviderError,
    ProviderVetoError,
    VolumeNotSupportedError,
    VssError,
)
from vss.events import ProviderAnswered, ProviderCalled, ProviderFailed
from vss.hresult import PROVIDER_FAILURES, HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import ProviderMachine, ProviderPhase
from vss.ports import Ports
from vss.roles.provider import Provider, ProviderType
from vss.roles.volume import Volume

SELECTION_ORDER = (ProviderType.HARDWARE, ProviderType.SOFTWARE, ProviderType.SYSTEM)

_CLIENT_ACCESSIBLE = int(SnapshotAttributes.CLIENT_ACCESSIBLE)

_CLASSES: dict[HResult, type[ProviderError]] = {
    HResult.VSS_E_PROVIDER_VETO: ProviderVetoError,
    HResult.VSS_E_INSUFFICIENT_STORAGE: InsufficientStorageError,
    HResult.VSS_E_VOLUME_NOT_SUPPORTED: VolumeNotSupportedError,
    HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER: VolumeNotSupportedError,
}

_STEPS = {
    ProviderPhase.BEGIN_PREPARE: "begin_prepare",
    ProviderPhase.END_PREPARE: "end_prepare",
    ProviderPhase.PRE_COMMIT: "pre_commit",
    ProviderPhase.COMMIT: "commit",
    ProviderPhase.POST_COMMIT: "post_commit",
    ProviderPhase.PRE_FINAL_COMMIT: "pre_final",
    ProviderPhase.POST_FINAL_COMMIT: "post_final",
    ProviderPhase.ABORT: "abort",
}
"""The names of the steps in fault sites (``provider.commit``) and events."""


_LEGAL_IN: Mapping[str, frozenset[HResult]] = {
    "begin_prepare": frozenset({HResult.VSS_E_UNSUPPORTED_CONTEXT, HResult.VSS_E_NESTED_VOLUME_LIMIT}),
    "is_volume_supported": frozenset({HResult.VSS_E_NESTED_VOLUME_LIMIT}),
    "import": frozenset(
        {
            HResult.VSS_E_MISSING_DISK,
            HResult.VSS_E_MISSING_VOLUME,
            HResult.VSS_E_MISSING_HIDDEN_VOLUME,
            HResult.VSS_E_DYNAMIC_DISK_ERROR,
            HResult.VSS_E_NO_SNAPSHOTS_IMPORTED,
            HResult.VSS_E_NOT_SUPPORTED,
        }
    ),
    "break": frozenset({HResult.VSS_E_BREAK_REVERT_ID_FAILED}),
    "revert": frozenset(
        {
            HResult.E_NOTIMPL,
            HResult.VSS_E_UNSUPPORTED_CONTEXT,
            HResult.VSS_E_VOLUME_IN_USE,
            HResult.VSS_E_REVERT_IN_PROGRESS,
            HResult.VSS_E_REVERT_VOLUME_LOST,
            HResult.VSS_E_SNAPSHOT_SET_IN_PROGRESS,
        }
    ),
    "query_revert": frozenset({HResult.VSS_E_REVERT_IN_PROGRESS, HResult.VSS_E_REVERT_VOLUME_LOST}),
    "expose": frozenset({HResult.VSS_E_NOT_SUPPORTED}),
}
"""What a single routine may return besides ``PROVIDER_FAILURES`` (pages of the provider interfaces' methods)."""


def translate(provider: Provider, step: str, outcome: Outcome, log: ServiceLog) -> ProviderError:
    """Return the error that the requestor may see for a failed ``outcome``, and name provider and routine in the event log."""
    error = outcome.error
    assert error is not None
    given = error.hresult if isinstance(error, VssError) else HResult.E_FAIL
    is_legal = given in PROVIDER_FAILURES or given in _LEGAL_IN.get(step, ())
    code = given if is_legal else HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
    text = f"{type(error).__name__}: {error}" if not isinstance(error, VssError) else error.message
    translated = _CLASSES.get(code, ProviderError)(f"provider '{provider.name}' failed in {step}: {text}", hresult=code)
    translated.__cause__ = error
    if code is HResult.VSS_E_INSUFFICIENT_STORAGE and step == "end_prepare":
        log.write(23, text, KERNEL)
    log.write(12294 if given is HResult.E_INVALIDARG else 12293, f"provider '{provider.name}', {step}: {given}, {text}")
    return translated


def _untranslated(provider: Provider, step: str, outcome: Outcome) -> ProviderError:
    """What AbortSnapshots returned is told as it is: it changes nothing any more."""
    error = outcome.error
    code = error.hresult if isinstance(error, VssError) else HResult.E_FAIL
    return ProviderError(f"provider '{provider.name}' failed in {step}: {type(error).__name__}: {error}", hresult=code)


class ProviderSet:
    """The providers involved in one set in creation, in the order in which their first volume was added."""

    def __init__(self, ports: Ports, caller: Caller, snapshot_set_id: Guid) -> None:
        """Begin with no provider."""
        self._ports = ports
        self._caller = caller
        self._set_id = snapshot_set_id
        self._set_id_text = str(snapshot_set_id)  # as events carry it
        self._machines: dict[Guid, ProviderMachine] = {}
        self._is_aborted = False
        self.providers: list[Provider] = []
        self.told_final: list[Provider] = []  # may have finished the set, whatever became of their answers

    async def begin(self, provider: Provider, snapshot_id: Guid, volume: Volume, attributes: int, limit_s: float) -> None:
        """Send BeginPrepareSnapshot for one volume.

        Raises:
            ProviderError: the provider refused; it stays in the set only if it had volumes before.
        """
        step = ProviderPhase.BEGIN_PREPARE
        await self._step(
            [provider], step, lambda each: each.begin_prepare_snapshot(self._set_id, snapshot_id, volume, attributes), limit_s
        )
        if provider not in self.providers:
            self.providers.append(provider)

    async def send(self, phase: ProviderPhase, method: Callable[[Provider], Coroutine[Any, Any, None]], limit_s: float) -> None:
        """Send one phase to all providers at once.

        Raises:
            ProviderError: of the first provider, in order, that failed; others are attached as notes.
            BadStateError: the set was aborted meanwhile, because its session was released.
        """
        await self._step(self.providers, phase, method, limit_s)

    async def abort(self, limit_s: float) -> list[ProviderError]:
        """Send AbortSnapshots to those that had EndPrepareSnapshots; return what went wrong (nothing stops an abort)."""
        self._is_aborted = True
        call = ProviderPhase.ABORT
        due = [each for each in self.providers if self.machine_of(each).allows(call)]
        try:
            await self._step(due, call, lambda each: each.abort_snapshots(self._set_id), limit_s)
        except ProviderError as error:
            return [error]
        return []

    def machine_of(self, provider: Provider) -> ProviderMachine:
        """The provider's phase in this set."""
        return self._machines.setdefault(provider.provider_id, ProviderMachine(provider.name))

    async def _step(
        self,
        providers: Sequence[Provider],
        phase: ProviderPhase,
        method: Callable[[Provider], Coroutine[Any, Any, None]],
        limit_s: float,
    ) -> None:
        name = _STEPS[phase]
        if self._is_aborted and phase is not ProviderPhase.ABORT:
            raise BadStateError(f"shadow copy set {self._set_id} was aborted: {name} is not sent")
        calls = []
        for provider in providers:
            self.machine_of(provider).begin(phase)
            if phase is ProviderPhase.POST_FINAL_COMMIT:
                self.told_final.append(provider)
            self._ports.emit(ProviderCalled(provider=provider.name, step=name, snapshot_set_id=self._set_id_text))
            calls.append(
                Call(
                    f"provider:{provider.name}",
                    f"provider.{name}",
                    lambda provider=provider: method(provider),  # type: ignore[misc]
                    (("provider", provider.name),),
                )
            )
        outcomes = await self._caller.fan_out(calls, limit_s)
        first: ProviderError | None = None
        for provider, outcome in zip(providers, outcomes, strict=True):
            machine = self.machine_of(provider)
            if machine.in_flight is not phase:
                raise BadStateError(
                    f"shadow copy set {self._set_id} was aborted while provider '{provider.name}' was in {name}"
                )
            machine.finish(outcome.is_ok)
            if outcome.is_ok:
                self._ports.emit(
                    ProviderAnswered(
                        provider=provider.name,
                        step=name,
                        snapshot_set_id=self._set_id_text,
                        duration_ns=outcome.duration_ns,
                    )
                )
                continue
            if phase is ProviderPhase.ABORT:
                error = _untranslated(provider, name, outcome)
            else:
                error = translate(provider, name, outcome, self._caller.log)
            self._ports.emit(
                ProviderFailed(
                    provider=provider.name,
                    step=name,
                    hresult=error.hresult.name,
                    message=error.message,
                    snapshot_set_id=self._set_id_text,
                )
            )
            if first is None:
                first = error
            else:
                first.add_note(error.message)
        if first is not None:
            raise first
        if self._is_aborted and phase is not ProviderPhase.ABORT:
            raise BadStateError(f"shadow copy set {self._set_id} was aborted during {name}: nothing is added to it any more")


async def choose_provider(
    caller: Caller, providers: Sequence[Provider], volume: Volume, wanted_id: Guid, attributes: int, limit_s: float
) -> Provider:
    """Return the provider for ``volume``: the wanted one, or the first that supports it (hardware, software, system).

    Raises:
        NotFoundError: no provider has the wanted id.
        VolumeNotSupportedError: the wanted provider, or none at all, supports the volume.
    """
    if wanted_id != GUID_NULL:
        candidates = [each for each in providers if each.provider_id == wanted_id]
        if not candidates:
            raise NotFoundError(
                f"no provider has the id {wanted_id}: registered are {', '.join(each.name for each in providers) or 'none'}",
                hresult=HResult.VSS_E_PROVIDER_NOT_REGISTERED,
            )
    else:
        candidates = [each for kind in SELECTION_ORDER for each in providers if each.type is kind]
    for provider in candidates:
        if attributes & _CLIENT_ACCESSIBLE and provider.type is not ProviderType.SYSTEM:
            continue  # the system provider's privilege
        call = Call(
            f"provider:{provider.name}",
            "provider.is_volume_supported",
            lambda provider=provider: provider.is_volume_supported(volume, attributes),  # type: ignore[misc]
            (("provider", provider.name), ("volume", volume.name)),
        )
        outcome = await caller.call(call, limit_s)
        if not outcome.is_ok:
            raise translate(provider, "is_volume_supported", outcome, caller.log)
        if outcome.value is True:
            return provider
    if wanted_id != GUID_NULL:
        raise VolumeNotSupportedError(
            f"provider '{candidates[0].name}' does not support volume {volume.name}",
            hresult=HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
        )
    raise VolumeNotSupportedError(
        f"no provider supports volume {volume.name}: asked {', '.join(each.name for each in candidates) or 'none'}"
    )
