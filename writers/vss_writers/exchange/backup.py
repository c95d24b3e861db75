"""One backup of a storage group as the writer remembers it, from PrepareBackup to BackupComplete or whatever ends it.

Belongs to one session and to the engine that ran when it began: when the group was dismounted in between, another engine may
run by now, which knows nothing of the snapshot. Invariant: a frozen engine is let go by thaw, by abort, or by the timer here,
whichever comes first; operations never wait longer than the store's own limit, even when the coordinator is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vss.documents import BackupType
from vss.errors import VolumeError, WriterError
from vss.ids import Guid
from vss_writers.ese.errors import JetError
from vss_writers.ese.instance import Instance
from vss_writers.ese.snapshot import FreezeInfo
from vss_writers.ese.truncation import SnapshotKind

KINDS = {
    BackupType.FULL: SnapshotKind.FULL,
    BackupType.INCREMENTAL: SnapshotKind.INCREMENTAL,
    BackupType.DIFFERENTIAL: SnapshotKind.DIFFERENTIAL,
    BackupType.COPY: SnapshotKind.COPY,
}
"""The backup types that the store supports, as its engine calls them."""


class GroupBackup:
    """A backup in progress."""

    def __init__(
        self,
        session_id: Guid,
        kind: SnapshotKind,
        instance: Instance,
        *,
        freeze_limit_s: float,
        on_failure: Callable[[str], None],
    ) -> None:
        """Remember who backs up what, how long the store may be frozen, and whom to tell when the timer's thaw fails."""
        self.session_id = session_id
        self.kind = kind
        self.instance = instance
        self._freeze_limit_s = freeze_limit_s
        self._on_failure = on_failure
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.Task[None] | None = None

    def memory(self) -> dict[str, Any]:
        """Return, JSON-ready, what the engine's snapshot has fixed."""
        return {"kind": self.kind.value, "freeze": msgspec.to_builtins(self.instance.snapshot.freeze_info)}

    @classmethod
    def recalled(
        cls,
        session_id: Guid,
        memory: Mapping[str, Any],
        instance: Instance,
        *,
        freeze_limit_s: float,
        on_failure: Callable[[str], None],
    ) -> GroupBackup:
        """Return the backup that ``memory`` tells of, on the engine that runs now.

        Raises:
            WriterError: the memory is damaged, or the engine's log does not go on behind it.
        """
        try:
            kind, info = SnapshotKind(memory["kind"]), msgspec.convert(memory["freeze"], FreezeInfo)
        except (KeyError, ValueError) as error:
            raise WriterError(f"what was remembered of the backup is damaged: {error}") from error
        if instance.generation <= info.generation_last:
            raise WriterError(
                f"the log is at generation {instance.generation:#x}, expected one behind {info.generation_last:#x}"
            )
        instance.snapshot.recall(kind, info)
        return cls(session_id, kind, instance, freeze_limit_s=freeze_limit_s, on_failure=on_failure)

    def prepare(self) -> None:
        """Prepare the engine; raises as ``Snapshots.prepare``."""
        self.instance.snapshot.prepare(self.kind)

    async def freeze(self) -> None:
        """Stop writing, for as long as the store allows, counted from now.

        Raises:
            JetError: as ``Snapshots.freeze``.
            TimeoutError: an operation under way did not end in time.
        """
        self._timer = asyncio.get_running_loop().call_later(self._freeze_limit_s, self._expire)
        try:
            async with asyncio.timeout(self._freeze_limit_s):
                await self.instance.snapshot.freeze()
        except BaseException:
            self._stop_timer()
            raise

    async def thaw(self) -> None:
        """Go on writing; raises as ``Snapshots.thaw``, ``OSSnapshotTimeOut`` where the timer was first."""
        self._stop_timer()
        await self._wait_expiry()
        await self.instance.snapshot.thaw()

    async def give_up(self) -> None:
        """Abort the snapshot, whatever was reached, and let the engine go. Harmless when it is over.

        Raises:
            JetError, VolumeError: the engine writes again, but could not bring its headers up to date.
        """
        self._stop_timer()
        await self._wait_expiry()
        await self.instance.snapshot.abort()

    def forget(self) -> None:
        """The store's process died: nothing of this is left, its timer neither."""
        self._stop_timer()

    def _expire(self) -> None:
        self._timer = None
        self._expiry = asyncio.get_running_loop().create_task(self._time_out(), name="freeze limit of the store")

    async def _time_out(self) -> None:
        try:
            await self.instance.snapshot.time_out(round(self._freeze_limit_s * 1000))
        except (JetError, VolumeError) as error:
            self._on_failure(str(error))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _wait_expiry(self) -> None:
        if self._expiry is not None:
            expiry, self._expiry = self._expiry, None
            await expiry
