"""What must come of a scenario: of a step, or of the run's events. Judged from outcomes and records only.

Without a word about it every step must end with exit code 0; an expectation about a step's ending replaces that. Texts may hold
``*``. Numbers may be bounds: ``">=1"``, ``"<3"``, ``"0"``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import msgspec

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss.observe.jsonl import event_types

if TYPE_CHECKING:
    from vss.events import Record
    from vss.scenarios.outcome import StepOutcome

_BOUND = re.compile(r"(>=|<=|>|<|==|!=|)\s*(\d+(?:\.\d+)?)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
    "==": operator.eq, "!=": operator.ne, "": operator.eq,
}  # fmt: skip


class Expectation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that must be so; all keys that are given must hold.

    Attributes:
        step: whose ending this is about; with ``event``, the step during which it was recorded.
        exit_code: what the step ends with.
        error: the class of its error, "" for none given.
        hresult: the name or number of its code.
        message: its text.
        data: of what the step returned: dotted path to value (``"components.0.succeeded" = false``); ``*`` is any member,
            ``#`` their number.
        event: the class of an event.
        where: of the event: field to value.
        count: how many such events; at least one where nothing is said.
        because: why it must be so, for the report.
    """

    step: str = ""
    exit_code: int | None = None
    error: str = ""
    hresult: str = ""
    message: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)
    event: str = ""
    where: dict[str, Any] = msgspec.field(default_factory=dict)
    count: str | int = ">=1"
    because: str = ""

    def check(self, steps: Sequence[str], where: str) -> None:
        """Refuse what can never be true.

        Raises:
            ConfigurationError: names the key and the nearest known word.
        """
        if self.step and self.step not in steps:
            raise ConfigurationError(f"{where}: no step is called '{self.step}'{nearest(self.step, steps)}")
        if not self.event and not self.step:
            raise ConfigurationError(f"{where}: expected 'step' or 'event', found neither")
        if not self.event and not self.is_about_ending and not self.data:
            raise ConfigurationError(
                f"{where}: says nothing of step '{self.step}'", hint="exit_code, error, hresult, message, data"
            )
        if self.event:
            known = event_types()
            kind = known.get(self.event)
            if kind is None:
                raise ConfigurationError(f"{where}: no event is called '{self.event}'{nearest(self.event, known)}")
            for field in self.where:
                if field not in kind.__struct_fields__:
                    raise ConfigurationError(
                        f"{where}: event {self.event} has no field '{field}'{nearest(field, kind.__struct_fields__)}"
                    )
        if isinstance(self.count, str) and _BOUND.fullmatch(self.count) is None:
            raise ConfigurationError(f"{where}: count: expected a number or a bound such as '>=1', found '{self.count}'")

    @property
    def is_about_ending(self) -> bool:
        """Whether it says how its step must end."""
        return not self.event and (self.exit_code is not None or bool(self.error or self.hresult or self.message))

    def shortfalls(self, outcomes: Mapping[str, StepOutcome], records: Sequence[Record]) -> list[str]:
        """Return in what way it is not met, one sentence each."""
        outcome = outcomes.get(self.step)
        if self.step and outcome is None:
            return [f"step '{self.step}' was never reached"]
        if self.event:
            return self._event_shortfalls(records if outcome is None else outcome.records_of(records))
        assert outcome is not None, "checked: an expectation without an event has a step"
        return self._step_shortfalls(outcome)

    def _event_shortfalls(self, records: Sequence[Record]) -> list[str]:
        found = 0
        for record in records:
            event = record.event
            if type(event).__name__ == self.event and all(
                is_equal(getattr(event, key), each) for key, each in self.where.items()
            ):
                found += 1
        if is_equal(found, self.count):
            return []
        return [f"expected {self}, found {found}"]

    def _step_shortfalls(self, outcome: StepOutcome) -> list[str]:
        wrong = []
        pairs: list[tuple[str, Any, Any]] = [
            ("error", self.error, outcome.error),
            ("HRESULT", self.hresult, outcome.hresult),
            ("message", self.message, outcome.message),
        ]
        if self.exit_code is not None and outcome.exit_code != self.exit_code:
            wrong.append(f"step '{self.step}': expected exit code {self.exit_code}, found {outcome.exit_code}{outcome.told}")
        wrong += [
            f"step '{self.step}': expected {what} '{expected}', found '{found}'"
            for what, expected, found in pairs
            if expected and not is_equal(found, expected)
        ]
        for path, expected in self.data.items():
            found = values_at(outcome.data, path)
            if not found:
                wrong.append(f"step '{self.step}': its result has no '{path}'{outcome.told}")
            elif not any(is_equal(each, expected) for each in found):
                shown = ", ".join(_shown(each) for each in found)
                wrong.append(f"step '{self.step}': expected {path} to be {_shown(expected)}, found {shown}")
        return wrong

    def __str__(self) -> str:
        """What must be so, on one line."""
        if self.event:
            where = " with " + ", ".join(f"{key} {_shown(value)}" for key, value in self.where.items()) if self.where else ""
            return f"{self.count} events {self.event}{where}" + (f" during '{self.step}'" if self.step else "")
        said = {"error": self.error, "HRESULT": self.hresult, "message": self.message, **self.data}
        parts = [] if self.exit_code is None else [f"exit code {self.exit_code}"]
        parts += [f"{key} {_shown(value)}" for key, value in said.items() if value != "" or key in self.data]
        return f"step '{self.step}': " + ", ".join(parts)


def is_equal(found: Any, expected: Any) -> bool:
    """Whether a value is what was expected: equal, a text that matches a pattern, a number within a bound."""
    if isinstance(found, bool) or isinstance(expected, bool):
        return found is expected
    if isinstance(found, (int, float)) and isinstance(expected, str):
        match = _BOUND.fullmatch(expected)
        return match is not None and _COMPARE[match[1]](found, float(match[2]))
    if isinstance(found, str) and isinstance(expected, str):
        return fnmatchcase(found, expected)
    return bool(found == expected)


def values_at(data: Any, path: str) -> list[Any]:
    """Return what stands at a dotted path in tables and lists: ``*`` for every member, ``#`` for how many there are."""
    found = [data]
    for part in path.split("."):
        found = [each for value in found for each in _members(value, part)]
    return found


def _members(value: Any, part: str) -> list[Any]:
    if isinstance(value, Mapping):
        if part in value:
            return [value[part]]
        value = list(value.values())
    elif not isinstance(value, (list, tuple)):
        return []
    elif part.isdecimal():
        return [value[int(part)]] if int(part) < len(value) else []
    if part == "#":
        return [len(value)]
    return list(value) if part == "*" else []


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value).lower() if isinstance(value, bool) else str(value)
