"""Crash states of the store's engine: every state that a disk may legally show, recovered and compared with a model.

    python benchmarks/crash_states.py [--states 1000000] [--first-seed 0] [--jobs 1] [--progress FILE]

Random workloads (rows of all sizes, rollbacks, detaches, backups with truncation) run on files in memory. Before every effect
(write, sync, rename …) the states that power loss may leave then are enumerated: all of them where at most six sectors, lengths
and names are undurable; else none, all, and a sample. Each different state is recovered, and the table must be the model after
k transactions, k not below the last acknowledged one; for one in sixteen power is cut again during recovery, and the file is
verified page by page. Deterministic: a seed gives the same states, in whichever process and after whichever other seed.

``--jobs`` deals the seeds out to processes. ``--progress`` appends a line of JSON to a file for each workload, with the totals;
started again with the same file, a run that was cut off leaves out the seeds that are in it and counts their states.
Prints the totals as JSON; exit code 1 when a state is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import multiprocessing
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "writers")]

from tests.writers.ese.store_kit import DATABASE, content, open_instance, small_parameters
from tests.writers.ese.test_crash import Model, Run, check, until_power_loss, work
from vss_writers.ese import database_file, log_reader
from vss_writers.ese.checksum import verify_page
from vss_writers.ese.memory_files import MemoryFileSystem

PARAMETERS = small_parameters(cache_pages=20, log_file_size=16 * 1024, checkpoint_depth=5_000)
"""Small logs and a checkpoint that follows closely: many roll-overs and page writes, few records to replay in each state."""

_EXHAUSTIVE_BITS = 6
_SAMPLES = 48
_DEEP_EVERY = 16
_STEPS = 14
_CREATION_EVERY = 16
"""Every so many workloads the states of making the store count, too; they cost ten times as much as those of using it."""


_LOGS_KEPT = 512
_PAGES_KEPT = 8192
"""How many judged logs and pages are remembered: as many as a few workloads have."""

Image = tuple[tuple[str, bytes], ...]
"""The files of a state: path and content. Equal contents are one object, so most comparisons look at addresses only."""


class _Bits(random.Random):
    """Survives what its bits say, in the order asked; counts the questions."""

    def __init__(self, bits: int) -> None:
        super().__init__(0)
        self.asked = 0
        self._bits = bits

    def random(self) -> float:
        """Return 0 for what survives, 1 for what does not."""
        survives = self._bits >> self.asked & 1
        self.asked += 1
        return 0.0 if survives else 1.0


def states(files: MemoryFileSystem, chosen: random.Random) -> Iterator[MemoryFileSystem]:
    """Yield the states that power loss may leave now."""
    nothing = _Bits(0)
    yield files.after_power_loss(nothing)
    count = nothing.asked
    if count == 0:
        return
    everything = _Bits(-1)
    yield files.after_power_loss(everything)
    count = max(count, everything.asked)
    if count <= _EXHAUSTIVE_BITS:
        for bits in range(1, (1 << count) - 1):
            yield files.after_power_loss(_Bits(bits))
        return
    for _ in range(_SAMPLES):
        yield files.after_power_loss(_Bits(chosen.getrandbits(count)))


@dataclass(frozen=True, slots=True)
class Moment:
    """What a state of the disk has to be judged by: how far the workload was when power went."""

    effect: int
    acknowledged: int
    model_count: int


@dataclass(slots=True)
class Tally:
    """What came of the states of one workload, or of several."""

    states: int = 0
    states_cut_again_in_recovery: int = 0
    equal_states_left_out: int = 0
    workloads: int = 0
    wrong: int = 0
    first_wrong: str = ""
    cpu_s: float = 0.0

    def add(self, other: Tally) -> None:
        """Count the states of ``other``, too."""
        self.states += other.states
        self.states_cut_again_in_recovery += other.states_cut_again_in_recovery
        self.equal_states_left_out += other.equal_states_left_out
        self.workloads += other.workloads
        self.wrong += other.wrong
        self.first_wrong = self.first_wrong or other.first_wrong
        self.cpu_s = round(self.cpu_s + other.cpu_s, 3)


class Survey:
    """The states of one workload, each looked at once."""

    def __init__(self, seed: int, states_max: int | None = None) -> None:
        self.seed = seed
        self.tally = Tally(workloads=1)
        self._states_max = states_max
        self._found: list[tuple[Image, Moment]] = []
        self._seen: set[tuple[Image, int, int]] = set()
        self._contents: dict[bytes, bytes] = {}

    async def look(self) -> None:
        """Run the workload and check what power loss could leave at each of its effects."""
        run = await self._collect()
        for image, moment in self._found[: self._states_max]:
            # A commit under way may or may not be in the state: the model after it counts as possible.
            then = Run(run.choices, run.steps, run.models[: moment.model_count + 1], moment.acknowledged)
            await self._check(_restored(image), then, moment)

    async def _collect(self) -> Run:
        run = Run(random.Random(self.seed), _STEPS)
        files = MemoryFileSystem()
        chosen = random.Random(self.seed)

        def before_effect(kind: str, path: str) -> None:
            if run.acknowledged < 0 and self.seed % _CREATION_EVERY:
                return
            moment = Moment(files.effect_count, run.acknowledged, len(run.models))
            for state in states(files, chosen):
                self._note(state, moment)

        files.fail = before_effect
        assert await until_power_loss(work(files, run, PARAMETERS))
        return run

    def _note(self, state: MemoryFileSystem, moment: Moment) -> None:
        """Keep the state unless an equal one of the same moment of the workload is there."""
        image = tuple((path, self._shared(state.read(path))) for path in state.paths())
        key = (image, moment.acknowledged, moment.model_count)
        if key in self._seen:
            self.tally.equal_states_left_out += 1
        else:
            self._seen.add(key)
            self._found.append((image, moment))

    def _shared(self, content: bytes) -> bytes:
        return self._contents.setdefault(content, content)

    async def _check(self, state: MemoryFileSystem, run: Run, moment: Moment) -> None:
        self.tally.states += 1
        number = self.tally.states
        try:
            if run.acknowledged < 0 or number % _DEEP_EVERY == 0:
                self.tally.states_cut_again_in_recovery += 1
                await _check_deeply(state, run, random.Random(self.seed << 20 | number))
            else:
                await _check_rows(state, run)
        except Exception as error:  # noqa: BLE001 - whatever it is, the state is reported with it
            self.tally.wrong += 1
            text = f"seed {self.seed}, state {number}, before effect {moment.effect}: {type(error).__name__}: {error}"
            self.tally.first_wrong = self.tally.first_wrong or text


def _restored(image: Image) -> MemoryFileSystem:
    files = MemoryFileSystem()
    for path, data in image:
        files.write(path, data)
    return files


async def _check_rows(state: MemoryFileSystem, run: Run) -> None:
    """Recover and compare."""
    instance = await open_instance(state, PARAMETERS)
    database = await instance.attach_database(DATABASE)
    rows: Model = await content(await database.open_table("Notes"))
    assert rows in run.possible, f"{len(rows)} rows, expected one of {[len(model) for model in run.possible]}"
    instance.abandon()


async def _check_deeply(state: MemoryFileSystem, run: Run, chosen: random.Random) -> None:
    """Cut the power during recovery, recover, compare, close, verify every page."""
    state.power_loss_at = chosen.randrange(1, 60)
    await until_power_loss(check(state, run, PARAMETERS))
    await check(state.after_power_loss(chosen), run, PARAMETERS)


def look(seed: int, states_max: int | None = None) -> Tally:
    """Check the states of one workload, at most ``states_max``."""
    survey = Survey(seed, states_max)
    begun = time.process_time()
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(survey.look())
    survey.tally.cpu_s = time.process_time() - begun
    gc.collect()
    return survey.tally


def _look_and_name(seed: int) -> tuple[int, Tally]:
    return seed, look(seed)


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that does not ask the system for news while it has work: files in memory have none."""

    _ready: deque[asyncio.Handle]

    def _run_once(self) -> None:
        if not self._ready:
            super()._run_once()  # type: ignore[misc] # the method every loop of the library has
        for _ in range(len(self._ready)):
            handle = self._ready.popleft()
            if not handle.cancelled():
                handle._run()


