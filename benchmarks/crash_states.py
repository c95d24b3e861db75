"""Crash states of the store's engine: every state that a disk may legally show, recovered and compared with a model.

    python benchmarks/crash_states.py [--states 1000000] [--first-seed 0]

Random workloads (rows of all sizes, rollbacks, detaches, backups with truncation) run on files in memory. Before every effect
(write, sync, rename …) the states that power loss may leave then are enumerated: all of them where at most six sectors, lengths
and names are undurable; else none, all, and a sample. Each different state is recovered, and the table must be the model after
k transactions, k not below the last acknowledged one; for one in sixteen power is cut again during recovery, and the file is
verified page by page. Deterministic: the same seeds give the same states. Exit code 1 when a state is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "writers")]

from tests.writers.ese.store_kit import DATABASE, content, open_instance, small_parameters
from tests.writers.ese.test_crash import Run, check, until_power_loss, work
from vss_writers.ese.memory_files import MemoryFileSystem

PARAMETERS = small_parameters(cache_pages=20, log_file_size=16 * 1024, checkpoint_depth=5_000)
"""Small logs and a checkpoint that follows closely: many roll-overs and page writes, few records to replay in each state."""

_EXHAUSTIVE_BITS = 6
_SAMPLES = 48
_DEEP_EVERY = 16
_STEPS = 14
_CREATION_EVERY = 16
"""Every so many workloads the states of making the store count, too; they cost ten times as much as those of using it."""


Image = list[tuple[str, bytes]]
"""The files of a state: path and digest of the content."""


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


class Survey:
    """The states of one workload after another, each looked at once."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.checked = 0
        self.deep = 0
        self.equal = 0
        self.wrong: list[str] = []
        self._seen: set[tuple[object, ...]] = set()
        self._contents: dict[bytes, bytes] = {}

    def look(self, seed: int) -> None:
        """Run the workload of ``seed`` and check what power loss could leave at each of its effects."""
        run = Run(random.Random(seed), _STEPS)
        files = MemoryFileSystem()
        found: list[tuple[Image, int, int, int]] = []
        chosen = random.Random(seed)
        self._seen.clear()
        self._contents.clear()

        def before_effect(kind: str, path: str) -> None:
            if run.acknowledged < 0 and seed % _CREATION_EVERY:
                return
            then = (run.acknowledged, len(run.models), files.effect_count)
            for state in states(files, chosen):
                image = self._image_if_new(state, run)
                if image is not None:
                    found.append((image, *then))

        files.fail = before_effect
        assert asyncio.run(until_power_loss(work(files, run, PARAMETERS)))
        for image, acknowledged, model_count, effect in found:
            if self.checked == self.wanted:
                return
            # A commit under way may or may not be in the state: the model after it counts as possible.
            then = Run(run.choices, run.steps, run.models[: model_count + 1], acknowledged)
            self._check(self._restored(image), then, seed, effect)

    def _image_if_new(self, state: MemoryFileSystem, run: Run) -> Image | None:
        """Return what the state consists of; None where an equal one was seen. Equal contents are kept once."""
        image: Image = []
        for path in state.paths():
            content = state.read(path)
            digest = hashlib.blake2b(content, digest_size=12).digest()
            self._contents.setdefault(digest, content)
            image.append((path, digest))
        key = (run.acknowledged, len(run.models), *image)
        if key in self._seen:
            self.equal += 1
            return None
        self._seen.add(key)
        return image

    def _restored(self, image: Image) -> MemoryFileSystem:
        files = MemoryFileSystem()
        for path, digest in image:
            files.write(path, self._contents[digest])
        return files

    def _check(self, state: MemoryFileSystem, run: Run, seed: int, effect: int) -> None:
        self.checked += 1
        try:
            if run.acknowledged < 0 or self.checked % _DEEP_EVERY == 0:
                self.deep += 1
                asyncio.run(_check_deeply(state, run, random.Random(self.checked)))
            else:
                asyncio.run(_check_rows(state, run))
        except Exception as error:  # noqa: BLE001 - whatever it is, the state is reported with it
            self.wrong.append(f"seed {seed}, before effect {effect}: {type(error).__name__}: {error}")


async def _check_rows(state: MemoryFileSystem, run: Run) -> None:
    """Recover and compare."""
    instance = await open_instance(state, PARAMETERS)
    database = await instance.attach_database(DATABASE)
    rows = await content(await database.open_table("Notes"))
    assert rows in run.possible, f"{len(rows)} rows, expected one of {[len(model) for model in run.possible]}"
    instance.abandon()


async def _check_deeply(state: MemoryFileSystem, run: Run, chosen: random.Random) -> None:
    """Cut the power during recovery, recover, compare, close, verify every page."""
    state.power_loss_at = chosen.randrange(1, 60)
    await until_power_loss(check(state, run, PARAMETERS))
    await check(state.after_power_loss(chosen), run, PARAMETERS)


def measure(wanted: int = 500, first_seed: int = 0) -> dict[str, float | int | str]:
    """Check ``wanted`` different states; return the counts."""
    survey = Survey(wanted)
    begun = time.perf_counter()
    seed = first_seed
    while survey.checked < wanted and not survey.wrong:
        survey.look(seed)
        seed += 1
    elapsed = time.perf_counter() - begun
    return {
        "states": survey.checked,
        "states_cut_again_in_recovery": survey.deep,
        "equal_states_left_out": survey.equal,
        "workloads": seed - first_seed,
        "wrong": len(survey.wrong),
        "first_wrong": survey.wrong[0] if survey.wrong else "",
        "states_per_s": round(survey.checked / elapsed, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--states", type=int, default=1_000_000)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    result = measure(arguments.states, arguments.first_seed)
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["wrong"] else 0)
