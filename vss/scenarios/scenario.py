"""The scenario file: what a person writes, parsed strictly; an unknown key, step or word is refused with the nearest known one.

A scenario reads top to bottom as an experiment does: ``lab`` (the machine), ``steady_state`` (what is true before), ``method``
(what is done, step by step), ``faults`` (what goes wrong meanwhile), ``expect`` (what must come of it). The invariants are
checked in every run and need no word. Order of the sections after "Principles of Chaos Engineering" (principlesofchaos.org).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, get_args

import msgspec

from vss.errors import ConfigurationError
from vss.lab import LabConfiguration, template_text
from vss.lab.configuration import configuration_of
from vss.lab.toml_tables import toml_tables
from vss.nearest import nearest
from vss.scenarios.expectation import Expectation
from vss.scenarios.failure import Failure
from vss.scenarios.step import check_duration
from vss.scenarios.steps import AnyStep, Restart, Step
from vss.simulation.fault_grammar import Fault, parse_fault

SCHEMA = "vss.scenario/1"

T = TypeVar("T")


class SteadyState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is brought about before the method; the lab's check must then find nothing.

    Attributes:
        run_for: how long the workloads work first, such as "5m"; "" not at all.
        check_at_end: whether the check must find nothing after the method, too.
    """

    run_for: str = ""
    check_at_end: bool = True


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment, checked.

    Attributes:
        title: one sentence.
        description: as much as it takes.
        seed: the root of every random stream, unless the run is given another.
        lab: the machine; its own seed is not used.
        steady_state: what is true before the method.
        method: the steps, in order.
        faults: what is injected: the step it is confined to ("" for the whole run) and the fault.
        expect: what must come of it.
        lets_faults_rest: whether a fault that never strikes is all right; it is a broken expectation otherwise.
        source: where it was read from, for messages.
        failure: of an entry of the catalogue: what the failure is.
    """

    title: str
    description: str = ""
    seed: int = 1
    lab: LabConfiguration
    steady_state: SteadyState = SteadyState()
    method: tuple[Step, ...]
    faults: tuple[tuple[str, Fault], ...] = ()
    expect: tuple[Expectation, ...] = ()
    lets_faults_rest: bool = False
    source: str = "scenario"
    failure: Failure | None = None


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    schema: str = SCHEMA
    title: str
    description: str = ""
    seed: int = 1
    lab: dict[str, Any]
    steady_state: SteadyState = SteadyState()
    method: list[AnyStep]
    faults: list[str | dict[str, Any]] = msgspec.field(default_factory=list)
    expect: list[Expectation] = msgspec.field(default_factory=list)
    failure: Failure | None = None
    lets_faults_rest: bool = False


def parse_scenario(text: str, source: str = "scenario") -> Scenario:
    """Parse and check the text of a scenario file.

    Raises:
        ConfigurationError: not TOML, or a key that is unknown, missing, of the wrong type, or names nothing.
    """
    return scenario_of(toml_tables(text, source), source)


def scenario_of(data: Mapping[str, Any], source: str = "scenario") -> Scenario:
    """Return the scenario that a table describes; errors as ``parse_scenario``."""
    try:
        file = msgspec.convert(data, _File)
    except msgspec.ValidationError as error:
        hint = "'vss schema scenario' prints what the file may hold"
        raise ConfigurationError(f"{source}: {error}{_nearest_key(str(error), data)}", hint=hint) from error
    if file.schema != SCHEMA:
        raise ConfigurationError(f"{source}: schema: expected '{SCHEMA}', found '{file.schema}'")
    if file.steady_state.run_for:
        check_duration(file.steady_state.run_for, f"{source}: steady_state.run_for")
    method = _named(file.method, source)
    names = [step.name for step in method]
    if file.failure is not None:
        file.failure.check(f"{source}: failure")
    for step in method:
        step.check(names, f"{source}: step '{step.name}'")
        for key, others in (("needs", step.needs), ("unless", step.unless)):
            for name in others:
                if name not in names:
                    raise ConfigurationError(
                        f"{source}: step '{step.name}': {key}: no step is called '{name}'{nearest(name, names)}"
                    )
    for index, expectation in enumerate(file.expect):
        expectation.check(names, f"{source}: expect[{index}]")
    lab = _lab(file.lab, file.seed, source)
    for step in method:
        if isinstance(step, Restart):
            _checked(partial(step.reconfigured, lab), f"{source}: step '{step.name}'")
    return Scenario(
        title=file.title,
        description=file.description.strip(),
        seed=file.seed,
        lab=lab,
        steady_state=file.steady_state,
        method=tuple(method),
        faults=tuple(_fault(each, names, f"{source}: faults[{index}]") for index, each in enumerate(file.faults)),
        expect=tuple(file.expect),
        lets_faults_rest=file.lets_faults_rest,
        source=source,
        failure=file.failure,
    )


_KINDS: dict[str, type[Step]] = {str(kind.__struct_config__.tag): kind for kind in get_args(AnyStep)}
_TABLES: dict[str, type[msgspec.Struct]] = {
    "": _File, ".expect": Expectation, ".steady_state": SteadyState, ".failure": Failure,
}  # fmt: skip
_UNKNOWN = re.compile(r"unknown field `(.+?)`(?: - at `\$(.*)`)?")
_INVALID_KIND = re.compile(r"Invalid value '(.*)' - at `\$\.method\[\d+\]\.do`")


def _nearest_key(message: str, data: Mapping[str, Any]) -> str:
    """Return the nearest known key or kind of step for what ``message`` calls unknown; nothing for other messages."""
    kind = _INVALID_KIND.search(message)
    if kind is not None:
        return nearest(kind[1], _KINDS)
    unknown = _UNKNOWN.search(message)
    if unknown is None:
        return ""
    place = unknown[2] or ""
    if place.startswith(".method["):
        step = data["method"][int(place[len(".method[") : -1])]
        return nearest(unknown[1], (*_KINDS[str(step.get("do"))].__struct_fields__, "do"))
    return nearest(unknown[1], _TABLES[place.partition("[")[0]].__struct_fields__)


def load_scenario(path: str, data: bytes) -> Scenario:
    """Parse the bytes of the scenario file ``path``; errors as ``parse_scenario``."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: expected UTF-8 text, found {error.reason} at byte {error.start}") from error
    return parse_scenario(text, path)


