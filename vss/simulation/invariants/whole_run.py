"""R1 … R9: statements about a whole run, whatever it did. What several runs must have in common is in ``relations``.

Sources: the run's own promises, in the documentation of ``vss.simulation``.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from vss.events import FaultFired
from vss.simulation.invariants.judging import Case, Found, Kind, LacksEvidenceError, Need, by_trial, invariant
from vss.simulation.invariants.protocol_model import rejections


@invariant("R1", Kind.LIVENESS, Need.END)
def the_run_ends(case: Case) -> Iterator[Found]:
    """Every run ends inside its bounds of virtual time and steps: no deadlock, no livelock."""
    end = case.evidence.end
    assert end is not None, "the checker asks for it"
    if end.is_bound_hit:
        yield f"the run did not end by itself: {end.bound}", (len(case.evidence.records),) if case.evidence.records else ()


@invariant("R2", Kind.LIVENESS)
def a_fresh_backup_succeeds(case: Case) -> Iterator[Found]:
    """When faults stop, a fresh backup succeeds within three tries."""
    yield from by_trial(case, "R2")


@invariant("R3", Kind.LIVENESS)
def retryable_means_retryable(case: Case) -> Iterator[Found]:
    """After an error called retryable, with its cause healed, another try succeeds; after any other nobody tried by itself."""
    yield from by_trial(case, "R3")


@invariant("R4", Kind.SAFETY)
def the_same_run_is_the_same(case: Case) -> Iterator[Found]:
    """The same seed, plan, code and minor version of Python give the same digest of the event log."""
    yield from by_trial(case, "R4")


@invariant("R5", Kind.SAFETY, Need.END)
def no_exception_is_lost(case: Case) -> Iterator[Found]:
    """No exception reached the loop's handler, none was never retrieved, and no task was destroyed while pending, unless
    killed."""
    end = case.evidence.end
    assert end is not None, "the checker asks for it"
    for each in end.unhandled:
        yield f"lost exception: {each}", ()


@invariant("R6", Kind.SAFETY, Need.OUTCOMES)
def no_fault_is_silent(case: Case) -> Iterator[Found]:
    """Every fault that struck is visible in the outcome, or harmless: success with wrong bytes or lost work is the worst there
    is."""
    fired = [each.sequence for each in case.history.of(FaultFired)]
    for outcome in case.evidence.outcomes or ():
        if not outcome.is_success or outcome.warnings:
            continue
        wrong = _wrong_bytes(case, outcome.snapshot_set_id) if outcome.kind == "backup" else []
        if wrong:
            said = "verified good" if outcome.is_verified else "successful"
            yield f"the backup was reported as {said}, and {wrong[0]} in it is wrong", tuple(fired)
    for name, problems in (case.evidence.workloads or {}).items():
        if problems and all(each.is_success and not each.warnings for each in case.evidence.outcomes or ()):
            yield f"everything was reported as successful, and workload {name} found: {problems[0]}", tuple(fired)


def _wrong_bytes(case: Case, set_id: str) -> list[str]:
    written = (case.evidence.sets or {}).get(set_id)
    if written is None or written.expected is None or written.is_altered:
        return []
    held = {_place(path): data for path, data in written.files.items() if path.startswith("files/")}
    return [
        path
        for path, data in written.expected.items()
        if _place_of_machine(path) in held and held[_place_of_machine(path)] != data
    ]


def _place(path: str) -> str:
    return path.removeprefix("files/").casefold()


def _place_of_machine(path: str) -> str:
    return path.replace(":", "").replace("\\", "/").casefold()


@invariant("R7", Kind.SAFETY)
def time_goes_forward(case: Case) -> Iterator[Found]:
    """Monotonic time never decreases, records are numbered without gaps, and a writer's freeze timer strikes at its limit,
    whatever the wall clock shows."""
    before = None
    for record in case.evidence.records:
        if before is not None and (record.instant_ns < before.instant_ns or record.sequence != before.sequence + 1):
            yield (
                f"record {record.sequence} at {record.instant_ns} ns follows record {before.sequence} at"
                f" {before.instant_ns} ns",
                (before.sequence, record.sequence),
            )
        before = record
    if case.evidence.is_real:
        return
    for story in case.history.writers.values():
        for sequence, instant_ns in story.expiries:
            freezes = [each for each in story.all_of("Freeze") if each.start < sequence]
            if not freezes or story.freeze_limit_ns <= 0 or story.is_ambiguous:
                continue
            passed_ns = instant_ns - freezes[-1].start_ns
            if not 0 <= passed_ns - story.freeze_limit_ns <= case.evidence.stall_ns:
                yield (
                    f"the freeze timer of writer {story.writer} struck after {passed_ns / 1e9:.3f} s, its limit is"
                    f" {story.freeze_limit_ns / 1e9:g} s",
                    (freezes[-1].start, sequence),
                )


@invariant("R8", Kind.SAFETY)
def the_model_accepts_the_log(case: Case) -> Iterator[Found]:
    """The event log, replayed through the independent model of the protocol, is accepted."""
    yield from rejections(case.evidence.records)


@invariant("R9", Kind.SAFETY)
def real_runs_speak_the_same_language(case: Case) -> Iterator[Found]:
    """A run in real time produces the same schema of events, and keeps what does not depend on virtual time."""
    if not case.evidence.is_real:
        raise LacksEvidenceError("simulated time")
    for record in case.evidence.records:
        kind = type(record.event)
        try:
            again = msgspec.convert(msgspec.to_builtins(record.event), kind)
        except msgspec.ValidationError as error:
            yield f"{kind.__name__} does not keep its schema: {error}", (record.sequence,)
            continue
        if again != record.event:
            yield f"{kind.__name__} is not what its own form says", (record.sequence,)
