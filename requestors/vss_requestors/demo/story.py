"""The acts of the demo. Each is one start of the lab's machine, states its expectation, and says whether it was met.

Everything goes through the faces that anyone else has: the lab, the backup and restore requestors, fault plans. The acts share
one lab directory, so each finds what the one before has left. No act judges itself by the absence of an exception alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from vss.documents import BackupType
from vss.errors import InvariantError, VssError
from vss.events import HoldLost, LogsTruncated, Record, SnapshotSetAborted, WriterAborted
from vss.exit_codes import ExitCode
from vss.lab import Lab, template_text
from vss.lab.world import create_lab, run_in_lab
from vss.plugins import PluginHost
from vss.ports import HostFiles
from vss.simulation.faults import FaultPlan
from vss_requestors.backup import BackupRequestor
from vss_requestors.demo.act import Act, Refusal, losses_of, recoveries_of, told
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult, RestoreResult

LAB = "lab"
SETS = "sets"
TEMPLATE = "exchange"
DATABASE_VOLUME = "D:"


class Stage:
    """Where the acts play: host files, the directory of the demo, and what is registered."""

    def __init__(self, files: HostFiles, root: Path, plugins: PluginHost, seed: int) -> None:
        """Set the stage; nothing is made before ``raise_curtain``."""
        self.seed = seed
        self.records: list[Record] = []
        self.records_of: dict[str, list[Record]] = {}
        self._files = files
        self._root = root
        self._plugins = plugins

    def raise_curtain(self) -> None:
        """Make the lab."""
        text = template_text(TEMPLATE, self.seed)
        registry = self._plugins.registry
        create_lab(self._files, self._root / LAB, text, registry, watch=self.records.append, plugins=self._plugins)

    def play(self, act: Callable[[Stage, Lab], Awaitable[Act]], faults: FaultPlan | None = None) -> Act:
        """Start the lab, play one act on it, stop it."""
        mark = len(self.records)
        played = run_in_lab(
            self._files,
            self._root / LAB,
            lambda machine: act(self, machine),
            self._plugins.registry,
            watch=self.records.append,
            faults=faults,
            plugins=self._plugins,
        ).result
        records = self.records_of[played.name] = self.since(mark)
        return msgspec.structs.replace(played, events=len(records))

    async def back_up(self, lab: Lab) -> BackupResult:
        """Take one verified full backup into the demo's sets."""
        return await BackupRequestor().run(
            lab, target=self._root / SETS, backup_type=BackupType.FULL, records=lambda: self.records
        )

    async def restore(self, lab: Lab, set_id: str) -> RestoreResult:
        """Restore one of the demo's sets."""
        return await RestoreRequestor().run(lab, source=self._root / SETS / set_id)

    def since(self, mark: int) -> list[Record]:
        """Return what was recorded after ``mark`` records."""
        return self.records[mark:]


def _require(checks: dict[str, bool]) -> tuple[str, ...]:
    """Return the sentences that are not true."""
    return tuple(sentence for sentence, is_true in checks.items() if not is_true)


async def backup_and_recovery(stage: Stage, lab: Lab) -> Act:
    """A full backup under load; later the database volume is lost, restored, and rolled forward."""
    await lab.run_for(15 * 60)
    before = told(lab)
    async with lab.under_load():
        backup = await stage.back_up(lab)
    await lab.run_for(10 * 60)
    mark = len(stage.records)
    await lab.lose_volume(DATABASE_VOLUME)
    await lab.take_down("the disk under the databases is gone")
    await lab.replace_volume(DATABASE_VOLUME)
    restore = await stage.restore(lab, backup.set_id)
    problems = await lab.check()
    rolled_forward = recoveries_of(stage.since(mark))
    failures = _require(
        {
            "the backup succeeds": backup.exit_code == ExitCode.OK,
            "it was verified": backup.is_verified,
            "writes were held, and queued meanwhile": any(each.held_ns and each.queued_count for each in backup.holds),
            "logs are truncated": any(each.removed_count for each in backup.truncations),
            "the restore succeeds": restore.exit_code == ExitCode.OK,
            "logs are rolled forward": any(each.records_redone for each in rolled_forward),
            "every acknowledged operation is there": not problems,
        }
    )
    return Act(
        name="backup-and-recovery",
        title="a full backup under load; ten minutes later the database volume is lost, restored and rolled forward",
        expectation="verified, then truncated; after the disaster every acknowledged message is there",
        failures=failures,
        before=before,
        backup=backup,
        lost_volumes=losses_of(stage.since(mark)),
        restore=restore,
        rolled_forward=rolled_forward,
        compared=told(lab),
        problems=tuple(problems),
    )


