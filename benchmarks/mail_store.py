"""A mailbox database that grows a hundredfold: cost of a message, memory, and what other people's readers say of it in the end.

    python benchmarks/mail_store.py [--messages 100000] [--page-size 8192] [--judges]

Messages of 200 to 2,000 bytes, one durable transaction each, in a lab's store on an image file; every seventh is deleted again.
``cost_last_over_first`` sets the processor time of a message in the last tenth of the run against that in the first, as medians
of pieces of a hundredth. ``memory_last_over_half`` sets the memory of the process at the end against that when half was there
and the buffer pool was full (from some 10 000 messages on): with a bounded pool it does not grow with the database. What the
benchmark itself remembers of a message is 33 bytes in one array. ``--judges`` reads the database with esedbinfo, pyesedb,
dissect.esedb and impacket, where they are installed, and compares the number and the content of all messages.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / each) for each in ("", "providers", "writers", "requestors")]

from vss.cli.loading import loaded_registry
from vss.lab import Lab
from vss.lab.world import create_lab, run_in_lab
from vss.real import RealFiles
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.writer import ExchangeWriter

DATABASE = "Mailbox Database"
_PIECES = 100
_DELETE_EVERY = 7
_PLACE_BYTES = 33
"""What is remembered of a message: whether it is there, and its SHA-256."""
_LAB = """
[machine]
name = "GROWTH"
[[volumes]]
name = "D:"
size = "4 GiB"
[[volumes]]
name = "L:"
size = "1 GiB"
flush_latency_ms = 0.1          # virtual time has to pass: the simulator takes a run that stands still for a livelock
[[writers]]
name = "SG1"
kind = "exchange"
[writers.options]
databases = ["Mailbox Database"]
database_directory = 'D:\\Exchange'
log_directory = 'L:\\Exchange'
log_file_size = "1 MiB"
checkpoint_depth = "4 MiB"
cache_pages = 512
page_size = {page_size}
circular = true
"""

Told = dict[int, str]
"""SHA-256 of the content of every message that is there, by number."""


def _memory_mb() -> float:
    """Memory of this process that no file backs: the image of the volume is mapped, and the system may drop that."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(kilobytes) / 1e3


