"""A trial is judged by the invariants, by the clean run, and by what is there at the end; a planted bug is found."""

from __future__ import annotations

import pytest

from vss.errors import ConfigurationError
from vss.exploration.sweep import shipped
from vss.exploration.trials import Explorer, Trial, TrialResult, replay_command, trial_of
from vss.exploration.workers import Crew
from vss.plugins.registry import Registry
from vss.scenarios import parse_scenario
from vss.simulation import LivelockError

NOT_COPIED = r"requestor.copy when=file:D:\Mail\boxes.dat when=nth:1 drop"


def result_of(crew: Crew, *faults: tuple[str, str], reboot_after: str = "") -> TrialResult:
    return crew.explorer.run(Trial(seed=1, faults=faults, reboot_after=reboot_after))


def test_a_trial_without_faults_is_the_clean_run(crew: Crew) -> None:
    result = result_of(crew)

    assert (result.violations, result.outcome) == ((), "not struck")
    assert dict(result.endings) == crew.explorer.clean_endings(1)


@pytest.mark.parametrize(
    ("fault", "outcome", "ending"),
    [
        ("writer.freeze when=writer:Notes fail code=F3", "reported", 3),
        ("provider.commit times=always fail", "reported", 4),
        ("provider.commit hang", "reported", 5),
        ("requestor.seal crash=before", "reported", -1),
        ("writer.freeze when=writer:Notes delay=1ms", "absorbed", 0),
    ],
)
def test_a_fault_may_spoil_its_own_step_only(crew: Crew, fault: str, outcome: str, ending: int) -> None:
    result = result_of(crew, ("backup", fault))

    assert result.violations == ()
    assert (result.outcome, dict(result.endings)["backup"]) == (outcome, ending)
    assert dict(result.endings)["fresh"] == 0


def test_a_restore_that_failed_is_repeated_and_everything_is_there(crew: Crew) -> None:
    result = result_of(crew, ("restore", "restore.write when=nth:1 fail"))

    assert result.violations == ()
    assert {"restore": 3, "again": 0, "check": 0}.items() <= dict(result.endings).items()


@pytest.fixture(scope="module")
def reduced(registry: Registry) -> Crew:
    """Who runs the smaller scenario of ``vss sweep --pairs``."""
    return Crew(shipped("pairs"), "shipped:pairs", registry=registry)


def test_writes_are_released_before_writers_thaw_though_every_release_is_cancelled(reduced: Crew) -> None:
    fault = ("backup", "coord.release times=always cancel=during")
    choices = "0," + "1," * 12 + "2,0,0,0,1,1,1,1,3"

    assert reduced.explorer.run(Trial(seed=502643, faults=(fault,), order="any", choices=choices)).violations == ()


def test_a_provider_that_dies_while_the_requestor_is_dead_is_told_as_the_cause(reduced: Crew) -> None:
    faults = ("requestor.snapshot when=nth:1 crash=during", "diffarea.alloc when=volume:D: when=nth:1 crash=after")

    assert reduced.explorer.run(Trial(seed=703560, faults=tuple(("backup", each) for each in faults))).violations == ()


def test_an_event_that_is_overtaken_by_the_end_of_its_session_does_not_reach_the_writer(reduced: Crew) -> None:
    faults = ("requestor.prepare when=nth:1 crash=during", "writer.prepare_backup when=writer:Mail when=nth:1 reorder")

    assert reduced.explorer.run(Trial(seed=802691, faults=tuple(("backup", each) for each in faults))).violations == ()


def test_a_set_whose_seal_is_damaged_when_it_is_brought_up_to_date_is_a_warning(reduced: Crew) -> None:
    damage = "set.write when=name:session.json when=nth:3 corrupt kind=checksum"

    result = reduced.explorer.run(Trial(seed=401889, faults=(("backup", damage),)))

    assert result.violations == ()
    assert {"backup": 3, "fresh": 0}.items() <= dict(result.endings).items()


