"""The named sites: every effect on logs, pages and the checkpoint passes one; what is raised there counts as the effect's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    add,
    content,
    event_ids,
    memory,
    new_store,
    reopen,
    rows,
    small_parameters,
)
from vss_writers.ese.engine_event import EngineEvent
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.sites import Work, just_do
from vss_writers.ese.truncation import SnapshotKind


class Watch:
    """Notes the sites that are passed, and fails at a chosen one."""

    def __init__(self) -> None:
        self.visits: list[tuple[str, dict[str, str]]] = []
        self.fails_at = ""
        self.error: Exception = OSError(5, "injected")

    async def __call__(self, site: str, work: Work, /, **selectors: str) -> Any:
        self.visits.append((site, selectors))
        if site == self.fails_at:
            raise self.error
        return await work()


def test_every_site_is_passed_with_its_selectors() -> None:
    files, watch = memory(), Watch()
    parameters = small_parameters(at_site=watch)

    async def main() -> None:
        instance, _, table = await new_store(files, parameters)
        await add(instance, table, 0, 150)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        await instance.snapshot.truncate_logs(all_databases_attached=True)
        await instance.snapshot.end(success=True)
        await add(instance, table, 150, 20)
        instance.abandon()
        _, _, again = await reopen(files, parameters)
        assert await content(again) == rows(0, 170)

    asyncio.run(main())
    by_site: dict[str, dict[str, str]] = {}
    for site, selectors in watch.visits:
        by_site.setdefault(site, selectors)
        assert all(isinstance(value, str) for value in selectors.values())
    assert sorted(by_site) == [
        "checkpoint.write",
        "log.delete",
        "log.open",
        "log.read",
        "log.rotate",
        "log.write",
        "page.read",
        "page.write",
    ]
    assert by_site["log.write"] == {"file": f"{LOGS}\\E00.log", "gen": "1"}
    assert by_site["log.rotate"] == {"file": f"{LOGS}\\E00.log", "gen": "1"}
    assert by_site["log.delete"] == {"file": f"{LOGS}\\E0000000001.log", "gen": "1"}
    assert by_site["checkpoint.write"] == {"file": f"{LOGS}\\E00.chk"}
    assert by_site["page.write"]["file"] == DATABASE
    assert int(by_site["page.read"]["page"]) > 0


@pytest.mark.parametrize(
    ("site", "code"),
    [
        ("log.write", JetCode.LogWriteFail),
        ("log.rotate", JetCode.LogWriteFail),
        ("log.open", JetCode.LogWriteFail),
        ("page.read", JetCode.DiskIO),
        ("page.write", JetCode.DiskIO),
        ("checkpoint.write", JetCode.DiskIO),
    ],
)
def test_what_is_raised_at_a_site_is_what_the_effect_failed_with(site: str, code: JetCode) -> None:
    files, watch, events = memory(), Watch(), list[EngineEvent]()

    async def main() -> JetCode:
        instance, database, table = await new_store(files, small_parameters(at_site=watch, cache_pages=4), events=events)
        await add(instance, table, 0, 60)
        watch.fails_at = site

        async def work() -> None:
            await content(table)
            await instance.checkpointer.write_everything(database)
            await instance.checkpointer.write()
            await instance.stream.roll_over()

        with pytest.raises(JetError) as caught:
            await work()
        return caught.value.code

    assert asyncio.run(main()) is code
    assert (event_ids(events)[-2:] == [408, 492]) == site.startswith("log.")


@pytest.mark.parametrize("site", ["log.open", "log.read"])
def test_logs_that_cannot_be_read_stop_recovery(site: str) -> None:
    files, watch, events = memory(), Watch(), list[EngineEvent]()
    parameters = small_parameters(at_site=watch)

    async def main() -> None:
        instance, _, table = await new_store(files, parameters)
        await add(instance, table, 0, 20)
        instance.abandon()
        watch.fails_at = site
        with pytest.raises(JetError) as caught:
            await reopen(files, parameters, events=events)
        assert caught.value.code is JetCode.DiskIO
        watch.fails_at = ""
        _, _, again = await reopen(files, parameters)
        assert await content(again) == rows(0, 20)

    asyncio.run(main())
    assert 455 in event_ids(events)


def test_a_log_that_cannot_be_deleted_and_a_disk_that_cannot_be_listed_or_synced() -> None:
    files, watch, events = memory(), Watch(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, small_parameters(at_site=watch), events=events)
        await add(instance, table, 0, 150)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        watch.fails_at = "log.delete"
        with pytest.raises(JetError) as caught:
            await instance.snapshot.truncate_logs(all_databases_attached=True)
        assert caught.value.code is JetCode.DeleteBackupFileFail
        watch.fails_at = ""

        async def fail(*_: Any) -> Any:
            raise OSError(5, "device failed")

        for name in ("list_directory", "sync"):
            whole = getattr(files, name)
            setattr(files, name, fail)
            with pytest.raises(JetError) as caught:
                await instance.snapshot.truncate_logs(all_databases_attached=True)
            assert caught.value.code is JetCode.DiskIO
            setattr(files, name, whole)
        await instance.snapshot.truncate_logs(all_databases_attached=True)

    asyncio.run(main())


def test_logs_that_are_gone_already_are_counted() -> None:
    files, events = memory(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, events=events)
        await add(instance, table, 0, 150)
        instance.snapshot.prepare(SnapshotKind.FULL)
        await instance.snapshot.freeze()
        await instance.snapshot.thaw()
        files.delete(f"{LOGS}\\E0000000002.log")
        await instance.snapshot.truncate_logs(all_databases_attached=True)

    asyncio.run(main())
    missing = next(event for event in events if event.event_id == 227)
    assert missing.value("count") == 1


def test_nothing_stands_at_the_sites_by_default() -> None:
    async def main() -> None:
        async def work() -> int:
            return 5

        assert await just_do("log.write", work, file="x") == 5
        assert small_parameters().at_site is just_do

    asyncio.run(main())


def test_a_creation_that_fails_leaves_no_file() -> None:
    files = memory()

    async def main() -> None:
        instance, _, _ = await new_store(files)

        def fail(kind: str, path: str) -> None:
            if path.endswith("DB9.edb") and kind in ("write", "truncate"):
                raise OSError(5, "device failed")

        files.fail = fail
        with pytest.raises(JetError) as caught:
            await instance.create_database("D:\\DB9.edb")
        assert caught.value.code is JetCode.DiskIO
        assert not await files.exists("D:\\DB9.edb")

    asyncio.run(main())


def test_a_range_of_keys_of_an_instances_table() -> None:
    async def main() -> None:
        instance, _, table = await new_store(memory())
        await add(instance, table, 0, 20)
        first, stop = table.key("ById", 5), table.key("ById", 9)
        assert [row["Id"] async for row in table.range("ById", first, stop, columns=["Id"])] == [5, 6, 7, 8]
        async with instance.transaction() as transaction:
            await table.insert(transaction, {"Id": 100})
            assert len([row async for row in table.range("ById", first, transaction=transaction)]) == 16

    asyncio.run(main())


def test_a_full_log_disk_is_reported_as_such_and_the_stream_is_halted() -> None:
    files, watch, events = memory(), Watch(), list[EngineEvent]()

    async def main() -> None:
        instance, _, table = await new_store(files, small_parameters(at_site=watch), events=events)
        watch.fails_at, watch.error = "log.write", OSError(28, "no space left")
        with pytest.raises(JetError) as caught:
            await add(instance, table, 0)
        assert caught.value.code is JetCode.LogDiskFull
        watch.fails_at = ""
        with pytest.raises(JetError, match="no space left") as caught:
            await add(instance, table, 1)
        assert caught.value.code is JetCode.InstanceUnavailableDueToFatalLogDiskFull

    asyncio.run(main())
    assert event_ids(events)[-2:] == [429, 492]
