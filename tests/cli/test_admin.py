"""``vss admin`` on a small lab on disk: one volume, copy-on-write, the example's writer."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import vss.cli.loading
from vss.cli.lab import in_lab
from vss.cli.main import main
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.world import create_lab
from vss.plugins import Candidate, PluginHost, load
from vss.real import RealFiles

ROOT = Path(__file__).parents[2]
LAB = """
[machine]
name = "EX1"

[[volumes]]
name = "D:"
size = "4 MiB"

[[volumes]]
name = "L:"
size = "4 MiB"

[[providers]]
kind = "copy-on-write"

[[writers]]
name = "diary"
kind = "notes"

[writers.options]
directory = 'D:\\Notes'
"""


@pytest.fixture(scope="module")
def host() -> PluginHost:
    path = ROOT / "examples" / "vss-writer-notes" / "vss_writer_notes.py"
    spec = importlib.util.spec_from_file_location("vss_writer_notes", path)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    providers = importlib.import_module("vss_providers.plugin")
    return load([Candidate.of("vss-providers", providers), Candidate.of("notes", example)], environment={}, is_strict=True)


@pytest.fixture
def lab(tmp_path: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab on disk, in a process whose plugins are ``host``."""
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: host)
    create_lab(RealFiles(), tmp_path / "lab", LAB, host.registry)
    return tmp_path / "lab"


def take_shadow_copies(lab: Path, *volumes: str) -> None:
    """Make a persistent set over ``volumes``."""
    from vss.coordinator.contexts import SnapshotContext
    from vss.documents import BackupType

    async def take(machine: Lab) -> None:
        async with machine.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.APP_ROLLBACK)
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            for volume in volumes:
                await session.add_to_snapshot_set(volume)
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.backup_complete()
        await asyncio.sleep(60)

    in_lab(lab, take)


def text_of(capsys: pytest.CaptureFixture[str], lab: Path, *words: str) -> str:
    assert main(["admin", *words, "--lab", str(lab)]) == 0
    return capsys.readouterr().out


def data_of(capsys: pytest.CaptureFixture[str], lab: Path, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text_of(capsys, lab, *words, "--json"))
    return document


def masked(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)


