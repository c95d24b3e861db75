"""Doing many trials: in this process or in several, in the same order with the same bytes.

A batch is JSON: the scenario's text and trials; so is what comes back. Nothing else crosses, neither code nor pickled objects
of ours, so that a batch can go to any worker that has the same version installed. Invariant: results come in the order of the
trials, whoever did them and whenever.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Protocol

import msgspec

from vss.exploration.points import always_instead
from vss.exploration.trials import Explorer, Trial, TrialResult
from vss.plugins import plugin_host
from vss.plugins.registry import Registry
from vss.scenarios import parse_scenario
from vss.scenarios.observation import EvidenceLevel

BATCH_TRIALS = 16


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is sent.

    Attributes:
        text: of the scenario file.
        source: its name, for messages.
        trials: to do, in order.
        with_cells: whether to tell what was reached.
        evidence: how closely each run is watched.
    """

    text: str
    source: str
    trials: tuple[Trial, ...]
    with_cells: bool = True
    evidence: EvidenceLevel = "full"


class Executor(Protocol):
    """Where batches are done."""

    def map(self, work: Callable[[bytes], bytes], batches: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``work(batch)`` of each, in order."""
        ...


class InlineExecutor:
    """Does everything here and now."""

    def map(self, work: Callable[[bytes], bytes], batches: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``work(batch)`` of each, in order."""
        return map(work, batches)


def do_batch(request: bytes) -> bytes:
    """Do the trials of an encoded batch with the plugins of this process; return their encoded results."""
    batch = msgspec.json.decode(request, type=Batch)
    explorer = _explorer(batch.text, batch.source, batch.evidence)
    gc.disable()
    try:
        return _done(explorer, batch)
    finally:
        gc.collect()
        _freeze()


@lru_cache(maxsize=1)
def _freeze() -> None:
    """What the first batch leaves is the program: looking through it after every batch costs more than what is found."""
    gc.freeze()


@lru_cache(maxsize=4)
def _explorer(text: str, source: str, evidence: EvidenceLevel) -> Explorer:
    return Explorer(parse_scenario(text, source), plugin_host().registry, evidence=evidence)


def _done(explorer: Explorer, batch: Batch) -> bytes:
    results: list[TrialResult] = []
    before: Trial | None = None
    for trial in batch.trials:
        if before is not None and _is_the_same(before, results[-1], trial):
            results.append(msgspec.structs.replace(results[-1], is_known=True))
        else:
            results.append(explorer.run(trial, with_cells=batch.with_cells))
        before = trial
    return msgspec.json.encode(results)


def _is_the_same(before: Trial, result: TrialResult, trial: Trial) -> bool:
    """Whether ``trial`` must run as the one before it did.

    A fault that strikes the first visit of a place, in a run that passes the place once, is the fault that strikes there
    always: up to that visit the two runs are one, at it the same happens, and no other visit tells them apart.
    """
    if result.visits != (1,) or result.strikes != (1,):
        return False
    always = always_instead(before.faults[0])
    return always is not None and msgspec.structs.replace(before, faults=(always,)) == trial


class Crew:
    """Does trials of one scenario; ``text`` is that of its file.

    Args:
        text: of the scenario file.
        source: its name, for messages.
        executor: where; here by default.
        registry: of the roles; the process's plugins by default, and always where the executor has other processes.
        evidence: how closely each run is watched: "light" leaves volumes, shadow copies and backup sets out.
    """

    def __init__(
        self,
        text: str,
        source: str = "scenario",
        *,
        executor: Executor | None = None,
        registry: Registry | None = None,
        evidence: EvidenceLevel = "full",
    ) -> None:
        """Parse the scenario; nothing runs yet."""
        self.text = text
        self._source = source
        self._executor = InlineExecutor() if executor is None else executor
        self.registry = plugin_host().registry if registry is None else registry
        self._evidence: EvidenceLevel = evidence
        self.explorer = Explorer(parse_scenario(text, source), self.registry, evidence=evidence)

    def run(self, trials: Iterable[Trial], *, with_cells: bool = True) -> Iterator[tuple[Trial, TrialResult]]:
        """Yield each trial with its result, in order; trials are taken as they are needed."""
        sent: list[tuple[Trial, ...]] = []

        def requests() -> Iterator[bytes]:
            remaining = iter(trials)
            while part := tuple(islice(remaining, BATCH_TRIALS)):
                sent.append(part)
                batch = Batch(text=self.text, source=self._source, trials=part, with_cells=with_cells, evidence=self._evidence)
                yield msgspec.json.encode(batch)

        work = do_batch if not isinstance(self._executor, InlineExecutor) else self._do_here
        for answer in self._executor.map(work, requests()):
            results: Sequence[TrialResult] = msgspec.json.decode(answer, type=list[TrialResult])
            yield from zip(sent.pop(0), results, strict=True)

    def _do_here(self, request: bytes) -> bytes:
        return _done(self.explorer, msgspec.json.decode(request, type=Batch))
