"""Providers and their shadow copies."""

from __future__ import annotations

from vss.events.base import Event


class ProviderCalled(Event, frozen=True, kw_only=True):
    provider: str
    step: str
    snapshot_set_id: str = ""


class ProviderFailed(Event, frozen=True, kw_only=True):
    provider: str
    step: str
    hresult: str
    message: str
    snapshot_set_id: str = ""


class SnapshotCommitted(Event, frozen=True, kw_only=True):
    """All shadow copies of the set exist, at one instant."""

    snapshot_set_id: str
    snapshot_count: int


class SnapshotSetCreated(Event, frozen=True, kw_only=True):
    snapshot_set_id: str


class SnapshotSetAborted(Event, frozen=True, kw_only=True):
    snapshot_set_id: str
    cause: str
    hresult: str


class SnapshotDeleted(Event, frozen=True, kw_only=True):
    snapshot_id: str
    reason: str


class BlocksCopied(Event, frozen=True, kw_only=True):
    """A long copy between volume and shadow copy came this far; ``work`` is establish, resync, restore or revert."""

    work: str
    volume: str
    snapshot_id: str
    done_bytes: int
    total_bytes: int