@contextmanager
def _fast() -> Iterator[None]:
    """Do without what costs time and finds nothing.

    Garbage is collected between workloads only. What bytes alone decide, whether a log or a page is whole and which records a
    log holds, is worked out once for equal bytes.
    """
    remembered: list[tuple[ModuleType, str, Callable[..., Any], int]] = [
        (log_reader, "judge_log", log_reader.judge_log, _LOGS_KEPT),
        (database_file, "verify_page", verify_page, _PAGES_KEPT),
    ]
    gc.collect()
    gc.disable()
    for module, name, function, size in remembered:
        setattr(module, name, lru_cache(size)(function))
    try:
        yield
    finally:
        for module, name, function, _ in remembered:
            setattr(module, name, function)
        gc.enable()


def _keep_fast() -> None:
    """Prepare a process that does nothing else."""
    _FOR_EVER.enter_context(_fast())


_FOR_EVER = ExitStack()


class Progress:
    """The totals so far, and the file that a run cut off goes on from."""

    def __init__(self, file: Path | None) -> None:
        self.total = Tally()
        self.seeds: set[int] = set()
        self._file = file
        for line in file.read_text().splitlines() if file is not None and file.exists() else ():
            entry = json.loads(line)
            self._count(entry["seed"], Tally(**entry["workload"]))

    def note(self, seed: int, tally: Tally) -> None:
        """Count a workload, durable enough to be counted after a cut."""
        self._count(seed, tally)
        if self._file is not None:
            line = {"seed": seed, "workload": asdict(tally), "total": asdict(self.total)}
            with self._file.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def _count(self, seed: int, tally: Tally) -> None:
        self.seeds.add(seed)
        self.total.add(tally)


