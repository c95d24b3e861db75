"""What readers that nobody here wrote find in a mailbox database: which messages, and which contents.

No reader sees everything, and the verdict says what each one saw:

- esedbinfo reads the header and the catalog; ``-v`` has it report wrong checksums of the pages it reads.
- esedbexport reads every row and every content that is kept in its record, checksums of those pages included; it cannot export
  values that are kept outside the record.
- dissect reads every row and every content.
- impacket reads every row and every content that is kept in its record; of the others it gives the key.
- pyesedb reads every row and every content. It looks for another chunk behind the last of a value and searches every page from
  there to the end of the tree for it, so that reading all of them takes time with the square of their number; of those kept
  outside the record it is therefore asked for one in ``LONG_VALUE_STEP``, the first, the seventeenth and so on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TABLE = "Messages"
LONG_VALUE_STEP = 16
_NOT_INSTALLED = "not installed"
_KEY_DIGITS = 8
"""What impacket gives of a value outside the record: its key of four bytes, in hexadecimal."""

Told = Mapping[int, str]
"""SHA-256 of the content of every message that is there, by number."""


@dataclass(slots=True)
class Reading:
    """What one reader found: numbers of messages as it reads them, SHA-256 of contents, how many contents it did not give."""

    numbers: list[int] = field(default_factory=list)
    contents: dict[int, str] = field(default_factory=dict)
    not_read: int = 0

    def take(self, number: int, content: bytes | None) -> None:
        """Note a message; ``content`` is None where only the row was read."""
        self.numbers.append(number)
        if content is None:
            self.not_read += 1
        else:
            self.contents[number] = hashlib.sha256(content).hexdigest()

    def verdict(self, told: Told) -> str:
        """Say whether rows and contents are those that must be there, and how many were compared."""
        if sorted(self.numbers) != sorted(told):
            return f"WRONG: {len(self.numbers)} rows, {len(told)} are there"
        different = [number for number, digest in self.contents.items() if told[number] != digest]
        if different:
            return f"WRONG: {len(different)} of {len(self.contents)} contents differ, the first is that of {different[0]}"
        return f"good: all {len(self.numbers)} rows, {len(self.contents)} contents, {self.not_read} not read"


def _by_esedbinfo(path: Path, told: Told) -> str:
    tool = shutil.which("esedbinfo")
    if tool is None:
        return _NOT_INSTALLED
    done = subprocess.run([tool, "-v", str(path)], capture_output=True, text=True, check=False, errors="replace")
    if done.returncode or "mismatch" in done.stderr or TABLE not in done.stdout:
        return f"WRONG: {done.stderr[-200:]}"
    return "good: header and catalog"


def _by_esedbexport(path: Path, told: Told) -> str:
    tool = shutil.which("esedbexport")
    if tool is None:
        return _NOT_INSTALLED
    target = path.with_name("exported")
    command = [tool, "-v", "-t", str(target), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, errors="replace")
    mismatches = sum("mismatch in page" in line for line in done.stderr.splitlines())
    if mismatches:
        return f"WRONG: {mismatches} checksums"
    reading = Reading()
    for file in target.with_name("exported.export").glob(f"{TABLE}.*"):
        with file.open(encoding="ascii") as lines:
            names = next(lines).rstrip("\n").split("\t")
            for line in lines:
                row = dict(zip(names, line.rstrip("\n").split("\t"), strict=True))
                reading.take(int(row["MessageId"]), bytes.fromhex(row["Content"]) or None)
    return reading.verdict(told)


def _by_pyesedb(path: Path, told: Told) -> str:
    try:
        import pyesedb
    except ImportError:
        return _NOT_INSTALLED
    file = pyesedb.file()
    file.open(str(path))
    table = file.get_table_by_name(TABLE)
    columns = {column.name: number for number, column in enumerate(table.columns)}
    reading = Reading()
    long_values = 0
    for record in table.records:
        content: bytes | None = None
        if not record.is_long_value(columns["Content"]):
            content = record.get_value_data(columns["Content"])
        else:
            if long_values % LONG_VALUE_STEP == 0:
                content = record.get_value_data_as_long_value(columns["Content"]).get_data()
            long_values += 1
        reading.take(record.get_value_data_as_integer(columns["MessageId"]), content)
    file.close()
    return reading.verdict(told)


def _by_dissect(path: Path, told: Told) -> str:
    try:
        from dissect.esedb import EseDB
    except ImportError:
        return _NOT_INSTALLED
    reading = Reading()
    with path.open("rb") as handle:
        for row in EseDB(handle).table(TABLE).records():
            reading.take(row.get("MessageId"), row.get("Content"))
    return reading.verdict(told)


def _by_impacket(path: Path, told: Told) -> str:
    try:
        from impacket.ese import ESENT_DB
    except ImportError:
        return _NOT_INSTALLED
    database = ESENT_DB(str(path))
    database.mountDB()
    cursor = database.openTable(TABLE)
    reading = Reading()
    while (row := database.getNextRow(cursor)) is not None:
        content = row[b"Content"]
        reading.take(int(row[b"MessageId"]), None if len(content) == _KEY_DIGITS else bytes.fromhex(content.decode("ascii")))
    database.close()
    return reading.verdict(told)


READERS: dict[str, Callable[[Path, Told], str]] = {
    "esedbinfo": _by_esedbinfo,
    "esedbexport": _by_esedbexport,
    "dissect": _by_dissect,
    "impacket": _by_impacket,
    "pyesedb": _by_pyesedb,
}


def judged(database: bytes, told: Told) -> dict[str, str | float]:
    """Return what each reader says of the database, and the processor seconds it took."""
    verdicts: dict[str, str | float] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "mail.edb"
        path.write_bytes(database)
        for name, reader in READERS.items():
            begun = _processor_s()
            verdicts[name] = reader(path, told)
            verdicts[f"{name}_cpu_s"] = round(_processor_s() - begun, 1)
    return verdicts


def _processor_s() -> float:
    """Processor time of this process and of the tools that it ran."""
    return sum(os.times()[:4])
