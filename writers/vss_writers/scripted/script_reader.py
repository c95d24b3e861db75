"""Reading a script strictly: tables into ``Script``, and the checks that types cannot make, each under its key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vss.documents.xml_words import SOURCE, USAGE, WRITER_RESTORE
from vss.errors import ConfigurationError
from vss_writers.scripted.ranges import parse_ranges
from vss_writers.scripted.script import (
    RESTORE_METHODS,
    ComponentTable,
    FailureTable,
    FileSetTable,
    RestoreMethodTable,
    Script,
    StepTable,
    checked_filespec,
    failure_code,
    filetime,
    machine_directory,
    machine_file,
    made_size,
    seconds,
    word,
)


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
            self.that(f"{here}.since", filetime, differenced.since)

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
