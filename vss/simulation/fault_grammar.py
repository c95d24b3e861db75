"""The language of faults: one line, or one TOML/JSON table, per fault; unknown words are refused with the nearest known one.

    fault <site> [when=<selector>:<value>[,…]] [times=N|always] [prob=P] <effect> [<parameter>=<value> …]

    fault writer.freeze when=writer:Exchange*,nth:2 fail code=VSS_E_WRITERERROR_RETRYABLE
    fault provider.commit delay=10.1s
    fault volume.write when=volume:D:,after:5s times=always fail code=ENOSPC
    fault writer.thaw crash=after restart=30s

The word ``fault`` may be left out, values with spaces are quoted, ``#`` begins a comment. As a table: ``site``, ``when`` (text
or table), ``times``, ``prob``, and ``effect`` with its parameters as text (``effect = "fail code=F3"``). A site may hold ``*``.
A plan is data: ``Fault.to_data`` gives the table again, ``str`` the line.
"""

from __future__ import annotations

import builtins
import difflib
import errno
import math
import re
import shlex
from asyncio import CancelledError
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from vss.errors import ConfigurationError
from vss.hresult import HResult, parse_hresult

_WRITER_STEPS = (
    "identify", "prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot", "abort", "backup_complete",
    "backup_shutdown", "pre_restore", "post_restore",
)  # fmt: skip
_PROVIDER_STEPS = (
    "is_volume_supported", "begin_prepare", "end_prepare", "pre_commit", "commit", "post_commit", "pre_final", "post_final",
    "abort", "query", "open", "delete", "revert", "query_revert", "expose", "unexpose", "break", "import", "locate_luns",
)  # fmt: skip
_VOLUME_STEPS = ("read", "write", "flush", "hold", "release")
_OTHER_SITES = (
    "coord.flush_and_hold", "coord.freeze_transactions", "coord.thaw_transactions", "coord.sync_recovered",
    "requestor.copy", "requestor.verify", "requestor.complete", "restore.write",
)  # fmt: skip

KNOWN_SITES: tuple[str, ...] = (
    *(f"writer.{step}" for step in _WRITER_STEPS),
    *(f"provider.{step}" for step in _PROVIDER_STEPS),
    *(f"volume.{step}" for step in _VOLUME_STEPS),
    *_OTHER_SITES,
)
"""The points that a fault may name; plugins add theirs by ``extra_sites``."""

KNOWN_SELECTORS = (
    "nth", "after", "writer", "provider", "volume", "phase", "component", "file", "snapshot", "session", "requestor", "gen",
)  # fmt: skip
"""``nth`` counts the visits that the other selectors match, ``after`` is virtual time since the start; the rest is what the
site says of itself, where ``*`` stands for any text."""

