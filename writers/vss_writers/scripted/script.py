"""What a configuration says, as strict tables: our TOML form, one table per thing, and the checks that types cannot make.

The vendor's XML form (``xml_configuration``) is turned into the same tables, so every behaviour exists once. An unknown key, a
wrong type or a value that means nothing is a ``ConfigurationError`` naming the key. What the tables mean is in
``declaration`` (metadata), ``behaviour`` (events) and ``writer``.
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID

import msgspec

from vss.documents.machine_paths import normalise, volume_of
from vss.documents.xml_words import RESTORE_METHOD, SOURCE, USAGE, WRITER_RESTORE
from vss.errors import ConfigurationError, InvalidArgumentError
from vss.hresult import WRITER_FAILURES, HResult
from vss.lab.configuration import parse_size
from vss.simulation.fault_grammar import parse_code, parse_duration
from vss_writers.scripted.ranges import parse_ranges

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


# -- reading -------------------------------------------------------------------------------------------------------------------


def parse_toml(data: bytes, where: str) -> dict[str, Any]:
    """Return the tables of a TOML file, unchecked.

    Raises:
        ConfigurationError: not UTF-8, or not TOML.
    """
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{where}: not valid TOML: {error}") from error


def parse_script(data: Mapping[str, Any], where: str) -> Script:
    """Check tables against the form and return them.

    Raises:
        ConfigurationError: names the key, what was expected and what was found.
    """
    try:
        script = msgspec.convert(dict(data), Script)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{where}: {error}") from error
    _Check(where).script(script)
    return script


class _Check:
    """The checks that types cannot make, each under the key it belongs to."""

    def __init__(self, where: str) -> None:
        self._where = where

    def that(self, key: str, check: Callable[..., object], *arguments: Any) -> None:
        try:
            check(*arguments)
        except ValueError as error:
            raise self.error(key, str(error)) from error

    def error(self, key: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self._where}: {key}: {reason}")

    def script(self, script: Script) -> None:
        self.that("usage", word, USAGE, script.usage)
        self.that("source", word, SOURCE, script.source)
        self.that("freeze_timeout", _positive_seconds, script.freeze_timeout)
        self.restore_method(script.restore_method)
        for index, excluded in enumerate(script.exclude):
            self.place(f"exclude[{index}]", excluded.path, excluded.filespec)
        for index, component in enumerate(script.components):
            self.component(f"components[{index}]", component)
        for index, made in enumerate(script.files):
            self.that(f"files[{index}].path", machine_file, made.path)
            made_size(made, f"{self._where}: files[{index}].size")
        for index, step in enumerate(script.on):
            self.step(f"on[{index}]", step)
        self.unique("components", [_full_path(each).lower() for each in script.components])
        self.unique("files", [machine_file(each.path).lower() for each in script.files])

    def unique(self, key: str, names: list[str]) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                raise self.error(f"{key}[{index}]", f"'{name}' stands there twice")

    def place(self, key: str, path: str, filespec: str) -> None:
        self.that(f"{key}.path", machine_directory, path)
        self.that(f"{key}.filespec", checked_filespec, filespec)

    def restore_method(self, method: RestoreMethodTable) -> None:
        self.that("restore_method.method", word, RESTORE_METHODS, method.method)
        self.that("restore_method.writer_restore", word, WRITER_RESTORE, method.writer_restore)
        for index, mapping in enumerate(method.mappings):
            key = f"restore_method.mappings[{index}]"
            self.place(key, mapping.path, mapping.filespec)
            self.that(f"{key}.alternate_path", machine_directory, mapping.alternate_path)

    def component(self, key: str, component: ComponentTable) -> None:
        if "\\" in component.name:
            raise self.error(f"{key}.name", f"'{component.name}' holds a backslash, expected it in logical_path only")
        for index, each in enumerate(component.file_sets):
            self.file_set(f"{key}.file_sets[{index}]", each, component.type)
        for index, partial in enumerate(component.partial_files):
            here = f"{key}.partial_files[{index}]"
            directory = partial.path.rstrip("\\")
            self.that(here, machine_file, f"{directory}\\{partial.filename}")
            self.that(f"{here}.ranges", parse_ranges, partial.ranges)
        for index, differenced in enumerate(component.differenced_files):
            here = f"{key}.differenced_files[{index}]"
            self.place(here, differenced.path, differenced.filespec)
            if differenced.since.tzinfo is None:
                raise self.error(f"{here}.since", "expected a time with its offset (…Z), found one without")

    def file_set(self, key: str, each: FileSetTable, type: str) -> None:
        self.place(key, each.path, each.filespec)
        if each.alternate_path:
            self.that(f"{key}.alternate_path", machine_directory, each.alternate_path)
        allowed = ("", "file") if type == "filegroup" else ("", "database", "log")
        if each.kind not in allowed:
            raise self.error(f"{key}.kind", f"'{each.kind}' does not belong into a {type}")
        if type == "database" and (each.recursive or each.alternate_path):
            raise self.error(key, "the file sets of a database have neither recursive nor alternate_path")

    def step(self, key: str, step: StepTable) -> None:
        self.that(f"{key}.delay", seconds, step.delay)
        acts = [name for name in ("hang", "crash", "lie", "fail", "set_failure") if getattr(step, name)]
        if len(acts) > 1:
            raise self.error(key, f"expected at most one of hang, crash, lie, fail, set_failure, found {', '.join(acts)}")
        if not acts and not seconds(step.delay):
            raise self.error(key, "says nothing to do: expected delay, hang, crash, lie, fail or set_failure")
        if step.fail is not None:
            self.failure(f"{key}.fail", step.fail)
        if step.set_failure is not None:
            self.failure(f"{key}.set_failure", step.set_failure)
            if step.event == "Identify":
                raise self.error(f"{key}.set_failure", "a writer cannot report a failure in Identify: use fail")
        if step.lie == "metadata" and step.event not in ("Identify", "PostSnapshot"):
            raise self.error(f"{key}.lie", f"there is no metadata to lie about in {step.event}")
        if step.lie == "nothing" and step.event == "Identify":
            raise self.error(f"{key}.lie", "an Identify that does nothing has no answer: use fail")

    def failure(self, key: str, failure: FailureTable) -> None:
        self.that(f"{key}.code", failure_code, failure)
        if not failure.reported and key.endswith("set_failure"):
            raise self.error(f"{key}.reported", "a failure that is set is reported")


def _positive_seconds(value: str | float) -> None:
    if not seconds(value):
        raise ValueError("expected more than zero seconds")


def _full_path(component: ComponentTable) -> str:
    return f"{component.logical_path}\\{component.name}" if component.logical_path else component.name