@pytest.mark.parametrize("name", ["manifest.json", "SHA256SUMS", "backup_components.xml", "session.json when=nth:2"])
def test_a_set_whose_records_are_damaged_while_they_are_written_is_no_backup(reduced: Crew, name: str) -> None:
    """The writers may not truncate their logs for it."""
    damage = f"set.write when=name:{name} times=1 corrupt kind=bitflip"

    result = reduced.explorer.run(Trial(faults=(("backup", damage),)))

    assert result.violations == ()
    assert {"backup": 6, "fresh": 0}.items() <= dict(result.endings).items()
    assert "event LogsTruncated" not in result.cells


def test_timers_that_are_late_by_jitter_break_no_limit(crew: Crew) -> None:
    late = Trial(
        seed=200, faults=(("backup", "volume.flush when=nth:1 crash=before"),), order="jitter", choices="0," * 56 + "1"
    )

    result = crew.explorer.run(late)

    assert (result.outcome, result.violations) == ("reported", ())
    assert "event WriterTimedOut" in result.cells, "a freeze timer struck"


def test_a_role_that_stays_dead_is_not_asked_to_recover_until_the_machine_restarts(crew: Crew) -> None:
    fault = ("backup", "provider.commit crash=before")

    dead, restarted = result_of(crew, fault), result_of(crew, fault, reboot_after="backup")

    assert (dead.violations, dict(dead.endings)["fresh"]) == ((), 4)
    assert (restarted.violations, dict(restarted.endings)["fresh"]) == ((), 0)


def test_a_requestor_that_forgets_a_file_says_so(crew: Crew) -> None:
    result = result_of(crew, ("backup", NOT_COPIED))

    assert (result.violations, dict(result.endings)["backup"]) == ((), 3)


def test_a_fresh_backup_that_fails_after_a_fault_is_a_violation(grudging: Crew) -> None:
    result = result_of(grudging, ("backup", "provider.commit fail"))

    assert result.outcome == "violated"
    assert [each.key for each in result.violations] == ["recovery fresh"]


@pytest.mark.parametrize("fault", ["writer.prepare_backup when=nth:1 duplicate", "writer.backup_shutdown when=nth:1 lie"])
def test_an_invariant_that_the_fault_itself_makes_untrue_is_not_counted(crew: Crew, fault: str) -> None:
    assert result_of(crew, ("backup", fault)).violations == ()
    assert crew.explorer.outcome(Trial(faults=(("backup", fault),))).violations() != ()


def test_a_run_that_does_not_end_is_a_violation(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    def never_ends(*arguments: object, **options: object) -> None:
        raise LivelockError("the run took more than 5 steps")

    monkeypatch.setattr(crew.explorer, "outcome", never_ends)

    assert [each.key for each in result_of(crew).violations] == ["run LivelockError"]


def test_any_exception_of_a_run_is_a_violation(crew: Crew, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*arguments: object, **options: object) -> None:
        raise AssertionError("our own mistake")

    monkeypatch.setattr(crew.explorer, "outcome", breaks)

    assert [(each.key, each.message) for each in result_of(crew).violations] == [("run AssertionError", "our own mistake")]


def test_the_same_trial_gives_the_same_bytes(crew: Crew) -> None:
    trial = Trial(seed=3, order="any", choices="seeded", faults=(("backup", "writer.freeze prob=0.5 fail"),))

    first, again = crew.explorer.run(trial), Explorer(crew.explorer.scenario, crew.registry).run(trial)

    assert first == again
    assert first.picks > 0


def test_the_command_of_a_trial_gives_the_trial_again(crew: Crew) -> None:
    scenario = crew.explorer.scenario
    words = ["during=backup writer.freeze when=nth:1 fail", "fault provider.commit hang"]
    trial = trial_of(scenario, seed=7, faults=words, order="any", choices="0,2", reboot_after="backup")

    assert trial.faults[0] == ("backup", "fault writer.freeze when=nth:1 fail")
    assert replay_command(trial, "x y.toml") == (
        "vss run 'x y.toml' --seed 7 --fault 'during=backup writer.freeze when=nth:1 fail' --fault 'provider.commit hang'"
        " --order any --choices 0,2 --reboot-after backup"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"faults": ["during=bakup writer.freeze fail"]}, "no step is called 'bakup'; did you mean 'backup'"),
        ({"reboot_after": "frsh"}, "no step is called 'frsh'; did you mean 'fresh'"),
        ({"faults": ["writer.frieze fail"]}, "did you mean 'writer.freeze'"),
        ({"order": "some"}, "order: expected one of fifo, jitter, any, found 'some'"),
        ({"choices": "seeded"}, "with order 'fifo' nothing is asked"),
        ({"order": "any", "choices": "1,x"}, "expected 'seeded', 'pct:DEPTH:PICKS' or numbers"),
    ],
)
def test_words_that_mean_nothing_are_refused(crew: Crew, options: dict[str, object], told: str) -> None:
    good: dict[str, object] = {"seed": 1, "faults": [], "order": "fifo", "choices": "", "reboot_after": ""}

    with pytest.raises(ConfigurationError, match=told):
        trial_of(crew.explorer.scenario, **(good | options))  # type: ignore[arg-type]


