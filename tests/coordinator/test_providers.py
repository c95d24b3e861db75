"""Which codes of a provider reach the requestor, routine by routine; every other is translated."""

from __future__ import annotations

import pytest

from vss.coordinator.calls import Outcome
from vss.coordinator.providers import translate
from vss.coordinator.service_log import ServiceLog
from vss.errors import InsufficientStorageError, ProviderError, ProviderVetoError, VolumeNotSupportedError
from vss.events import ApplicationLogged, Event
from vss.hresult import HResult
from vss.testing import StubProvider

H = HResult

IN = {
    "begin_prepare": {H.VSS_E_UNSUPPORTED_CONTEXT, H.VSS_E_NESTED_VOLUME_LIMIT},
    "is_volume_supported": {H.VSS_E_NESTED_VOLUME_LIMIT},
    "import": {
        H.VSS_E_MISSING_DISK,
        H.VSS_E_MISSING_VOLUME,
        H.VSS_E_MISSING_HIDDEN_VOLUME,
        H.VSS_E_DYNAMIC_DISK_ERROR,
        H.VSS_E_NO_SNAPSHOTS_IMPORTED,
        H.VSS_E_NOT_SUPPORTED,
    },
    "break": {H.VSS_E_BREAK_REVERT_ID_FAILED},
    "revert": {
        H.E_NOTIMPL,
        H.VSS_E_UNSUPPORTED_CONTEXT,
        H.VSS_E_VOLUME_IN_USE,
        H.VSS_E_REVERT_IN_PROGRESS,
        H.VSS_E_REVERT_VOLUME_LOST,
        H.VSS_E_SNAPSHOT_SET_IN_PROGRESS,
    },
    "query_revert": {H.VSS_E_REVERT_IN_PROGRESS, H.VSS_E_REVERT_VOLUME_LOST},
    "expose": {H.VSS_E_NOT_SUPPORTED},
    "commit": set(),
}
"""What a routine may return besides, as the pages of the provider interfaces list it."""


def told(step: str, error: Exception) -> tuple[ProviderError, list[Event]]:
    events: list[Event] = []
    outcome = Outcome("provider:P", f"provider.{step}", error=error)
    return translate(StubProvider("P"), step, outcome, ServiceLog(events.append)), events


@pytest.mark.parametrize("step", list(IN))
def test_what_a_routine_may_return_is_kept_and_what_only_others_may_is_not(step: str) -> None:
    for code in sorted(set().union(*IN.values())):
        translated, _ = told(step, ProviderError("no", hresult=code))
        assert translated.hresult is (code if code in IN[step] else H.VSS_E_UNEXPECTED_PROVIDER_ERROR), code.name


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (H.VSS_E_PROVIDER_VETO, ProviderVetoError),
        (H.VSS_E_INSUFFICIENT_STORAGE, InsufficientStorageError),
        (H.VSS_E_VOLUME_NOT_SUPPORTED, VolumeNotSupportedError),
        (H.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER, VolumeNotSupportedError),
    ],
)
def test_a_failure_has_the_class_of_its_code_and_its_cause(code: HResult, error: type[ProviderError]) -> None:
    cause = ProviderError("no", hresult=code)

    translated, _ = told("commit", cause)

    assert (type(translated), translated.hresult, translated.__cause__) == (error, code, cause)
    assert translated.message == "provider 'P' failed in commit: no"


@pytest.mark.parametrize(
    ("step", "error", "entries"),
    [
        ("commit", ProviderError("no", hresult=H.E_INVALIDARG), [("VSS", 12294)]),
        ("commit", ProviderError("no", hresult=H.VSS_E_INSUFFICIENT_STORAGE), [("VSS", 12293)]),
        ("end_prepare", ProviderError("no", hresult=H.VSS_E_INSUFFICIENT_STORAGE), [("volsnap", 23), ("VSS", 12293)]),
        ("end_prepare", RuntimeError("odd"), [("VSS", 12293)]),
    ],
)
def test_the_event_log_names_the_routine_and_the_kernel_the_room(
    step: str, error: Exception, entries: list[tuple[str, int]]
) -> None:
    _, events = told(step, error)

    assert [(each.source, each.event_id) for each in events if isinstance(each, ApplicationLogged)] == entries
