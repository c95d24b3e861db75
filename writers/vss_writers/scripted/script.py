"""What a configuration says, as strict tables: our TOML form, one table per thing, and what single words and numbers mean.

The vendor's XML form (``xml_configuration``) is turned into the same tables, so every behaviour exists once. An unknown key, a
wrong type or a value that means nothing is a ``ConfigurationError`` naming the key (``script_reader``). What the tables mean is
in ``declaration`` (metadata), ``behaviour`` (events) and ``writer``.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar
from uuid import UUID

import msgspec

from vss.documents.machine_paths import normalise, volume_of
from vss.documents.xml_words import RESTORE_METHOD
from vss.errors import InvalidArgumentError
from vss.hresult import WRITER_FAILURES, HResult
from vss.lab.configuration import parse_size
from vss.simulation.fault_grammar import parse_code, parse_duration

T = TypeVar("T")

EventName = Literal[
    "Identify", "PrepareForBackup", "PrepareForSnapshot", "Freeze", "Thaw", "PostSnapshot", "Abort", "BackupComplete",
    "BackupShutdown", "PreRestore", "PostRestore",
]  # fmt: skip
TypeWord = Literal["full", "differential", "incremental", "log"]
ALL_TYPES: tuple[TypeWord, ...] = ("full", "differential", "incremental", "log")

RESTORE_METHODS = {**RESTORE_METHOD, **{each.name: each for each in RESTORE_METHOD.values()}}
"""The words of the documents and the names of the enumeration; the vendor's own page uses both for the same method."""

RETRYABLE_FAILURES = tuple(sorted(each for each in WRITER_FAILURES if each.is_retryable))
"""From which a retryable failure without a code is drawn."""

_FILETIME_EPOCH = datetime.datetime(1601, 1, 1, tzinfo=datetime.UTC)

