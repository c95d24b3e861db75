"""How ``betest`` options may be spelt: ``/B`` or ``-B`` as on Windows, in any case, and ``--backup``; all mean one thing.

Translation happens before Click sees the arguments, so help, types and errors are Click's for the long spelling. A word after
an option that takes a value is that value, whatever it looks like: paths begin with ``/`` here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import click

from vss.plugins import nearest_names


@dataclass(frozen=True, slots=True)
class Spelling:
    """One option: its Windows letters, its long name, whether a value follows."""

    windows: str
    long: str
    has_value: bool = False


SPELLINGS = (
    Spelling("B", "--backup"),
    Spelling("R", "--restore"),
    Spelling("S", "--document", has_value=True),
    Spelling("D", "--destination", has_value=True),
    Spelling("T", "--type", has_value=True),
    Spelling("C", "--components-text", has_value=True),
    Spelling("X", "--components-xml", has_value=True),
    Spelling("O", "--bootable-system-state"),
    Spelling("Pre", "--previous-document", has_value=True),
    Spelling("P", "--persistent"),
    Spelling("Rollback", "--rollback"),
    Spelling("Snapshot", "--snapshot-only"),
    Spelling("BC", "--backup-complete"),
    Spelling("NBC", "--no-backup-complete"),
    Spelling("Auth", "--authoritative"),
    Spelling("StopError", "--stop-on-writer-error"),
    Spelling("V", "--verbose"),
    Spelling("", "--lab", has_value=True),
    Spelling("", "--component", has_value=True),
    Spelling("", "--verify"),
    Spelling("", "--no-verify"),
    Spelling("", "--verify-on", has_value=True),
    Spelling("", "--restore-options", has_value=True),
    Spelling("", "--new-target", has_value=True),
    Spelling("", "--roll-forward", has_value=True),
    Spelling("", "--restore-name", has_value=True),
    Spelling("", "--to-instance", has_value=True),
    Spelling("", "--then", has_value=True),
    Spelling("", "--additional-restores"),
    Spelling("", "--provider", has_value=True),
    Spelling("", "--throttle", has_value=True),
    Spelling("", "--json"),
    Spelling("", "--debug"),
    Spelling("?", "--help"),
)

_BY_WINDOWS = {each.windows.lower(): each for each in SPELLINGS if each.windows}
_BY_LONG = {each.long: each for each in SPELLINGS}


def normalise(arguments: Sequence[str]) -> list[str]:
    """Return the arguments in the long spelling.

    Raises:
        click.UsageError: a word is no option; the message names the nearest ones. Or a value is missing.
    """
    words = list(arguments)
    normal: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        spelling = _find(name)
        position += 1
        normal.append(spelling.long)
        if not spelling.has_value:
            if equals:
                raise click.UsageError(f"Option '{name}' does not take a value.")
            continue
        if not equals:
            if position == len(words):
                raise click.UsageError(f"Option '{word}' requires an argument.")
            value = words[position]
            position += 1
        normal[-1] = f"{spelling.long}={value}"
    return normal


def _find(word: str) -> Spelling:
    found = _BY_LONG.get(word.lower()) if word.startswith("--") else None
    if found is None and word[:1] in ("/", "-") and word[:2] != "--":
        found = _BY_WINDOWS.get(word[1:].lower())
    if found is not None:
        return found
    known = [f"/{each.windows}" for each in SPELLINGS if each.windows] + list(_BY_LONG)
    windows_form = f"/{word[1:]}" if word[:1] == "-" and word[:2] != "--" else word
    nearest = nearest_names(windows_form, known)
    hint = " or ".join(f"'{each}'" for each in nearest) if nearest else "'--help', which lists them"
    kind = "option" if word[:1] in ("/", "-") else "argument"
    raise click.UsageError(f"No such {kind} '{word}'. Did you mean {hint}?")
