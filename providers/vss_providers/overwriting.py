"""Putting other bytes on a volume, block by block: what revert and resynchronisation share.

Decides who may write meanwhile: nobody else. The mounted files are refused from the start, raw writes by a filter; our own
writes pass the volume's filters like any other, so that shadow copies of every provider keep what they need. At the end the
file system that now stands there is mounted.

The copying runs in a task of its own that cancelling the caller does not stop: half an overwritten volume is worth nothing.
Source: Volume Shadow Copy Service documentation, IVssBackupComponentsEx2, "RevertToSnapshot".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

from vss.errors import BadStateError, ProviderError, VolumeError, VolumeWriteError, VssError
from vss.events import BlocksCopied
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import CopyStatus
from vss.volumes.block_volume import BlockVolume
from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE

REPORT_BYTES = 16 << 20
"""How often progress is told."""

GIVE_WAY_BLOCKS = 64
"""How many blocks are copied before other tasks have a turn."""

ReadBlock = Callable[[int], bytes]


def open_file_count(volume: BlockVolume) -> int:
    """Return how many files of ``volume`` are open; none where nothing is mounted."""
    try:
        return volume.files.open_file_count
    except (BadStateError, VolumeError):
        return 0


class _Lock:
    """A write filter that lets only its owner through."""

    def __init__(self, error: VolumeWriteError) -> None:
        self._error = error
        self.is_ours = False

    def before_write(self, offset: int, length: int) -> None:
        if not self.is_ours:
            raise VolumeWriteError(self._error.message, hint=self._error.hint)


class Overwrite:
    """One volume being overwritten. ``start`` once; ``wait`` as often as wanted.

    Attributes:
        status: how far it is.
    """

    def __init__(self, ports: Ports, volume: BlockVolume, snapshot_id: Guid, work: str) -> None:
        """Prepare; ``work`` is the word for events: ``revert`` or ``restore``."""
        self.volume = volume
        self.status = CopyStatus(snapshot_id, volume.name, 0, 0)
        self._ports = ports
        self._work = work
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it has begun and not ended."""
        return self._task is not None and not self._task.done()

    def start(self, blocks: Iterable[int], read: ReadBlock, finish: Callable[[], None]) -> None:
        """Begin to write what ``read`` returns for each of ``blocks``; ``finish`` is called when all are durable."""
        self._task = asyncio.ensure_future(self._run(list(blocks), read, finish))
        self._task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, whoever waits

    async def wait(self) -> None:
        """Wait until it has ended; ``VolumeError`` when it failed. Cancelling this call does not stop it."""
        assert self._task is not None, "start comes before wait"
        await asyncio.shield(self._task)

    async def ended(self) -> None:
        """Wait until it has ended, well or not."""
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, blocks: list[int], read: ReadBlock, finish: Callable[[], None]) -> None:
        self._show(0, sum(self._length(block) for block in blocks))
        volume = self.volume
        error = VolumeWriteError(
            f"volume {volume.name} is being overwritten from shadow copy {self.status.snapshot_id}", hint="wait for it to end"
        )
        lock = _Lock(error)
        try:
            is_mounted = self._refuse_files(error)
            volume.attach_filter(lock)
            try:
                await self._copy(blocks, read, lock)
                volume.device.flush()
                finish()
            finally:
                volume.detach_filter(lock)
            if is_mounted:
                volume.remount()
        except VssError as failure:
            self.status = replace(self.status, is_finished=True, failure=failure.message)
            raise
        self.status = replace(self.status, is_finished=True)

    def _refuse_files(self, error: VolumeWriteError) -> bool:
        """Take the files away from whoever has them open; return whether there are any to be mounted again."""
        try:
            self.volume.files.refuse(error)
        except BadStateError:
            return False
        return True

    async def _copy(self, blocks: list[int], read: ReadBlock, lock: _Lock) -> None:
        device, done, told = self.volume.device, 0, 0
        for index, block in enumerate(blocks):
            offset, length = block << BLOCK_SHIFT, self._length(block)
            wanted = read(block)[:length]
            if wanted != device.read(offset, length):
                lock.is_ours = True
                try:
                    device.write(offset, wanted)
                finally:
                    lock.is_ours = False
            done += length
            if index % GIVE_WAY_BLOCKS == GIVE_WAY_BLOCKS - 1:
                if done - told >= REPORT_BYTES:
                    told = done
                    self._show(done)
                await self._ports.clock.sleep(0)
        self._show(done)

    def _length(self, block: int) -> int:
        return min(BLOCK_SIZE, self.volume.size_bytes - (block << BLOCK_SHIFT))

    def _show(self, done: int, total: int | None = None) -> None:
        total = self.status.total_bytes if total is None else total
        self.status = replace(self.status, done_bytes=done, total_bytes=total)
        self._ports.emit(
            BlocksCopied(
                work=self._work,
                volume=self.volume.name,
                snapshot_id=str(self.status.snapshot_id),
                done_bytes=done,
                total_bytes=total,
            )
        )


def require_idle(volume: BlockVolume, running: Overwrite | None, *, force_dismount: bool, code: HResult) -> None:
    """Refuse to overwrite a volume that is busy.

    Raises:
        ProviderError: it is being overwritten already (``code``), lost, held, or in use and nobody wants to force it.
    """
    if running is not None and running.is_running:
        raise ProviderError(
            f"volume {volume.name} is being overwritten from {running.status.snapshot_id} already", hresult=code
        )
    if volume.is_lost:
        raise ProviderError(f"volume {volume.name} is lost", hresult=HResult.VSS_E_REVERT_VOLUME_LOST, hint="replace it first")
    if volume.is_holding:
        raise ProviderError(f"volume {volume.name} holds writes: a shadow copy is being taken", hresult=HResult.VSS_E_BAD_STATE)
    count = open_file_count(volume)
    if count and not force_dismount:
        raise ProviderError(
            f"volume {volume.name} is in use: {count} open files",
            hresult=HResult.VSS_E_VOLUME_IN_USE,
            hint="stop the applications on it, or force the dismount",
        )
