"""Roles without substance: they keep the rules of their faces, record every call in one list, and misbehave where told.

``behaviour`` maps a method name to what the method does there: an exception to raise, a number of seconds to sleep, the word
``"hang"``, or a callable handed the arguments. A ``calls`` list shared between stubs shows the order of a whole session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID, uuid5

from vss.documents import Component, ComponentType, FileSpec, SourceType, UsageType, WriterMetadata
from vss.errors import HoldWritesTimeoutError, NotFoundError, UnsupportedError
from vss.events import HoldLost, WritesHeld, WritesReleased
from vss.ids import Guid
from vss.ports import NANOSECONDS, Ports
from vss.roles.provider import Provider, ProviderCapabilities, ProviderType, SnapshotProperties
from vss.roles.volume import File, FileStat, FileSystem, Volume
from vss.roles.writer import ApplicationLevel, Writer, WriterContext

Behaviour = Mapping[str, Any]

_NAMESPACE = UUID("6f9d1c39-3f0c-4a51-8f0a-6d6c1b7c2a11")


@cache
def stub_guid(name: str) -> Guid:
    """Return the constant GUID that belongs to ``name``."""
    return uuid5(_NAMESPACE, name)


async def behave(behaviour: Behaviour, method: str, *arguments: Any) -> None:
    """Do what ``behaviour`` says for ``method``."""
    action = behaviour.get(method)
    if action is None:
        return
    if isinstance(action, BaseException):
        raise action
    if action == "hang":
        await asyncio.Event().wait()
    elif isinstance(action, int | float):
        await asyncio.sleep(action)
    else:
        result = action(*arguments)
        if asyncio.iscoroutine(result):
            await result


class StubWriter(Writer):
    """A writer with one component, ``name``, on the volumes of ``paths``."""

    def __init__(
        self,
        name: str,
        calls: list[str] | None = None,
        *,
        paths: tuple[str, ...] = ("D:\\data",),
        level: ApplicationLevel = ApplicationLevel.FRONT_END,
        freeze_timeout_s: float = 60.0,
        behaviour: Behaviour | None = None,
        components: tuple[Component, ...] | None = None,
    ) -> None:
        """Make a healthy writer unless ``behaviour`` says otherwise."""
        self.name = name
        self.writer_class_id = stub_guid(name)
        self.application_level = level
        self.freeze_timeout_s = freeze_timeout_s
        self.calls = [] if calls is None else calls
        self.behaviour = dict(behaviour or {})
        self.contexts: dict[str, WriterContext] = {}
        files = tuple(FileSpec(path, "*", recursive=True) for path in paths)
        self.components = components or (Component(ComponentType.FILE_GROUP, name, files=files),)

    async def identify(self) -> WriterMetadata:
        """Return the same document each time."""
        self.calls.append(f"{self.name}.identify")
        await behave(self.behaviour, "identify")
        return WriterMetadata(
            writer_id=self.writer_class_id,
            instance_id=self.instance_id,
            instance_name=self.instance_name,
            friendly_name=self.name,
            usage=UsageType.USER_DATA,
            source=SourceType.OTHER,
            components=self.components,
        )

    async def _record(self, method: str, context: WriterContext) -> None:
        self.calls.append(f"{self.name}.{method}")
        self.contexts[method] = context
        await behave(self.behaviour, method, context)

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_prepare_backup", context)

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_prepare_snapshot", context)

    async def on_freeze(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_freeze", context)

    async def on_thaw(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_thaw", context)

    async def on_post_snapshot(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_post_snapshot", context)

    async def on_abort(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_abort", context)

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_backup_complete", context)

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_backup_shutdown", context)

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_pre_restore", context)

    async def on_post_restore(self, context: WriterContext) -> None:
        """Record."""
        await self._record("on_post_restore", context)


class StubFiles(FileSystem):
    """No files at all; enough where only the protocol matters."""

    @property
    def is_read_only(self) -> bool:
        """Always."""
        return True

    async def open(self, path: str, *, write: bool = False, create: bool = False, exclusive: bool = False) -> File:
        """Refuse."""
        raise NotFoundError(f"{path} does not exist: the stub has no files")

    async def stat(self, path: str) -> FileStat:
        """Know the root only."""
        if path == "/":
            return FileStat(0, True, 0)
        raise NotFoundError(f"{path} does not exist: the stub has no files")

    async def exists(self, path: str) -> bool:
        """Only the root exists."""
        return path == "/"

    async def list_directory(self, path: str) -> list[str]:
        """Return nothing."""
        return []

    async def make_directory(self, path: str) -> None:
        """Refuse."""
        raise UnsupportedError("the stub has no files")

    async def rename(self, source: str, target: str) -> None:
        """Refuse."""
        raise UnsupportedError("the stub has no files")

    async def remove(self, path: str) -> None:
        """Refuse."""
        raise UnsupportedError("the stub has no files")

    async def sync(self) -> None:
        """Nothing to do."""


class StubVolume(Volume):
    """A volume that holds and releases by the rules, its own timer included, and stores nothing."""

    def __init__(self, ports: Ports, name: str, calls: list[str] | None = None, behaviour: Behaviour | None = None) -> None:
        """Make a volume that holds nothing yet."""
        self.name = name
        self.volume_id = stub_guid(name)
        self.calls = [] if calls is None else calls
        self.behaviour = dict(behaviour or {})
        self._ports = ports
        self._files = StubFiles()
        self._held_ns: int | None = None
        self._is_lost = False
        self._timer: asyncio.TimerHandle | None = None

    @property
    def files(self) -> FileSystem:
        """No files."""
        return self._files

    @property
    def size_bytes(self) -> int:
        """Nothing."""
        return 0

    @property
    def is_holding(self) -> bool:
        """Whether writes would be held now."""
        return self._held_ns is not None

    async def flush_and_hold(self, window_s: float) -> None:
        """Hold until released or until the window has passed."""
        self.calls.append(f"{self.name}.hold")
        await behave(self.behaviour, "flush_and_hold", window_s)
        self._held_ns = self._ports.clock.now_ns()
        self._is_lost = False
        self._timer = asyncio.get_running_loop().call_later(window_s, self._let_go)
        self._ports.emit(WritesHeld(volume=self.name, limit_ns=int(window_s * NANOSECONDS)))

    def _let_go(self) -> None:
        self._ports.emit(HoldLost(volume=self.name, held_ns=self._end_hold(), queued_count=0))
        self._is_lost = True

    def _end_hold(self) -> int:
        assert self._held_ns is not None
        held_ns = self._ports.clock.now_ns() - self._held_ns
        self._held_ns = None
        return held_ns

    async def release_writes(self) -> None:
        """Release; a hold that was lost is reported once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_lost:
            self._is_lost = False
            raise HoldWritesTimeoutError(f"volume {self.name} let its writes go by itself")
        if self._held_ns is not None:
            self.calls.append(f"{self.name}.release")
            self._ports.emit(WritesReleased(volume=self.name, held_ns=self._end_hold(), queued_count=0, queued_bytes=0))


