"""A mail server in memory: a small lab with an Exchange-like store and its users, on real volumes with a real provider.

``play(script)`` boots the lab in a fresh simulated world, runs ``script(bench)``, and shuts the lab down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from vss.documents import BackupType
from vss.events import ApplicationLogged, LogsTruncated, Record
from vss.ids import Guid
from vss.lab import Lab
from vss.lab.configuration import VolumeTable, parse_configuration
from vss.lab.stores import MemoryKeeper
from vss.observe import Recorder
from vss.plugins import plugin_host
from vss.ports import Ports
from vss.simulation import Simulation
from vss.simulation.faults import FaultPlan
from vss.simulation.memory_files import MemoryFiles
from vss.volumes import BlockStore, FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss_requestors.backup import BackupRequestor
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult, RestoreResult
from vss_writers.exchange.mail_flow import MailFlow
from vss_writers.exchange.mailboxes import Mailboxes, Message
from vss_writers.exchange.storage_group import StorageGroup
from vss_writers.exchange.writer import ExchangeWriter

T = TypeVar("T")

SETS = Path("/sets")
ONE, TWO = "Mailbox Database 1", "Mailbox Database 2"
LOGS = "L:\\Exchange\\SG1"
DATABASES = "D:\\Exchange\\SG1"

LAB = """
[machine]
name = "MAIL"
limits = "{limits}"

[[volumes]]
name = "D:"
size = "12 MiB"

[[volumes]]
name = "L:"
size = "{log_volume}"

[[providers]]
kind = "copy-on-write"

[[writers]]
name = "SG1"
kind = "exchange"

[writers.options]
storage_group = "First Storage Group"
databases = ["Mailbox Database 1", "Mailbox Database 2"]
log_file_size = "64 KiB"
checkpoint_depth = "128 KiB"
cache_pages = 256
{options}

[[workloads]]
name = "users"
kind = "mail-flow"

[workloads.options]
writer = "SG1"
operations_per_minute = 60
message_bytes_max = 6000
"""


class Bench:
    """The machine, and what a test does to it."""

    def __init__(self, lab: Lab, recorder: Recorder, keeper: MemoryKeeper) -> None:
        self.lab = lab
        self.keeper = keeper
        self.ports: Ports = lab.ports
        self.recorder = recorder

    @property
    def writer(self) -> ExchangeWriter:
        """The store's writer."""
        writer = self.lab.writer("SG1")
        assert isinstance(writer, ExchangeWriter)
        return writer

    @property
    def group(self) -> StorageGroup:
        """The storage group."""
        return self.writer.group

    @property
    def users(self) -> MailFlow:
        """The users."""
        users = self.lab.workloads["users"]
        assert isinstance(users, MailFlow)
        return users

    @property
    def mailboxes(self) -> Mailboxes:
        """Folders and messages."""
        return Mailboxes(self.group)

    @property
    def operations(self) -> int:
        """Operations acknowledged to the users."""
        return int(self.users.report()["operations"])

    async def work(self, operations: int = 60) -> None:
        """Let the users do about so many operations (one a second)."""
        await self.lab.run_for(operations)

    async def deliver(self, text: str, database: str = ONE) -> int:
        """Deliver one message to nobody in particular."""
        folder = await self.mailboxes.ensure_folder(database, "somebody", "Inbox")
        return await self.mailboxes.deliver(database, folder, text.encode())

    async def messages(self, database: str = ONE) -> list[Message]:
        """Every message of a database."""
        return [each async for each in self.mailboxes.messages(database)]

    async def back_up(self, backup_type: BackupType = BackupType.FULL, **options: Any) -> BackupResult:
        """Take a verified backup."""
        return await BackupRequestor().run(
            self.lab, target=SETS, backup_type=backup_type, records=lambda: self.recorder.records, **options
        )

    async def restore(self, backup: BackupResult, **options: Any) -> RestoreResult:
        """Restore a set."""
        return await RestoreRequestor().run(self.lab, source=SETS / backup.set_id, **options)

    async def lose(self, *volumes: str) -> None:
        """Lose disks, let the store notice, put new ones in."""
        for volume in volumes:
            await self.lab.lose_volume(volume)
        await self.lab.take_down("a disk is gone")
        for volume in volumes:
            await self.lab.replace_volume(volume)

    async def allow_overwriting(self) -> None:
        """Dismount the store and flag its databases."""
        await self.group.keep_dismounted(can_be_overwritten=True)

    async def dismount(self) -> None:
        """Dismount the store for good."""
        await self.group.keep_dismounted(can_be_overwritten=False)

    async def missing(self) -> list[str]:
        """What the users find wrong."""
        return await self.users.check()

    async def log_names(self) -> list[str]:
        """The closed logs, the current one, and the checkpoint."""
        names = await self.lab.files.list_directory(LOGS)
        return [each for each in names if each.endswith((".log", ".chk")) and not each.endswith("tmp.log")]

    async def generations(self) -> list[int]:
        """The closed generations on the disk."""
        return await self.group.closed_generations()

    async def read(self, path: str) -> bytes:
        """A whole file of the machine."""
        handle = await self.lab.files.open(path)
        try:
            return await handle.pread(0, handle.size_bytes)
        finally:
            await handle.close()

    async def write(self, path: str, data: bytes) -> None:
        """Replace a whole file of the machine."""
        handle = await self.lab.files.open(path, write=True, create=True)
        try:
            await handle.truncate(0)
            await handle.pwrite(0, data)
            await handle.sync()
        finally:
            await handle.close()

    def events(self, kind: type[Any]) -> list[Any]:
        """What was recorded, of one kind."""
        return [each.event for each in self.recorder.records if isinstance(each.event, kind)]

    def last_truncation(self) -> LogsTruncated:
        """The writer's last word on its logs."""
        truncation = self.events(LogsTruncated)[-1]
        assert isinstance(truncation, LogsTruncated)
        return truncation

    def logged(self, source: str = "MSExchangeIS") -> list[int]:
        """Ids in the application's event log."""
        return [each.event_id for each in self.events(ApplicationLogged) if each.source == source]

    def on(self, kind: type[Any], action: Callable[[Any], None]) -> None:
        """Call ``action`` at every event of a kind from now on."""

        def watch(record: Record) -> None:
            if isinstance(record.event, kind):
                action(record.event)

        self.recorder.subscribe(watch)

    def crash(self) -> MemoryKeeper:
        """Return what the disks hold right now: what a machine that stopped here would find at its next start."""
        kept = MemoryKeeper()
        for name, volume in self.lab.volumes.items():
            content = volume.raw_store.read(0, volume.raw_store.size_bytes)
            kept._stores[name] = MemoryStore(len(content), content=content, name=name)
        kept.write_workloads({name: each.state() for name, each in self.lab.workloads.items()})
        return kept

    async def background(self, work: Awaitable[T]) -> asyncio.Task[T]:
        """Start something beside."""
        task = asyncio.ensure_future(work)
        await asyncio.sleep(0)
        assert isinstance(task, asyncio.Task)
        return task


