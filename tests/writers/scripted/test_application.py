"""The application behind the writer: its files, its ups and downs, and what it tells of itself."""

from __future__ import annotations

from typing import Any

from vss.hresult import HResult
from vss.lab.application import Application
from vss.lab.configuration import parse_configuration
from vss.lab.facts import facts_of
from vss.lab.lab import Lab
from vss.lab.stores import MemoryKeeper
from vss.machines import WriterState
from vss.ports import Ports
from vss.simulation import run
from vss_writers.scripted.content import made_bytes
from vss_writers.scripted.own_files import MARKER_DIRECTORY

A = "D:\\Data\\a.txt"


def test_it_is_an_application_of_the_lab(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        assert isinstance(bench.writer, Application)
        return (await facts_of(bench.lab))["writers"][0]

    facts = kit.bench(script)

    assert facts["is_up"]
    assert facts["components"] == ["Data"]
    assert facts["made_files"] == 4
    assert facts["events"] == {}


def test_its_files_are_made_at_the_first_start_and_never_again(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        first = await kit.read(stage.files, A)
        await stage.files.remove(A)
        await stage.writer.start()
        return first, await stage.files.exists(A), len(await stage.files.list_directory(f"D:\\{MARKER_DIRECTORY}"))

    assert kit.play(script) == (made_bytes(A, 5000, 1), False, 1)


def test_the_files_of_a_lab_outlive_a_restart(kit: Any) -> None:
    async def main(ports: Ports) -> bool:
        keeper = MemoryKeeper()
        for number in range(2):
            configuration = parse_configuration(kit.LAB)
            configuration.writers[0].options.update(kit.options())
            lab = Lab(configuration, ports, kit.registry(), keeper)
            await (lab.start() if number else lab.create())
            if number == 0:
                await lab.files.remove(A)
            is_there = await lab.files.exists(A)
            await lab.stop()
        return is_there

    assert run(main) is False


def test_a_writer_without_files_leaves_no_marker(kit: Any) -> None:
    async def script(stage: Any) -> bool:
        found: bool = await stage.files.exists(f"D:\\{MARKER_DIRECTORY}")
        return found

    assert kit.play(script, kit.options(files=[])) is False


def test_files_that_cannot_be_made_keep_the_application_down(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        status = await stage.backup()
        return (status.state, status.failure), status.message, stage.writer.describe()["is_up"], len(stage.log(2))

    changed = kit.options(files=[{"path": "X:\\a"}])
    found, message, is_up, failures = kit.play(script, changed)

    assert found == (WriterState.FAILED_AT_PREPARE_BACKUP, HResult.VSS_E_WRITERERROR_NONRETRYABLE)
    assert message.startswith("nothing can be backed up: volume X:")
    assert (is_up, failures) == (False, 2)


def test_a_stopped_application_refuses_backups(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await stage.writer.stop()
        refused = await stage.backup()
        await stage.writer.start()
        return refused.message, (await stage.backup()).failure

    assert kit.play(script) == ("nothing can be backed up: the application was stopped", HResult.S_OK)


def test_a_lost_disk_brings_it_down_and_a_restore_up_again(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        await bench.backup()
        await bench.lab.lose_volume("D:")
        await bench.lab.take_down("the disk broke")
        down = bench.writer.describe()
        await bench.lab.replace_volume("D:")
        restore = await bench.restore()
        return down["down_because"], restore.exit_code, bench.writer.describe()["is_up"], await kit.read(bench.lab.files, A)

    reason, exit_code, is_up, data = kit.bench(script)

    assert reason == "volume D: is lost: the disk broke"
    assert (exit_code, is_up, data) == (0, True, made_bytes(A, 5000, 1))


def test_a_disk_of_somebody_else_is_no_concern(kit: Any) -> None:
    async def script(stage: Any) -> bool:
        await stage.writer.fail("another disk broke")
        found: bool = stage.writer.describe()["is_up"]
        return found

    assert kit.play(script) is True


def test_a_file_that_goes_while_it_is_looked_at_is_no_error(kit: Any) -> None:
    async def script(stage: Any) -> HResult:
        listed = stage.files.list_directory

        async def list_directory(path: str) -> list[str]:
            names: list[str] = await listed(path)
            return names

        stat = stage.files.stat
        seen: list[str] = []

        async def vanishing(path: str) -> Any:
            found = await stat(path)
            seen.append(path)
            if seen.count("D:\\Data\\b.txt") == 1 and await stage.files.exists("D:\\Data\\b.txt"):
                await stage.files.remove("D:\\Data\\b.txt")
            return found

        stage.files.list_directory = list_directory
        stage.files.stat = vanishing
        status = await stage.backup()
        failure: HResult = status.failure
        return failure

    assert kit.play(script, kit.options(delete_files=True)) is HResult.S_OK
