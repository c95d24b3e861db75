"""What the steps of a run prove together, and what stores and writes show: each planted bug is found by its statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.invariants.page import NOT_IN_SCENARIOS, WHERE_THERE_IS_EVIDENCE
from tests.scenarios.kit import broken, plant, run
from vss.errors import NotFoundError
from vss.events import SnapshotDeleted
from vss.roles.writer import WriterContext
from vss.scenarios.backup_steps import Restore
from vss.scenarios.power import PowerFailure
from vss.volumes.write_gate import WriteGate
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.stages import Stage
from vss_writers.exchange.writer import ExchangeWriter

SMALL = 'title = "x"\n[lab]\ntemplate = "small"\n'
MAIL = 'title = "x"\n[lab]\ntemplate = "mail"\n[steady_state]\nrun_for = "6m"\n'
BACKUP = '[[method]]\ndo = "backup"\nname = "NAME"\n'
WORK = '[[method]]\ndo = "work"\nduration = "4m"\n'
CHECK = '[[method]]\ndo = "check"\n'
POWER_CUT = '[[method]]\ndo = "power_cut"\n'
DISASTER = '[[method]]\ndo = "operate"\nwriter = "SG1"\naction = "dismount"\noptions = { can_be_overwritten = true }\n'
RESTORE = '[[method]]\ndo = "restore"\nname = "r"\nof = "b"\n'


def fault(line: str, during: str = "b") -> str:
    return f'[[faults]]\nduring = "{during}"\nfault = "{line}"\n'


def backups(*names: str) -> str:
    return "".join(BACKUP.replace("NAME", name) for name in names)


def may_fail(*names: str) -> str:
    return "".join(f'[[expect]]\nstep = "{name}"\nexit_code = 5\n' for name in names)


ROLLED_FORWARD = MAIL + backups("b") + WORK + DISASTER + RESTORE + CHECK
FAILED_ONCE = SMALL + backups(*"bcde") + fault("provider.commit fail") + may_fail("b")
RETRYABLE = SMALL + backups(*"bc") + fault("provider.commit fail code=E_OUTOFMEMORY") + may_fail("b")


# -- stores --------------------------------------------------------------------------------------------------------------------

FAILING = MAIL + backups("b") + fault("requestor.copy times=always fail") + may_fail("b")


@pytest.mark.slow
def test_a_mail_servers_store_is_judged_around_the_calls_in_which_logs_may_go() -> None:
    for text in (MAIL + backups("b"), FAILING):
        outcome = run(text)
        assert broken(outcome) == []
        assert not {"D6", "D7", "D9", "D11", "D12"} & set(outcome.not_judged)
    assert {"D6", "D7", "D9", "D11", "D12"} <= set(run(SMALL + backups("b")).not_judged)
    assert {"D6", "D7", "D9", "D11", "D12"} <= set(run(MAIL + backups("b"), evidence="light").not_judged)


@pytest.mark.slow
def test_a_store_whose_files_somebody_removed_proves_nothing() -> None:
    text = MAIL + '[[method]]\ndo = "delete_file"\npath = "L:*E0000000002.log"\n' + backups("b")
    assert {"D6", "D7"} <= set(run(text).not_judged)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("invariant", "bug", "text"),
    [
        ("D6", "the header names logs that are gone", MAIL + backups("b")),
        ("D7", "truncation deletes from the middle", MAIL + backups("b")),
        ("D9", "truncation takes every closed generation", MAIL + backups("b")),
        ("D2", "a commit is acknowledged before its log is flushed", MAIL + WORK + POWER_CUT + CHECK),
        ("B7", "roll-forward leaves out some changes", ROLLED_FORWARD),
        ("R2", "after a failed set the creation lock stays taken", FAILED_ONCE),
        ("R3", "what cannot be retried is retried", FAILED_ONCE),
    ],
)
def test_a_planted_bug_is_found_by_its_own_statement(
    invariant: str, bug: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = run(text)
    assert broken(good) == []
    assert invariant not in good.not_judged
    plant(invariant, bug, monkeypatch)

    assert invariant in broken(run(text))


@pytest.mark.slow
@pytest.mark.parametrize(("invariant", "truncates"), [("D11", False), ("D12", True)])
def test_a_writer_that_completes_a_failed_backup_is_found(
    invariant: str, truncates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def complete(self: ExchangeWriter, context: WriterContext) -> None:
        async with self.group.engine_at_work() as instance:
            if truncates:
                await instance.snapshot.truncate_logs(all_databases_attached=True)
            else:
                await instance.snapshot.end(success=True)

    monkeypatch.setattr(ExchangeWriter, "_complete", complete)

    assert invariant in broken(run(FAILING))


# -- trying again --------------------------------------------------------------------------------------------------------------


def test_what_was_not_struck_by_a_fault_says_nothing_of_fresh_backups_and_retries() -> None:
    assert {"R2", "R3"} <= set(run(SMALL + backups("b")).not_judged)
    assert "R2" in run(SMALL + backups("b") + fault("provider.commit fail") + may_fail("b")).not_judged


def test_a_retry_that_fails_when_its_cause_is_healed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    good = run(RETRYABLE)
    assert broken(good) == []
    assert not {"R2", "R3"} & set(good.not_judged)
    plant("R2", "after a failed set the creation lock stays taken", monkeypatch)

    outcome = run(RETRYABLE)
    assert "R3" in broken(outcome)
    assert "is retryable, its cause is gone, and step 'c' failed" in next(
        each.message for each in outcome.shortfalls if each.name == "R3"
    )


@pytest.mark.parametrize("line", ["provider.commit crash", "set.write times=always fail"])
def test_of_a_role_that_stays_dead_and_of_damaged_media_no_retry_is_asked(line: str) -> None:
    outcome = run(SMALL + backups(*"bc") + fault(line))
    assert not {"R2", "R3"} & set(broken(outcome))


# -- mistakes ------------------------------------------------------------------------------------------------------------------

MISTAKE = SMALL + backups("b") + '[[method]]\ndo = "delete_file"\nset = "b"\npath = "manifest.json"\n' + RESTORE


def _scribbling(restore: Callable[..., Any]) -> Callable[..., Any]:
    async def scribble(self: Restore, stage: Any) -> Any:
        stage.lab.volume("D:").raw_store.write(60 * 16384, b"scribble" * 64)
        return await restore(self, stage)

    return scribble


async def _untyped(self: Restore, stage: Any) -> Any:
    raise RuntimeError("no set")


async def _speechless(self: Restore, stage: Any) -> Any:
    raise NotFoundError("")


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (_scribbling(Restore.run), "volume D: is another although it was refused"),
        (_untyped, "was answered by RuntimeError: no set"),
        (_speechless, "the refusal says nothing"),
    ],
)
def test_a_mistake_that_is_refused_with_traces_or_without_a_reason_is_found(
    instead: Callable[..., Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = run(MISTAKE)
    assert broken(good) == []
    assert "B10" not in good.not_judged
    monkeypatch.setattr(Restore, "run", instead)

    found = [each.message for each in run(MISTAKE).shortfalls if each.name == "B10"]
    assert any(told in each for each in found)
    assert "B10" in run(MISTAKE, evidence="light").not_judged


# -- the order of writes -------------------------------------------------------------------------------------------------------

TWO_BYSTANDERS = """
title = "x"
[lab]
template = "small"
[[lab.workloads]]
name = "one"
kind = "activity-log"
only_under_load = true
options = { path = 'D:\\one.log', interval_s = 0.01 }
[[lab.workloads]]
name = "other"
kind = "activity-log"
only_under_load = true
options = { path = 'L:\\other.log', interval_s = 0.01 }
[[method]]
do = "backup"
name = "b"
under_load = true
[[faults]]
fault = "provider.pre_commit delay=1s"
"""


async def _staggered(self: CopyOnWriteProvider, snapshot_set_id: Any) -> None:
    """Commits the volumes one after the other."""
    current = self._current(snapshot_set_id, Stage.PRECOMMITTED, "CommitSnapshots")
    everything = list(current.members)
    for number, member in enumerate(everything):
        if number:
            await self._ports.clock.sleep(0.3)
        current.stage = Stage.PRECOMMITTED
        current.members[:] = [member]
        await _COMMIT(self, snapshot_set_id)
    current.members[:] = everything


_COMMIT = CopyOnWriteProvider.commit_snapshots


async def _admit_all(self: WriteGate, work: Callable[[], object], byte_count: int) -> object:
    return work()


def test_volumes_that_are_copied_one_after_the_other_are_no_cut_through_the_applications_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    good = run(TWO_BYSTANDERS)
    assert broken(good) == []
    assert "C5" not in good.not_judged
    monkeypatch.setattr(CopyOnWriteProvider, "commit_snapshots", _staggered)
    monkeypatch.setattr(WriteGate, "_admit", _admit_all)

    assert "C5" in broken(run(TWO_BYSTANDERS))


# -- which statements a scenario can be judged by ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_statement_that_the_page_promises_is_judged_by_some_scenario() -> None:
    texts = [SMALL + backups("b"), MAIL + WORK + POWER_CUT + CHECK, ROLLED_FORWARD, FAILED_ONCE, RETRYABLE, MISTAKE]
    not_judged = [set(run(text).not_judged) for text in (*texts, TWO_BYSTANDERS)]

    assert set.intersection(*not_judged) == {*NOT_IN_SCENARIOS, "R4"}, "R4 is the sweep's"
    assert not_judged[0] <= {*NOT_IN_SCENARIOS, *WHERE_THERE_IS_EVIDENCE}


def test_the_steps_prove_something_in_lightly_watched_runs_too() -> None:
    assert not {"R2", "R3"} & set(run(RETRYABLE, evidence="light").not_judged)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["writer.backup_complete", "store.write when=volume:L: when=nth:20"])
def test_a_store_whose_machine_lost_power_is_judged_as_it_was_then(place: str) -> None:
    power = PowerFailure.parse(f"during=b {place} unsynced=kept", ["b"])
    outcome = run(MAIL + backups(*"bc") + CHECK + may_fail("b"), power=power)
    assert power.has_happened
    assert broken(outcome) == []


@pytest.mark.slow
def test_a_call_that_nobody_answered_says_nothing_of_what_later_ones_did() -> None:
    text = MAIL + backups("b") + WORK + backups("c") + fault("writer.backup_complete hang") + may_fail("b")
    outcome = run(text)
    assert broken(outcome) == []
    assert outcome.step("c").exit_code == 0


def test_what_a_provider_was_made_to_lie_about_may_be_deleted_again() -> None:
    again = '[[method]]\ndo = "delete_shadows"\n'
    outcome = run(SMALL + backups("b") + again + fault("provider.delete when=nth:1 lie"))

    deleted = [each.event.snapshot_id for each in outcome.records if isinstance(each.event, SnapshotDeleted)]
    assert len(deleted) > len(set(deleted))
    assert broken(outcome) == []
