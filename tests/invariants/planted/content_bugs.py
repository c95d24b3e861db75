"""Bugs of what is in a shadow copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.invariants import scripts
from tests.invariants.kit import BLOCK, KitProvider
from tests.invariants.planted.freeze_bugs import admit_all, commit_outside
from tests.invariants.planting import Planted, both, do_nothing, nothing, replacing, wrapping
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.session import Session
from vss.errors import NotFoundError, ProviderVetoError
from vss.ids import Guid
from vss.roles.writer import WriterContext
from vss.volumes.block_volume import VolumeDevice
from vss.volumes.write_gate import WriteGate
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.diff_area import DiffArea
from vss_providers.shadow_stack import ShadowStack
from vss_providers.stages import Stage


def _blind_after(count: int) -> Callable[[Any], Any]:
    """Copy-on-write that sees so many writes and no more."""

    def make(before_write: Callable[[ShadowStack, int, int], None]) -> Callable[[ShadowStack, int, int], None]:
        seen: dict[int, int] = {}

        def blind(self: ShadowStack, offset: int, length: int) -> None:
            seen[id(self)] = seen.get(id(self), 0) + bool(self.stack)
            if seen[id(self)] <= count:
                before_write(self, offset, length)

        return blind

    return make


def _other_sector(read: Callable[..., bytes]) -> Callable[..., bytes]:
    def wrong(self: DiffArea, store: Any, offset: int, length: int) -> bytes:
        data = bytearray(read(self, store, offset, length))
        if offset <= 40 * BLOCK < offset + length:
            at = 40 * BLOCK - offset
            data[at : at + 512] = data[at + 512 : at + 1024]
        return bytes(data)

    return wrong


def _zeros(read: Callable[..., bytes]) -> Callable[..., bytes]:
    def wrong(self: DiffArea, store: Any, offset: int, length: int) -> bytes:
        data = bytearray(read(self, store, offset, length))
        for block in range(-(-offset // BLOCK), (offset + length) // BLOCK):
            if block > 50 and block not in store.saved:
                data[block * BLOCK - offset : (block + 1) * BLOCK - offset] = bytes(BLOCK)
        return bytes(data)

    return wrong


def _untyped(read: Callable[..., bytes]) -> Callable[..., bytes]:
    def open_device(self: CopyOnWriteProvider, snapshot_id: Guid) -> Any:
        try:
            return read(self, snapshot_id)
        except NotFoundError as error:
            raise KeyError(snapshot_id) from error

    return open_device


def _early(open_device: Callable[..., Any]) -> Callable[..., Any]:
    def offer(self: CopyOnWriteProvider, snapshot_id: Guid) -> Any:
        try:
            return open_device(self, snapshot_id)
        except NotFoundError:
            return next(iter(self._attached.values())).volume.device

    return offer


def _write_first(self: VolumeDevice, offset: int, data: Any) -> None:
    watcher, others = self._filters[:1], self._filters[1:]
    for each in watcher:
        each.before_write(offset, len(data))
    self._store.write(offset, data)
    self.is_dirty = True
    for each in others:
        each.before_write(offset, len(data))


def _scribbling(undo: Callable[..., Any]) -> Callable[..., Any]:
    def scribble(self: CopyOnWriteProvider, store: Any, *rest: Any, **more: Any) -> Any:
        for attached in self._attached.values():
            attached.volume.raw_store.write(60 * BLOCK, bytes(512))
        return undo(self, store, *rest, **more)

    return scribble


def _losing(commit: Callable[..., Any]) -> Callable[..., Any]:
    async def lose_one(self: KitProvider, snapshot_set_id: Guid) -> None:
        current = self._set
        await commit(self, snapshot_set_id)
        assert current is not None
        member = current.members[1]
        assert member.store is not None
        self._drop(member.attached, member.store)

    return lose_one


async def _recover_elsewhere(context: WriterContext) -> None:
    await scripts.change_in_copy(context, "/bystander.dat")


async def _staggered(self: KitProvider, snapshot_set_id: Guid) -> None:
    current = self._set
    assert current is not None
    first, rest = current.members[:1], current.members[1:]
    current.members[:] = first
    await CopyOnWriteProvider.commit_snapshots(self, snapshot_set_id)
    await self._ports.clock.sleep(0.3)
    current.stage = Stage.PRECOMMITTED
    current.members[:] = rest
    await CopyOnWriteProvider.commit_snapshots(self, snapshot_set_id)
    current.members[:] = first + rest


class LateVeto(KitProvider):
    """Finds out after the commit that something is wrong."""

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Refuse."""
        raise ProviderVetoError("the array is full")


async def _no_undo(self: CopyOnWriteProvider, snapshot_set_id: Guid) -> None:
    current = self._set
    if current is not None:
        current.stage = Stage.CREATED
    self._set = None


BUGS = [
    Planted("C1", "copy-on-write does not happen", replacing(ShadowStack, "before_write", nothing), scripts.backup),
    Planted("C1", "one sector of the shadow copy is its neighbour", wrapping(DiffArea, "read", _other_sector), scripts.backup),
    Planted("C1", "blocks never written read as zeros", wrapping(DiffArea, "read", _zeros), scripts.backup),
    Planted(
        "C2", "copy-on-write stops after some writes", wrapping(ShadowStack, "before_write", _blind_after(12)), scripts.backup
    ),
    Planted(
        "C7",
        "deleting a shadow copy writes to the origin",
        wrapping(CopyOnWriteProvider, "delete_snapshot", _scribbling),
        scripts.backup,
    ),
    Planted(
        "C8",
        "a shadow copy that is gone is answered by an error of no type",
        wrapping(CopyOnWriteProvider, "open_device", _untyped),
        scripts.backup,
    ),
    Planted(
        "C9",
        "a shadow copy can be read before it is taken",
        wrapping(CopyOnWriteProvider, "open_device", _early),
        scripts.backup,
    ),
    Planted(
        "C10",
        "the origin is overwritten before its block is saved",
        replacing(VolumeDevice, "write", _write_first),
        scripts.backup,
    ),
    Planted(
        "C6",
        "the set is created although the provider lost one of its copies",
        both(
            wrapping(KitProvider, "post_final_commit_snapshots", _losing), replacing(Session, "_require_all_made", do_nothing)
        ),
        scripts.persistent,
    ),
    Planted(
        "C6",
        "an aborted set leaves its shadow copies",
        replacing(LateVeto, "abort_snapshots", _no_undo),
        scripts.failing,
        {"provider_class": LateVeto},
    ),
    Planted(
        "C3",
        "a writer recovers a file in the shadow copy that is not its own",
        replacing(scripts, "recover_own", _recover_elsewhere),
        scripts.recovering,
    ),
    Planted(
        "C4",
        "the commit is told to the providers when the writes flow again",
        replacing(SnapshotSetCreation, "_commit", commit_outside),
        scripts.backup,
    ),
    Planted(
        "C5",
        "the volumes of a set are copied one after the other and not held",
        both(replacing(KitProvider, "commit_snapshots", _staggered), replacing(WriteGate, "_admit", admit_all)),
        scripts.backup,
    ),
]
