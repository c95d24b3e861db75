"""What breaks something shrinks to the smallest plan and schedule that break it, and a trace repeats it."""

from __future__ import annotations

import pytest

from vss.errors import BadStateError, ConfigurationError
from vss.exploration.schedules import FittedChoices, schedule_text
from vss.exploration.shrink import shrink
from vss.exploration.trace import parse_trace, record, replay
from vss.exploration.trials import Trial
from vss.exploration.workers import Crew

NOISE = (
    ("backup", "writer.identify delay=1ms"),
    ("backup", "writer.prepare_backup times=always delay=1ms"),
    ("backup", "provider.commit times=always prob=0.9 hang"),
    ("backup", "writer.backup_shutdown stall=1ms"),
    ("backup", "writer.identify when=nth:1 jump=+2h"),
)


def test_faults_that_do_not_matter_are_dropped_and_the_rest_is_made_simple(grudging: Crew) -> None:
    shrunk = shrink(grudging.explorer, Trial(seed=1, faults=NOISE, order="any", choices="seeded", reboot_after=""))

    assert shrunk.violation.key == "recovery fresh"
    assert shrunk.trial.faults == (("backup", "fault provider.commit when=nth:1 fail"),)
    assert (shrunk.trial.order, shrunk.trial.choices, shrunk.deviations) == ("fifo", "", 0)
    assert shrunk.runs < 60


def test_a_race_shrinks_to_the_one_choice_that_makes_it(racy: Crew) -> None:
    trials = (Trial(seed=seed, order="any", choices="seeded") for seed in range(1, 80))
    trial = next(trial for trial in trials if racy.explorer.run(trial).violations)

    shrunk = shrink(racy.explorer, trial)

    assert shrunk.trial.faults == ()
    assert shrunk.deviations <= 2
    assert racy.explorer.run(shrunk.trial).violations == (shrunk.violation,)


def test_what_breaks_nothing_is_not_shrunk(grudging: Crew) -> None:
    with pytest.raises(BadStateError, match="breaks nothing"):
        shrink(grudging.explorer, Trial())
    with pytest.raises(BadStateError, match="breaks nothing called 'invariant F1'"):
        shrink(grudging.explorer, Trial(faults=NOISE), key="invariant F1")


def test_a_bound_on_runs_ends_the_shrinking(grudging: Crew) -> None:
    shrunk = shrink(grudging.explorer, Trial(faults=NOISE), max_runs=3)

    assert shrunk.runs == 3


def test_a_schedule_is_fitted_to_what_the_run_offers() -> None:
    choices = FittedChoices([1, 9])

    assert [choices.pick([1, 2]), choices.draw(3), choices.pick([1, 2])] == [1, 2, 0]
    assert schedule_text([0, 2, 0, 1, 0, 0]) == "0,2,0,1"
    assert schedule_text([0, 0]) == ""


# -- traces --------------------------------------------------------------------------------------------------------------------


def test_a_trace_is_repeated_record_for_record(racy: Crew) -> None:
    trial = Trial(seed=2, order="any", choices="seeded")
    trace = record(racy.explorer, trial, text=racy.text, source="racy.toml", version="1")

    again = parse_trace(trace.encoded())

    assert again == trace
    assert replay(racy.explorer, again, text=racy.text) == []
    assert trace.digests[0][0] == min(100, trace.digests[-1][0])


def test_a_repetition_that_goes_another_way_says_where_and_why(tiny: Crew, grudging: Crew) -> None:
    trace = record(tiny.explorer, Trial(faults=(("backup", "provider.commit fail"),)), text=tiny.text, source="x", version="1")
    other = trace.encoded().replace(trace.header.python.encode(), b"3.0")

    told = replay(grudging.explorer, parse_trace(other), text=grudging.text)

    assert told[0] == "the text of scenario x is not the one that was recorded"
    assert told[1].startswith("recorded under Python 3.0, replayed under 3.")
    assert told[2].startswith("the run differs from the trace between records 1")


@pytest.mark.parametrize(
    ("data", "told"), [(b"", "expected a trace"), (b"{}\n", "expected a trace"), (b"[1]\nnonsense\n", "expected a trace")]
)
def test_a_file_that_is_no_trace_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        parse_trace(data, "x.jsonl")


def test_a_trace_of_another_format_is_refused(tiny: Crew) -> None:
    data = record(tiny.explorer, Trial(), text=tiny.text, source="x", version="1").encoded()

    with pytest.raises(ConfigurationError, match=r"format: expected 'vss\.trace/1', found 'vss\.trace/9'"):
        parse_trace(data.replace(b"vss.trace/1", b"vss.trace/9"))
