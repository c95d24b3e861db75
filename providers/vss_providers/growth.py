"""What is done for a diff area in the background: growth, long bitmaps; and the fault sites of copy-on-write.

The area grows ahead of need, by a step as soon as less than a step is free. Growing may take time: because the provider was
told so (``growth_s``), or because a fault delays it. A burst of writes that uses up what is free before the growth is over
costs the shadow copies of the volume, like a growth that fails (volsnap 25, and 24 when the failure is noticed). Where growing
takes no time nothing of this is to be seen.

Copy-on-write itself happens below the write gate, where nothing can wait. So its fault site is passed right afterwards, by a
task of its own, block by block: *fail* gives the shadow copies up as an I/O failure does (volsnap 14); what damages the data
(lose, torn, flip) damages what was saved, which only the digests can tell.

Sites: ``diffarea.alloc`` (in ``copy_on_write``), ``diffarea.grow``, ``diffarea.cow``; selectors ``volume``, ``snapshot``.
Sources: Microsoft KB 826936 (shadow copies deleted under load); event log messages of volsnap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from vss.errors import VolumeError, VssError
from vss.ports import Ports, no_faults
from vss.volumes.block_volume import BlockVolume, WriteFilter
from vss_providers.diff_area import DiffArea
from vss_providers.on_disk.layout import BLOCK_SIZE
from vss_providers.store import Store
from vss_providers.volsnap import Loss, VolsnapEvent


class AreaFaults:
    """The growth and the fault sites of one diff area.

    Attributes:
        write_filter: what stands before the volume's writes: the area, or the area and its fault site.
    """

    def __init__(self, ports: Ports, volume: BlockVolume, area: DiffArea, growth_s: float) -> None:
        """Watch over ``area``; growing by one step takes ``growth_s``."""
        self._ports = ports
        self._volume = volume
        self._area = area
        self._growth_s = growth_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._saved: list[tuple[Store, int]] = []
        has_faults = ports.faults is not no_faults
        if growth_s or has_faults:
            area.space.on_low = self._ask_for_growth
            area.space.grows_at_once = not growth_s
        self.write_filter: WriteFilter = self if has_faults else area

    # -- growth ----------------------------------------------------------------------------------------------------------------

    async def make_room(self) -> None:
        """Grow, as long as it takes, until a shadow copy can begin; ``VolumeError`` where there is no room for it."""
        space = self._area.space
        if space.grows_at_once:
            return
        while space.room_bytes < self._area.room_to_begin and space.can_grow:
            await self._pass("diffarea.grow", self._grow)

    def _ask_for_growth(self) -> None:
        if self._area.space.can_grow:
            self._start("grow", self._grow_ahead)

    async def _grow_ahead(self) -> None:
        space, is_grown = self._area.space, False

        async def grow() -> None:
            nonlocal is_grown
            await self._grow()
            is_grown = True

        space.is_growing, space.growth_failure = True, ""
        try:
            await self._pass("diffarea.grow", grow)
        except Exception as error:  # noqa: BLE001 - whatever a device or a fault raises is a growth that failed
            space.growth_failure = error.message if isinstance(error, VssError) else str(error)
        finally:
            space.is_growing = False
        if not is_grown:
            space.growth_failure = space.growth_failure or "nothing was added"
            self._ports.emit(VolsnapEvent.GROWTH_FAILED.record(self._volume.name, space.growth_failure))

    async def _grow(self) -> None:
        if self._growth_s:
            await self._ports.clock.sleep(self._growth_s)
        self._area.space.grow_ahead()

    # -- bitmaps ---------------------------------------------------------------------------------------------------------------

    def complete_bitmaps(self) -> None:
        """Write in the background what the first shadow copy left out of long bitmaps."""
        if self._area.bitmaps is not None and not self._area.bitmaps.is_whole:
            self._start("bitmaps", self._complete_bitmaps)

    def abandon_bitmaps(self) -> None:
        """Stop that: the area is given up, and its room with it."""
        if self._area.bitmaps is not None:
            self._area.bitmaps.abandon()

    async def _complete_bitmaps(self) -> None:
        area, bitmaps = self._area, self._area.bitmaps
        assert bitmaps is not None, "it is asked for when there are some"
        with suppress(VolumeError):  # the bitmaps stay as short as they are; the next shadow copy or the next start goes on
            for _ in bitmaps.write_rest(area.area_device, area.volume_size, area.space):
                await self._ports.clock.sleep(0)
                if bitmaps.is_whole:
                    return  # the area was given up meanwhile
            await self._ports.blocking(area.area_device.flush)
            bitmaps.link(area.area_device)

    # -- copy on write ---------------------------------------------------------------------------------------------------------

    def before_write(self, offset: int, length: int) -> None:
        """Let the area save what it must, then pass the fault site for it."""
        newest = self._area.stack[-1]
        count = len(newest.saved)
        self._area.before_write(offset, length)
        if len(newest.saved) > count:
            self._saved += [(newest, block) for block in list(newest.saved)[count:]]
            self._start("cow", self._pass_blocks)

    async def _pass_blocks(self) -> None:
        while self._saved:
            store, block = self._saved.pop(0)
            if store.lost:
                continue
            try:
                await self._pass_block(store.saved[block])
            except Exception as error:  # noqa: BLE001 - whatever a fault raises is a copy-on-write that failed
                reason = error.message if isinstance(error, VssError) else str(error)
                self._area.lose_all(Loss(VolsnapEvent.ABORTED_BY_IO_FAILURE, f"copy-on-write failed: {reason}"))

    async def _pass_block(self, at: int) -> None:
        """Pass the site as the write of the block that was saved at ``at``; where it writes something else, so do we."""
        device, written = self._area.area_device, list[tuple[int, bytes]]()
        data = device.read(at, BLOCK_SIZE)

        async def write(offset: int, piece: bytes) -> None:
            written.append((offset, piece))

        await self._pass("diffarea.cow", partial(write, at, data))
        if written != [(at, data)]:
            device.write(at, bytes(BLOCK_SIZE))
            for offset, piece in written:
                device.write(offset, piece)

    # -- sites and tasks -------------------------------------------------------------------------------------------------------

    async def _pass(self, site: str, work: Callable[[], Awaitable[None]]) -> None:
        stack = self._area.stack
        snapshot = str(stack[-1].snapshot_id) if stack else ""
        await self._ports.faults(site, work, volume=self._volume.name, snapshot=snapshot)

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` in a task of its own, one of a name at a time."""
        running = self._tasks.get(name)
        if running is None or running.done():
            self._tasks[name] = task = asyncio.ensure_future(work())
            when_killed = getattr(asyncio.get_running_loop(), "when_killed", None)
            if when_killed is not None:  # a task that a simulated crash killed is never done: nobody may wait for it
                when_killed(task, partial(self._tasks.pop, name, None))

    async def close(self) -> None:
        """End what still runs: growth is broken off, bitmaps are written to their end."""
        bitmaps = self._tasks.pop("bitmaps", None)
        if bitmaps is not None and not bitmaps.done():
            await asyncio.wait([bitmaps])
        tasks = [task for task in self._tasks.values() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._area.space.on_low = None
