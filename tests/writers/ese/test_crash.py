"""Power loss at any effect of any workload: what was acknowledged is there, nothing else half is, and the files are intact.

The model is a dict for each commit. After recovery the table has to be the model after *k* transactions, *k* not below the last
acknowledged one. Power is cut again during recovery. Rows differ in every sector, so a lost sector cannot hide.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.writers.ese.store_kit import (
    DATABASE,
    LOGS,
    NOTES,
    add_table,
    body,
    content,
    is_power_loss,
    new_store,
    open_instance,
    reopen,
    small_parameters,
)
from vss_writers.ese.attached_database import Database, InstanceTable
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.instance import Instance
from vss_writers.ese.log_checksum import LogState
from vss_writers.ese.log_reader import judge_log
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.ese.verify import verify_database

PARAMETERS = small_parameters(cache_pages=20)
Model = dict[int, bytes]


class GiveUpError(Exception):
    """The transaction is to be rolled back."""


@dataclass
class Run:
    """One workload on its way: the model after every commit that was tried, and how far commits were acknowledged."""

    choices: random.Random
    steps: int
    models: list[Model] = field(default_factory=lambda: [{}])
    acknowledged: int = -1

    @property
    def possible(self) -> list[Model]:
        """What recovery may come back with."""
        return self.models[max(0, self.acknowledged) :]


async def work(files: MemoryFileSystem, run: Run, parameters: InstanceParameters = PARAMETERS) -> None:
    """Create a store and change it at random: rows of all sizes, rollbacks, detaches, backups."""
    instance, database, table = await new_store(files, parameters)
    run.acknowledged = 0
    for step in range(run.steps):
        await _change(instance, table, run, step)
        chance = run.choices.random()
        if chance < 0.06:
            await instance.detach_database(DATABASE)
            database = await instance.attach_database(DATABASE)
            table = await database.open_table("Notes")
        elif chance < 0.12:
            await _back_up(instance)
    await instance.close()


async def _change(instance: Instance, table: InstanceTable, run: Run, step: int) -> None:
    choices, model = run.choices, dict(run.models[-1])
    gives_up = choices.random() < 0.15
    try:
        async with instance.transaction() as transaction:
            for number in range(choices.choice([1, 1, 3, 8])):
                await _one_change(table, transaction, model, choices, 100 * step + number)
            if gives_up:
                raise GiveUpError
            run.models.append(model)
        run.acknowledged = len(run.models) - 1
    except GiveUpError:
        pass


async def _one_change(table: InstanceTable, transaction: Any, model: Model, choices: random.Random, seed: int) -> None:
    action = choices.random()
    value = body(seed, choices.choice([5, 100, 300, 900, 3000]))
    if action < 0.6 or not model:
        key = choices.randrange(200)
        if key not in model:
            await table.insert(transaction, {"Id": key, "Body": value})
            model[key] = value
        return
    key = choices.choice(sorted(model))
    if action < 0.8:
        await table.update(transaction, table.key("ById", key), {"Body": value})
        model[key] = value
    else:
        await table.delete(transaction, table.key("ById", key))
        del model[key]


async def _back_up(instance: Instance) -> None:
    instance.snapshot.prepare(SnapshotKind.FULL)
    await instance.snapshot.freeze()
    await instance.snapshot.thaw()
    await instance.snapshot.truncate_logs(all_databases_attached=True)
    await instance.snapshot.end(success=True)


async def until_power_loss(call: Coroutine[Any, Any, None]) -> bool:
    """Run to the end or to the power loss; return whether the end was reached."""
    try:
        await call
    except Exception as error:
        if not is_power_loss(error):
            raise
        return False
    return True


async def check(files: MemoryFileSystem, run: Run, parameters: InstanceParameters = PARAMETERS) -> None:
    """Recover, compare, use, close, verify."""
    instance = await open_instance(files, parameters)
    if run.acknowledged < 0:
        await _finish_creation(files, instance)
        return
    database = await instance.attach_database(DATABASE)
    table = await database.open_table("Notes")
    found = await content(table)
    assert found in run.possible, f"{len(found)} rows, expected one of {[len(model) for model in run.possible]}"
    await instance.close()
    await verify(files)


async def _finish_creation(files: MemoryFileSystem, instance: Instance) -> None:
    """The power went while the store was being made: it is there whole or can be made again."""
    try:
        database: Database = await instance.create_database(DATABASE)
    except JetError as error:
        if error.code is not JetCode.DatabaseDuplicate:
            raise
        database = await instance.attach_database(DATABASE)
    if NOTES.name not in await database.table_names():
        await add_table(instance, database)
    assert await content(await database.open_table(NOTES.name)) == {}
    await instance.close()
    await verify(files)


async def verify(files: MemoryFileSystem) -> None:
    file = await files.open(DATABASE)
    report = await verify_database(file.pread, file.size_bytes)
    assert report.is_intact, report.findings[:3]


Choice = Callable[[], random.Random | bool]


async def crash_and_check(seed: int, steps: int, effect: int, choice: Choice, recovery_effects: list[int]) -> bool:
    """Cut the power at ``effect``, then at each of ``recovery_effects`` during recovery; return whether it went at all."""
    run = Run(random.Random(seed), steps)
    files = MemoryFileSystem(power_loss_at=effect)
    was_finished = await until_power_loss(work(files, run))
    files = files.after_power_loss(choice())
    for recovery_effect in recovery_effects:
        files.power_loss_at = recovery_effect
        await until_power_loss(check(files, run))
        files = files.after_power_loss(choice())
    await check(files, run)
    return not was_finished


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["nothing", "everything", "something"])
def test_power_loss_at_every_effect_of_a_workload(kind: str) -> None:
    async def main() -> None:
        effect = {"nothing": 0, "everything": 1, "something": 2}[kind]
        went = True
        while went:
            choices = random.Random(effect)
            choice: dict[str, Choice] = {
                "nothing": lambda: False,
                "everything": lambda: True,
                "something": lambda choices=choices: choices,  # type: ignore[misc]
            }
            went = await crash_and_check(4, 8, effect, choice[kind], [choices.randrange(1, 50)])
            effect += 3

    asyncio.run(main())


@pytest.mark.slow
@given(
    seed=st.integers(0, 1 << 30),
    steps=st.integers(1, 25),
    effect=st.integers(0, 400),
    choice=st.integers(0, 1 << 30),
    recovery_effects=st.lists(st.integers(1, 60), max_size=2),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_power_loss_anywhere_in_any_workload(
    seed: int, steps: int, effect: int, choice: int, recovery_effects: list[int]
) -> None:
    choices = random.Random(choice)

    asyncio.run(crash_and_check(seed, steps, effect, lambda: choices, recovery_effects))


@pytest.mark.slow
def test_recovery_cut_at_each_of_its_effects_ends_in_the_same_rows() -> None:
    async def main() -> None:
        run = Run(random.Random(11), 20)
        files = MemoryFileSystem(power_loss_at=190)
        assert not await until_power_loss(work(files, run))
        files = files.after_power_loss(random.Random(3))
        clean = files.copy()
        await check(clean, run)
        for effect in range(1, clean.effect_count, 4):
            again = files.copy()
            again.power_loss_at = effect
            await until_power_loss(check(again, run))
            again = again.after_power_loss(random.Random(effect))
            _, _, table = await reopen(again, PARAMETERS)
            assert await content(table) in run.possible
            await again.sync()

    asyncio.run(main())


def test_a_torn_generation_that_is_closed_is_mended_before_it_gets_its_archive_name() -> None:
    """Power goes twice: while the End record is flushed, so that its sectors survive in part, and again during recovery."""

    async def main() -> None:
        run = Run(random.Random(4), 14)
        parameters = small_parameters(cache_pages=20, log_file_size=16 * 1024, checkpoint_depth=5_000)
        files = MemoryFileSystem()
        torn: list[tuple[MemoryFileSystem, Run]] = []

        def before_effect(kind: str, path: str) -> None:
            if (kind, path) != ("sync", f"{LOGS}\\E00.log"):
                return
            for seed in range(60):
                state = files.after_power_loss(random.Random(seed))
                log = judge_log(state.read(path), path, may_be_torn=True)
                if log.is_closed and log.scan.state is LogState.TORN:
                    torn.append((state, Run(run.choices, run.steps, list(run.models), run.acknowledged)))

        files.fail = before_effect
        assert await until_power_loss(work(files, run, parameters))
        assert torn
        for state, then in torn[:3]:
            for effect in range(10):
                once = state.copy()
                once.power_loss_at = effect
                await until_power_loss(check(once, then, parameters))

                await check(once.after_power_loss(True), then, parameters)

    asyncio.run(main())