def test_writers_in_the_vendors_layout(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert masked(text_of(capsys, lab, "list", "writers")) == (
        "Writer name: 'Notes Writer'\n"
        "   Writer Id: {ID}\n"
        "   Writer Instance Id: {ID}\n"
        "   State: [1] Stable\n"
        "   Last error: No error\n"
        "\n"
    )
    (writer,) = data_of(capsys, lab, "list", "writers")["writers"]
    assert (writer["state"], writer["state_number"], writer["failure"]) == ("STABLE", 1, "S_OK")
    assert writer["failure_number"] == "0x00000000"
    assert (writer["session_id"], writer["age_ns"]) == (None, 0)


def test_a_status_says_whose_it_is_and_how_old(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup was left waiting for BackupComplete: another command sees its state, and that it is old news."""
    from vss.documents import BackupType
    from vss.roles.writer import Writer

    async def leave(machine: Lab) -> str:
        async with machine.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.FULL)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.leave_waiting()
            session_id = str(session.session_id)
        await machine.ports.clock.sleep(90)
        return session_id

    def remember(writer: Writer, session_id: object) -> dict[str, object]:
        return {}

    monkeypatch.setattr(Writer, "backup_memory", remember)
    session_id = in_lab(lab, leave)
    text = text_of(capsys, lab, "list", "writers")
    assert "   State: [5] Waiting for completion\n   Last error: No error\n" in text
    assert f"   Session: {{{session_id}}}, 1 min 30 s ago\n" in text
    (writer,) = data_of(capsys, lab, "list", "writers")["writers"]
    assert (writer["session_id"], writer["age_ns"] // 10**9) == (session_id, 90)


def test_providers(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = text_of(capsys, lab, "list", "providers")

    (provider,) = data_of(capsys, lab, "list", "providers")["providers"]
    assert text.startswith(f"Provider name: '{provider['name']}'\n   Provider type: {provider['type']}\n")


def test_volumes(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert masked(text_of(capsys, lab, "list", "volumes")).splitlines()[:2] == [
        "Volume path: D:\\",
        "    Volume name: \\\\?\\Volume{ID}\\",
    ]

    assert main(["lab", "lose", str(lab), "D:"]) == 0
    capsys.readouterr()

    assert "Volume path: D:\\ (lost)" in text_of(capsys, lab, "list", "volumes")
    assert [each["is_lost"] for each in data_of(capsys, lab, "list", "volumes")["volumes"]] == [True, False]


def test_shadow_copies_in_the_vendors_layout(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert text_of(capsys, lab, "list", "shadows") == "No items found that satisfy the query.\n"

    take_shadow_copies(lab, "D:", "L:")

    lines = masked(text_of(capsys, lab, "list", "shadows", "/for=d:\\")).splitlines()
    assert lines[0] == "Contents of shadow copy set ID: {ID}"
    assert lines[1].startswith("   Contained 2 shadow copies at creation time: 20")
    assert lines[2] == "      Shadow Copy ID: {ID}"
    assert lines[3] == "         Original Volume: (D:)\\\\?\\Volume{ID}\\"
    assert "         Type: AppRollback" in lines
    assert any(re.fullmatch(r"         Attributes: Persistent, .*Differential.*", line) for line in lines)
    shadows = data_of(capsys, lab, "list", "shadows")["shadows"]
    assert [each["original_volume"] for each in shadows] == ["D:", "L:"]
    assert data_of(capsys, lab, "list", "shadows", "--shadow", shadows[1]["snapshot_id"])["shadows"] == [shadows[1]]


def ids(capsys: pytest.CaptureFixture[str], lab: Path) -> list[str]:
    return [each["snapshot_id"] for each in data_of(capsys, lab, "list", "shadows")["shadows"]]


@pytest.mark.slow
def test_shadow_copies_are_deleted_by_id_by_age_and_all(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        take_shadow_copies(lab, "D:")
    first, second, third = ids(capsys, lab)

    assert text_of(capsys, lab, "delete", "shadows", "/for=D:", "/oldest") == "Successfully deleted 1 shadow copy.\n"
    assert ids(capsys, lab) == [second, third]

    assert data_of(capsys, lab, "delete", "shadows", "--shadow", third)["shadows"] == [third]
    assert ids(capsys, lab) == [second]

    take_shadow_copies(lab, "D:")
    assert text_of(capsys, lab, "delete", "shadows", "--all") == "Successfully deleted 2 shadow copies.\n"
    assert ids(capsys, lab) == []
    assert first not in ids(capsys, lab)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["delete", "shadows"], ExitCode.USAGE, "exactly one of --shadow, --oldest and --all"),
        (["delete", "shadows", "--all", "--oldest"], ExitCode.USAGE, "exactly one of --shadow, --oldest and --all"),
        (["delete", "shadows", "--oldest"], ExitCode.USAGE, "--oldest needs the volume"),
        (["delete", "shadows", "--all"], ExitCode.NOT_FOUND, "there is no shadow copy to delete"),
        (
            ["delete", "shadows", "--shadow", "5d2a1d0c-4f6e-4c56-9d0e-2f8a3f6f7b11"],
            ExitCode.NOT_FOUND,
            "there is no such shadow copy",
        ),
        (["list", "shadows", "--shadow", "seven"], ExitCode.USAGE, "expected the id of a shadow copy, found 'seven'"),
        (["list", "shadows", "--for", "Q:"], ExitCode.NOT_FOUND, "Q:"),
    ],
)
def test_what_cannot_be_done_is_named(
    words: Sequence[str], code: ExitCode, message: str, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["admin", *words, "--lab", str(lab)]) == code

    assert message in capsys.readouterr().err


def test_a_directory_that_is_no_lab(
    tmp_path: Path, host: PluginHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: host)

    assert main(["admin", "list", "writers", "--lab", str(tmp_path)]) == ExitCode.NOT_FOUND

    assert "is not a lab" in capsys.readouterr().err
