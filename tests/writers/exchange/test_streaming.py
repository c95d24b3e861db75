"""Streaming backup of the store: a chain of sets while users work, restored with the safeguards, played forward, mounted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vss.cli.main import main
from vss.errors import BadStateError
from vss.exit_codes import ExitCode
from vss.volumes import StoreEffect
from vss_writers.ese.errors import JetCode
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.exchange.storage_group import StoreError
from vss_writers.exchange.streaming import RESTORED_LOGS, back_up_streaming, restore_streaming

FULL, LATER = "B:\\full", "B:\\later"


@pytest.mark.slow
def test_a_chain_is_restored_and_played_forward_without_losing_a_message(kit: Any) -> None:
    sets = MemoryFileSystem()

    async def script(bench: Any) -> None:
        await bench.work(60)
        made = await back_up_streaming(bench.group, sets, FULL, SnapshotKind.FULL, annotation="nightly")
        assert [each.guid for each in made.databases] == [str(each) for each in bench.group.directory.databases.values()]
        await bench.work(60)
        await back_up_streaming(bench.group, sets, LATER, SnapshotKind.INCREMENTAL)
        await bench.work(30)
        await bench.lose("D:")
        await bench.allow_overwriting()
        assert await restore_streaming(bench.group, sets, FULL, is_last=False) is None
        report = await restore_streaming(bench.group, sets, LATER)
        assert report is not None
        assert report.played_forward_last > report.generation_last
        assert not await bench.lab.files.exists(f"{kit.LOGS}\\{RESTORED_LOGS}")
        await bench.group.mount()
        assert await bench.missing() == []

    kit.play(script)


def test_only_a_dismounted_group_that_may_be_overwritten_is_restored_over(kit: Any) -> None:
    sets = MemoryFileSystem()

    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        await back_up_streaming(bench.group, sets, FULL, SnapshotKind.COPY)
        with pytest.raises(BadStateError, match="is mounted"):
            await restore_streaming(bench.group, sets, FULL)
        await bench.dismount()
        with pytest.raises(BadStateError, match="not flagged"):
            await restore_streaming(bench.group, sets, FULL)
        await bench.allow_overwriting()
        with pytest.raises(StoreError) as caught:
            await restore_streaming(bench.group, sets, LATER)
        assert caught.value.code is JetCode.FileNotFound
        await restore_streaming(bench.group, sets, FULL)
        await bench.group.mount()
        assert [each.content for each in await bench.messages()] == [b"kept"]

    kit.play(script)


def test_a_disk_that_fails_in_a_restore_leaves_it_to_be_tried_again(kit: Any) -> None:
    sets, disks = MemoryFileSystem(), kit.FaultyKeeper()

    async def script(bench: Any) -> None:
        await bench.deliver("kept")
        await back_up_streaming(bench.group, sets, FULL, SnapshotKind.COPY)
        await bench.allow_overwriting()
        disks.fail("D:", StoreEffect.WRITE_ERROR)
        with pytest.raises(StoreError):
            await restore_streaming(bench.group, sets, FULL)
        disks.heal("D:")
        await restore_streaming(bench.group, sets, FULL)
        await bench.group.mount()
        assert [each.content for each in await bench.messages()] == [b"kept"]

    kit.play(script, disks=disks)


def vss(*words: object) -> int:
    return main([str(each) for each in words])


@pytest.mark.slow
def test_the_commands_make_and_restore_sets_of_a_lab(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab, full, later = tmp_path / "lab", tmp_path / "full", tmp_path / "later"
    assert vss("lab", "create", lab) == ExitCode.OK
    assert vss("lab", "run", lab, "--for", "60s") == ExitCode.OK
    assert vss("lab", "stream-backup", lab, "--to", full) == ExitCode.OK
    assert vss("eseutil", "/cm", full) == ExitCode.OK
    assert "Log files range" in capsys.readouterr().out
    assert all(vss("eseutil", "/k", edb) == ExitCode.OK for edb in full.glob("*.edb"))
    capsys.readouterr()
    assert vss("lab", "stream-backup", lab, "--to", later, "--type", "incremental", "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["databases"] == []
    assert vss("lab", "stream-restore", lab, "--from", full) != ExitCode.OK
    assert vss("lab", "dismount", lab, "--allow-overwrite") == ExitCode.OK
    assert vss("lab", "stream-restore", lab, "--from", full, "--not-last", "--json") == ExitCode.OK
    assert vss("lab", "stream-restore", lab, "--from", later) == ExitCode.OK
    assert "replayed" in capsys.readouterr().out
    assert vss("lab", "mount", lab) == ExitCode.OK
    assert vss("lab", "check", lab) == ExitCode.OK
    assert vss("lab", "dismount", lab, "--allow-overwrite") == ExitCode.OK
    assert vss("lab", "stream-restore", lab, "--from", full, "--not-last") == ExitCode.OK
    assert vss("lab", "stream-restore", lab, "--from", later, "--set-only", "--json") == ExitCode.OK
