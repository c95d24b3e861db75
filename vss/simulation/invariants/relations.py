"""Statements about several runs, or about what a recovery or a restore makes of a state: put to the proof by doing it.

Each function takes callables that do the work in worlds of their own and returns a ``Trial``, which goes into
``Evidence.trials`` and is judged with the rest. Callables are asked in a fixed order; what they raise of their own is a
problem, not an end: only a ``VssError`` counts as an honest answer where one is expected. Nothing here knows what is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from vss.errors import VssError
from vss.simulation.invariants.evidence import Trial

T = TypeVar("T")

Stores = Mapping[str, bytes]
"""What is compared: names and bytes (or digests) of files, images, records."""


def isolation(alone: Callable[[], Stores], beside_failure: Callable[[], Stores], name: str = "session B") -> Trial:
    """S11: ``alone`` runs session B by itself, ``beside_failure`` with a session A that fails; B's part must be the same."""
    return Trial("S11", name, _differences(alone(), beside_failure(), "beside a session that failed"))


def fresh_backup_succeeds(attempt: Callable[[int], bool], *, tries: int = 3, name: str = "fresh backup") -> Trial:
    """R2: faults have stopped; one of ``tries`` fresh backups must succeed. ``attempt`` is told its number, from 1."""
    said = []
    for number in range(1, tries + 1):
        try:
            if attempt(number):
                return Trial("R2", name)
            said.append("failed")
        except VssError as error:
            said.append(f"{type(error).__name__}: {error.message}")
    return Trial("R2", name, (f"none of {tries} backups succeeded after the faults had stopped: {'; '.join(said)}",))


def retries_keep_their_class(
    *, is_retryable: bool, again: Callable[[], bool], automatic_retries: int, name: str = "retry"
) -> Trial:
    """R3: after a retryable error whose cause is healed, ``again`` succeeds; after another, nobody retried by itself."""
    problems = []
    if is_retryable:
        if not _succeeds(again):
            problems.append("the error was retryable, its cause is healed, and another try failed")
    elif automatic_retries:
        problems.append(f"the error was not retryable, and it was retried {automatic_retries} times")
    return Trial("R3", name, tuple(problems))


def runs_repeat(run: Callable[[], str], *, repeats: int = 2, name: str = "same seed and plan") -> Trial:
    """R4: every run of the same seed and plan has the same digest of its event log."""
    digests = [run() for _ in range(repeats)]
    problems = [f"run {number} has digest {each}, run 1 has {digests[0]}" for number, each in enumerate(digests, 1)]
    return Trial("R4", name, tuple(text for text, each in zip(problems, digests, strict=True) if each != digests[0]))


def clean_up_is_idempotent(state: Callable[[], Stores], again: Callable[[], None], name: str = "clean-up") -> Trial:
    """S12: doing the clean-up again changes nothing that ``state`` shows, and raises nothing."""
    before = dict(state())
    try:
        again()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is being looked for
        return Trial("S12", name, (f"done again it raised {type(error).__name__}: {error}",))
    return Trial("S12", name, _differences(before, state(), "after doing it again"))


def acknowledged_survive(states: Iterable[tuple[str, Callable[[], int]]], acknowledged: int, name: str = "power loss") -> Trial:
    """D2: ``states`` are the disks that power loss may leave, each with a recovery that returns how many transactions are
    there."""
    problems = []
    for label, recover in states:
        found, problem = _answer(recover)
        if problem:
            problems.append(f"{label}: {problem}")
        elif found is not None and found < acknowledged:
            problems.append(f"{label}: {acknowledged} transactions were acknowledged, {found} are there")
    return Trial("D2", name, tuple(problems))


def recovered_is_a_prefix(
    states: Iterable[tuple[str, Callable[[], T]]], prefixes: Sequence[T], acknowledged: int, name: str = "power loss"
) -> Trial:
    """D3: each recovery gives the model's state after k transactions (``prefixes[k]``), k at least ``acknowledged``."""
    problems = []
    for label, recover in states:
        found, problem = _answer(recover)
        if problem:
            problems.append(f"{label}: {problem}")
        elif found not in prefixes[acknowledged:]:
            what = "an older state than was acknowledged" if found in prefixes else "a state that never was"
            problems.append(f"{label}: recovery gave {what}")
    return Trial("D3", name, tuple(problems))


def recovery_can_be_cut(
    whole: Callable[[], Stores], cuts: Iterable[tuple[str, Callable[[], Stores]]], name: str = "recovery"
) -> Trial:
    """D4: each of ``cuts`` stops a recovery somewhere, starts it again, and must end as ``whole`` does."""
    expected, failed = _answer(whole)
    if failed or expected is None:
        return Trial("D4", name, (failed,))
    problems: list[str] = []
    for label, run in cuts:
        found, problem = _answer(run)
        problems += [f"{label}: {problem}"] if problem or found is None else _differences(expected, found, f"when {label}")
    return Trial("D4", name, tuple(problems))


def chain_restores(invariant_id: str, restore: Callable[[], T], expected: T, name: str = "chain") -> Trial:
    """B6, B7 and D10: ``restore`` restores what there is and returns the state it reached, which must be ``expected``."""
    found, problem = _answer(restore)
    if problem:
        return Trial(invariant_id, name, (problem,))
    return Trial(invariant_id, name, () if found == expected else (f"reached {found!r:.80}, expected {expected!r:.80}",))


def mistake_is_harmless(do: Callable[[], None], state: Callable[[], Stores], name: str) -> Trial:
    """B10: ``do`` makes the mistake; it is refused by a ``VssError`` or changes nothing that ``state`` shows."""
    before = dict(state())
    try:
        do()
    except VssError as error:
        named = () if error.message else ("the refusal says nothing",)
        return Trial("B10", name, named + _differences(before, state(), "although it was refused"))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is being looked for
        return Trial("B10", name, (f"was answered by {type(error).__name__}: {error}",))
    return Trial("B10", name, _differences(before, state(), "and nobody said so"))


# -- small helpers -------------------------------------------------------------------------------------------------------------


def _differences(expected: Stores, found: Stores, when: str) -> tuple[str, ...]:
    names = sorted({*expected, *found})
    return tuple(f"{each} is another {when}" for each in names if expected.get(each) != found.get(each))


def _answer(ask: Callable[[], T]) -> tuple[T | None, str]:
    """What ``ask`` returned, or what it raised in words."""
    try:
        return ask(), ""
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is being looked for
        return None, f"{type(error).__name__}: {error}"


def _succeeds(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except VssError:
        return False