def test_a_step_that_needs_another_is_skipped_where_that_failed(crew: Crew) -> None:
    skipped = dict(result_of(crew, ("backup", "provider.commit fail")).endings)

    assert not {"verify", "disaster", "restore", "again"} & set(skipped)
    with pytest.raises(ConfigurationError, match="needs: no step is called 'bakup'; did you mean 'backup'"):
        parse_scenario(
            'title = "t"\n[lab]\ntemplate = "small"\n[[method]]\ndo = "backup"\n[[method]]\ndo = "check"\nneeds = ["bakup"]'
        )


@pytest.mark.parametrize(
    ("faults", "choices"),
    [
        (["coord.commit when=nth:1 cancel=after"], "0," * 15 + "1,0,1"),
        (["requestor.snapshot when=nth:1 crash=during", "store.flush when=volume:L: when=nth:1 fail code=EIO"], ""),
        (["requestor.add_volume when=volume:D: when=nth:1 crash=during"], "0,2,0,0,1," + "0," * 17 + "1"),
        (["coord.abort when=nth:1 cancel=after"], "0," * 14 + "1," + "0," * 10 + "1," + "0," * 17 + "1,0,0,0,1"),
    ],
    ids=[
        "a hold is released before writers thaw",
        "the first cause is told",
        "a set that was aborted takes no volume",
        "every writer hears of the end",
    ],
)
def test_a_session_that_is_cut_short_is_cleared_up_in_order(crew: Crew, faults: list[str], choices: str) -> None:
    order = "any" if choices else "fifo"
    trial = Trial(seed=7647, faults=tuple(("backup", each) for each in faults), order=order, choices=choices)

    assert crew.explorer.run(trial).violations == ()


@pytest.mark.parametrize(
    ("seed", "choices", "faults"),
    [
        (911750, "0,0,0,0,0,3,3,3,0,0,0,0,0,1,0,0,1,1,1,1,1,1", ("requestor.snapshot when=nth:1 crash=during",)),
        (
            605932,
            "0,0,1,0,0,0,1,0,0,1,1,0,0,0,0,0,0,0,1,1,0,1,1,1,1",
            ("requestor.snapshot when=nth:1 crash=during", "store.grow when=volume:D: when=nth:1 fail"),
        ),
        (3072668, "1,1,1,1,1,1,1,1,1,1", ("requestor.prepare when=nth:1 crash=during",)),
        (3002087, "", ("requestor.volumes when=nth:1 crash=before", "coord.release_session when=nth:1 cancel")),
    ],
)
def test_a_session_is_over_when_its_call_and_its_set_are(
    reduced: Crew, seed: int, choices: str, faults: tuple[str, ...]
) -> None:
    during = tuple(("backup", f"fault {each}") for each in faults)
    trial = Trial(seed=seed, faults=during, order="any" if choices else "fifo", choices=choices)

    assert reduced.explorer.run(trial).violations == ()


def test_a_store_that_was_not_told_of_the_end_of_a_failed_backup_may_refuse_the_next(registry: Registry) -> None:
    mail = Crew(shipped("mail"), "shipped:mail", registry=registry).explorer
    failed = ("backup", "fault requestor.verify when=nth:1 fail")
    unheard = ("backup", "fault writer.backup_shutdown when=nth:1 fail")

    result = mail.run(Trial(faults=(failed, unheard)))
    assert result.outcome == "reported"
    assert result.violations == ()
    assert mail.run(Trial(faults=(failed,))).violations == mail.run(Trial(faults=(unheard,))).violations == ()
