"""The engine on memory files, watched: work, a backup in the middle, power loss at the end, recovery, the chain restored."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from tests.invariants.kit import Plant
from tests.writers.ese.store_kit import (
    DATABASE,
    add,
    body,
    content,
    is_power_loss,
    new_store,
    open_instance,
    reopen,
    rows,
    small_parameters,
)
from vss.errors import ConfigurationError
from vss.simulation.invariants import Evidence, StoreEvidence, Trial, relations
from vss_writers.ese.errors import JetError
from vss_writers.ese.memory_files import MemoryFileSystem
from vss_writers.ese.truncation import SnapshotKind

T = TypeVar("T")

PARAMETERS = small_parameters(cache_pages=20, checkpoint_depth=40_000)
ROWS = 130
IN_BACKUP = 70
AFTER_FREEZE = 40
SIZE = 900


class Watch:
    """Which rows are in durable logs, and which stand on pages that were written, in the order in which that came about."""

    def __init__(self, files: MemoryFileSystem) -> None:
        """Watch ``files`` from now on."""
        self.files = files
        self.found: list[tuple[str, int]] = []
        self._marks = {number: body(number, SIZE)[:32] for number in range(ROWS)}
        self._in_log: set[int] = set()
        files.written = self.written
        files.fail = self.effect

    def written(self, path: str, offset: int, data: bytes) -> None:
        """A write: pages of the database count at once, for any write may reach the disk."""
        if path.endswith(".edb"):
            self.found += [("page", number) for number, mark in self._marks.items() if mark in data]

    def effect(self, kind: str, path: str) -> None:
        """An effect: what a log holds when it is synced is durable."""
        if kind != "sync" or not path.endswith(".log"):
            return
        held = self.files.read(path)
        for number, mark in self._marks.items():
            if number not in self._in_log and mark in held:
                self._in_log.add(number)
                self.found.append(("log", number))


def _everything(files: MemoryFileSystem) -> dict[str, bytes]:
    return {path: files.read(path) for path in files.paths()}


async def _state(files: MemoryFileSystem) -> dict[int, bytes]:
    instance, _, table = await reopen(files, PARAMETERS)
    found = await content(table)
    await instance.close()
    return found


def _asked(call: Callable[[], Awaitable[T]]) -> Callable[[], T]:
    """A trial's callable: the coroutine, run on a loop of its own."""
    return lambda: asyncio.run(_awaited(call))


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


class Made:
    """What the workload left."""

    def __init__(self) -> None:
        """Begin with no files."""
        self.files = MemoryFileSystem()
        self.backup = MemoryFileSystem()
        self.before: dict[str, bytes] = {}
        self.after: dict[str, bytes] = {}
        self.persisted: list[tuple[str, int]] = []


async def work(made: Made, *, is_success: bool) -> None:
    """Fill a table, back it up in the middle, go on; the last state is on the disk as the engine left it, running."""
    files = made.files
    watch = Watch(files)
    instance, _, table = await new_store(files, PARAMETERS)
    await add(instance, table, 0, IN_BACKUP, SIZE)
    instance.snapshot.prepare(SnapshotKind.FULL)
    await instance.snapshot.freeze()
    made.backup = files.copy()
    await instance.snapshot.thaw()
    await add(instance, table, IN_BACKUP, AFTER_FREEZE, SIZE)
    made.before = _everything(files)
    if is_success:
        await instance.snapshot.truncate_logs(all_databases_attached=True)
    await instance.snapshot.end(success=is_success)
    made.after = _everything(files)
    await add(instance, table, IN_BACKUP + AFTER_FREEZE, ROWS - IN_BACKUP - AFTER_FREEZE, SIZE)
    made.persisted = watch.found


def chain(made: Made) -> MemoryFileSystem:
    """The database, logs and checkpoint of the backup, and behind them the logs that the live store has."""
    restored = made.files.copy()
    live = _everything(made.files)
    for path in live:
        if not path.endswith(".log"):
            restored.delete(path)
    for path, data in _everything(made.backup).items():
        if path.endswith((".edb", ".chk")) or (path.endswith(".log") and path not in live):
            restored.write(path, data)
    return restored