class Growth:
    """One store that grows; what it cost, and what must be in it."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._digests = bytearray()
        self.costs_us: list[float] = []
        self.memory_mb: list[float] = []
        self.database = b""
        self.page_writes: dict[str, int] = {}

    @property
    def told(self) -> Told:
        """SHA-256 of every message that must be there, by number."""
        size = _PLACE_BYTES
        numbers = [place for place in range(len(self._digests) // size) if self._digests[place * size]]
        return {number: self._digests[number * size + 1 : (number + 1) * size].hex() for number in numbers}

    def _tell(self, number: int, content: bytes) -> None:
        self._digests += bytes(max(0, (number + 1) * _PLACE_BYTES - len(self._digests)))
        self._digests[number * _PLACE_BYTES : (number + 1) * _PLACE_BYTES] = b"\1" + hashlib.sha256(content).digest()

    async def live(self, lab: Lab) -> None:
        """Deliver, delete, and take the database off the volume of the cleanly stopped store."""
        writer = lab.writer("SG1")
        assert isinstance(writer, ExchangeWriter)
        mailboxes = Mailboxes(writer.group)
        folder = await mailboxes.ensure_folder(DATABASE, "somebody", "Inbox")
        draw = random.Random(1)
        piece = max(1, self.messages // _PIECES)
        for first in range(0, self.messages, piece):
            begun = time.process_time()
            for _ in range(piece):
                # A header first, as mail has: pyesedb takes a value that begins with a control character for a compressed one.
                content = b"Subject: growth\r\n\r\n" + draw.randbytes(draw.randrange(180, 1980))
                number = await mailboxes.deliver(DATABASE, folder, content)
                self._tell(number, content)
            self.costs_us.append((time.process_time() - begun) * 1e6 / piece)
            self.memory_mb.append(_memory_mb())
            for number in range(first + 1, first + piece, _DELETE_EVERY):
                await mailboxes.delete(DATABASE, number)
                self._digests[number * _PLACE_BYTES] = 0
        assert writer.group.instance is not None, "the store went down"
        self.page_writes = writer.group.instance.page_writes.as_dict()
        await writer.group.dismount()
        handle = await lab.files.open(writer.group.options.database_path(DATABASE))
        self.database = await handle.pread(0, handle.size_bytes)
        await handle.close()

    def figures(self) -> dict[str, float]:
        """Return the ratios and what they come from."""
        tenth, half = len(self.costs_us) // 10, len(self.costs_us) // 2
        early, late = statistics.median(self.costs_us[1 : tenth + 1]), statistics.median(self.costs_us[-tenth:])
        return {
            "messages": self.messages,
            "left_after_deletions": len(self.told),
            "database_mb": round(len(self.database) / 1e6, 1),
            "message_us_first_tenth": round(early, 1),
            "message_us_last_tenth": round(late, 1),
            "cost_last_over_first": round(late / early, 2),
            "memory_mb_at_a_tenth": round(self.memory_mb[tenth], 1),
            "memory_mb_at_half": round(self.memory_mb[half], 1),
            "memory_mb_at_the_end": round(self.memory_mb[-1], 1),
            "memory_last_over_half": round(self.memory_mb[-1] / self.memory_mb[half], 2),
            **{f"pages_written_{why}": count for why, count in self.page_writes.items()},
        }


def grown(messages: int, page_size: int) -> Growth:
    """Let a store grow in a directory of its own."""
    directory = Path(tempfile.mkdtemp())
    growth = Growth(messages)
    try:
        create_lab(RealFiles(), directory / "lab", _LAB.replace("{page_size}", str(page_size)), loaded_registry())
        run_in_lab(RealFiles(), directory / "lab", growth.live, loaded_registry())
    finally:
        shutil.rmtree(directory)
    return growth


# -- judges --------------------------------------------------------------------------------------------------------------------


def _by_tool(path: Path, told: Told) -> str:
    tool = shutil.which("esedbinfo")
    if tool is None:
        return "not installed"
    done = subprocess.run([tool, "-v", str(path)], capture_output=True, text=True, check=False, errors="replace")
    return "good" if done.returncode == 0 and "mismatch" not in done.stderr else f"WRONG: {done.stderr[-200:]}"


def _by_pyesedb(path: Path, told: Told) -> str:
    try:
        import pyesedb
    except ImportError:
        return "not installed"
    file = pyesedb.file()
    file.open(str(path))
    table = file.get_table_by_name("Messages")
    columns = {column.name: number for number, column in enumerate(table.columns)}
    found: Told = {}
    for record in table.records:
        if record.is_long_value(columns["Content"]):
            content = record.get_value_data_as_long_value(columns["Content"]).get_data()
        else:
            content = record.get_value_data(columns["Content"])
        found[record.get_value_data_as_integer(columns["MessageId"])] = hashlib.sha256(content).hexdigest()
    file.close()
    return _compared(found, told)


def _by_dissect(path: Path, told: Told) -> str:
    try:
        from dissect.esedb import EseDB
    except ImportError:
        return "not installed"
    with path.open("rb") as handle:
        rows = EseDB(handle).table("Messages").records()
        found = {row.get("MessageId"): hashlib.sha256(row.get("Content") or b"").hexdigest() for row in rows}
    return _compared(found, told)


def _by_impacket(path: Path, told: Told) -> str:
    try:
        from impacket.ese import ESENT_DB
    except ImportError:
        return "not installed"
    database = ESENT_DB(str(path))
    database.mountDB()
    cursor = database.openTable("Messages")
    found: list[int] = []
    while (row := database.getNextRow(cursor)) is not None:
        found.append(int(row[b"MessageId"]))
    database.close()
    return "good" if sorted(found) == sorted(told) else f"WRONG: {len(found)} rows, {len(told)} are there"


def _compared(found: Told, told: Told) -> str:
    if found == told:
        return "good"
    different = [number for number in told if found.get(number) != told[number]]
    return f"WRONG: {len(found)} messages, {len(told)} are there, {len(different)} differ, the first is {different[:1]}"


def judged(growth: Growth) -> dict[str, str]:
    """Return what each reader says of the database."""
    directory = Path(tempfile.mkdtemp())
    path = directory / "mail.edb"
    try:
        path.write_bytes(growth.database)
        judges = {"esedbinfo": _by_tool, "pyesedb": _by_pyesedb, "dissect": _by_dissect, "impacket_rows": _by_impacket}
        return {name: judge(path, growth.told) for name, judge in judges.items()}
    finally:
        shutil.rmtree(directory)


def measure() -> dict[str, float | int | str]:
    """A smaller growth, from 100 to 10 000 messages."""
    return dict(grown(10_000, 8192).figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=8192, choices=(4096, 8192))
    parser.add_argument("--judges", action="store_true")
    arguments = parser.parse_args()
    growth = grown(arguments.messages, arguments.page_size)
    result: dict[str, Any] = dict(growth.figures())
    if arguments.judges:
        result |= judged(growth)
    print(json.dumps(result, indent=1))
    sys.exit(1 if any(str(each).startswith("WRONG") for each in result.values()) else 0)