def _results(seeds: Iterable[int], jobs: int, progress: Progress, wanted: int) -> Iterator[tuple[int, Tally]]:
    """Yield the workloads' results in order of their seeds; one process ends in the middle of the last workload."""
    if jobs == 1:
        with _fast():
            for seed in seeds:
                yield seed, look(seed, wanted - progress.total.states)
        return
    with multiprocessing.Pool(jobs, _keep_fast) as pool:
        # Dealt out in rounds: an endless sequence would be taken in whole.
        endless = iter(seeds)
        while batch := list(itertools.islice(endless, 8 * jobs)):
            yield from pool.imap(_look_and_name, batch)


def measure(wanted: int = 500, first_seed: int = 0, jobs: int = 1, file: Path | None = None) -> dict[str, Any]:
    """Check at least ``wanted`` different states; return the counts."""
    progress = Progress(file)
    before = progress.total.states
    begun = time.perf_counter()
    seeds = (seed for seed in itertools.count(first_seed) if seed not in progress.seeds)
    if progress.total.states < wanted and not progress.total.wrong:
        for seed, tally in _results(seeds, jobs, progress, wanted):
            progress.note(seed, tally)
            if progress.total.states >= wanted or progress.total.wrong:
                break
    total = progress.total
    return {
        **asdict(total),
        "states_per_s": round((total.states - before) / (time.perf_counter() - begun), 1),
        "states_per_cpu_s": round(total.states / total.cpu_s, 1),
    }


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--progress", type=Path, help="file of results so far; made where missing, continued where not")
    arguments = parser.parse_args()
    result = measure(arguments.states, arguments.first_seed, arguments.jobs, arguments.progress)
    print(json.dumps(result, indent=1))
    return 1 if result["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
