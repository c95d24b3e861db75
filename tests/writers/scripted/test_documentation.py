"""The page and the examples: every block is valid, every example does what the page says of it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from vss.errors import WriterError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.lab.configuration import parse_configuration
from vss.machines import WriterState
from vss.simulation import MemoryFiles
from vss_writers.scripted.script import Script, StepTable
from vss_writers.scripted.script_reader import parse_script, parse_toml
from vss_writers.scripted.xml_configuration import parse_xml

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples" / "scripted"
PAGE = (ROOT / "docs" / "scripted-writer.md").read_text("utf-8")


def options_of(name: str) -> dict[str, Any]:
    return parse_toml((EXAMPLES / name).read_bytes(), name)


def test_every_example_is_on_the_page_and_valid() -> None:
    for path in sorted(EXAMPLES.iterdir()):
        assert path.name in PAGE
        if path.name == "lab.toml":
            for table in parse_configuration(path.read_text("utf-8")).writers:
                assert table.kind == "scripted"
        else:
            read = parse_xml if path.suffix == ".xml" else parse_toml
            parse_script(read(path.read_bytes(), path.name), path.name)


def test_every_block_of_the_page_is_part_of_an_example_or_a_lab(kit: Any) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    examples = [path.read_text("utf-8") for path in sorted(EXAMPLES.iterdir())]
    lab, *others = blocks

    (table,) = parse_configuration("volumes = [{ name = 'D:', size = '1 MiB' }]\n" + lab).writers
    parse_script(table.options, "page")
    assert [block for block in others if not any(block in example for example in examples)] == []
    assert all(tomllib.loads(block) for block in blocks)


@pytest.mark.parametrize("fields", [Script.__struct_fields__, StepTable.__struct_fields__])
def test_every_key_is_on_the_page(fields: tuple[str, ...]) -> None:
    assert [name for name in fields if f"`{name}" not in PAGE and f"{name}`" not in PAGE] == []


@pytest.mark.parametrize("name", ["freeze-fails-twice.toml", "freeze-fails-twice.xml"])
def test_freeze_fails_twice(kit: Any, name: str) -> None:
    async def script(stage: Any) -> list[Any]:
        found = [await stage.backup() for _ in range(3)]
        return [(each.state, each.failure, each.message) for each in found]

    data = (EXAMPLES / name).read_bytes()
    found = kit.play(script, {"xml": data.decode()} if name.endswith("xml") else options_of(name))

    assert [each[0] for each in found] == [WriterState.FAILED_AT_FREEZE] * 2 + [WriterState.STABLE]
    assert all(code.is_retryable for _, code, _ in found[:2])
    if name.endswith("toml"):
        assert found[0][1:] == (HResult.VSS_E_WRITERERROR_RETRYABLE, "the order book is busy")


def test_thaw_hangs(kit: Any) -> None:
    async def script(stage: Any) -> list[Any]:
        found = [await stage.backup() for _ in range(2)]
        assert [each.event for each in stage.writer.received].count("Abort") == 1
        return [(each.state, each.failure) for each in found]

    found = kit.play(script, options_of("thaw-hangs.toml"))

    assert found[0] == (WriterState.FAILED_AT_THAW, HResult.VSS_E_WRITERERROR_TIMEOUT)
    assert found[1] == (WriterState.STABLE, HResult.S_OK)


def test_catch_live_copy(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        backup = await bench.backup()
        gone = [await bench.lab.files.exists(f"D:\\Orders\\{name}") for name in ("january.dat", "scratch.tmp")]
        restore = await bench.restore()
        return backup.exit_code, gone, restore.exit_code

    assert kit.bench(script, options_of("catch-live-copy.toml")) == (ExitCode.OK, [False, True], ExitCode.OK)


def test_the_message_of_the_page_is_the_writers(kit: Any) -> None:
    async def script(stage: Any) -> str:
        await stage.backup()
        status = await stage.restore()
        message: str = status.message
        return message

    message = kit.play(script, options_of("catch-live-copy.toml"))

    assert f"```text\n{message}\n```" in PAGE


def test_the_lab_of_the_examples(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        backup = await bench.backup()
        assert [(each.component, each.succeeded) for each in backup.components] == [("Orders", True), ("Invoices", False)]
        again = await bench.backup(target=Path("/again"))
        return backup.exit_code, again.exit_code

    lab_text = (EXAMPLES / "lab.toml").read_text("utf-8")
    first, second = kit.bench(script, lab_text=lab_text)

    assert first is not ExitCode.OK
    assert second is ExitCode.OK


def test_the_lab_of_the_examples_with_a_file_of_the_host(kit: Any) -> None:
    files = MemoryFiles()
    files.make_directory(Path("/lab"))
    files.write_atomically(Path("/lab/writer.xml"), (EXAMPLES / "freeze-fails-twice.xml").read_bytes())

    async def script(bench: Any) -> list[HResult]:
        codes = []
        for _ in range(2):
            with pytest.raises(WriterError) as caught:
                await bench.backup()
            codes.append(caught.value.hresult)
        assert (await bench.backup()).exit_code is ExitCode.OK
        return codes

    options = {"configuration": "/lab/writer.xml", "files": [{"path": "D:\\Orders\\january.dat", "size": "64 KiB"}]}

    assert all(code.is_retryable for code in kit.bench(script, options, files=files))