EFFECTS = {
    "fail": "raise the role's error instead of doing anything; code=HRESULT or errno",
    "fail-after": "do everything, then raise the role's error; code=HRESULT or errno",
    "raise": "raise a plain Python exception, by name: raise=ValueError",
    "delay": "wait first: delay=10.1s",
    "stall": "block the loop first: stall=3s (simulated world only)",
    "hang": "never answer; the caller's limit ends it",
    "lie": "report success and do nothing",
    "crash": "the role dies before, during or after the work: crash=during step=2 restart=30s (simulated world only)",
}
_PARAMETERS = {"fail": ("code",), "fail-after": ("code",), "crash": ("step", "restart")}
_WITH_ARGUMENT = ("delay", "stall", "raise", "crash")
_CRASH_POINTS = ("before", "during", "after")
_UNITS = {"": 1.0, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, checked.

    Attributes:
        site: where, perhaps with ``*``.
        effect: one of ``EFFECTS``.
        argument: the effect's own value (``delay=10s`` → ``10s``), or "".
        when: selectors, all of which must match.
        times: how often it strikes; None means always.
        probability: of striking at a visit that matches.
        parameters: of the effect.
    """

    site: str
    effect: str
    argument: str = ""
    when: tuple[tuple[str, str], ...] = ()
    times: int | None = 1
    probability: float = 1.0
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def effect_text(self) -> str:
        """The effect as it is written: ``fail code=F3``."""
        first = f"{self.effect}={self.argument}" if self.argument else self.effect
        return " ".join([first, *(f"{key}={_quoted(value)}" for key, value in self.parameters)])

    def parameter(self, key: str) -> str:
        """Return a parameter's value, "" where it was not given."""
        return dict(self.parameters).get(key, "")

    def to_data(self) -> dict[str, Any]:
        """Return the table form, ready for TOML and JSON."""
        data: dict[str, Any] = {"site": self.site}
        if self.when:
            data["when"] = dict(self.when)
        if self.times != 1:
            data["times"] = "always" if self.times is None else self.times
        if self.probability != 1.0:
            data["prob"] = self.probability
        return data | {"effect": self.effect_text}

    def __str__(self) -> str:
        words = ["fault", self.site]
        words += [f"when={_quoted(f'{key}:{value}')}" for key, value in self.when]
        if self.times != 1:
            words.append(f"times={'always' if self.times is None else self.times}")
        if self.probability != 1.0:
            words.append(f"prob={self.probability:g}")
        return " ".join([*words, self.effect_text])


def parse_fault(source: str | Mapping[str, Any], *, extra_sites: Collection[str] = ()) -> Fault:
    """Return the fault that a line or a table describes.

    Raises:
        ConfigurationError: a word is unknown or has an impossible value; names it and the nearest known one.
    """
    if isinstance(source, str):
        words = _words(source)
        if words[:1] == ["fault"]:
            words = words[1:]
        if not words:
            raise ConfigurationError(f"fault {source!r} names no site", hint="fault <site> [when=…] [times=…] <effect>")
    else:
        words = _table_words(source)
    return _Parser(words, " ".join(words)).fault(extra_sites)


def parse_faults(text: str, *, extra_sites: Collection[str] = ()) -> list[Fault]:
    """Return the faults of a text, one per line; empty lines and comments are skipped."""
    return [parse_fault(line, extra_sites=extra_sites) for line in text.splitlines() if _words(line)]


def parse_duration(text: str) -> float:
    """Return seconds from ``10.1s``, ``500ms``, ``2h`` or a bare number of seconds; ``ValueError`` where it is none."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is no duration: a number with one of {', '.join(unit for unit in _UNITS if unit)}")
    return float(match[1]) * _UNITS[match[2]]


def parse_code(text: str) -> HResult | int:
    """Return a result code, or an errno as a plain ``int``.

    Accepts symbols with or without ``VSS_E_``, numbers, the last digits the event logs show (``F3`` for 0x800423F3), and errno
    names (``ENOSPC``). Raises ``ValueError``.
    """
    number = getattr(errno, text, None)
    if isinstance(number, int):
        return number
    for name in (text, f"VSS_E_{text}"):
        if name in HResult.__members__:
            return HResult[name]
    if re.fullmatch(r"[0-9A-Fa-f]{2}", text):
        return parse_hresult(f"0x800423{text}")
    if re.fullmatch(r"[0-9A-Fa-f]{8}", text):
        return parse_hresult(f"0x{text}")
    if not text.lower().startswith("0x"):
        raise ValueError(f"no result code and no errno is called {text!r}{_nearest(text, [*HResult.__members__])}")
    return parse_hresult(text)


def parse_exception(name: str) -> type[BaseException]:
    """Return the exception class called ``name``; ``ValueError`` where the builtins have none that a role may raise."""
    kind = CancelledError if name == "CancelledError" else getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, (Exception, CancelledError)) and not issubclass(kind, UnicodeError)):
        raise ValueError(f"no exception is called {name!r}")
    return kind


class _Parser:
    """Reads the words of one fault; ``text`` is for messages."""

    def __init__(self, words: list[str], text: str) -> None:
        self._words = words
        self._text = text

    def _refuse(self, reason: str, hint: str = "") -> ConfigurationError:
        return ConfigurationError(f"fault '{self._text}': {reason}", hint=hint)

    def fault(self, extra_sites: Collection[str]) -> Fault:
        site, *words = self._words
        sites = (*KNOWN_SITES, *extra_sites)
        if not any(fnmatchcase(known, site) for known in sites):
            raise self._refuse(f"no site is called '{site}'{_nearest(site, sites)}")
        effect = argument = ""
        options: dict[str, str] = {}
        when: list[tuple[str, str]] = []
        for word in words:
            key, has_value, value = word.partition("=")
            if key == "when":
                when += self._selectors(value)
            elif key in EFFECTS:
                if effect:
                    raise self._refuse(f"has two effects, '{effect}' and '{key}'", "write two faults")
                effect, argument = key, value
            elif not has_value and key not in ("times", "prob"):
                raise self._refuse(f"no effect is called '{key}'{_nearest(key, EFFECTS)}")
            else:
                options[key] = value
        if not effect:
            raise self._refuse("has no effect", f"one of {', '.join(EFFECTS)}")
        times = self._times(options.pop("times", "1"))
        probability = self._probability(options.pop("prob", "1"))
        allowed = _PARAMETERS.get(effect, ())
        for key in options:
            if key not in allowed:
                raise self._refuse(f"'{effect}' has no parameter '{key}'{_nearest(key, (*allowed, 'when', 'times', 'prob'))}")
        self._check_effect(effect, argument, options)
        return Fault(site, effect, argument, tuple(when), times, probability, tuple(options.items()))

    def _selectors(self, text: str) -> list[tuple[str, str]]:
        selectors = []
        for part in text.split(","):
            key, _, value = part.partition(":")
            if key not in KNOWN_SELECTORS:
                raise self._refuse(f"no selector is called '{key}'{_nearest(key, KNOWN_SELECTORS)}")
            if not value:
                raise self._refuse(f"selector '{key}' has no value", f"when={key}:…")
            if key == "nth" and not (value.isdecimal() and int(value) > 0):
                raise self._refuse(f"nth:{value} is no visit", "visits are counted from 1")
            if key == "after":
                self._checked(parse_duration, value)
            selectors.append((key, value))
        return selectors

    def _times(self, text: str) -> int | None:
        if text == "always":
            return None
        if not (text.isdecimal() and int(text) > 0):
            raise self._refuse(f"times={text} is neither a count from 1 nor 'always'")
        return int(text)

    def _probability(self, text: str) -> float:
        probability: float = self._checked(float, text)
        if not (math.isfinite(probability) and 0 < probability <= 1):
            raise self._refuse(f"prob={text} is not above 0 and at most 1")
        return probability

    def _check_effect(self, effect: str, argument: str, options: Mapping[str, str]) -> None:
        if argument and effect not in _WITH_ARGUMENT:
            raise self._refuse(f"'{effect}' takes no value of its own", f"it {EFFECTS[effect]}")
        if effect in ("delay", "stall"):
            self._checked(parse_duration, argument)
        elif effect == "raise" and argument:
            self._checked(parse_exception, argument)
        elif effect == "crash" and argument and argument not in _CRASH_POINTS:
            raise self._refuse(f"crash={argument} is no point{_nearest(argument, _CRASH_POINTS)}", "before, during or after")
        if "code" in options:
            self._checked(parse_code, options["code"])
        if "restart" in options:
            self._checked(parse_duration, options["restart"])
        if "step" in options and not (argument == "during" and options["step"].isdecimal() and int(options["step"]) > 0):
            raise self._refuse(f"step={options['step']} needs crash=during and a count from 1")

    def _checked(self, parse: Any, text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise self._refuse(str(error)) from None


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True)
    lexer.whitespace_split = True
    lexer.escape = ""  # a backslash belongs to a path
    try:
        return list(lexer)
    except ValueError as error:
        raise ConfigurationError(f"fault {line!r}: {str(error).lower()}") from None


def _table_words(table: Mapping[str, Any]) -> list[str]:
    known = ("site", "when", "times", "prob", "effect")
    for key in table:
        if key not in known:
            raise ConfigurationError(f"fault table has no key '{key}'{_nearest(key, known)}")
    for key in ("site", "effect"):
        if not isinstance(table.get(key), str):
            raise ConfigurationError(f"fault table needs the key '{key}' with a text value")
    selectors = table.get("when", {})
    when = [f"{key}:{value}" for key, value in selectors.items()] if isinstance(selectors, Mapping) else [str(selectors)]
    options = [f"{key}={table[key]}" for key in ("times", "prob") if key in table]
    return [table["site"], *(f"when={selector}" for selector in when), *options, *_words(table["effect"])]


def _quoted(text: str) -> str:
    return f'"{text}"' if re.search(r"[\s#']", text) else text


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