class StubProvider(Provider):
    """A provider whose shadow copies are records only. ``sets`` shows what is unfinished, for leak checks."""

    def __init__(
        self,
        name: str = "Stub provider",
        calls: list[str] | None = None,
        *,
        behaviour: Behaviour | None = None,
        type: ProviderType = ProviderType.SOFTWARE,
        supports: Callable[[Volume], bool] = lambda volume: True,
    ) -> None:
        """Make a healthy provider unless ``behaviour`` says otherwise."""
        self.name = name
        self.provider_id = stub_guid(name)
        self.type = type
        self.capabilities = ProviderCapabilities(is_differential=True)
        self.calls = [] if calls is None else calls
        self.behaviour = dict(behaviour or {})
        self.sets: dict[Guid, list[SnapshotProperties]] = {}
        self.finished: dict[Guid, SnapshotProperties] = {}
        self._in_creation: set[Guid] = set()
        self._next_number = 1
        self._supports = supports

    async def _record(self, method: str, *arguments: Any) -> None:
        self.calls.append(f"provider.{method}")
        await behave(self.behaviour, method, *arguments)

    async def is_volume_supported(self, volume: Volume, attributes: int) -> bool:
        """As told at construction."""
        await behave(self.behaviour, "is_volume_supported", volume)
        return self._supports(volume)

    async def begin_prepare_snapshot(self, snapshot_set_id: Guid, snapshot_id: Guid, volume: Volume, attributes: int) -> None:
        """Note the volume; an earlier unfinished set is dead."""
        await self._record("begin_prepare_snapshot", volume)
        self.sets = {key: value for key, value in self.sets.items() if key == snapshot_set_id}
        self.sets.setdefault(snapshot_set_id, []).append(
            SnapshotProperties(
                snapshot_id=snapshot_id,
                snapshot_set_id=snapshot_set_id,
                provider_id=self.provider_id,
                original_volume=volume.name,
                original_volume_id=volume.volume_id,
                snapshots_in_set=1,
                created_ns=0,
                attributes=attributes,
                size_bytes=volume.size_bytes,
                device_name=rf"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy{self._next_number}",
                context=attributes & 0xFF,
            )
        )
        self._next_number += 1

    @property
    def unfinished_count(self) -> int:
        """Sets between EndPrepareSnapshots and their end. One that was only begun dies silently, by the vendor's rule."""
        return len(self._in_creation)

    async def end_prepare_snapshots(self, snapshot_set_id: Guid) -> None:
        """The set is in creation."""
        self._in_creation.add(snapshot_set_id)
        await self._record("end_prepare_snapshots")

    async def pre_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Record."""
        await self._record("pre_commit_snapshots")

    async def commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Record."""
        await self._record("commit_snapshots")

    async def post_commit_snapshots(self, snapshot_set_id: Guid, snapshot_count: int) -> None:
        """Record."""
        await self._record("post_commit_snapshots")

    async def pre_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """Record."""
        await self._record("pre_final_commit_snapshots")

    async def post_final_commit_snapshots(self, snapshot_set_id: Guid) -> None:
        """The set is finished."""
        await self._record("post_final_commit_snapshots")
        self._in_creation.discard(snapshot_set_id)
        made = self.sets.pop(snapshot_set_id)
        for each in made:
            self.finished[each.snapshot_id] = replace(each, snapshots_in_set=len(made))

    async def abort_snapshots(self, snapshot_set_id: Guid) -> None:
        """Forget the set."""
        self.sets.pop(snapshot_set_id, None)
        self._in_creation.discard(snapshot_set_id)
        await self._record("abort_snapshots")

    async def query(self) -> list[SnapshotProperties]:
        """Return what is finished."""
        await behave(self.behaviour, "query")
        return list(self.finished.values())

    async def open_snapshot(self, snapshot_id: Guid) -> FileSystem:
        """No files."""
        await behave(self.behaviour, "open_snapshot", snapshot_id)
        return StubFiles()

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        """Forget one."""
        await self._record("delete_snapshot", snapshot_id)
        if self.finished.pop(snapshot_id, None) is None:
            raise NotFoundError(f"shadow copy {snapshot_id} does not exist")
