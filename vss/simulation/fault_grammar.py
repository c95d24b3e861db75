"""The language of faults: one line, or one TOML/JSON table, per fault; unknown words are refused with the nearest known one.

    fault <site> [when=<selector>:<value>[,…]] [times=N|always] [prob=P] <effect> [<parameter>=<value> …]

    fault writer.freeze when=writer:Exchange*,nth:2 fail code=VSS_E_WRITERERROR_RETRYABLE
    fault provider.commit delay=10.1s
    fault volume.write when=volume:D:,after:5s times=always fail code=ENOSPC
    fault writer.thaw crash=after restart=30s
    fault clock when=phase:freeze jump=-2h

The word ``fault`` may be left out, values with spaces are quoted, a comma inside a selector is doubled, ``#`` begins a comment.
As a table: ``site``, ``when`` (text or table), ``times``, ``prob``, and ``effect`` with its parameters as text (``effect =
"fail code=F3"``). A site may hold ``*``. A plan is data: ``Fault.to_data`` gives the table again, ``str`` the line. Which
effect applies where is in ``vss.simulation.fault_sites``; at the sites of plugins every effect may be tried.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss.simulation.fault_sites import KNOWN_SITES, effects_at
from vss.simulation.fault_words import (
    EFFECT_WORDS,
    EFFECTS,
    EffectWord,
    parse_code,
    parse_duration,
    parse_exception,
    parse_size,
)

__all__ = [
    "EFFECTS",
    "KNOWN_SELECTORS",
    "Fault",
    "parse_after",
    "parse_code",
    "parse_duration",
    "parse_exception",
    "parse_fault",
    "parse_faults",
]

KNOWN_SELECTORS = (
    "nth", "after", "idle", "boot", "phase", "writer", "provider", "volume", "component", "file", "path", "name", "snapshot",
    "snapshot_set", "session", "requestor", "service", "level", "gen", "page", "offset",
)  # fmt: skip
"""``nth`` counts the visits that the other selectors match; ``after`` is virtual time since the start (``5s``), bytes that have
passed the site (``4MiB``) or how much of a copy is done (``40%``); ``idle`` is how long no site was visited; ``boot`` holds
before the first session; ``phase`` is a phase that is open. The rest is what the site says of itself, where ``*`` stands for
any text and a whole number for the n-th value in the order in which the run showed them (``volume:2``, ``component:3/5``)."""

_PERCENT = re.compile(r"(\d{1,2}|100)%")


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
        first = f"{self.effect}={_quoted(self.argument)}" if self.argument else self.effect
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
        words += [f"when={_quoted(_selector(key, value))}" for key, value in self.when]
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
    return [parse_fault(line, extra_sites=extra_sites) for line in text.split("\n") if _words(line)]


def parse_after(text: str) -> tuple[str, float]:
    """Return what an ``after`` selector counts (``percent``, ``bytes`` or ``seconds``) and how much of it must have passed."""
    if text.endswith("%"):
        match = _PERCENT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no percentage from 0% to 100%")
        return "percent", float(match[1])
    if text.endswith("B"):
        return "bytes", float(parse_size(text))
    return "seconds", parse_duration(text)


_SELECTOR_CHECKS: Mapping[str, Callable[[str], object]] = {"after": parse_after, "idle": parse_duration}


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
            raise self._refuse(f"no site is called '{site}'{nearest(site, sites)}")
        own = () if any(fnmatchcase(known, site) for known in KNOWN_SITES) else extra_sites
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
                raise self._refuse(f"no effect is called '{key}'{nearest(key, EFFECTS)}")
            else:
                options[key] = value
        if not effect and options:
            word = next(iter(options))
            raise self._refuse(f"no effect is called '{word}'{nearest(word, EFFECTS)}")
        if not effect:
            raise self._refuse("has no effect", f"one of {', '.join(EFFECTS)}")
        times = self._times(options.pop("times", "1"))
        probability = self._probability(options.pop("prob", "1"))
        if not own and effect not in (allowed := effects_at(site)):
            raise self._refuse(
                f"'{effect}' does not apply at '{site}'{nearest(effect, allowed)}", f"what applies there: {', '.join(allowed)}"
            )
        self._check_effect(EFFECT_WORDS[effect], argument, options)
        return Fault(site, effect, argument, tuple(when), times, probability, tuple(options.items()))

    def _selectors(self, text: str) -> list[tuple[str, str]]:
        selectors = []
        for part in re.split(r"(?<!,),(?!,)", text):
            key, _, value = part.replace(",,", ",").partition(":")
            if key not in KNOWN_SELECTORS:
                raise self._refuse(f"no selector is called '{key}'{nearest(key, KNOWN_SELECTORS)}")
            if key == "boot":
                value = value or "yes"
            if not value:
                raise self._refuse(f"selector '{key}' has no value", f"when={key}:…")
            if key == "nth" and not (value.isdecimal() and int(value) > 0):
                raise self._refuse(f"nth:{value} is no visit", "visits are counted from 1")
            if key in _SELECTOR_CHECKS:
                self._checked(_SELECTOR_CHECKS[key], value)
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

    def _check_effect(self, word: EffectWord, argument: str, options: Mapping[str, str]) -> None:
        if argument and word.argument is None:
            raise self._refuse(f"'{word.name}' takes no value of its own", f"it can {word.meaning}")
        if word.argument is not None and (argument or word.needs_argument):
            self._checked(word.argument, argument, f"{word.name}={argument}")
        for key, value in options.items():
            if key not in word.parameters:
                known = (*word.parameters, "when", "times", "prob")
                raise self._refuse(f"'{word.name}' has no parameter '{key}'{nearest(key, known)}")
            self._checked(word.parameters[key], value, f"{key}={value}")
        if "step" in options and argument != "during":
            raise self._refuse(f"step={options['step']} needs {word.name}=during")

    def _checked(self, parse: Callable[[str], object], text: str, told: str = "") -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise self._refuse(f"{told}: {error}" if told else str(error)) from None


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
            raise ConfigurationError(f"fault table has no key '{key}'{nearest(key, known)}")
    for key in ("site", "effect"):
        if not isinstance(table.get(key), str):
            raise ConfigurationError(f"fault table needs the key '{key}' with a text value")
    selectors = table.get("when", {})
    is_table = isinstance(selectors, Mapping)
    when = [_selector(key, str(value)) for key, value in selectors.items()] if is_table else [str(selectors)]
    options = [f"{key}={table[key]}" for key in ("times", "prob") if key in table]
    return [table["site"], *(f"when={selector}" for selector in when), *options, *_words(table["effect"])]


def _selector(key: str, value: str) -> str:
    return f"{key}:{value.replace(',', ',,')}"


def _quoted(text: str) -> str:
    """Return ``text`` so that it is one word: quoted where it must be, quotes inside quoted the other way."""
    if not re.search(r"[\s#'\"]", text):
        return text
    inner = text.replace('"', '"\'"\'"')
    return f'"{inner}"'
