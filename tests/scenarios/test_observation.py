"""What only stores, shadow copies and backup sets show is found in a scenario's run, and looking changes nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from tests.scenarios.kit import broken, plant, run
from vss.cli.scenario import run as run_command
from vss.exit_codes import ExitCode
from vss.roles.writer import WriterContext
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.diff_area import DiffArea
from vss_providers.shadow_stack import ShadowStack
from vss_requestors import verify
from vss_writers.scripted.writer import ScriptedWriter

HEAD = 'title = "x"\n[lab]\ntemplate = "small"\n'
BACKUP = '[[method]]\ndo = "backup"\nname = "b"\nunder_load = true\n'
VERIFY = '[[method]]\ndo = "verify"\nof = "b"\n'
RESTORE = '[[method]]\ndo = "delete_file"\npath = "*boxes.dat"\n[[method]]\ndo = "restore"\nname = "r"\nof = "b"\n'
CALM = BACKUP + VERIFY + RESTORE + '[[method]]\ndo = "check"\n'
PERSISTENT = '[[method]]\ndo = "backup"\nname = "kept"\noptions = { snapshot_only = true, persistent = true }\n'
WORKING_IN_A_COMPONENT = (
    HEAD
    + "options.bystander = { path = 'L:\\Mail\\activity.log', lines_at_once = 40 }\n"
    + BACKUP
    + '[[faults]]\nfault = "writer.post_snapshot delay=1s"\n'
)


def test_a_run_is_judged_by_what_stores_shadow_copies_and_sets_show() -> None:
    outcome = run(HEAD + CALM)

    assert outcome.shortfalls == ()
    trials = {"B7", "B10", "S11", "D2", "D3", "D4", "D10", "R2", "R3", "R4"}
    assert set(outcome.not_judged) - trials == {"D1", "D5", "D6", "D7", "D9", "D11", "D12", "R9"}


def test_looking_changes_nothing() -> None:
    text = HEAD + PERSISTENT + CALM + '[[method]]\ndo = "power_cut"\n[[method]]\ndo = "check"\n'
    full, light = run(text), run(text, evidence="light")

    assert full.shortfalls == light.shortfalls == ()
    assert (full.digest, full.loop_steps) == (light.digest, light.loop_steps)
    assert set(light.not_judged) > set(full.not_judged)


def test_looking_is_no_visit_of_a_fault_site() -> None:
    visits: dict[str, list[str]] = {"full": [], "light": []}
    for evidence, seen in visits.items():
        run(HEAD + CALM, evidence=evidence, watch=lambda step, site, selectors, seen=seen: seen.append(site))

    assert visits["full"] == visits["light"]


def _other_block(read: Any, number: int) -> Any:
    """A provider that has lost one block of what it saved."""

    def wrong(self: DiffArea, store: Any, offset: int, length: int) -> bytes:
        data = bytearray(read(self, store, offset, length))
        start = max(number * 16384 - offset, 0)
        end = min((number + 1) * 16384 - offset, length)
        if start < end:
            data[start:end] = bytes(end - start)
        return bytes(data)

    return wrong


def test_a_provider_whose_copy_misses_one_block_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiffArea, "read", _other_block(DiffArea.read, 6))

    assert "C1" in broken(run(HEAD + PERSISTENT))
    assert broken(run(HEAD + PERSISTENT, evidence="light")) == []


def test_a_provider_that_does_not_save_what_is_overwritten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShadowStack, "before_write", lambda *_: None)

    assert {"C2", "C10"} <= set(broken(run(HEAD + PERSISTENT + BACKUP)))


def test_a_requestor_that_copies_the_live_volume_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(run(WORKING_IN_A_COMPONENT)) == []
    plant("B1", "files are copied from the live volume", monkeypatch)

    assert {"B1", "R6"} <= set(broken(run(WORKING_IN_A_COMPONENT)))
    assert broken(run(WORKING_IN_A_COMPONENT, evidence="light")) == []


def test_the_command_tells_it_by_the_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant("B1", "files are copied from the live volume", monkeypatch)
    path = tmp_path / "live.toml"
    path.write_text(WORKING_IN_A_COMPONENT, encoding="utf-8")

    done = CliRunner().invoke(run_command, [str(path)], standalone_mode=False)

    assert done.return_value == ExitCode.INVARIANT
    assert "B1" in done.output


FLIP = '[[method]]\ndo = "flip_bit"\nset = "b"\npath = "files/D/Mail/boxes.dat"\n'
SLOW = '[[faults]]\nfault = "provider.commit delay=2s"\n'
RESTART = '[[method]]\ndo = "restart"\n[[method]]\ndo = "check"\n'


@pytest.mark.parametrize(
    ("invariant", "bug", "text"),
    [
        ("B2", "the last byte of a copy is lost, and nobody reads it again", HEAD + BACKUP),
        ("B3", "the manifest lacks the components document", HEAD + BACKUP),
        ("B5", "verification suspects a good file", HEAD + CALM),
        ("B8", "files are restored beside the place that they came from", HEAD + CALM),
        ("C1", "blocks never written read as zeros", HEAD + PERSISTENT),
        ("F1", "the gate lets every write through while it holds", WORKING_IN_A_COMPONENT + SLOW),
        ("S7", "the newest persistent shadow copy is forgotten at a restart", HEAD + PERSISTENT + RESTART),
    ],
)
def test_a_bug_that_only_the_stores_show_is_found(invariant: str, bug: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(invariant, bug, monkeypatch)

    assert invariant in broken(run(text))


def test_a_verification_that_passes_over_a_change_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = verify.verify_opened_set

    async def blind(*arguments: Any, **options: Any) -> Any:
        return msgspec.structs.replace(await judged(*arguments, **options), findings=())

    assert broken(run(HEAD + BACKUP + FLIP + VERIFY)) == []
    monkeypatch.setattr(verify, "verify_opened_set", blind)

    assert broken(run(HEAD + BACKUP + FLIP + VERIFY)) == ["B4"]


def test_a_deletion_that_writes_to_the_origin_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    delete = CopyOnWriteProvider.delete_snapshot

    async def scribble(self: CopyOnWriteProvider, snapshot_id: Any) -> None:
        attached, _ = self._find(snapshot_id)
        attached.volume.raw_store.write(60 * 16384, b"scribble" * 64)
        await delete(self, snapshot_id)

    monkeypatch.setattr(CopyOnWriteProvider, "delete_snapshot", scribble)

    assert broken(run(HEAD + BACKUP)) == ["C7"]


def test_a_writer_that_writes_when_it_is_frozen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    on_freeze = ScriptedWriter.on_freeze

    async def write(self: ScriptedWriter, context: WriterContext) -> None:
        await on_freeze(self, context)
        asyncio.get_running_loop().create_task(self._last_word())  # type: ignore[attr-defined]

    async def last_word(self: ScriptedWriter) -> None:
        await asyncio.sleep(1)
        file = await self._host.files.open("D:\\Notes\\notes.dat", write=True)
        await file.pwrite(0, b"the last word")
        await file.close()

    monkeypatch.setattr(ScriptedWriter, "_last_word", last_word, raising=False)
    monkeypatch.setattr(ScriptedWriter, "on_freeze", write)

    assert "F6" in broken(run(HEAD + BACKUP + SLOW.replace("commit", "pre_commit")))
