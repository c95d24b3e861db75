"""What the arguments of ``eseutil`` ask for: a mode, a file or base name, options in any of the tool's spellings.

``/mh FILE``, ``-mh FILE`` and ``--mh FILE`` are one request. An option's value follows it or is joined to it (``/lDIR``,
``/l:DIR``). A path is one by its second slash, so ``/srv/db.edb`` is a path and ``/d`` is an option; where a mode takes no
options, everything behind it is a path.

Sources: published engine, eseutil.cxx (syntax).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import click

MODES = ("mh", "ml", "mk", "k", "r", "cc", "cm", "p", "d")
PAGE_SIZE_OPTIONS = ("2", "4", "8", "16", "32")
"""Page sizes in KB."""
_OPTIONS = {"r": "lsdiacu", "cc": "tfk", "p": "t", "d": "tpb"}
"""Letters that each mode takes."""
_WITH_VALUE = {"r": "lsd", "cc": "f", "p": "t", "d": "tb"}
"""Those that a value must follow. The target of ``/cc /t`` may be joined to it only: without one there is none."""
_WITH_JOINED_VALUE = {"r": "cu", "cc": "t"}
"""Those whose value, if any, is joined to them; what neither has takes none."""
USAGE = (
    "expected /mh FILE, /ml BASE_OR_FILE, /mk FILE, /k FILE_OR_BASE, /r BASE [/l DIR] [/s DIR] [/d DIR] [/i] [/a]"
    " [/u] [/c5|/c8] [/2|/4|/8|/16|/32],"
    " /cm DIR, /cc DIR [/t[:DIR]] [/f DIR] [/k], /p FILE [/t FILE] or /d FILE [/t FILE] [/p] [/b FILE]"
)


@dataclass(slots=True)
class Request:
    """What the arguments ask for."""

    mode: str
    target: str
    options: dict[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str]) -> Request:
    """Read the arguments; ``click.UsageError`` names what is wrong."""
    mode = ""
    values: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name = _option_name(argument, mode)
        if not name:
            values.append(argument)
        elif not mode:
            mode = _mode_of(name, argument)
        else:
            _take_option(mode, name, argument, rest, options)
    if not mode:
        raise click.UsageError(f"no mode given: {USAGE}")
    if len(values) != 1 or not values[0]:
        found = ", ".join(map(repr, values)) or f"none{_mistaken_path(arguments)}"
        raise click.UsageError(f"one file or base name expected after /{mode}, found {found}")
    return Request(mode, values[0], options)


def _mistaken_path(arguments: Sequence[str]) -> str:
    """A hint at a path of one part that was read as an option."""
    joined = [each for each in arguments[1:] if len(each) > 2 and each.startswith("/") and "/" not in each[1:]]
    return f"; write {joined[0]}/ if {joined[0]} is a path" if joined else ""


def _option_name(argument: str, mode: str) -> str:
    """Name of an option, or empty where the argument is a path: ``/srv/db.edb`` is one, ``/mh`` is not."""
    if mode and mode not in _OPTIONS:
        return ""
    if argument.startswith("-"):
        return argument.lstrip("-")
    if not argument.startswith("/"):
        return ""
    name = argument[1:]
    if "/" not in name or (name[1:2] == ":" and name[0].lower() in _OPTIONS.get(mode, "")):
        return name
    return ""


def _mode_of(name: str, argument: str) -> str:
    if name.lower() not in MODES:
        raise click.UsageError(f"unknown mode {argument}: {USAGE}")
    return name.lower()


def _take_option(mode: str, name: str, argument: str, rest: list[str], options: dict[str, str]) -> None:
    if mode == "r" and name in PAGE_SIZE_OPTIONS:
        letter, value = "page size", name
    else:
        letter, value = _letter_and_value(mode, name, argument, rest)
    if letter in options:
        raise click.UsageError(f"{argument} is given where /{mode} has that option already")
    options[letter] = value


def _letter_and_value(mode: str, name: str, argument: str, rest: list[str]) -> tuple[str, str]:
    letter, value = name[0].lower(), name[1:].removeprefix(":")
    if letter not in _OPTIONS[mode]:
        raise click.UsageError(f"unknown option {argument}: {USAGE}")
    if letter in _WITH_VALUE[mode]:
        if not value:
            if not rest:
                raise click.UsageError(f"a path is expected after {argument}")
            value = rest.pop(0)
    elif value and letter not in _WITH_JOINED_VALUE.get(mode, ""):
        raise click.UsageError(f"unknown option {argument}, /{letter} takes no value: {USAGE}")
    if (mode, letter) == ("r", "u") and value:
        raise click.UsageError(f"/u takes no log: recovery replays all logs that are there, found {argument}")
    if (mode, letter) == ("r", "c") and value not in ("5", "8"):
        raise click.UsageError(f"/c5 or /c8 expected, found {argument}")
    return letter, value
