"""The examples of ``requestors/README.md`` run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from vss_requestors.backup import BackupRequestor

README = Path(__file__).parents[2] / "requestors" / "README.md"


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_smallest_requestor_takes_a_snapshot(kit: Any) -> None:
    names: dict[str, Any] = {}
    exec(examples()[0], names)

    async def script(world: Any) -> None:
        writer = await world.start()
        result = await names["SnapshotOnly"]().run(world, volumes=["D:", "L:"])
        assert result["failed_writers"] == []
        assert "Store.on_freeze" in world.calls
        assert writer.truncations == 0

    kit.play(script)


def test_the_plugin_and_the_reader_run_too(kit: Any, capsys: pytest.CaptureFixture[str]) -> None:
    plugin: dict[str, Any] = {}
    exec(examples()[1], plugin)
    assert plugin["VSS_API"] == "1.0"
    reader: dict[str, Any] = {}
    exec(examples()[2], reader)

    async def script(world: Any) -> None:
        await world.start()
        await BackupRequestor().run(world, **world.options)
        await reader["show"](world.ports, kit.TARGET)

    kit.play(script)
    assert "D:\\data\\one.edb 20480 " in capsys.readouterr().out


def test_paths_in_the_readme_exist() -> None:
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    paths = [path for row in rows for path in re.findall(r"`(vss_requestors/[\w./]+)`", row)]
    assert paths
    assert [path for path in paths if not (README.parent / path).exists()] == []
