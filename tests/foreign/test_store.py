"""The store's databases as other people's readers see them: libesedb's tools, dissect.esedb, pyesedb.

Two databases of one small lab are judged: as they stand on the volume after a clean stop, and as a backup set has them. Those
in the set are dirty, as every copy from a shadow copy is; recovered with the set's own logs alone they must hold exactly what
had been acknowledged at the freeze.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vss.cli.loading import loaded_registry
from vss.documents import BackupType
from vss.events import Record, WriterFroze
from vss.lab import Lab, template_text
from vss.lab.world import create_lab, run_in_lab
from vss.real import RealFiles
from vss_requestors.backup import BackupRequestor
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.parameters import InstanceParameters
from vss_writers.ese.recovery import recover
from vss_writers.exchange.mail_flow import MailFlow, MailFlowState
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.writer import ExchangeWriter

pytestmark = pytest.mark.slow

DATABASES = ("Mailbox Database 1", "Mailbox Database 2")
LOG_BYTES = 64 << 10

Digests = dict[str, dict[int, str]]
"""SHA-256 of every message, by database and number."""


@dataclass
class Evidence:
    """Where the files are and what must be in them.

    Attributes:
        stopped: databases of the cleanly stopped store.
        copied: the same databases as the set has them.
        recovered: those after recovery with the set's logs.
        at_stop: what users had been told at the end.
        at_freeze: what they had been told when the writer froze.
    """

    stopped: dict[str, Path] = field(default_factory=dict)
    copied: dict[str, Path] = field(default_factory=dict)
    recovered: dict[str, Path] = field(default_factory=dict)
    at_stop: Digests = field(default_factory=dict)
    at_freeze: Digests = field(default_factory=dict)

    def pairs(self, kind: str) -> Iterator[tuple[Path, dict[int, str]]]:
        """Yield each database of a kind with what must be in it."""
        told = self.at_stop if kind == "stopped" else self.at_freeze
        for name, path in getattr(self, kind).items():
            yield path, told[name]


def digests(state: bytes) -> Digests:
    record = msgspec.json.decode(state, type=MailFlowState)
    return {name: {number: told.digest for number, told in record.messages[name].items()} for name in DATABASES}


async def live(lab: Lab, root: Path, records: list[Record], evidence: Evidence) -> None:
    """Let the users work, back up in the middle, stop cleanly, and take the databases off the volume."""
    users, writer = lab.workloads["mail-flow"], lab.writer("SG1")
    assert isinstance(users, MailFlow)
    assert isinstance(writer, ExchangeWriter)
    long: Digests = {}
    mailboxes = Mailboxes(writer.group)
    draw = random.Random(5)
    for name in DATABASES:
        folder = await mailboxes.ensure_folder(name, "somebody", "Long messages")
        for content in (b"word " * 8_000, draw.randbytes(40_000), b""):
            number = await mailboxes.deliver(name, folder, content)
            long.setdefault(name, {})[number] = hashlib.sha256(content).hexdigest()
    await lab.run_for(120)
    async with lab.under_load():
        backup = await BackupRequestor().run(lab, target=root / "sets", backup_type=BackupType.FULL, records=lambda: records)
        await asyncio.sleep(30)
    for name in DATABASES:
        evidence.copied[name] = root / "sets" / backup.set_id / "files" / "D" / "Exchange" / "SG1" / f"{name}.edb"
    await writer.group.dismount()
    for name in DATABASES:
        handle = await lab.files.open(writer.group.options.database_path(name))
        evidence.stopped[name] = root / f"{name}.edb"
        evidence.stopped[name].write_bytes(await handle.pread(0, handle.size_bytes))
        await handle.close()
    await writer.group.mount()
    evidence.at_stop = digests(users.state())
    for told in (evidence.at_stop, evidence.at_freeze):
        for name in DATABASES:
            told[name].update(long[name])


def recover_copies(root: Path, evidence: Evidence) -> None:
    """Recover copies of the set's databases with copies of its logs, away from any lab."""
    work = root / "recovered"
    work.mkdir()
    for path in sorted((evidence.copied[DATABASES[0]].parents[3] / "L" / "Exchange" / "SG1").iterdir()):
        shutil.copy(path, work)
    for name, path in evidence.copied.items():
        evidence.recovered[name] = Path(shutil.copy(path, work))
    parameters = InstanceParameters(
        base_name="E00", log_directory=str(work), system_directory=str(work), log_file_size=LOG_BYTES
    )
    asyncio.run(
        recover(
            HostFileSystem(),
            parameters,
            now=lambda: datetime(2026, 1, 6, tzinfo=UTC),
            random=random.Random(1),
            databases=[str(each) for each in evidence.recovered.values()],
        )
    )


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """One lab's life, for all judges."""
    root = tmp_path_factory.mktemp("foreign")
    evidence = Evidence()
    records: list[Record] = []
    states: list[MailFlow] = []
    create_lab(RealFiles(), root / "lab", template_text("exchange", 3), loaded_registry())

    def watch(record: Record) -> None:
        records.append(record)
        if isinstance(record.event, WriterFroze):
            evidence.at_freeze = digests(states[0].state())

    async def main(lab: Lab) -> None:
        users = lab.workloads["mail-flow"]
        assert isinstance(users, MailFlow)
        states.append(users)
        await live(lab, root, records, evidence)

    run_in_lab(RealFiles(), root / "lab", main, loaded_registry(), watch=watch)
    recover_copies(root, evidence)
    return evidence