async def wrong_bit(stage: Stage, lab: Lab) -> Act:
    """One bit of a database page flips on the disk before a backup."""
    await lab.run_for(5 * 60)
    path, offset = await _a_database_page(lab)
    await lab.flip_bit(path, offset)
    before = told(lab)
    mark = len(stage.records)
    async with lab.under_load():
        backup = await stage.back_up(lab)
    await lab.flip_bit(path, offset)
    problems = await lab.check()
    truncated = [each.event for each in stage.since(mark) if isinstance(each.event, LogsTruncated) and each.event.removed_count]
    found = [each for each in backup.findings if not each.is_warning]
    failures = _require(
        {
            "verification names the file": any(each.path == path for each in found),
            "it names the page and its offset": any(each.page_number >= 0 and each.offset >= 0 for each in found),
            "the component is reported as failed": any(each.succeeded is False for each in backup.components),
            "no log is truncated": not truncated,
            "the exit code is 6": backup.exit_code == ExitCode.VERIFICATION_MISMATCH,
            "nothing else is harmed": not problems,
        }
    )
    return Act(
        name="wrong-bit",
        title="one bit of a database page flips on the disk, then a full backup is taken",
        expectation="verification names file, page and offset; the component fails; no log is truncated; exit code 6",
        failures=failures,
        before=before,
        backup=backup,
        damage=f"bit 0 of byte {offset} of {path}",
        compared=told(lab),
        problems=tuple(problems),
    )


async def _a_database_page(lab: Lab) -> tuple[str, int]:
    """Return path and offset of a byte in the middle of the first database file of the machine."""
    for volume in lab.volumes.values():
        async for path in lab.files_below(volume.name):
            if path.lower().endswith(".edb"):
                size = (await lab.files.stat(path)).size_bytes
                return path, size // 2 // 8192 * 8192 + 4001
    raise InvariantError("the demo's lab has no database file")


async def late_thaw(stage: Stage, lab: Lab) -> Act:
    """A writer does not thaw in time."""
    return await _failing_set(
        stage,
        lab,
        name="late-thaw",
        title="the writer does not come back from Thaw",
        expectation="the freeze window of 10 s is lost, the set fails with exit code 5, nothing leaks, the next backup works",
        seen={"the writer is told to abort": WriterAborted},
    )


async def slow_commit(stage: Stage, lab: Lab) -> Act:
    """The provider takes 15 s to commit."""
    return await _failing_set(
        stage,
        lab,
        name="slow-commit",
        title="the provider takes 15 s to commit while writes are held",
        expectation="after 10 s the volumes let their writes go by themselves, the set fails with exit code 5, the next works",
        seen={"the volumes let go by themselves": HoldLost},
    )


async def _failing_set(stage: Stage, lab: Lab, *, name: str, title: str, expectation: str, seen: dict[str, type]) -> Act:
    before = told(lab)
    mark = len(stage.records)
    refusal: Refusal | None = None
    async with lab.under_load():
        try:
            await stage.back_up(lab)
        except VssError as error:
            refusal = Refusal(
                error=type(error).__name__,
                message=error.message,
                hresult=str(error.hresult),
                exit_code=int(error.exit_code),
            )
        events = [each.event for each in stage.since(mark)]
        left = await _left_behind(lab)
        retry = await stage.back_up(lab)
    problems = await lab.check()
    checks: dict[str, bool] = {
        "the backup fails with exit code 5": refusal is not None and refusal.exit_code == ExitCode.WINDOW_LOST,
        "the set is aborted": any(isinstance(each, SnapshotSetAborted) for each in events),
        "no shadow copy, hold or lock is left": not left,
        "the next backup works": retry.exit_code == ExitCode.OK,
        "every acknowledged operation is there": not problems,
    }
    checks |= {sentence: any(isinstance(each, kind) for each in events) for sentence, kind in seen.items()}
    return Act(
        name=name,
        title=title,
        expectation=expectation,
        failures=_require(checks),
        before=before,
        refusal=refusal,
        retry=retry,
        compared=told(lab),
        problems=(*left, *problems),
    )


async def _left_behind(lab: Lab) -> list[str]:
    """Return what a failed set has left, one sentence each."""
    await lab.coordinator.refresh_snapshots()
    left = [f"shadow copy {each.snapshot_id} is left" for each in lab.coordinator.snapshots()]
    left += [f"volume {each.name} holds writes" for each in lab.volumes.values() if each.is_holding]
    if lab.coordinator.is_creating:
        left.append("the creation lock is held")
    if lab.coordinator.open_session_count:
        left.append("a session is open")
    return left


def tell(stage: Stage) -> list[Act]:
    """Play all acts in order."""
    stage.raise_curtain()
    return [
        stage.play(backup_and_recovery),
        stage.play(wrong_bit),
        stage.play(late_thaw, FaultPlan.parse(["fault writer.thaw times=1 hang"])),
        stage.play(slow_commit, FaultPlan.parse(["fault provider.commit times=1 delay=15s"])),
    ]


def to_data(acts: list[Act]) -> list[Any]:
    """Return the acts as JSON-ready data."""
    return [{**msgspec.to_builtins(each), "is_met": each.is_met} for each in acts]
