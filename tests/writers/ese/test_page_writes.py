"""Why pages are written: each kind happens when it should, counts, and takes neighbours along."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import random

import pytest

from tests.writers.ese.store_kit import DATABASE, add, body, content, memory, new_store, reopen, rows, small_parameters
from vss_writers.ese.errors import JetError
from vss_writers.ese.log_profile import LogProfile
from vss_writers.ese.memory_files import MemoryFileSystem, PowerLossError
from vss_writers.ese.page_writes import IDLE_PAGES, OPPORTUNE_BYTES_MAX, PageWrite, PageWrites, with_neighbours

CROWDED = small_parameters(cache_pages=8, checkpoint_depth=60_000, profile=LogProfile.EXCHANGE_2003)
ROOMY = {"checkpoint_depth": 10 << 20, "cache_pages": 4096}


def test_old_changes_are_checkpoint_writes() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory(), small_parameters(cache_pages=4096))
        await add(instance, table, 0, 150)
        writes = instance.page_writes
        assert writes.checkpoint > 0
        assert (writes.normal, writes.idle, writes.detach) == (0, 0, 0)

    asyncio.run(main())


@pytest.mark.slow
def test_a_full_cache_is_relieved_by_normal_writes_of_the_pages_unused_for_longest() -> None:
    async def main() -> None:
        parameters = small_parameters(checkpoint_depth=10 << 20, cache_pages=60, page_size=8192, log_file_size=64 * 1024)
        instance, database, table = await new_store(memory(), parameters)
        count = 0
        while not instance.page_writes.normal:
            first_unused = database.pages._by_age(PageWrite.NORMAL)[0]
            await add(instance, table, count, 1, size=3000)
            count += 1
        assert instance.page_writes.normal >= 60 // 4
        assert instance.page_writes.checkpoint == 0
        assert 0 < database.pages.dirty_count <= 45
        assert first_unused not in database.pages._dirty
        assert await content(table) == rows(0, count, size=3000)

    asyncio.run(main())


@pytest.mark.slow
def test_idle_moments_write_what_nobody_presses_for_until_nothing_is_left() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files, small_parameters(**ROOMY))
        await add(instance, table, 0, 700)
        before, dirty = instance.checkpoint, database.pages.dirty_count
        assert dirty > 2 * IDLE_PAGES
        first = await instance.idle()
        assert IDLE_PAGES <= first < dirty
        assert instance.page_writes.idle == IDLE_PAGES
        assert instance.page_writes.opportune == first - IDLE_PAGES
        while await instance.idle():
            pass
        assert database.pages.dirty_count == 0
        assert instance.checkpoint > before
        assert instance.checkpointer.oldest_needed() == instance.stream.position
        assert (instance.page_writes.checkpoint, instance.page_writes.normal) == (0, 0)
        assert instance.page_writes.idle + instance.page_writes.opportune == dirty
        instance.abandon()
        _, _, again = await reopen(files, small_parameters(**ROOMY))
        assert await content(again) == rows(0, 700)

    asyncio.run(main())


def test_nothing_is_idle_while_somebody_writes_or_the_instance_is_closed() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory(), small_parameters(**ROOMY))
        await add(instance, table, 0, 5)
        async with instance.transaction():
            assert await instance.idle() == 0
        assert await instance.idle() > 0
        await instance.close()
        assert await instance.idle() == 0

    asyncio.run(main())


def test_an_idle_write_that_fails_leaves_the_pages_in_memory() -> None:
    files = memory()

    def fail(kind: str, path: str) -> None:
        if path == DATABASE:
            raise OSError(errno.EIO, "the disk is gone")

    async def main() -> None:
        instance, database, table = await new_store(files, small_parameters(**ROOMY))
        await add(instance, table, 0, 5)
        dirty = database.pages.dirty_count
        files.fail = fail
        assert await instance.idle() == 0
        assert database.pages.dirty_count == dirty
        assert instance.page_writes == PageWrites()
        files.fail = lambda kind, path: None
        assert await instance.idle() == dirty

    asyncio.run(main())


def test_neighbours_of_a_page_go_along_as_opportune_writes_unless_the_waypoint_forbids_it() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory(), small_parameters(**ROOMY))
        await add(instance, table, 0, 60)
        pages = database.pages
        oldest = next(iter(pages._by_age(PageWrite.CHECKPOINT)))
        run = [oldest]
        while run[-1] + 1 in pages._dirty and len(run) < OPPORTUNE_BYTES_MAX // 2048:
            run.append(run[-1] + 1)
        assert len(run) > 3
        written = await pages.write_behind(at_most=1)
        assert written >= len(run)
        assert (instance.page_writes.checkpoint, instance.page_writes.opportune) == (1, written - 1)
        assert not any(number in pages._dirty for number in run)
        await add(instance, table, 60, 60)
        assert await pages.write_behind(generation_max=0) == 0

    asyncio.run(main())


def test_a_page_written_again_at_once_counts_as_repeated_and_one_much_later_does_not() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory(), small_parameters(**ROOMY))
        await add(instance, table, 0, 1)
        await database.pages.write_behind()
        assert instance.page_writes.repeated == 0
        await add(instance, table, 1, 1)
        await database.pages.write_behind()
        repeated = instance.page_writes.repeated
        assert repeated > 0
        for _ in range(2):
            await instance.stream.roll_over()
        await add(instance, table, 2, 1)
        await database.pages.write_behind()
        assert instance.page_writes.repeated == repeated

    asyncio.run(main())


def test_a_detach_writes_what_is_left() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory(), small_parameters(**ROOMY))
        await add(instance, table, 0, 20)
        dirty = database.pages.dirty_count
        await instance.detach_database(DATABASE)
        assert instance.page_writes.as_dict() == PageWrites(detach=dirty).as_dict()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("chosen", "ready", "pages_max", "expected"),
    [
        ([5], (4, 6, 7, 9), 8, [4, 5, 6, 7]),
        ([5], (), 8, [5]),
        ([5], (1, 2, 3, 4, 6, 7, 8), 3, [5, 6, 7]),
        ([1, 2, 3, 4, 5, 6], (7,), 2, [1, 2, 3, 4, 5, 6]),
        ([9, 2], (3, 8), 4, [2, 3, 8, 9]),
        ([], (1, 2), 4, []),
    ],
)
def test_runs_of_neighbours_are_unbroken_and_bounded(
    chosen: list[int], ready: tuple[int, ...], pages_max: int, expected: list[int]
) -> None:
    assert with_neighbours(chosen, lambda number: number in ready, pages_max) == expected


async def live_with_idle_moments(files: MemoryFileSystem, acknowledged: list[int]) -> PageWrites:
    instance, _, table = await new_store(files, CROWDED)
    for number in range(60):
        await add(instance, table, number, 1)
        acknowledged.append(number)
        if number % 7 == 3:
            await instance.idle()
    return instance.page_writes


@pytest.mark.slow
def test_power_lost_in_an_idle_opportune_or_normal_write_costs_nothing_that_was_acknowledged() -> None:
    whole = memory()
    writes = asyncio.run(live_with_idle_moments(whole, []))
    assert min(writes.normal, writes.idle, writes.opportune) > 0
    chooser = random.Random(6)
    for at in range(whole.effect_count // 3, whole.effect_count, 17):
        files, acknowledged = MemoryFileSystem(power_loss_at=at), list[int]()
        with contextlib.suppress(JetError, PowerLossError):
            asyncio.run(live_with_idle_moments(files, acknowledged))
        left = files.after_power_loss(chooser)

        async def after(left: MemoryFileSystem = left) -> dict[int, bytes]:
            instance, _, table = await reopen(left, CROWDED)
            found = await content(table)
            await instance.close()
            return found

        found = asyncio.run(after())
        assert found.keys() - {len(acknowledged)} == set(acknowledged), f"power lost at effect {at}"
        assert found == {number: body(number) for number in found}