def play(
    script: Callable[[Bench], Awaitable[T]],
    *,
    seed: int = 7,
    options: str = "",
    limits: str = "strict",
    log_volume: str = "8 MiB",
    text: str = LAB,
    faults: list[str] | None = None,
    keeper: MemoryKeeper | None = None,
    disks: MemoryKeeper | None = None,
    files: MemoryFiles | None = None,
) -> T:
    """Boot a lab (a new one, on ``disks`` if given, or what ``keeper`` holds), run ``script`` on it, shut it down."""
    configuration = parse_configuration(text.format(options=options, limits=limits, log_volume=log_volume))
    disks = keeper or disks or MemoryKeeper()

    async def main(ports: Ports) -> T:
        lab = Lab(configuration, ports, plugin_host().registry, disks)
        try:
            await (lab.create() if keeper is None else lab.start())
            return await script(Bench(lab, recorder, disks))
        finally:
            await lab.stop()

    recorder = Recorder(lambda: simulation.now_ns)
    plan = FaultPlan.parse(faults or [])
    simulation = Simulation(main, seed=seed, files=files or MemoryFiles(), emit=recorder.emit, faults=plan)
    return simulation.run()


ONE_SESSION = Guid(int=1)


@dataclass
class Context:
    """What a handler is told, for tests that call handlers themselves."""

    session_id: Guid = ONE_SESSION
    backup_type: BackupType = BackupType.FULL
    components: Any = None
    volumes: tuple[str, ...] = ("D:", "L:")

    def is_path_affected(self, path: str) -> bool:
        """Whether the set has the volume of ``path``."""
        return path[:2] in self.volumes


class FaultyKeeper(MemoryKeeper):
    """Disks that fail where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.disks: dict[str, FaultyStore] = {}

    def blank(self, table: VolumeTable) -> BlockStore:
        """Put the fault layer over the blank store."""
        self.disks[table.name] = FaultyStore(super().blank(table), records_writes=False)
        self._stores[table.name] = self.disks[table.name]
        return self.disks[table.name]

    def fail(self, volume: str, effect: StoreEffect, *, is_sticky: bool = True) -> None:
        """Let the next (or every) operation on a disk go wrong."""
        self.disks[volume].arm(StoreFault(effect, is_sticky=is_sticky))

    def heal(self, volume: str) -> None:
        """The disk works again."""
        self.disks[volume].disarm()


class Kit:
    """The names above, for tests."""

    Context = Context
    MemoryKeeper = MemoryKeeper
    FaultyKeeper = FaultyKeeper

    play = staticmethod(play)
    Bench = Bench
    SETS, ONE, TWO, LOGS, DATABASES, LAB = SETS, ONE, TWO, LOGS, DATABASES, LAB


@pytest.fixture
def kit() -> type[Kit]:
    """The builders of this directory."""
    return Kit