def scenario_schema() -> dict[str, Any]:
    """Return the JSON schema of the file."""
    return msgspec.json.schema(_File)


def _named(steps: Sequence[Step], source: str) -> list[Step]:
    """Give every step without a name one of its own: what it does, with a number from the second on."""
    named: list[Step] = []
    for step in steps:
        kind = str(step.__struct_config__.tag)
        count = sum(1 for each in named if each.name == kind or each.name.rpartition("-")[0] == kind)
        name = step.name or (kind if count == 0 else f"{kind}-{count + 1}")
        if any(each.name == name for each in named):
            raise ConfigurationError(f"{source}: method: two steps are called '{name}'")
        named.append(msgspec.structs.replace(step, name=name))
    return named


def _lab(table: Mapping[str, Any], seed: int, source: str) -> LabConfiguration:
    """Return the machine: a template with changes, or tables as in ``lab.toml``.

    Beside ``template`` the tables of ``lab.toml`` replace the template's (``machine`` key by key), and ``options.NAME`` is laid
    over the options of the writer or workload of that name.
    """
    where = f"{source}: lab"
    changes = {key: value for key, value in table.items() if key not in ("template", "options")}
    data = toml_tables(template_text(str(table["template"]), seed), f"{where}.template") if "template" in table else {}
    if "machine" in changes and "machine" in data:
        changes["machine"] = {**data["machine"], **_table(changes["machine"], f"{where}.machine")}
    data |= changes
    configuration_of(data, where)
    for name, options in _table(table.get("options", {}), f"{where}.options").items():
        owners = [each for kind in ("writers", "workloads") for each in data.get(kind, []) if each.get("name") == name]
        if not owners:
            raise ConfigurationError(f"{where}.options: no writer and no workload is called '{name}'")
        for owner in owners:
            owner["options"] = {**owner.get("options", {}), **_table(options, f"{where}.options.{name}")}
    return configuration_of(data, where)


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{where}: expected a table, found {value!r}")
    return value


def _fault(source: str | Mapping[str, Any], names: Sequence[str], where: str) -> tuple[str, Fault]:
    if isinstance(source, str):
        return "", _parsed(source, where)
    during = str(source.get("during", ""))
    if during and during not in names:
        raise ConfigurationError(f"{where}: during: no step is called '{during}'{nearest(during, names)}")
    if "fault" in source:
        return during, _parsed(str(source["fault"]), where)
    return during, _parsed({key: value for key, value in source.items() if key != "during"}, where)


def _parsed(source: str | Mapping[str, Any], where: str) -> Fault:
    return _checked(partial(parse_fault, source), where)


def _checked(work: Callable[[], T], where: str) -> T:
    """Do ``work``; what it refuses is told with the place in the file."""
    try:
        return work()
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from error
