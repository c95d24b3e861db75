"""The two ways to name and size logs: what each writes and reads, recovery under the older one, and that they do not mix."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
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
    open_instance,
    reopen,
    rows,
)
from vss_writers.ese.engine_event import EngineEvent, Severity
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.files import join_path
from vss_writers.ese.log_profile import LogProfile, generation_of, name_of_other_profile, profile_of
from vss_writers.ese.log_reader import list_logs
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.parameters import InstanceParameters

CURRENT = join_path(LOGS, "E00.log")
SMALL: Mapping[str, Any] = MappingProxyType(
    {"log_file_size": 32 * 1024, "page_size": 2048, "checkpoint_depth": 20_000, "cache_pages": 40}
)


def older(**changes: Any) -> InstanceParameters:
    return InstanceParameters("E00", LOGS, profile=LogProfile.EXCHANGE_2003, **{**SMALL, **changes})


def newer() -> InstanceParameters:
    return InstanceParameters("E00", LOGS, **SMALL)


def names(files: MemoryFileSystem) -> list[str]:
    return asyncio.run(files.list_directory(LOGS))


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("E0000000001.log", 1),
        ("e000000ABCD.LOG", 0xABCD),
        ("E000001F.log", 0x1F),
        ("E00.log", None),
        ("E00tmp.log", None),
        ("E0100000001.log", None),
        ("E0000000000.log", None),
        ("E0000000001.jrs", None),
    ],
)
def test_generations_are_read_from_names_of_both_widths(name: str, generation: int | None) -> None:
    assert generation_of("E00", name) == generation


def test_each_profile_has_its_names_sizes_and_end() -> None:
    old, new = LogProfile.EXCHANGE_2003, LogProfile.EXCHANGE_2007
    assert (old.archived_name("E00", 0x1F), new.archived_name("E00", 0x1F)) == ("E000001F.log", "E000000001F.log")
    assert (old.reserve_name("E01", 2), new.reserve_name("E01", 2)) == ("res2.log", "E01res00002.jrs")
    assert (old.generation_max, new.generation_max) == (0xFFFEF, 0x7FFFF800)
    assert InstanceParameters("E00", LOGS).log_file_size == 1 << 20
    assert InstanceParameters("E00", LOGS, profile=old).log_file_size == 5 << 20
    assert (old.other, new.other) == (new, old)


@pytest.mark.parametrize(
    ("found", "profile"),
    [
        (("E00.log", "E0000001.log"), LogProfile.EXCHANGE_2003),
        (("E00.log", "e0000000001.LOG"), LogProfile.EXCHANGE_2007),
        (("E00.log", "E0100001.log"), None),
    ],
)
def test_names_tell_the_profile(found: tuple[str, ...], profile: LogProfile | None) -> None:
    assert profile_of("E00", found) is profile


def test_a_name_of_the_other_profile_is_found_and_files_of_other_instances_are_not() -> None:
    old, new = LogProfile.EXCHANGE_2003, LogProfile.EXCHANGE_2007
    assert name_of_other_profile("E00", ("E00.chk", "E00.log", "E0000000001.log"), old) == "E0000000001.log"
    assert name_of_other_profile("E00", ("E00.log", "RES1.LOG"), new) == "RES1.LOG"
    assert name_of_other_profile("E00", ("E00.log", "E01res00001.jrs", "E0100000001.log"), old) is None


def test_a_store_under_the_older_profile_survives_a_crash() -> None:
    files = memory()

    async def live() -> None:
        instance, _, table = await new_store(files, older())
        await add(instance, table, 0, 300)
        assert instance.generation > 3
        instance.abandon()

    async def after() -> None:
        instance, _, table = await reopen(files, older())
        assert instance.recovery is not None
        assert instance.recovery.generation_last > instance.recovery.generation_first
        assert await content(table) == rows(0, 300)
        await add(instance, table, 300, 100)
        await instance.close()
        _, _, again = await reopen(files, older())
        assert await content(again) == rows(0, 400)

    asyncio.run(live())
    found = names(files)
    assert {"E0000001.log", "E0000002.log", "E00.log", "E00tmp.log", "E00.chk", "res1.log", "res2.log"} <= set(found)
    assert not [name for name in found if name.endswith(".jrs") or len(name) == len("E0000000001.log")]
    asyncio.run(after())
    assert not [name for name in names(files) if name.endswith(".jrs") or len(name) == len("E0000000001.log")]


def test_a_crash_between_the_two_renames_of_a_roll_over_recovers_under_the_older_name() -> None:
    async def until_power_loss(files: MemoryFileSystem) -> None:
        instance, _, table = await new_store(files, older())
        await add(instance, table, 0, 150)

    whole = memory()
    asyncio.run(until_power_loss(whole))
    first = whole.effects.index(("rename", f"{CURRENT} -> E0000003.log"))
    second = whole.effects.index(("rename", f"{join_path(LOGS, 'E00tmp.log')} -> E00.log"), first)
    files = MemoryFileSystem(power_loss_at=second)
    with pytest.raises(JetError):
        asyncio.run(until_power_loss(files))
    left = files.after_power_loss(chosen=True)

    async def after() -> None:
        assert "E00.log" not in await left.list_directory(LOGS)
        closed = max((await list_logs(left, LOGS, "E00")).archived)
        instance = await open_instance(left, older())
        assert instance.generation == closed + 1
        database = await instance.attach_database(DATABASE)
        table = await database.open_table("Notes")
        count = len(await content(table))
        assert await content(table) == rows(0, count)
        assert count > 3

    asyncio.run(after())


def test_a_full_log_disk_is_met_with_the_older_reserve_logs() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files, older())
        await add(instance, table, 0, 10)
        files.space_bytes = sum(
            len(files.read(path)) for path in [join_path(LOGS, name) for name in await files.list_directory(LOGS)]
        )
        files.space_bytes += len(files.read(DATABASE)) + 60_000
        with pytest.raises(JetError) as caught:
            await add(instance, table, 10, 500)
        assert caught.value.code in (JetCode.LogDiskFull, JetCode.DiskFull)
        left = [name for name in await files.list_directory(LOGS) if name.startswith("res")]
        assert len(left) < 2
        files.space_bytes = None
        instance.abandon()
        _, _, again = await reopen(files, older())
        assert len(await content(again)) >= 10

    asyncio.run(main())


@pytest.mark.parametrize("is_older_first", [True, False])
def test_files_of_the_other_profile_are_refused_by_name(is_older_first: bool) -> None:
    files = memory()
    first, second = (older(), newer()) if is_older_first else (newer(), older())

    async def main() -> None:
        instance, _, table = await new_store(files, first)
        await add(instance, table, 0, 150)
        await instance.close()
        before = await files.list_directory(LOGS)
        with pytest.raises(JetError, match="log names such as") as caught:
            await open_instance(files, second)
        assert caught.value.code == JetCode.InvalidParameter
        assert caught.value.path == join_path(LOGS, "E0000001.log" if is_older_first else "E0000000001.log")
        assert await files.list_directory(LOGS) == before
        for name in before:
            if generation_of("E00", name) or name.endswith(".chk"):
                await files.remove(join_path(LOGS, name))
        with pytest.raises(JetError) as caught:
            await open_instance(files, second)
        assert caught.value.path == join_path(LOGS, "res1.log" if is_older_first else "E00res00001.jrs")

    asyncio.run(main())


def test_a_missing_log_is_named_as_its_neighbours_are() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files, older(checkpoint_depth=10 << 20, cache_pages=10_000))
        await add(instance, table, 0, 150)
        instance.abandon()
        await files.remove(join_path(LOGS, "E0000002.log"))
        with pytest.raises(JetError) as caught:
            await open_instance(files, older())
        assert caught.value.code == JetCode.MissingLogFile
        assert caught.value.path == join_path(LOGS, "E0000002.log")
        logs = await list_logs(files, LOGS, "E00")
        assert logs.closed_path(1) == join_path(LOGS, "E0000001.log")

    asyncio.run(main())


def test_generations_of_the_older_profile_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    files = memory()
    monkeypatch.setattr(LogProfile, "generation_max", property(lambda profile: 3 if profile == "exchange-2003" else 1000))

    async def main() -> None:
        instance, _, table = await new_store(files, older())
        with pytest.raises(JetError) as caught:
            await add(instance, table, 0, 300)
        assert caught.value.code == JetCode.LogSequenceEnd

    asyncio.run(main())


@pytest.mark.parametrize(
    ("profile", "announced", "not_yet"),
    [
        (LogProfile.EXCHANGE_2003, [0xE0000, 0xE0000 + 20_000], [1, 0xDFFFF, 0xE0001, 0xFFFEE]),
        (
            LogProfile.EXCHANGE_2007,
            [0x40000000, 0x40000000 + 20_000, 0x7FFFF000, 0x7FFFF001, 0x7FFFF7FF],
            [1, 0x3FFFFFFF, 0x40000001, 0x7FFFEFFF],
        ),
    ],
)
def test_the_end_of_the_generations_is_announced(profile: LogProfile, announced: list[int], not_yet: list[int]) -> None:
    assert [each for each in (*announced, *not_yet) if profile.is_end_announced(each)] == announced
    assert [each for each in announced if profile.is_end_near(each)] == [each for each in announced if each >= 0x7FFFF000]


@pytest.mark.parametrize(
    ("parameters", "first", "severity"),
    [
        (older(), 0xE0000, Severity.WARNING),
        (newer(), 0x40000000, Severity.WARNING),
        (newer(), 0x7FFFF000, Severity.ERROR),
    ],
)
def test_event_514_says_how_many_generations_are_left(parameters: InstanceParameters, first: int, severity: Severity) -> None:
    events: list[EngineEvent] = []

    async def main() -> None:
        instance = await open_instance(memory(), replace(parameters, first_generation=first - 1), events=events)
        assert 514 not in event_ids(events)
        await instance.stream.roll_over()
        await instance.close()

    asyncio.run(main())
    event = next(each for each in events if each.event_id == 514)
    left = parameters.profile.generation_max - 1 - first
    assert (event.severity, event.path, dict(event.values)) == (severity, LOGS, {"generation": first, "left": left})
    assert f"{left} are left" in event.text
