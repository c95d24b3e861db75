"""How far a shadow copy set in the making is, and the refusal of calls out of order.

A provider has at most one set in the making; the order of calls is the vendor's (Volume Shadow Copy Service documentation,
"Shadow copy creation for providers"). A call out of order is answered with a veto and changes nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol, TypeVar

from vss.errors import ProviderError, ProviderVetoError
from vss.hresult import HResult
from vss.ids import Guid


class Stage(IntEnum):
    """The last phase that succeeded."""

    PREPARING = 1
    PREPARED = 2
    PRECOMMITTED = 3
    COMMITTED = 4
    POSTCOMMITTED = 5
    WRITABLE = 6
    CREATED = 7


class SetInTheMaking(Protocol):
    """What a provider keeps of its set."""

    snapshot_set_id: Guid
    stage: Stage


T = TypeVar("T", bound=SetInTheMaking)


def require_set(current: T | None, snapshot_set_id: Guid, call: str) -> T:
    """Return the set in the making if it is this one.

    Raises:
        ProviderError: it is another one, or none.
    """
    if current is None or current.snapshot_set_id != snapshot_set_id:
        raise ProviderError(
            f"{call}: expected the shadow copy set in the making, found {snapshot_set_id}",
            hresult=HResult.VSS_E_OBJECT_NOT_FOUND,
        )
    return current


def require_stage(current: T | None, snapshot_set_id: Guid, stage: Stage, call: str) -> T:
    """Return the set in the making if it is this one and has come exactly this far.

    Raises:
        ProviderError: it is another one, or none.
        ProviderVetoError: it is at another stage.
    """
    current = require_set(current, snapshot_set_id, call)
    if current.stage is not stage:
        raise ProviderVetoError(
            f"shadow copy set {snapshot_set_id}: expected {call} in stage {stage.name}, found {current.stage.name}"
        )
    return current
