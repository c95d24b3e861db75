"""The mail-flow workload: users who deliver, read, move and delete messages, and remember what they were told.

Invariant: the record changes only after the store has acknowledged. An operation that fails or is cut off leaves the record as
it was, and the store may then hold either outcome of it: it is in doubt until a later operation on the same message is
acknowledged. ``check`` compares every recorded message by its digest, and reports messages in these users' folders that nobody
was told of; folders of others (mail that was loaded from files) are none of its business.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec

from vss.errors import BadStateError, ConfigurationError, NotFoundError, VssError
from vss.plugins.hosts import WorkloadHost
from vss.ports import NANOSECONDS, no_faults
from vss_writers.exchange.deleted_items import DeletedItem, DeletedItems
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.writer import ExchangeWriter

T = TypeVar("T")

FOLDER_NAMES = ("Inbox", "Archive", "Deleted Items")
_OPERATIONS_PER_PURGE = 25
_WORDS = (
    *("backup", "budget", "checkpoint", "clone", "coordinator", "database", "delivery", "disk", "freeze", "generation"),
    *("index", "journal", "ledger", "log", "mailbox", "meeting", "minutes", "page", "provider", "quarter", "recovery"),
    *("report", "requestor", "restore", "review", "roll", "schedule", "shadow", "snapshot", "storage", "thaw"),
    *("transaction", "truncate", "verify", "volume", "window", "writer"),
)


class MailFlowOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ``[workloads.options]`` table.

    Attributes:
        writer: the lab's name of the store's writer.
        mailboxes: how many users there are.
        operations_per_minute: how busy they are together.
        message_bytes_max: length of the longest message.
    """

    writer: str
    mailboxes: int = 8
    operations_per_minute: float = 30.0
    message_bytes_max: int = 12_000


class Told(msgspec.Struct, frozen=True):
    """What the users know of one message."""

    folder: int
    digest: str


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that nobody knows the outcome of.

    Attributes:
        kind: ``deliver``, ``move``, ``delete``, ``recover`` or ``purge``.
        database: where.
        message: the message, 0 for one that was being delivered.
        folder: where a message was being moved.
        digest: of the message that was being delivered.
    """

    kind: str
    database: str
    message: int = 0
    folder: int = 0
    digest: str = ""


class MailFlowState(msgspec.Struct):
    """The users' record: messages by database and id, folders by database and mailbox, and what is in doubt."""

    operations: int = 0
    messages: dict[str, dict[int, Told]] = {}
    folders: dict[str, dict[str, int]] = {}
    in_doubt: list[Doubt] = []
    deleted: dict[str, dict[int, Told]] = {}
    """Messages that were deleted and can still be recovered, where the store retains them."""


