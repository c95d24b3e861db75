"""A mailbox database that grows a hundredfold: cost of a message, memory, and what other people's readers say of it in the end.

    python benchmarks/mail_store.py [--messages 100000] [--page-size 8192] [--judges] [--keep FILE]

Messages of 200 to 2,000 bytes, one durable transaction each, in a lab's store on an image file; every seventh is deleted again.
Processor time also shows what neighbours do to caches and clock. So every hundred messages stand between two turns of a fixed
piece of work, and what they cost is given in such turns: ``cost_at_N`` is the median of the thousand messages that end there,
``cost_last_over_first`` sets the last tenth of the run against the first. ``memory_mb_at_N`` is the memory of the process then,
before any reader runs: with a bounded pool it does not grow with the database once that is full. What the benchmark itself
remembers of a message is 33 bytes in one array. ``--judges`` has the database read by esedbinfo, esedbexport, pyesedb,
dissect.esedb and impacket, where they are installed.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT / each) for each in ("", "providers", "writers", "requestors")]

from benchmarks.mail_store_readers import judged
from vss.cli.loading import loaded_registry
from vss.lab import Lab
from vss.lab.world import create_lab, run_in_lab
from vss.real import RealFiles
from vss_writers.exchange.mailboxes import Mailboxes
from vss_writers.exchange.writer import ExchangeWriter

DATABASE = "Mailbox Database"
_GROUP = 100
"""Messages between two turns of the piece of work."""
_WINDOW = 10
"""Groups of which one cost is the median, and after which memory is looked at."""
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
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon:"))
    return int(kilobytes) / 1e3


def _turn_s() -> float:
    """Processor time of a fixed piece of work, of the kind that an interpreter does: what a message's cost is measured in."""
    draw = random.Random(1)
    begun = time.process_time()
    entries = {draw.random(): b"%d" % number for number in range(4000)}
    assert b"".join(entries[each] for each in sorted(entries))
    return time.process_time() - begun


class Growth:
    """One store that grows; what it cost, and what must be in it."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self._digests = bytearray()
        self.costs_us: list[float] = []
        self.costs: list[float] = []
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
        turn = _turn_s()
        for group in range(self.messages // _GROUP):
            numbers: list[int] = []
            begun = time.process_time()
            for _ in range(_GROUP):
                # A header first, as mail has: pyesedb takes a value that begins with a control character for a compressed one.
                content = b"Subject: growth\r\n\r\n" + draw.randbytes(draw.randrange(180, 1980))
                numbers.append(await mailboxes.deliver(DATABASE, folder, content))
                self._tell(numbers[-1], content)
            cost = (time.process_time() - begun) / _GROUP
            before, turn = turn, _turn_s()
            self.costs_us.append(cost * 1e6)
            self.costs.append(cost / (before + turn) * 2)
            for number in numbers[::_DELETE_EVERY]:
                await mailboxes.delete(DATABASE, number)
                self._digests[number * _PLACE_BYTES] = 0
            if (group + 1) % _WINDOW == 0:
                self.memory_mb.append(_memory_mb())
        assert writer.group.instance is not None, "the store went down"
        self.page_writes = writer.group.instance.page_writes.as_dict()
        await writer.group.dismount()
        handle = await lab.files.open(writer.group.options.database_path(DATABASE))
        self.database = await handle.pread(0, handle.size_bytes)
        await handle.close()

    def figures(self) -> dict[str, float]:
        """Return the ratios and what they come from."""
        tenth, half = len(self.costs) // 10, len(self.memory_mb) // 2 - 1
        early, late = statistics.median(self.costs[:tenth]), statistics.median(self.costs[-tenth:])
        marks = [each for each in (1_000, 10_000, 100_000) if each <= self.messages]
        return {
            "messages": self.messages,
            "left_after_deletions": len(self.told),
            "database_mb": round(len(self.database) / 1e6, 1),
            **{f"message_us_at_{mark}": round(_median_to(self.costs_us, mark)) for mark in marks},
            **{f"cost_at_{mark}": round(_median_to(self.costs, mark), 3) for mark in marks},
            "cost_last_over_first": round(late / early, 2),
            **{f"memory_mb_at_{mark}": round(self.memory_mb[mark // _GROUP // _WINDOW - 1], 1) for mark in marks},
            "memory_mb_at_half": round(self.memory_mb[half], 1),
            "memory_last_over_half": round(self.memory_mb[-1] / self.memory_mb[half], 2),
            **{f"pages_written_{why}": count for why, count in self.page_writes.items()},
        }


def _median_to(costs: list[float], mark: int) -> float:
    end = mark // _GROUP
    return statistics.median(costs[end - _WINDOW : end])


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


def measure() -> dict[str, float | int | str]:
    """A smaller growth, to 10 000 messages."""
    return dict(grown(10_000, 8192).figures())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--page-size", type=int, default=8192, choices=(4096, 8192))
    parser.add_argument("--judges", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="leave the database there")
    arguments = parser.parse_args()
    growth = grown(arguments.messages, arguments.page_size)
    result: dict[str, Any] = dict(growth.figures())
    if arguments.keep is not None:
        arguments.keep.write_bytes(growth.database)
    if arguments.judges:
        result |= judged(growth.database, growth.told)
    print(json.dumps(result, indent=1))
    sys.exit(1 if any(str(each).startswith("WRONG") for each in result.values()) else 0)
