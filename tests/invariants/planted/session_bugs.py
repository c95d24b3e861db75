"""Bugs of sessions, states of writers, locks, ids and clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import pytest

from tests.invariants import scripts
from tests.invariants.planted.freeze_bugs import VETO
from tests.invariants.planting import Planted, both, do_nothing, nothing, replacing, wrapping
from vss.coordinator import Coordinator, participant
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.participant import Participant
from vss.coordinator.providers import ProviderSet
from vss.coordinator.session import Session
from vss.coordinator.session_core import SessionCore
from vss.coordinator.snapshots import SnapshotRegistry
from vss.coordinator.writer_status import StatusBoard
from vss.documents import BackupType
from vss.errors import ProviderError, WriterError
from vss.events import ProviderCalled, WriterAnswered
from vss.hresult import HResult
from vss.machines import WriterEvent
from vss.simulation.ports import SeededIds
from vss_providers import loaded_stack

REFUSING = {"behaviour": {"Notes": {"on_post_snapshot": WriterError("no", hresult=HResult.E_FAIL)}}}


async def _stubborn(context: Any) -> None:
    try:
        await asyncio.sleep(100)
    except asyncio.CancelledError:
        await asyncio.sleep(0)


_TOKEN: ContextVar[object] = ContextVar("token", default=None)


def _own_token(patch: pytest.MonkeyPatch) -> None:
    """Every call finds the token that it left itself, so nobody can take it away."""
    patch.setattr(Participant, "_token", property(lambda self: _TOKEN.get(), lambda self, token: _set(token)), raising=False)


def _set(token: object) -> None:
    _TOKEN.set(token)


def _answering_anyhow(finish: Callable[..., None]) -> Callable[..., None]:
    def finish_ok(self: Participant, event: WriterEvent) -> None:
        if self._machine.in_flight is not None:
            finish(self, event)
            return
        session_id = str(self._access.session_id)
        self._ports.emit(
            WriterAnswered(writer=self.writer.name, step=event.value, state="WAITING_FOR_THAW", session_id=session_id)
        )

    return finish_ok


def _all_well(status_of: Callable[..., Any]) -> Callable[..., Any]:
    def hide(self: StatusBoard, *arguments: Any, **more: Any) -> Any:
        return replace(status_of(self, *arguments, **more), failure=HResult.S_OK)

    return hide


def _another_cause(abort: Callable[..., Any]) -> Callable[..., Any]:
    async def blame(self: SnapshotSetCreation, participants: Any, cause: BaseException) -> None:
        await abort(self, participants, ProviderError("something went wrong", hresult=HResult.VSS_E_UNEXPECTED))

    return blame


async def _delete_and_remember(self: SnapshotRegistry, snapshot_id: Any, reason: str) -> bool:
    provider = self._owners[snapshot_id]
    await provider.delete_snapshot(snapshot_id)
    return True


def _never_forgetting(refresh: Callable[..., Any]) -> Callable[..., Any]:
    async def remember(self: SnapshotRegistry, providers: Any) -> None:
        known = dict(self._snapshots)
        await refresh(self, providers)
        self._snapshots.update(known)

    return remember


def _same_id(guid: Callable[..., Any]) -> Callable[..., Any]:
    def repeat(self: SeededIds) -> Any:
        self.count = getattr(self, "count", 0) + 1  # type: ignore[attr-defined]
        if self.count < 9:  # type: ignore[attr-defined]
            self.last = guid(self)  # type: ignore[attr-defined]
        return self.last  # type: ignore[attr-defined]

    return repeat


def _aborting_twice(abort: Callable[..., Any]) -> Callable[..., Any]:
    async def twice(self: ProviderSet, limit_s: float) -> Any:
        errors = await abort(self, limit_s)
        for provider in self.providers:
            self._ports.emit(ProviderCalled(provider=provider.name, step="abort", snapshot_set_id=str(self._set_id)))
            await provider.abort_snapshots(self._set_id)
        return errors

    return twice


def _scribbling(gather: Callable[..., Any]) -> Callable[..., Any]:
    async def change(self: Session) -> Any:
        if self.state.value == "completed":
            self._document = replace(self._document, backup_type=BackupType.COPY)
        return await gather(self)

    return change


def _forgetting_newest(read: Callable[..., Any]) -> Callable[..., Any]:
    def forget(*arguments: Any) -> Any:
        return list(read(*arguments))[:-1]

    return forget


BUGS = [
    Planted(
        "S1",
        "a second set may be begun while one is being created",
        replacing(Coordinator, "require_no_set_in_creation", nothing),
        scripts.two_at_once,
    ),
    Planted("S2", "the creation lock is never given back", replacing(Coordinator, "creation_ended", nothing), scripts.backup),
    Planted(
        "S3",
        "a writer's failure is passed on with whatever code it gave",
        replacing(participant, "WRITER_FAILURES", frozenset(HResult)),
        scripts.backup,
        REFUSING,
    ),
    Planted(
        "S4",
        "the requestor reports components of writers that failed",
        replacing(scripts, "IGNORES_STATUS", True),
        scripts.backup,
        REFUSING,
    ),
    Planted(
        "S4", "the writers' status hides failures", wrapping(StatusBoard, "status_of", _all_well), scripts.backup, REFUSING
    ),
    Planted(
        "S5",
        "the error of a failed set names something else",
        wrapping(SnapshotSetCreation, "abort", _another_cause),
        scripts.failing,
        VETO,
    ),
    Planted(
        "S6",
        "auto-release shadow copies stay",
        replacing(SessionCore, "_delete_auto_release", do_nothing),
        scripts.backup,
    ),
    Planted(
        "S6",
        "BackupShutdown is not sent",
        replacing(SessionCore, "_shut_writers_down", do_nothing),
        scripts.backup,
    ),
    Planted(
        "S7",
        "the newest persistent shadow copy is forgotten at a restart",
        wrapping(loaded_stack, "read_catalog", _forgetting_newest),
        scripts.persistent,
    ),
    Planted("S8", "a released session stays open", replacing(SessionCore, "release", do_nothing), scripts.backup),
    Planted(
        "S9",
        "the list of shadow copies keeps those that were deleted",
        both(
            replacing(SnapshotRegistry, "delete_if_there", _delete_and_remember),
            wrapping(SnapshotRegistry, "refresh", _never_forgetting),
        ),
        scripts.backup,
    ),
    Planted("S9", "the ids begin to repeat", wrapping(SeededIds, "guid", _same_id), scripts.backup),
    Planted(
        "S10",
        "an answer that comes late counts",
        both(_own_token, wrapping(Participant, "_finish_ok", _answering_anyhow)),
        scripts.failing,
        {"behaviour": {"Notes": {"on_freeze": _stubborn}}},
    ),
    Planted("S12", "providers are told twice to abort", wrapping(ProviderSet, "abort", _aborting_twice), scripts.failing, VETO),
    Planted(
        "S13",
        "the components document changes after BackupComplete",
        wrapping(Session, "gather_writer_status", _scribbling),
        scripts.backup,
    ),
]