class MailFlow:
    """Users of one storage group."""

    is_durable = True
    """A commit is acknowledged when its log is durable."""

    def __init__(self, host: WorkloadHost, options: MailFlowOptions, mailboxes: Mailboxes) -> None:
        """Prepare the users; they begin in ``run_until``."""
        self.name = host.name
        self._host = host
        self._options = options
        self._mailboxes = mailboxes
        self._databases = mailboxes.group.options.databases
        self._record = MailFlowState()
        self._stop = asyncio.Event()
        self._failures = 0
        self._deleted_items = DeletedItems(mailboxes.group)
        self._retains = bool(mailboxes.group.options.deleted_item_retention_days)

    @property
    def _random(self) -> random.Random:
        return self._host.ports.random.stream(f"workload:{self.name}")

    # -- work ------------------------------------------------------------------------------------------------------------------

    async def run_until(self, now_ns: int) -> None:
        """Work until the clock shows ``now_ns``; while the store is down, users wait and try again."""
        self._stop = asyncio.Event()
        clock = self._host.ports.clock
        mean_s = 60.0 / self._options.operations_per_minute
        while True:
            pause_ns = round(self._random.expovariate(1.0) * mean_s * NANOSECONDS)
            if clock.now_ns() + pause_ns >= now_ns:
                return
            if await self._is_stopped_in_pause(pause_ns / NANOSECONDS):
                return
            try:
                await self._one_operation()
            except VssError:
                self._failures += 1

    async def stop(self) -> None:
        """Finish the operation under way, then let ``run_until`` return."""
        self._stop.set()

    async def _is_stopped_in_pause(self, seconds: float) -> bool:
        """Wait; the store hears of every quiet spell of its ``idle_seconds``."""
        idle_s = self._mailboxes.group.options.idle_seconds
        while idle_s and seconds > idle_s:
            if await self._is_stopped_within(idle_s):
                return True
            seconds -= idle_s
            with suppress(VssError):
                await self._ask(self._mailboxes.group.idle)
        return await self._is_stopped_within(seconds)

    async def _is_stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True

    async def _one_operation(self) -> None:
        database = self._random.choice(self._databases)
        known = self._record.messages.setdefault(database, {})
        kind = self._random.random()
        if kind < 0.7 or len(known) < 4:
            await self._deliver(database)
        elif kind < 0.85:
            await self._move(database, self._random.choice(sorted(known)))
        elif kind >= 0.96 and self._record.deleted.get(database):
            await self._recover(database, self._random.choice(sorted(self._record.deleted[database])))
        else:
            await self._delete(database, self._random.choice(sorted(known)))
        self._record.operations += 1
        if self._retains and self._record.operations % _OPERATIONS_PER_PURGE == 0:
            for each in self._databases:
                await self._purge(each)

    async def _deliver(self, database: str) -> None:
        mailbox = f"user{self._random.randrange(self._options.mailboxes):02d}"
        folder = await self._folder(database, mailbox, "Inbox")
        content = self._compose(mailbox)
        digest = hashlib.sha256(content).hexdigest()
        doubt = Doubt(kind="deliver", database=database, digest=digest)
        message_id = await self._attempt(doubt, partial(self._mailboxes.deliver, database, folder, content))
        self._record.messages[database][message_id] = Told(folder, digest)

    async def _move(self, database: str, message_id: int) -> None:
        mailbox = f"user{self._random.randrange(self._options.mailboxes):02d}"
        folder = await self._folder(database, mailbox, self._random.choice(FOLDER_NAMES[1:]))
        doubt = Doubt(kind="move", database=database, message=message_id, folder=folder)
        await self._attempt(doubt, partial(self._mailboxes.move, database, message_id, folder))
        self._record.messages[database][message_id] = Told(folder, self._record.messages[database][message_id].digest)

    async def _delete(self, database: str, message_id: int) -> None:
        doubt = Doubt(kind="delete", database=database, message=message_id)
        await self._attempt(doubt, partial(self._mailboxes.delete, database, message_id))
        told = self._record.messages[database].pop(message_id)
        if self._retains:
            self._record.deleted.setdefault(database, {})[message_id] = told

    async def _recover(self, database: str, message_id: int) -> None:
        doubt = Doubt(kind="recover", database=database, message=message_id)
        folder = await self._attempt(doubt, partial(self._deleted_items.recover, database, message_id))
        digest = self._record.deleted[database].pop(message_id).digest
        self._record.messages[database][message_id] = Told(folder, digest)

    async def _purge(self, database: str) -> None:
        """Online maintenance, as the store does it every night: what its retention lets go is gone for good."""
        purged = await self._attempt(Doubt(kind="purge", database=database), partial(self._deleted_items.purge, database))
        for message_id in purged:
            self._record.deleted.get(database, {}).pop(message_id, None)

    async def _ask(self, request: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Let the store do something, in its own process, past the site ``mail.request``."""
        faults = self._host.ports.faults
        if faults is no_faults:
            return await request()
        answer: T = await faults("mail.request", request, writer=self._options.writer)
        return answer

    async def _attempt(self, doubt: Doubt, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await ``operation``; until it is acknowledged nobody knows whether it took effect."""
        self._record.in_doubt.append(doubt)
        try:
            result = await self._ask(operation)
        except (BadStateError, NotFoundError):
            self._record.in_doubt.remove(doubt)  # refused before anything was changed
            raise
        self._settle(doubt)
        return result

    def _settle(self, doubt: Doubt) -> None:
        """An operation was acknowledged: it, and whatever was in doubt about its message before, is known now."""
        self._record.in_doubt = [
            each
            for each in self._record.in_doubt
            if each != doubt and not (doubt.message and (each.database, each.message) == (doubt.database, doubt.message))
        ]

    async def _folder(self, database: str, mailbox: str, name: str) -> int:
        """Return the id of a user's folder, made at first use."""
        folders = self._record.folders.setdefault(database, {})
        key = f"{mailbox}/{name}"
        if key not in folders:
            folders[key] = await self._ask(partial(self._mailboxes.ensure_folder, database, mailbox, name))
        return folders[key]

    def _compose(self, mailbox: str) -> bytes:
        draw = self._random
        sender = f"user{draw.randrange(self._options.mailboxes):02d}"
        subject = " ".join(draw.choice(_WORDS) for _ in range(draw.randint(2, 6)))
        length = min(int(draw.paretovariate(1.1) * 300), self._options.message_bytes_max)
        words: list[str] = []
        so_far = 0
        while so_far < length:
            words.append(draw.choice(_WORDS))
            so_far += len(words[-1]) + 1
        body = "\n".join(" ".join(words[start : start + 12]) for start in range(0, len(words), 12))
        headers = f"From: {sender}@lab.example\nTo: {mailbox}@lab.example\nSubject: {subject}\n"
        return f"{headers}Message-ID: <{draw.getrandbits(64):016x}@lab.example>\n\n{body}\n".encode()

    # -- the record ------------------------------------------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """Return operations acknowledged, messages known, failures met, and a digest of the record."""
        return {
            "operations": self._record.operations,
            "messages": sum(map(len, self._record.messages.values())),
            "failures": self._failures,
            "digest": hashlib.sha256(self.state()).hexdigest(),
        }

    def state(self) -> bytes:
        """Return the record as JSON."""
        return msgspec.json.encode(self._record)

    def load_state(self, state: bytes) -> None:
        """Take up an earlier record.

        Raises:
            ConfigurationError: it is damaged.
        """
        try:
            self._record = msgspec.json.decode(state, type=MailFlowState)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"the record of workload '{self.name}' is damaged: {error}") from error

    async def check(self) -> list[str]:
        """Compare the store with the record; return one sentence per difference, or per database that cannot be compared."""
        problems: list[str] = []
        for database in self._databases:
            try:
                found = {
                    each.message_id: Told(each.folder_id, each.digest) async for each in self._mailboxes.messages(database)
                }
                deleted = {each.message_id: each async for each in self._deleted_items.items(database)} if self._retains else {}
            except VssError as error:
                problems.append(f"{database}: cannot be compared: {error.message}")
                continue
            problems += self._compare(database, self._record.messages.get(database, {}), found)
            problems += self._compare_deleted(database, found, deleted)
        return problems

    def _compare_deleted(self, database: str, found: Mapping[int, Told], deleted: Mapping[int, DeletedItem]) -> list[str]:
        """What was deleted and told to be recoverable is there, as it was; nothing is in the mailbox and deleted at once."""
        problems = [f"{database}: message {each} is both there and deleted" for each in sorted(found.keys() & deleted.keys())]
        if self._is_in_doubt(kind="purge", database=database):
            return problems
        for message_id, told in sorted(self._record.deleted.get(database, {}).items()):
            item = deleted.get(message_id)
            if item is None:
                if not self._is_in_doubt(kind="recover", database=database, message=message_id):
                    problems.append(f"{database}: deleted message {message_id} is not retained")
            elif hashlib.sha256(item.content).hexdigest() != told.digest:
                problems.append(f"{database}: deleted message {message_id} is not what was deleted")
        return problems

    def _compare(self, database: str, told: dict[int, Told], found: dict[int, Told]) -> list[str]:
        own_folders = self._record.folders.get(database, {}).values()
        problems = [
            f"{database}: acknowledged message {message_id} is missing"
            for message_id in sorted(told.keys() - found.keys())
            if not self._is_in_doubt(kind="delete", database=database, message=message_id)
        ]
        for message_id in sorted(told.keys() & found.keys()):
            problems += self._differences(database, message_id, told[message_id], found[message_id])
        problems += [
            f"{database}: message {message_id} was never delivered, or deleted, and is there"
            for message_id in sorted(found.keys() - told.keys())
            if found[message_id].folder in own_folders
            and not self._is_in_doubt(kind="recover", database=database, message=message_id)
            and not self._is_in_doubt(kind="deliver", database=database, digest=found[message_id].digest)
        ]
        return problems

    def _differences(self, database: str, message_id: int, told: Told, found: Told) -> list[str]:
        if told.digest != found.digest:
            return [f"{database}: message {message_id} has digest {found.digest}, acknowledged was {told.digest}"]
        if told.folder != found.folder and not self._is_in_doubt(
            kind="move", database=database, message=message_id, folder=found.folder
        ):
            return [f"{database}: message {message_id} is in folder {found.folder}, acknowledged was {told.folder}"]
        return []

    def _is_in_doubt(self, **operation: Any) -> bool:
        return Doubt(**operation) in self._record.in_doubt


def make_mail_flow(host: WorkloadHost, options: Mapping[str, Any]) -> MailFlow:
    """Make the workload that ``lab.toml`` describes (the factory registered by the plugin).

    Raises:
        ConfigurationError: an option means nothing, or the writer is of another kind.
    """
    name = host.name
    try:
        parsed = msgspec.convert(dict(options), MailFlowOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"options of workload '{name}': {error}") from error
    if parsed.mailboxes < 1 or parsed.operations_per_minute <= 0:
        raise ConfigurationError(f"options of workload '{name}': expected at least one mailbox and some operations")
    writer = host.writer(parsed.writer)
    if not isinstance(writer, ExchangeWriter):
        raise ConfigurationError(f"options of workload '{name}': writer '{parsed.writer}' is no Exchange-like store")
    return MailFlow(host, parsed, Mailboxes(writer.group))
