"""What an administrator does with the store's utilities: repair, and offline defragmentation."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import BadStateError
from vss_writers.ese.errors import JetCode
from vss_writers.ese.header import DatabaseHeader
from vss_writers.exchange.operator import operate
from vss_writers.exchange.storage_group import StoreError

PAGE = 8192


def database(kit: Any, name: str) -> str:
    return f"{kit.DATABASES}\\{name}.edb"


@pytest.mark.parametrize("action", ["repair", "defragment"])
def test_a_mounted_database_is_left_alone_and_a_dismounted_one_keeps_its_mail_under_another_signature(
    kit: Any, action: str
) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        with pytest.raises(BadStateError, match="'First Storage Group' is mounted: dismount it before"):
            await operate(bench.group, action, {})
        await bench.dismount()
        before = DatabaseHeader.unpack((await bench.read(database(kit, kit.ONE)))[:PAGE])
        await operate(bench.group, action, {})
        after = DatabaseHeader.unpack((await bench.read(database(kit, kit.ONE)))[:PAGE])
        assert before.signature != after.signature
        await bench.group.mount()
        assert [each.content for each in await bench.messages()] == [b"kept"]
        assert (await bench.back_up()).exit_code == 0

    kit.play(script)


def test_a_damaged_page_that_is_in_use_stops_a_defragmentation_and_the_file_stays(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        await bench.dismount()
        data = await bench.read(database(kit, kit.ONE))
        damaged = data[: 5 * PAGE] + b"\xa5" * 300 + data[5 * PAGE + 300 :]  # page 4, the root of the catalog
        await bench.write(database(kit, kit.ONE), damaged)
        with pytest.raises(StoreError, match="cannot be defragmented") as caught:
            await operate(bench.group, "defragment", {})
        assert caught.value.code is JetCode.ReadVerifyFailure
        assert await bench.read(database(kit, kit.ONE)) == damaged

    kit.play(script)


def test_a_disk_that_is_gone_stops_a_repair(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.dismount()
        await bench.lab.lose_volume("D:")
        with pytest.raises(StoreError, match="cannot be repaired") as caught:
            await operate(bench.group, "repair", {})
        assert caught.value.code in (None, JetCode.DiskIO)

    kit.play(script)


def test_a_new_group_begins_with_the_generation_that_it_is_told(kit: Any) -> None:
    async def script(bench: Any) -> None:
        assert bench.group.instance.generation == 0x7FFFF000
        await bench.dismount()
        for name in await bench.log_names():
            await bench.lab.files.remove(f"{kit.LOGS}\\{name}")
        await bench.group.mount()
        assert bench.group.instance.generation == 1

    kit.play(script, options="first_generation = 0x7FFFF000")