def with_gap(made: Made) -> MemoryFileSystem:
    """The same with a log missing in the middle: an operator's mistake."""
    restored = chain(made)
    closed = [path for path in restored.paths() if path.endswith(".log") and len(path.rpartition("/")[2]) > len("E00.log")]
    restored.delete(closed[-2])
    return restored


def engine_run(plant: Plant | None, *, is_success: bool = True) -> Evidence:
    """The whole run and its trials."""
    made = Made()
    with pytest.MonkeyPatch.context() as patch:
        if plant is not None:
            plant(patch)
        try:
            asyncio.run(work(made, is_success=is_success))
        except JetError:
            if plant is None:
                raise
        trials = _trials(made) if made.persisted else []
        try:
            pages = [asyncio.run(_damaged_page(made))]
        except JetError:
            if plant is None:
                raise
            pages = []  # the store does not even open
    store = StoreEvidence(
        made.before,
        made.after,
        is_success=is_success,
        persisted=made.persisted,
        pages_used=pages,
        oldest_needed=None,
    )
    return Evidence(records=(), stores={"Notes": store}, trials=trials)


def _trials(made: Made) -> list[Trial]:
    expected = rows(0, ROWS, SIZE)
    prefixes = [rows(0, count, SIZE) for count in range(ROWS + 1)]
    lost: dict[str, random.Random | bool] = {
        "nothing unsynced survived": False,
        "everything survived": True,
        "some of it survived": random.Random(5),
    }
    disks = {label: made.files.after_power_loss(chosen) for label, chosen in lost.items()}

    def states() -> list[tuple[str, Callable[[], dict[int, bytes]]]]:
        return [(label, _asked(lambda disk=disk: _state(disk.copy()))) for label, disk in disks.items()]  # type: ignore[misc]

    counted = [(label, lambda state=state: len(state())) for label, state in states()]
    disk = disks["nothing unsynced survived"]

    async def whole() -> dict[str, bytes]:
        return {str(number): row for number, row in (await _state(disk.copy())).items()}

    async def cut_at(effect: int) -> dict[str, bytes]:
        again = disk.copy()
        again.power_loss_at = effect
        try:
            await _state(again)
        except Exception as error:
            if not is_power_loss(error):
                raise
        found = await _state(again.after_power_loss(random.Random(effect)))
        return {str(number): row for number, row in found.items()}

    def mistake() -> None:
        try:
            asyncio.run(_state(with_gap(made)))
        except JetError as error:
            raise ConfigurationError(str(error)) from error

    cuts = [(f"cut at effect {number}", _asked(lambda number=number: cut_at(number))) for number in range(1, 40, 6)]  # type: ignore[misc]
    return [
        relations.acknowledged_survive(counted, ROWS),
        relations.recovered_is_a_prefix(states(), prefixes, ROWS),
        relations.recovery_can_be_cut(_asked(whole), cuts),
        relations.chain_restores("D10", _asked(lambda: _state(chain(made))), expected),
        relations.chain_restores("B7", _asked(lambda: _state(chain(made))), expected),
        relations.mistake_is_harmless(mistake, dict, "a log is missing in the middle"),
    ]


async def _damaged_page(made: Made) -> tuple[int, bool, bool, bool]:
    """Damage every page that holds a row, use the table, and see whether anybody noticed."""
    files = made.files.after_power_loss(True)
    instance, _, _ = await reopen(files, PARAMETERS)
    await instance.close()
    data = files.read(DATABASE)
    page_number = data.find(body(3, SIZE)[:32]) // 2048 - 1
    files.flip(DATABASE, (page_number + 1) * 2048 + 1000, 3)
    files.flip(DATABASE, (page_number + 1) * 2048 + 1100, 5)
    try:
        instance = await open_instance(files, PARAMETERS)
        database = await instance.attach_database(DATABASE)
        await content(await database.open_table("Notes"))
        await instance.close()
    except JetError:
        return page_number, True, True, True
    return page_number, True, True, False
