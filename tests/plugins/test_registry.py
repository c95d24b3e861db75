"""The registry: sorted, frozen, lazily resolved; a failed look-up says what the reader can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast
from uuid import UUID

import pytest

from vss.errors import ConfigurationError, InvalidArgumentError, NotFoundError, PluginError
from vss.exit_codes import ExitCode
from vss.plugins import Kind, Origin, Problem, Registrar, Registration, Registry, nearest_names
from vss.plugins.hosts import WorkloadHost, WriterHost
from vss.ports import Ports
from vss.roles import Machine, Provider, Requestor, VerificationReport, Verifier, Writer
from vss.roles.verifier import FileSource

ORIGIN = Origin("notes", "vss_notes", "vss-writer-notes", "0.3")
CLASS_ID = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")


class Backup(Requestor):
    name = "backup"

    async def run(self, machine: Machine, **options: Any) -> Any:
        return options


class Judge(Verifier):
    writer_class_id = CLASS_ID
    name = "judge"

    async def verify(self, source: FileSource, **options: Any) -> VerificationReport:
        return VerificationReport()


class Clicks:
    """A workload that counts."""

    name = "clicks"

    async def run_until(self, now_ns: int) -> None: ...
    async def stop(self) -> None: ...
    def report(self) -> dict[str, Any]:
        return {}

    async def check(self) -> list[str]:
        return []

    def state(self) -> bytes:
        return b""

    def load_state(self, state: bytes) -> None: ...


def registry_of(*registrations: tuple[Kind, str, Any], **options: Any) -> Registry:
    return Registry([Registration(kind, name, target, ORIGIN) for kind, name, target in registrations], **options)


def test_registrations_are_sorted_whatever_the_order_of_arrival() -> None:
    registry = registry_of((Kind.WRITER, "b", str), (Kind.PROVIDER, "z", str), (Kind.WRITER, "a", str))

    assert [(each.kind, each.name) for each in registry.registrations()] == [
        ("provider", "z"),
        ("writer", "a"),
        ("writer", "b"),
    ]
    assert registry.names(Kind.WRITER) == ["a", "b"]


def test_the_registrar_takes_every_kind() -> None:
    registrar = Registrar(ORIGIN)
    registrar.writer("files", "somewhere:create", summary="files of a directory")
    registrar.provider("mirror", "somewhere:Mirror")
    registrar.requestor("backup", Backup)
    registrar.verifier(CLASS_ID, Judge)
    registrar.workload("clicks", "somewhere:Clicks")
    registrar.command("admin list", "notes", "somewhere:command", help="list the notes")

    assert [(each.kind.value, each.name, each.summary) for each in registrar.registrations] == [
        ("writer", "files", "files of a directory"),
        ("provider", "mirror", ""),
        ("requestor", "backup", ""),
        ("verifier", str(CLASS_ID), ""),
        ("workload", "clicks", ""),
        ("command", "admin list notes", "list the notes"),
    ]


@pytest.mark.parametrize("name", ["", "two words", "-x", "ä", cast("str", 5)])
def test_a_name_of_wrong_form_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="a writer is named by"):
        Registrar(ORIGIN).writer(name, "somewhere:create")


@pytest.mark.parametrize("target", ["no-colon", "a:b:c", ":x", "", cast("str", 5)])
def test_a_target_of_wrong_form_is_refused(target: str) -> None:
    with pytest.raises(InvalidArgumentError, match="needs a callable or 'module:attribute'"):
        Registrar(ORIGIN).writer("files", target)


def test_a_verifier_needs_a_class_id() -> None:
    with pytest.raises(InvalidArgumentError, match="by its writer class id"):
        Registrar(ORIGIN).verifier(cast("UUID", "files"), Judge)


def test_text_targets_are_imported_at_first_use() -> None:
    registry = registry_of(
        (Kind.REQUESTOR, "dumps", "json:dumps"), (Kind.REQUESTOR, "deep", "os:path.join"), (Kind.WRITER, "s", str)
    )

    import json
    import os

    assert registry.find(Kind.REQUESTOR, "dumps").resolve() is json.dumps
    assert registry.find(Kind.REQUESTOR, "deep").resolve() is os.path.join
    assert registry.find(Kind.WRITER, "s").resolve() is str


@pytest.mark.parametrize("target", ["no_such_module_anywhere:create", "json:no_such_attribute"])
def test_a_target_that_cannot_be_imported_is_a_plugin_error_with_its_cause(target: str) -> None:
    registry = registry_of((Kind.WRITER, "files", target))

    with pytest.raises(
        PluginError, match=r"writer 'files' of plugin notes \(vss-writer-notes 0\.3\) cannot be imported"
    ) as raised:
        registry.find(Kind.WRITER, "files").resolve()

    assert raised.value.exit_code == ExitCode.PLUGIN_FAILED
    assert raised.value.__cause__ is not None


def test_an_unknown_name_brings_the_nearest() -> None:
    registry = registry_of((Kind.WRITER, "Exchange", str), (Kind.WRITER, "files", str))

    with pytest.raises(NotFoundError, match="no writer is named 'exchagne'") as raised:
        registry.find(Kind.WRITER, "exchagne")

    assert raised.value.hint == "did you mean 'Exchange'?"
    assert raised.value.exit_code == ExitCode.NOT_FOUND


def test_an_unknown_name_like_no_other_brings_all() -> None:
    with pytest.raises(NotFoundError) as raised:
        registry_of((Kind.WRITER, "b", str), (Kind.WRITER, "a", str)).find(Kind.WRITER, "zzzzzz")

    assert raised.value.hint == "known: a, b"


def test_an_empty_registry_says_so_and_names_what_is_blocked() -> None:
    with pytest.raises(NotFoundError) as raised:
        Registry(blocked=["notes"]).find(Kind.WRITER, "notes")

    assert raised.value.hint == "no writer is registered at all; 'vss plugins' shows what is loaded; blocked plugins: notes"


def failed(name: str, stage: str = "import", claims: tuple[tuple[Kind, str], ...] = ()) -> Problem:
    return Problem(Origin(name), stage, "ImportError: gone", ImportError("gone"), "", claims)


def test_a_name_that_a_failed_plugin_had_claimed_brings_its_cause() -> None:
    registry = registry_of(problems=[failed("x", "register", ((Kind.WRITER, "notes"),))])

    with pytest.raises(PluginError, match="writer 'notes' belongs to plugin x") as raised:
        registry.find(Kind.WRITER, "notes")

    assert isinstance(raised.value.__cause__, ImportError)


def test_a_plugin_that_failed_at_import_may_own_an_unknown_name() -> None:
    registry = registry_of((Kind.WRITER, "files", str), problems=[failed("x"), failed("vss-writer-notes")])

    with pytest.raises(PluginError, match="'notes' may belong to plugin vss-writer-notes"):
        registry.find(Kind.WRITER, "notes")
    with pytest.raises(PluginError, match="'queue' may belong to plugin x"):
        registry.find(Kind.WRITER, "queue")
    with pytest.raises(NotFoundError):
        registry.find(Kind.WRITER, "flies")


def test_warnings_and_dropped_observers_own_nothing() -> None:
    problems = [Problem(ORIGIN, "api-version", "declares none", is_warning=True), failed("x", "observe")]

    with pytest.raises(NotFoundError):
        registry_of(problems=problems).find(Kind.WRITER, "notes")


def test_a_problem_becomes_an_error_with_its_cause() -> None:
    error = failed("x").as_error()

    assert str(error) == "plugin x failed at stage import: ImportError: gone"
    assert isinstance(error.__cause__, ImportError)


# -- making objects ------------------------------------------------------------------------------------------------------------

NOTHING = cast("Any", None)


def test_objects_are_made_by_their_factories() -> None:
    registry = registry_of(
        (Kind.REQUESTOR, "backup", Backup),
        (Kind.VERIFIER, str(CLASS_ID), Judge),
        (Kind.WORKLOAD, "clicks", lambda host, options: Clicks()),
    )

    assert isinstance(registry.create_requestor("backup"), Backup)
    assert isinstance(registry.create_workload("clicks", NOTHING, {}), Clicks)
    (made,) = registry.create_verifiers().items()
    assert made[0] == CLASS_ID
    assert isinstance(made[1], Judge)


def wrong_writer(host: WriterHost, options: Mapping[str, Any]) -> Writer:
    return cast("Writer", Judge())


def raising_provider(ports: Ports) -> Provider:
    raise ZeroDivisionError("no disk")


def picky_workload(host: WorkloadHost, options: Mapping[str, Any]) -> Any:
    raise ConfigurationError("users: expected a number")


def test_a_factory_that_returns_something_else_is_a_plugin_error() -> None:
    with pytest.raises(PluginError, match="must return a Writer, found Judge"):
        registry_of((Kind.WRITER, "w", wrong_writer)).create_writer("w", NOTHING, {})


def test_a_factory_that_raises_is_a_plugin_error_with_its_cause() -> None:
    with pytest.raises(PluginError, match="could not be made: ZeroDivisionError: no disk"):
        registry_of((Kind.PROVIDER, "p", raising_provider)).create_provider("p", NOTHING)


def test_a_factory_may_refuse_its_options() -> None:
    with pytest.raises(ConfigurationError, match="users: expected a number"):
        registry_of((Kind.WORKLOAD, "w", picky_workload)).create_workload("w", NOTHING, {})


def test_nearest_names_ignore_case_and_keep_spelling() -> None:
    assert nearest_names("VERFY", ["verify", "Verify", "plugins"]) == ["verify"]
    assert nearest_names("qqq", ["verify"]) == []
