"""What the writer remembers of its files at Freeze: size and SHA-256 of each, kept in the component's backup metadata.

The record travels in the backup components document, so that a restore, or a verifier that never met the writer, can say
whether the right bytes are there. It is zlib-compressed JSON, at most as long as an attribute of the document may be; what
comes back from a document is as hostile as the document and is read strictly and within limits.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from vss.documents.limits import ATTRIBUTE_LENGTH_MAX
from vss.errors import DocumentError, InvalidArgumentError, NotFoundError
from vss.roles.volume import FileSystem
from vss_writers.scripted.content import read_pieces
from vss_writers.scripted.plan import PlannedFile
from vss_writers.scripted.ranges import parse_ranges

RECORD_BYTES_MAX = ATTRIBUTE_LENGTH_MAX // 4 * 3
"""Compressed: documents carry it in base64. Room for some 900 files a component."""

_TEXT_BYTES_MAX = 4 << 20


class FileRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file as it was at Freeze. With ``ranges`` only these bytes count, and ``size`` is their number."""

    path: str
    component: str
    size: Annotated[int, msgspec.Meta(ge=0)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    ranges: str = ""


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    files: tuple[FileRecord, ...]


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A record, and by what it is known whether the file has changed since."""

    record: FileRecord
    size_bytes: int
    modified_ns: int


def encode_record(records: Sequence[FileRecord]) -> bytes:
    """Return the backup metadata.

    Raises:
        InvalidArgumentError: longer than a document takes, or than ``decode_record`` does.
    """
    text = msgspec.json.encode(_Record(1, tuple(records)))
    data = zlib.compress(text, 9)
    if len(data) > RECORD_BYTES_MAX or len(text) > _TEXT_BYTES_MAX:
        raise InvalidArgumentError(
            f"the record of {len(records)} files takes {len(data)} bytes ({len(text)} uncompressed), "
            f"expected at most {RECORD_BYTES_MAX} ({_TEXT_BYTES_MAX})"
        )
    return data


def decode_record(data: bytes, component: str) -> tuple[FileRecord, ...]:
    """Read backup metadata; ``component`` is for messages.

    Raises:
        DocumentError: it is not a record of a scripted writer.
    """
    where = f"backup metadata of component '{component}'"
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, _TEXT_BYTES_MAX)
        if inflater.unconsumed_tail or not inflater.eof:
            raise DocumentError(f"{where}: longer than {_TEXT_BYTES_MAX} bytes, or cut off")
        record = msgspec.json.decode(text, type=_Record)
        for each in record.files:
            if each.ranges:
                parse_ranges(each.ranges)
    except (zlib.error, msgspec.DecodeError, ValueError) as error:
        raise DocumentError(f"{where}: not a record of a scripted writer: {error}") from error
    return record.files


async def take(files: FileSystem, planned: Sequence[PlannedFile], known: Iterable[TakenFile] = ()) -> list[TakenFile]:
    """Return the records of ``planned`` files; one that has not changed since it was taken is not read again.

    Raises:
        VolumeReadError: the volume failed.
    """
    by_path = {each.record.path.lower(): each for each in known}
    taken: list[TakenFile] = []
    for file in planned:
        try:
            stat = await files.stat(file.source_path)
            before = by_path.get(file.path.lower())
            if before is None or (before.size_bytes, before.modified_ns) != (stat.size_bytes, stat.modified_ns):
                size, sha256 = await digest(files, file.source_path, file.ranges)
                record = FileRecord(file.path, file.component, size, sha256, file.ranges)
                before = TakenFile(record, stat.size_bytes, stat.modified_ns)
        except NotFoundError:
            continue  # removed since it was listed: it is not in the shadow copy either
        taken.append(before)
    return taken


async def digest(files: FileSystem, path: str, ranges: str = "") -> tuple[int, str]:
    """Return number and SHA-256 of the bytes of a file, or of ranges of it.

    Raises:
        NotFoundError: there is no such file.
        VolumeReadError: the volume failed.
    """
    size, sha256 = 0, hashlib.sha256()
    async for piece in read_pieces(files, path, parse_ranges(ranges) if ranges else None):
        size += len(piece)
        sha256.update(piece)
    return size, sha256.hexdigest()


async def difference(files: FileSystem, record: FileRecord, path: str) -> str:
    """Return how the file at ``path`` differs from what was backed up, as the rest of a sentence; empty where it does not.

    Raises:
        VolumeReadError: the volume failed.
    """
    try:
        size, sha256 = await digest(files, path, record.ranges)
    except NotFoundError:
        return "is missing"
    return compare(record, size, sha256)


def compare(record: FileRecord, size: int, sha256: str) -> str:
    """Return how bytes differ from what was backed up, as the rest of a sentence; empty where they do not."""
    what = "ranges" if record.ranges else "file"
    if size != record.size:
        return f"has {size} bytes in the {what}, expected {record.size}"
    if sha256 != record.sha256:
        return f"was changed: SHA-256 of the {what} is {sha256}, expected {record.sha256}"
    return ""
