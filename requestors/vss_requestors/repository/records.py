"""The two JSON files of a backup set as records: the manifest and the seal (``session.json``).

Bytes are deterministic: sorted keys, two-space indent, no host path, times from the clock port. Decoding is strict: an
unknown, missing or mistyped key is an error that names it. The seal carries a digest of itself and of every other document,
so a changed byte anywhere is found from there.
"""

from __future__ import annotations

import hashlib
from typing import Literal, TypeVar

import msgspec

from vss.documents.ranges import ByteRange, parse_ranges

SET_SCHEMA = "vss.set/1"
MANIFEST_SCHEMA = "vss.manifest/1"

SetState = Literal["writing", "complete", "failed"]
CompleteState = Literal["pending", "delivered", "failed", "left out"]


class Owner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The component a file belongs to: writer instance id and the component's full path."""

    writer: str
    component: str


class ManifestFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One copied file.

    ``quick_digests`` is one XXH3 (64 bits, 16 hexadecimal digits) per piece of 1 MiB, for fast re-reading and so that damage
    has an offset; SHA-256 is what counts. Of a partial file only ``ranges`` (``offset:length,…``, ascending) were copied; they
    stand one behind the other, and size and digests are those of what stands there.
    """

    machine_path: str
    path: str
    size_bytes: int
    sha256: str
    quick_digests: str
    modified_ns: int
    kind: str  # "file", "database" or "log"
    owners: tuple[Owner, ...]
    ranges: str = ""

    @property
    def byte_ranges(self) -> tuple[ByteRange, ...]:
        """Which bytes of the machine's file these are, in the order in which they stand here."""
        return parse_ranges(self.ranges) if self.ranges else (ByteRange(0, self.size_bytes),)


class ManifestDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One document of the set, by its path in it."""

    path: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every file of a set. Files and documents are sorted by path."""

    schema: str = MANIFEST_SCHEMA
    set_id: str
    files: tuple[ManifestFile, ...] = ()
    documents: tuple[ManifestDocument, ...] = ()


class ComponentRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the session said of one component: true, false with a reason, or nothing yet."""

    writer_name: str
    writer_id: str
    instance_id: str
    component: str
    succeeded: bool | None = None
    reason: str = ""


class SessionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The seal of a set.

    Attributes:
        state: "writing" until everything is durable, then "complete" (every component succeeded) or "failed".
        backup_complete: whether the writers were told: "pending" while a complete set has not reported yet.
        is_verified: whether the copy was verified; False says so honestly.
        events_size_bytes: how much of ``events.jsonl`` is sealed; a longer file has a later, unsealed tail.
        seal: SHA-256 over this record with an empty seal.
    """

    schema: str = SET_SCHEMA
    state: SetState
    set_id: str
    session_id: str
    machine: str
    backup_type: str
    started_ns: int
    finished_ns: int = 0
    is_verified: bool = False
    backup_complete: CompleteState = "pending"
    components: tuple[ComponentRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    error: str = ""
    manifest_sha256: str = ""
    sums_sha256: str = ""
    events_size_bytes: int = 0
    events_sha256: str = ""
    seal: str = ""

    def sealed(self) -> SessionRecord:
        """Return the record with its digest."""
        empty = msgspec.structs.replace(self, seal="")
        return msgspec.structs.replace(self, seal=sha256_of(encode(empty)))

    @property
    def is_seal_good(self) -> bool:
        """Whether the digest belongs to the rest."""
        return self.sealed().seal == self.seal


T = TypeVar("T", bound=msgspec.Struct)


def encode(record: msgspec.Struct) -> bytes:
    """Return the one JSON form of ``record``."""
    return msgspec.json.format(msgspec.json.encode(record, order="sorted"), indent=2) + b"\n"


def decode(data: bytes, kind: type[T]) -> T:
    """Return the record in ``data``.

    Raises:
        ValueError: not JSON, or a key is missing, unknown or of the wrong type; the message names it. Also when the bytes are
            not the ones ``encode`` makes: two spellings of one record would make the digests mean less.
    """
    try:
        record = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if encode(record) != data:
        raise ValueError("not in the form in which sets are written")
    return record


def sha256_of(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