KINDS = pytest.mark.parametrize("kind", ["stopped", "copied", "recovered"])
READABLE = pytest.mark.parametrize("kind", ["stopped", "recovered"])


@KINDS
def test_libesedb_finds_every_checksum_right(evidence: Evidence, kind: str) -> None:
    tool = shutil.which("esedbinfo")
    if tool is None:
        pytest.skip("needs esedbinfo (Debian package libesedb-utils)")
    for path, _ in evidence.pairs(kind):
        outcome = subprocess.run([tool, "-v", str(path)], capture_output=True, text=True, check=False, errors="replace")

        assert outcome.returncode == 0, outcome.stderr[-500:]
        assert "mismatch" not in outcome.stderr
        assert "Messages" in outcome.stdout


@READABLE
def test_dissect_reads_every_message_of_one_piece(evidence: Evidence, kind: str) -> None:
    esedb = pytest.importorskip("dissect.esedb", reason="needs dissect.esedb")
    pieces_max = 2 * 8000  # longer ones are not read right by this reader
    for path, told in evidence.pairs(kind):
        with path.open("rb") as handle:
            table = esedb.EseDB(handle).table("Messages")
            found: dict[int, str] = {}
            for row in table.records():
                if row.get("Size") < pieces_max:
                    found[row.get("MessageId")] = hashlib.sha256(row.get("Content") or b"").hexdigest()
            numbers = sorted(found)

        assert {number: digest for number, digest in told.items() if number in found} == found
        assert len(told) - len(numbers) == 2


@READABLE
def test_dissect_seeks_by_the_keys_of_the_indexes(evidence: Evidence, kind: str) -> None:
    esedb = pytest.importorskip("dissect.esedb", reason="needs dissect.esedb")
    for path, told in evidence.pairs(kind):
        with path.open("rb") as handle:
            table = esedb.EseDB(handle).table("Messages")
            for number in sorted(told)[::7]:
                assert table.index("ByMessageId").search(MessageId=number).get("MessageId") == number


@READABLE
def test_pyesedb_reads_every_message(evidence: Evidence, kind: str) -> None:
    pyesedb = pytest.importorskip("pyesedb", reason="needs pyesedb (libesedb-python)")
    for path, told in evidence.pairs(kind):
        with path.open("rb") as handle:
            file = pyesedb.file()
            file.open_file_object(handle)
            table = file.get_table_by_name("Messages")
            columns = {column.name: number for number, column in enumerate(table.columns)}
            found = {
                record.get_value_data_as_integer(columns["MessageId"]): hashlib.sha256(
                    content_of(record, columns["Content"])
                ).hexdigest()
                for record in table.records
            }
            file.close()

        assert found == told


def content_of(record: Any, column: int) -> bytes:
    """A message as pyesedb gives it: a long value on pages of its own, or a value in the record."""
    if record.is_long_value(column):
        value = record.get_value_data_as_long_value(column)
        return value.get_data() if value is not None else b""
    return record.get_value_data(column) or b""
