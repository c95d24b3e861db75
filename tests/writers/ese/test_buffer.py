"""The buffer pool by itself: one object for each page, eviction, what is written when, blank and missing pages."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tests.writers.ese.store_kit import DATABASE, add, content, memory, new_store, rows, small_parameters
from vss_writers.ese.engine_event import EngineEvent, ignore_events
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header_values import LogPosition
from vss_writers.ese.page_operation import SetLinks


def test_clean_pages_beyond_the_limit_are_forgotten_and_read_again() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files, small_parameters(cache_pages=6))
        await add(instance, table, 0, 60)
        await database.pages.write_behind()
        reads: list[int] = []
        files.fail_read = lambda path, offset, length: reads.append(offset)
        assert await content(table) == rows(0, 60)
        assert len(database.pages._recent) <= 6
        assert len(reads) > 6

    asyncio.run(main())


def test_a_page_somebody_holds_stays_the_same_object() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory(), small_parameters(cache_pages=2))
        await add(instance, table, 0, 30)
        await database.pages.write_behind()
        held = await database.pages.committed.read(table.schema.fdp)
        dbtime = held.dbtime
        await content(table)
        gc.collect()
        assert await database.pages.committed.read(table.schema.fdp) is held
        await add(instance, table, 30, 40)
        assert held.dbtime > dbtime

    asyncio.run(main())


def test_a_before_image_that_was_shown_follows_the_commit() -> None:
    async def main() -> None:
        instance, database, _ = await new_store(memory())
        pages = database.pages
        async with instance.transaction():
            changed = await pages.apply(SetLinks(1, 0, 7))
            await pages.apply(SetLinks(1, 0, 8))
            assert pages.is_changed
            shown = await pages.committed.read(1)
            assert (shown.next, changed.next) == (0, 8)
        assert shown.next == 8
        assert shown.dbtime == changed.dbtime
        assert not pages.is_changed

    asyncio.run(main())


def test_two_readers_of_one_page_read_it_once() -> None:
    files = memory()

    async def main() -> None:
        _, database, _ = await new_store(files)
        await database.pages.write_behind()
        database.pages._recent.clear()
        gc.collect()
        reads: list[int] = []
        files.fail_read = lambda path, offset, length: reads.append(offset)
        first, second = await asyncio.gather(*(database.pages.committed.read(4) for _ in range(2)))
        assert first is second
        assert len(reads) == 1

    asyncio.run(main())


def test_pages_are_written_up_to_a_position_or_a_generation_and_never_those_of_the_open_transaction() -> None:
    async def main() -> None:
        instance, database, table = await new_store(memory())
        await add(instance, table, 0, 10)
        pages = database.pages
        oldest = pages.oldest_change()
        assert oldest is not None
        assert await pages.write_behind(before=oldest) == 0
        assert await pages.write_behind(generation_max=0) == 0
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": 100})
            held = pages.dirty_count
            await pages.write_behind()
            assert 0 < pages.dirty_count < held
        await pages.write_behind()
        assert pages.dirty_count == 0
        assert pages.oldest_change() is None

    asyncio.run(main())


def test_a_file_that_grew_for_nothing_is_cut_back_when_pages_are_written_next() -> None:
    files = memory()

    async def main() -> None:
        instance, database, table = await new_store(files)
        size = len(files.read(DATABASE))

        async def grow() -> None:
            async with instance.transaction():
                await database.pages.extend(50)
                assert database.pages.page_count == size // 2048 - 2 + 50
                assert database.pages.committed.page_count == size // 2048 - 2
                raise ValueError("enough")

        with pytest.raises(ValueError, match="enough"):
            await grow()
        assert len(files.read(DATABASE)) == size + 50 * 2048
        await add(instance, table, 0)
        await database.pages.write_behind()
        assert len(files.read(DATABASE)) == size

    asyncio.run(main())


def test_blank_pages_are_refused_to_readers_inside_and_outside() -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance, database, _ = await new_store(memory(), events=events)
        async with instance.transaction():
            first = await database.pages.extend(1)
            with pytest.raises(JetError) as caught:
                await database.pages.read(first)
        assert caught.value.code == JetCode.PageNotInitialized
        with pytest.raises(JetError):
            await database.pages.committed.read(first)

    asyncio.run(main())
    assert [event.event_id for event in events].count(476) == 2
    assert events[-1].value("page") == events[-2].value("page")
    ignore_events(events[0])


def test_nothing_is_changed_outside_a_transaction() -> None:
    async def main() -> None:
        _, database, _ = await new_store(memory())
        for access in (database.pages, database.pages.committed):
            with pytest.raises(JetError) as caught:
                await access.apply(SetLinks(1, 0, 0))
            assert caught.value.code == JetCode.NotInTransaction

    asyncio.run(main())


def test_the_checkpoint_keeps_behind_the_begin_of_the_open_transaction() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())
        await add(instance, table, 0, 3)
        async with instance.transaction() as transaction:
            begin = instance.stream.position
            for number in range(100, 200):
                await table.insert(transaction, {"Id": number, "Body": bytes(900)})
            await instance.checkpointer.write_behind()
            assert instance.checkpoint <= begin
            assert instance.checkpointer.oldest_needed() <= begin
        assert instance.generation > begin.generation
        assert instance.checkpointer._position_before(1 << 40) == LogPosition()

    asyncio.run(main())
