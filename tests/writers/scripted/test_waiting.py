"""A scripted writer whose backup waits for BackupComplete while its machine is suspended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vss.documents.xml import parse_backup_components
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss_requestors.completion import CompletionRequestor
from vss_writers.scripted.writer import ScriptedWriter

DOCUMENT = Path("/bcd.xml")
SPIT = {
    "name": "Data",
    "type": "filegroup",
    "file_sets": [{"path": "D:\\Data", "filespec": "*", "recursive": True, "alternate_path": "D:\\Spit"}],
}


async def second_life(kit: Any, bench: Any) -> Lab:
    """Suspend the machine and let another run take it up."""
    await bench.lab.stop()
    machine = Lab(bench.lab.configuration, bench.lab.ports, kit.registry(), bench.lab._keeper)
    await machine.start()
    return machine


def test_the_writer_hears_backup_complete_in_the_later_run_and_clears_its_copies(kit: Any) -> None:
    async def script(bench: Any) -> None:
        files = bench.lab.ports.files
        await bench.backup(send_backup_complete=False, document_file=DOCUMENT)
        assert await bench.lab.files.exists("D:\\Spit\\a.txt")

        machine = await second_life(kit, bench)
        writer = machine.writer("T1")
        assert isinstance(writer, ScriptedWriter)
        assert await machine.files.exists("D:\\Spit\\a.txt")
        document = parse_backup_components(files.read_bytes(DOCUMENT))
        result = await CompletionRequestor().run(machine, document=document)

        assert result.exit_code == ExitCode.OK
        assert [each.event for each in writer.received][-2:] == ["BackupComplete", "BackupShutdown"]
        assert [each.outcome for each in writer.received][-2:] == ["done", "done"]
        assert writer.misuses == []
        assert not await machine.files.exists("D:\\Spit\\a.txt")
        assert await machine.files.exists("D:\\Data\\a.txt")
        await machine.stop()

    kit.bench(script, kit.options(components=[SPIT]))


def test_without_spit_there_is_nothing_to_remember(kit: Any) -> None:
    async def script(bench: Any) -> None:
        assert bench.writer.backup_memory(bench.lab.ports.ids.guid()) == {"spit": []}

    kit.bench(script)