Count = Annotated[int, msgspec.Meta(ge=0)]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of all tables."""


class FileSetTable(Table, frozen=True, kw_only=True):
    """A file set. ``kind`` is by default that of its component; ``backup`` and ``snapshot`` make up the file-spec mask."""

    path: Text
    filespec: Text = "*"
    recursive: bool = False
    kind: Literal["", "file", "database", "log"] = ""
    alternate_path: str = ""
    backup: tuple[TypeWord, ...] = ALL_TYPES
    snapshot: tuple[TypeWord, ...] = ALL_TYPES


class PartialFileTable(Table, frozen=True, kw_only=True):
    """Byte ranges of one file, ``offset:length, …``, added in PostSnapshot."""

    path: Text
    filename: Text
    ranges: Text


class DifferencedFileTable(Table, frozen=True, kw_only=True):
    """Files changed since a time, added in PostSnapshot."""

    path: Text
    filespec: Text = "*"
    recursive: bool = False
    since: datetime.datetime


class DependencyTable(Table, frozen=True, kw_only=True):
    """A component of another writer."""

    writer_id: UUID
    component_name: Text
    logical_path: str = ""


class ComponentTable(Table, frozen=True, kw_only=True):
    """A component."""

    name: Text
    type: Literal["filegroup", "database"] = "filegroup"
    logical_path: str = ""
    caption: str = ""
    selectable: bool = True
    selectable_for_restore: bool = False
    file_sets: tuple[FileSetTable, ...] = ()
    partial_files: tuple[PartialFileTable, ...] = ()
    differenced_files: tuple[DifferencedFileTable, ...] = ()
    dependencies: tuple[DependencyTable, ...] = ()


class MappingTable(Table, frozen=True, kw_only=True):
    """An alternate location mapping."""

    path: Text
    filespec: Text = "*"
    recursive: bool = False
    alternate_path: Text


class RestoreMethodTable(Table, frozen=True, kw_only=True):
    """How the files are put back."""

    method: str = "RESTORE_IF_CAN_REPLACE"
    writer_restore: str = "always"
    reboot_required: bool = False
    service: str = ""
    mappings: tuple[MappingTable, ...] = ()


class ExcludeTable(Table, frozen=True, kw_only=True):
    """Files that are not backed up."""

    path: Text
    filespec: Text = "*"
    recursive: bool = False


class MadeFileTable(Table, frozen=True, kw_only=True):
    """A file that the writer makes at its first start; the bytes follow from seed and path."""

    path: Text
    size: int | str = 0
    seed: int = 0


class FailureTable(Table, frozen=True, kw_only=True):
    """A failure with a code, or with one drawn from the retryable codes, or NONRETRYABLE.

    ``reported = false`` writes it to the event log and tells the requestor nothing.
    """

    code: str = ""
    retryable: bool | None = None
    message: str = ""
    reported: bool = True


class StepTable(Table, frozen=True, kw_only=True):
    """What happens when an event comes: first the delay, then at most one of the others.

    Attributes:
        event: which one.
        after: how many events of this kind pass before.
        times: how many it meets; every one from then on where absent.
        delay: how long the handler waits first.
        hang: never answer.
        crash: text of a plain Python exception to raise.
        lie: ``nothing``: report success and do nothing; ``metadata``: tell the requestor something untrue (see ``behaviour``).
        fail: veto.
        set_failure: do the work, report a failure all the same.
    """

    event: EventName
    after: Count = 0
    times: Count | None = None
    delay: str | int | float = 0
    hang: bool = False
    crash: str = ""
    lie: Literal["", "nothing", "metadata"] = ""
    fail: FailureTable | None = None
    set_failure: FailureTable | None = None


class Script(Table, frozen=True, kw_only=True):
    """The whole configuration of one writer."""

    name: Text = "Scripted Writer"
    usage: str = "USER_DATA"
    source: str = "OTHER"
    verbosity: Literal["low", "medium", "high"] = "medium"
    application_level: Literal["system", "back_end", "front_end"] = "front_end"
    freeze_timeout: str | int | float = 60
    supports: tuple[Literal["copy", "differential", "incremental", "log"], ...] = ()
    supports_new_target: bool = True
    delete_files: bool = False
    delete_partial_files: bool = False
    delete_differenced_files: bool = False
    check_includes: bool = False
    check_excludes: bool = False
    restore_method: RestoreMethodTable = RestoreMethodTable()
    exclude: tuple[ExcludeTable, ...] = ()
    components: tuple[ComponentTable, ...] = ()
    files: tuple[MadeFileTable, ...] = ()
    on: tuple[StepTable, ...] = ()


def seconds(value: str | float) -> float:
    """Return a duration in seconds, from ``"15s"``, ``"2m"`` or a number; ``ValueError`` where it is none."""
    found = parse_duration(value) if isinstance(value, str) else float(value)
    if not 0 <= found < float("inf"):
        raise ValueError(f"{value!r} is no duration: expected a finite number of seconds, not below zero")
    return found


def made_size(made: MadeFileTable, key: str = "size") -> int:
    """Return how many bytes a file gets; ``ConfigurationError`` naming ``key`` where that is no size."""
    return 0 if made.size == 0 else parse_size(made.size, key)


def failure_code(failure: FailureTable) -> HResult | None:
    """Return the code of a failure; None where it is to be drawn from ``RETRYABLE_FAILURES``.

    Raises:
        ValueError: no writer may report this code, or it contradicts ``retryable``.
    """
    if not failure.code:
        return None if failure.retryable else HResult.VSS_E_WRITERERROR_NONRETRYABLE
    code = parse_code(failure.code)
    if not isinstance(code, HResult) or code not in WRITER_FAILURES:
        known = ", ".join(each.name for each in sorted(WRITER_FAILURES))
        raise ValueError(f"'{failure.code}' is not for writers, expected one of {known}")
    if failure.retryable is not None and failure.retryable is not code.is_retryable:
        raise ValueError(f"{code.name} is {'' if code.is_retryable else 'not '}retryable")
    return code


def filetime(instant: datetime.datetime) -> int:
    """Return a FILETIME: units of 100 ns since 1601-01-01 UTC; ``ValueError`` for what was before."""
    if instant < _FILETIME_EPOCH:
        raise ValueError(f"{instant:%Y-%m-%d} lies before 1601-01-01, where the file times of the documents begin")
    return (instant - _FILETIME_EPOCH) // datetime.timedelta(microseconds=1) * 10


def machine_directory(path: str) -> str:
    """Return a directory on a volume, drive in upper case and without trailing backslash; ``ValueError`` where it is none."""
    try:
        plain = normalise(path)
        volume = volume_of(plain)
    except InvalidArgumentError as error:
        raise ValueError(error.message) from error
    return volume + plain[len(volume) :]


def checked_filespec(filespec: str) -> str:
    """Return a wildcard for names; ``ValueError`` where it holds what no name can."""
    if any(each in filespec for each in '\\/:"<>|') or not filespec.isprintable() or filespec in ("", ".", ".."):
        raise ValueError(f"'{filespec}' is no file specification, expected a name with '*' and '?' such as '*.txt'")
    return filespec


def machine_file(path: str) -> str:
    """Return the path of one file, drive in upper case; ``ValueError`` where it is none."""
    plain = machine_directory(path)
    name = plain.rpartition("\\")[2]
    if name == plain or "*" in checked_filespec(name) or "?" in name:
        raise ValueError(f"'{path}' is no path of a file, expected one such as 'D:\\Data\\a.txt'")
    return plain


def word(words: Mapping[str, T], text: str) -> T:
    """Return what a word stands for; ``ValueError`` naming the known ones."""
    if text not in words:
        raise ValueError(f"unknown word '{text}', expected one of {', '.join(words)}")
    return words[text]
