"""Own and restored logs: what steps aside, what comes together, and that a crash at any step changes nothing of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import VolumeWriteError
from vss.ports import Ports
from vss.simulation import run
from vss.volumes import BlockVolume, MemoryStore, VolumeNamespace
from vss_writers.ese.header_values import LogTime, Signature
from vss_writers.ese.log_file import LogHeader
from vss_writers.exchange.restore_logs import put_logs_back, set_logs_aside

LOGS = "L:\\Logs"
ASIDE = f"{LOGS}\\_existingLogs"
Tree = dict[str, bytes]


def log(generation: int, *, mark: bytes = b"", stream: int = 1, branch: int = 0) -> bytes:
    """A log file: a real header, and a mark to know it by."""
    created = LogTime(second=generation % 60, minute=branch, hour=1, day=1, month=1, year=106)
    signature = Signature(stream, LogTime(day=1, month=1, year=106), "MAIL")
    return LogHeader(generation=generation, signature=signature, created=created).pack() + mark


def logs(first: int, current: int, mark: bytes = b"", **kind: int) -> Tree:
    """The logs of a stream from ``first`` to the current one, and a checkpoint."""
    closed = {f"E00{number:08X}.log": log(number, mark=mark, **kind) for number in range(first, current)}
    return {**closed, "E00.log": log(current, mark=mark + b"!", **kind), "E00.chk": b"checkpoint" + mark}


class Failing:
    """Files that stop working after so many changes."""

    def __init__(self, files: VolumeNamespace, changes: int) -> None:
        self.files = files
        self.left = changes
        self.exists, self.list_directory, self.open = files.exists, files.list_directory, files.open

    def _count(self) -> None:
        if self.left == 0:
            raise VolumeWriteError("the power went")
        self.left -= 1

    async def make_directory(self, path: str) -> None:
        self._count()
        await self.files.make_directory(path)

    async def rename(self, source: str, target: str) -> None:
        self._count()
        await self.files.rename(source, target)

    async def remove(self, path: str) -> None:
        self._count()
        await self.files.remove(path)


async def put(files: VolumeNamespace, directory: str, tree: Tree) -> None:
    await files.make_directory(directory)
    for name, data in tree.items():
        handle = await files.open(f"{directory}\\{name}", write=True, create=True)
        await handle.truncate(0)
        await handle.pwrite(0, data)
        await handle.close()


async def look(files: VolumeNamespace, directory: str = LOGS) -> Tree:
    found: Tree = {}
    for name in await files.list_directory(directory):
        path = f"{directory}\\{name}"
        if (await files.stat(path)).is_directory:
            found |= {f"{name}\\{each}": data for each, data in (await look(files, path)).items()}
        else:
            handle = await files.open(path)
            found[name] = await handle.pread(0, handle.size_bytes)
            await handle.close()
    return found


def on_volume(script: Callable[[VolumeNamespace], Awaitable[None]]) -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "L:", MemoryStore(4 << 20), volume_id=ports.ids.guid())
        await script(VolumeNamespace([volume]))

    run(main)


def came_together(own: Tree, restored: Tree) -> tuple[Tree, str]:
    """What stands in the log directory after ``put_logs_back``, and its answer."""
    outcome: list[Any] = []

    async def script(files: VolumeNamespace) -> None:
        await put(files, ASIDE, own)
        await put(files, LOGS, restored)
        reason = await put_logs_back(files, LOGS, "E00")
        outcome.extend([await look(files), reason])

    on_volume(script)
    return outcome[0], outcome[1]


# -- aside ---------------------------------------------------------------------------------------------------------------------


def test_logs_and_checkpoint_step_aside_and_other_files_stay() -> None:
    async def script(files: VolumeNamespace) -> None:
        await put(files, LOGS, {**logs(3, 5), "E00tmp.log": b"next", "directory.json": b"{}", "E00res00001.jrs": b"reserve"})
        moved = await set_logs_aside(files, LOGS, "E00")

        assert moved == 5
        assert sorted(await look(files)) == [
            "E00res00001.jrs",
            *(f"_existingLogs\\{each}" for each in sorted([*logs(3, 5), "E00tmp.log"])),
            "directory.json",
        ]

    on_volume(script)


def test_without_logs_nothing_is_made() -> None:
    async def script(files: VolumeNamespace) -> None:
        assert await set_logs_aside(files, LOGS, "E00") == 0
        assert await put_logs_back(files, LOGS, "E00") == ""
        assert not await files.exists(LOGS)

    on_volume(script)


def test_the_second_set_of_a_chain_does_not_push_the_own_logs_out() -> None:
    async def script(files: VolumeNamespace) -> None:
        await put(files, LOGS, logs(5, 9, b"own"))
        await set_logs_aside(files, LOGS, "E00")
        await put(files, LOGS, logs(1, 5, b"full"))
        await set_logs_aside(files, LOGS, "E00")
        await put(files, LOGS, logs(4, 7, b"incremental"))
        await put_logs_back(files, LOGS, "E00")
        found = await look(files)

        assert found["E00.log"] == log(9, mark=b"own!")
        assert found["E00.chk"] == b"checkpointown"
        assert sorted(found) == sorted(logs(1, 9))

    on_volume(script)


# -- together ------------------------------------------------------------------------------------------------------------------


def test_own_logs_follow_on_the_restored_ones() -> None:
    found, reason = came_together(logs(4, 9, b"own"), logs(2, 6, b"set"))

    assert reason == ""
    assert sorted(found) == sorted(logs(2, 9))
    assert found["E00.log"] == log(9, mark=b"own!")
    assert found["E0000000002.log"] == log(2, mark=b"set")


def test_own_logs_come_back_as_they_were_where_nothing_was_restored() -> None:
    own = {**logs(4, 9, b"own"), "E00tmp.log": b"next"}

    assert came_together(own, {}) == (own, "")


def test_older_own_logs_give_way_but_fill_in_what_the_set_lacks() -> None:
    found, reason = came_together(logs(2, 6, b"own"), logs(5, 9, b"set"))

    assert reason == ""
    assert sorted(found) == sorted(logs(2, 9))
    assert (found["E00.log"], found["E00.chk"]) == (log(9, mark=b"set!"), b"checkpointset")


def test_own_closed_logs_without_a_current_one_replace_the_restored_current_log() -> None:
    own = {name: data for name, data in logs(4, 9, b"own").items() if name != "E00.log"}
    found, reason = came_together(own, logs(2, 6, b"set"))

    assert reason == ""
    assert sorted(found) == sorted({**logs(2, 9)}.keys() - {"E00.log"})
    assert found["E00.chk"] == b"checkpointown"


def test_a_stale_temporary_log_of_the_set_goes() -> None:
    found, _ = came_together(logs(4, 9), {**logs(2, 6), "E00tmp.log": b"old"})

    assert "E00tmp.log" not in found


def test_an_own_current_log_that_cannot_be_read_stays_for_recovery_to_refuse() -> None:
    found, reason = came_together({**logs(2, 5), "E00.log": b"damaged"}, logs(2, 8))

    assert (found["E00.log"], reason) == (b"damaged", "")


def test_logs_of_another_stream_are_kept_in_a_folder_of_their_own() -> None:
    own = logs(1, 3, stream=2)
    found, reason = came_together(own, logs(2, 6))

    assert reason == "they belong to another log stream"
    assert found == {**logs(2, 6), **{f"_unusedLogs1\\{name}": data for name, data in own.items()}}


def test_logs_that_branched_off_are_kept_in_a_folder_of_their_own() -> None:
    own = {**logs(1, 5), **logs(4, 9, branch=1)}
    found, reason = came_together(own, logs(2, 6))

    assert reason == "from generation 0x4 on they come from another restore"
    assert found == {**logs(2, 6), **{f"_unusedLogs1\\{name}": data for name, data in own.items()}}


def test_each_unused_lot_gets_a_folder() -> None:
    async def script(files: VolumeNamespace) -> None:
        for number in (1, 2):
            await put(files, ASIDE, logs(1, 2, stream=2))
            await put(files, LOGS, logs(2, 6))
            await put_logs_back(files, LOGS, "E00")
            assert await files.exists(f"{LOGS}\\_unusedLogs{number}\\E00.log")

    on_volume(script)


def test_a_strange_file_among_the_logs_aside_stays_where_it_is() -> None:
    found, _ = came_together({**logs(1, 3), "notes.txt": b"mine"}, {})

    assert found == {**logs(1, 3), "_existingLogs\\notes.txt": b"mine"}


# -- crashes -------------------------------------------------------------------------------------------------------------------

SITUATIONS = {
    "follow on": (logs(4, 9, b"own"), logs(2, 6, b"set")),
    "nothing restored": (logs(4, 9, b"own"), {}),
    "older": (logs(2, 6, b"own"), logs(5, 9, b"set")),
    "no current log": (
        {name: data for name, data in logs(4, 9, b"own").items() if name != "E00.log"},
        {**logs(2, 6, b"set"), "E00tmp.log": b"old"},
    ),
    "other stream": (logs(1, 3, b"own", stream=2), logs(2, 6, b"set")),
    "branch": ({**logs(1, 5, b"own"), **logs(4, 12, b"own", branch=1)}, logs(2, 6, b"set")),
}


@pytest.mark.parametrize("situation", sorted(SITUATIONS))
def test_a_crash_at_any_step_of_coming_together_is_finished_later(situation: str) -> None:
    own, restored = SITUATIONS[situation]
    expected = {name: data for name, data in came_together(own, restored)[0].items() if "unused" not in name}

    async def script(files: VolumeNamespace) -> None:
        for steps in range(100):
            for directory in (ASIDE, LOGS, f"{LOGS}\\_unusedLogs1", f"{LOGS}\\_unusedLogs2"):
                for name in await look(files, directory) if await files.exists(directory) else ():
                    await files.remove(f"{directory}\\{name}")
            await put(files, ASIDE, own)
            await put(files, LOGS, restored)
            try:
                await put_logs_back(Failing(files, steps), LOGS, "E00")  # type: ignore[arg-type]
            except VolumeWriteError:
                await put_logs_back(files, LOGS, "E00")
                found = {name: data for name, data in (await look(files)).items() if "unused" not in name}
                assert found["E00.log"] == expected["E00.log"] if "E00.log" in expected else "E00.log" not in found, steps
                assert {name: data[:4096] for name, data in expected.items() if name in found and name != "E00.chk"} == {
                    name: data[:4096] for name, data in found.items() if name in expected and name != "E00.chk"
                }, steps
                assert expected.keys() - found.keys() <= {"E00.chk"}, steps
                assert found.keys() - expected.keys() <= {"E0000000001.log"}, steps  # of a branch, from before it left
            else:
                return

    on_volume(script)


def test_a_crash_at_any_step_of_stepping_aside_loses_nothing() -> None:
    own = {**logs(4, 9, b"own"), "E00tmp.log": b"next"}

    async def script(files: VolumeNamespace) -> None:
        for steps in range(20):
            await put(files, LOGS, own)
            try:
                await set_logs_aside(Failing(files, steps), LOGS, "E00")  # type: ignore[arg-type]
            except VolumeWriteError:
                await put_logs_back(files, LOGS, "E00")
                assert await look(files) == own, steps
            else:
                return

    on_volume(script)
