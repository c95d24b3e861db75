"""Bugs that show in a whole run, or only between runs."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tests.invariants import scripts
from tests.invariants.kit import KitProvider, Machine, Plant, play
from tests.invariants.planted.freeze_bugs import VETO
from tests.invariants.planting import Planted, do_nothing, nothing, replacing, wrapping
from vss.coordinator import Coordinator, creation
from vss.coordinator.creation import SnapshotSetCreation
from vss.coordinator.participant import Participant
from vss.coordinator.session import Session
from vss.coordinator.session_core import SessionCore
from vss.errors import VssError
from vss.events import FreezeWindowOpened
from vss.simulation import SimulationError
from vss.simulation.invariants import EndState, Evidence, Trial, relations
from vss.simulation.ports import SeededIds


def _ended_by_the_simulator(plant: Plant | None) -> Evidence:
    """A run whose end the simulator itself may have to bring about."""
    try:
        return replace(play(scripts.failing_slowly, plant, **VETO), applications=None)
    except SimulationError as error:
        words = type(error).__name__
        if words == "UnhandledError":
            return Evidence(records=(), end=EndState(unhandled=(error.message,)))
        return Evidence(records=(), end=EndState(is_bound_hit=True, bound=f"{words}: {error.message[:80]}"))


async def _hang(self: Any, *_: Any, **__: Any) -> None:
    await asyncio.Event().wait()


def _losing_an_error(release: Callable[..., Any]) -> Callable[..., Any]:
    async def lose(self: SessionCore) -> None:
        async def fail() -> None:
            raise ValueError("nobody looks at this")

        asyncio.get_running_loop().create_task(fail())
        await release(self)

    return lose


def _early_timer(start: Callable[..., None]) -> Callable[..., None]:
    def arm(self: Participant) -> None:
        start(self)
        assert self._timer is not None
        self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self.writer.freeze_timeout_s / 2, self._expire)

    return arm


async def _final_too_soon(self: SnapshotSetCreation, remaining_s: float) -> None:
    await _POST_COMMIT(self, remaining_s)
    await _PRE_FINAL(self)


_POST_COMMIT = SnapshotSetCreation._post_commit
_PRE_FINAL = SnapshotSetCreation._pre_final_commit


def _real(plant: Plant | None) -> Evidence:
    return replace(play(scripts.backup, plant), is_real=True)


def _half_a_nanosecond(init: Callable[..., Any]) -> Callable[..., Any]:
    def phase_left(**fields: Any) -> Any:
        return init(**{**fields, "duration_ns": 0.5})

    return phase_left


# -- between runs --------------------------------------------------------------------------------------------------------------


def _with(plant: Plant | None, make: Callable[[], Trial]) -> Evidence:
    with pytest.MonkeyPatch.context() as patch:
        if plant is not None:
            plant(patch)
        return Evidence(records=(), trials=(make(),))


def _digest(evidence: Evidence) -> str:
    return hashlib.sha256(b"".join(msgspec.json.encode(each) for each in evidence.records)).hexdigest()


def _repeats(plant: Plant | None) -> Evidence:
    return _with(plant, lambda: relations.runs_repeat(lambda: _digest(play(scripts.backup))))


async def _try_again(machine: Machine) -> None:
    """A set that fails by a provider which is well again afterwards, and fresh backups until one succeeds."""
    async with machine.open_session() as session:
        await machine.prepare(session)
        try:
            await session.do_snapshot_set()
        except VssError:
            await session.abort_backup()
    machine.provider.__class__ = KitProvider
    for _ in range(3):
        try:
            async with machine.open_session() as again:
                await machine.prepare(again)
                await again.do_snapshot_set()
            machine.workloads["fresh"] = []
            return
        except VssError:
            continue


def _fresh(plant: Plant | None) -> Evidence:
    def attempt(number: int) -> bool:
        return "fresh" in (play(_try_again, **VETO).workloads or {})

    return _with(plant, lambda: relations.fresh_backup_succeeds(attempt))


def _retries(plant: Plant | None) -> Evidence:
    def attempts() -> int:
        records = play(scripts.failing, **VETO).records
        return sum(type(each.event).__name__ == "FreezeWindowOpened" for each in records) - 1

    def make() -> Trial:
        return relations.retries_keep_their_class(is_retryable=False, again=lambda: True, automatic_retries=attempts())

    return _with(plant, make)


def _again_and_again(create: Callable[..., Any]) -> Callable[..., Any]:
    async def stubborn(self: SnapshotSetCreation, participants: Any) -> None:
        try:
            await create(self, participants)
        except VssError:
            self._ports.emit(_window(self))
            raise

    return stubborn


def _window(creation: SnapshotSetCreation) -> Any:
    return FreezeWindowOpened(snapshot_set_id=str(creation.snapshot_set_id), limit_ns=1)


async def _alone(machine: Machine) -> None:
    await _session_b(machine)


async def _beside(machine: Machine) -> None:
    async with machine.open_session() as first:
        await machine.prepare(first)
        await first.do_snapshot_set()
        await _session_b(machine, first.abort_backup)


async def _session_b(machine: Machine, failing: Callable[[], Any] = do_nothing) -> None:
    """Session B takes a set; while it has it, session A fails."""
    async with machine.open_session() as session:
        made = await machine.prepare(session)
        await session.do_snapshot_set()
        await failing()
        for volume, snapshot_id in made.items():
            machine.look(snapshot_id, volume)


def _isolated(plant: Plant | None) -> Evidence:
    def outcome(script: Any) -> Callable[[], dict[str, bytes]]:
        def files() -> dict[str, bytes]:
            reads = play(script).snapshots or ()
            return {each.volume: (each.error or "read").encode() for each in reads}

        return files

    return _with(plant, lambda: relations.isolation(outcome(_alone), outcome(_beside)))


def _abort_takes_all(abort: Callable[..., Any]) -> Callable[..., Any]:
    async def greedy(self: Session) -> None:
        await abort(self)
        for each in self._coordinator.snapshots():
            await self._coordinator.delete_snapshot_if_there(each.snapshot_id, "aborted")

    return greedy


def _counting_ids(guid: Callable[..., Any]) -> Callable[..., Any]:
    calls = itertools.count()

    def drawn(self: SeededIds) -> Any:
        for _ in range(next(calls) % 3):
            guid(self)
        return guid(self)

    return drawn


BUGS = [
    Planted(
        "R1",
        "the machine waits for ever when it is to go down",
        replacing(Coordinator, "close", _hang),
        run=_ended_by_the_simulator,
    ),
    Planted(
        "R5",
        "an error in a task of its own is lost",
        wrapping(SessionCore, "release", _losing_an_error),
        run=_ended_by_the_simulator,
    ),
    Planted(
        "R2", "after a failed set the creation lock stays taken", replacing(Coordinator, "creation_ended", nothing), run=_fresh
    ),
    Planted("R3", "what cannot be retried is retried", wrapping(SnapshotSetCreation, "create", _again_and_again), run=_retries),
    Planted("R4", "ids depend on what ran before", wrapping(SeededIds, "guid", _counting_ids), run=_repeats),
    Planted(
        "R7",
        "the freeze timer strikes at half of its limit",
        wrapping(Participant, "_start_timer", _early_timer),
        scripts.failing,
        {"behaviour": {"Mail": {"on_freeze": 40}}, "freeze_timeout_s": 8},
    ),
    Planted(
        "R8",
        "PreFinalCommitSnapshots is sent while writers are frozen",
        replacing(SnapshotSetCreation, "_post_commit", _final_too_soon),
        scripts.backup,
    ),
    Planted(
        "R8",
        "nobody is told that a failed set was aborted",
        replacing(SnapshotSetCreation, "_tell_aborted", nothing),
        scripts.failing,
        VETO,
    ),
    Planted("R9", "an event carries a number of another kind", wrapping(creation, "PhaseLeft", _half_a_nanosecond), run=_real),
    Planted(
        "S11",
        "AbortBackup deletes everybody's shadow copies",
        wrapping(Session, "abort_backup", _abort_takes_all),
        run=_isolated,
    ),
]
