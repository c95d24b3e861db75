"""The words of the fault language: every effect with its meaning, its own value, its parameters, and who can notice it.

Checks of values are here; which effect applies where is in ``vss.simulation.fault_sites``, the syntax in ``fault_grammar``,
what an effect does in ``fault_effects`` (at sites that are awaited) and ``vss.io_faults`` (at sites that are plain calls).
"""

from __future__ import annotations

import builtins
import errno
import re
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from vss.hresult import HResult, parse_hresult
from vss.nearest import nearest

Check = Callable[[str], object]
"""Raises ``ValueError`` for a value that is impossible."""

POINTS = ("before", "during", "after")
CORRUPTIONS: Mapping[str, str] = {
    "bitflip": "one bit of the bytes is another",
    "zeros": "the bytes are all zero",
    "checksum": "the first four bytes, where checksums are, are inverted",
    "header": "the first sector is inverted",
    "oversize": "a name of a megabyte",
    "bad_xml": "characters that no XML document may hold",
    "wrong_path": "paths that lead out of the volume",
    "duplicate_id": "the first component twice",
    "unknown_enum": "an enumerated field has a number that does not exist",
    "foreign_id": "the identifier of somebody else",
    "wrong_type": "a text where something else is due",
    "nan": "not a number, where a number is due",
    "empty": "nothing of what there should be some of",
}
"""What ``corrupt kind=…`` does to an answer."""

_UNITS = {"": 1.0, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)")
_PART = re.compile(r"(\d+)/(\d+)")


class Visibility(Enum):
    """Who can notice an effect when it happens."""

    SIGNALLED = "signalled"
    """The caller gets an error."""
    SILENT = "silent"
    """The caller gets an answer like any other."""
    ABSENT = "absent"
    """The caller gets nothing, or nothing in time."""


# -- values --------------------------------------------------------------------------------------------------------------------


def parse_duration(text: str) -> float:
    """Return seconds from ``10.1s``, ``500ms``, ``2h`` or a bare number of seconds; ``ValueError`` where it is none."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{text!r} is no duration: a number with one of {', '.join(unit for unit in _UNITS if unit)}")
    return float(match[1]) * _UNITS[match[2]]


def parse_jump(text: str) -> float:
    """Return seconds from ``+2h`` or ``-30s``: how far a wall clock jumps."""
    sign = {"+": 1.0, "-": -1.0}.get(text[:1])
    if sign is None:
        raise ValueError(f"{text!r} is no jump: a duration after + or -")
    return sign * parse_duration(text[1:])


def parse_size(text: str) -> int:
    """Return bytes from ``4096B`` or ``10MiB``."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no size: a whole number with one of {', '.join(_SIZES)}")
    return int(match[1]) * _SIZES[match[2]]


def parse_part(text: str) -> tuple[int, int]:
    """Return k and n from ``k/n``: how many of how many."""
    match = _PART.fullmatch(text)
    if match is None or not int(match[1]) < int(match[2]):
        raise ValueError(f"{text!r} is no part: k/n with k below n")
    return int(match[1]), int(match[2])


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
        raise ValueError(f"no result code and no errno is called {text!r}{nearest(text, [*HResult.__members__])}")
    return parse_hresult(text)


def parse_exception(name: str) -> type[BaseException]:
    """Return the exception class called ``name``; ``ValueError`` where the builtins have none that a role may raise."""
    kind = CancelledError if name == "CancelledError" else getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, (Exception, CancelledError)) and not issubclass(kind, UnicodeError)):
        raise ValueError(f"no exception is called {name!r}")
    return kind


def parse_count(text: str) -> int:
    """Return a count from 1."""
    if not (text.isdecimal() and int(text) > 0):
        raise ValueError(f"'{text}' is no count from 1")
    return int(text)


def one_of(*words: str) -> Check:
    """Return a check for one of ``words``."""

    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"'{text}' is none of {', '.join(words)}{nearest(text, words)}")
        return text

    return check


def point(text: str) -> str:
    """Check that ``text`` is before, during or after."""
    if text not in POINTS:
        raise ValueError(f"'{text}' is no point{nearest(text, POINTS)}")
    return text


def some_text(text: str) -> str:
    """Check that there is any text."""
    if not text:
        raise ValueError("it needs a value")
    return text


# -- effects -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EffectWord:
    """One effect.

    Attributes:
        name: the word.
        meaning: for people; follows "it".
        visibility: who can notice.
        argument: check of the effect's own value; None where it takes none.
        needs_argument: whether the value may not be left out.
        parameters: checks by name.
        is_simulated_only: whether it needs a simulated world.
    """

    name: str
    meaning: str
    visibility: Visibility
    argument: Check | None = None
    needs_argument: bool = False
    parameters: Mapping[str, Check] = field(default_factory=dict)
    is_simulated_only: bool = False


_SIGNALLED, _SILENT, _ABSENT = Visibility.SIGNALLED, Visibility.SILENT, Visibility.ABSENT

EFFECT_WORDS: Mapping[str, EffectWord] = {
    word.name: word
    for word in (
        EffectWord(
            "fail", "raise the role's error instead of doing anything; code=HRESULT or errno", _SIGNALLED,
            parameters={"code": parse_code},
        ),
        EffectWord(
            "fail-after", "do everything, then raise the role's error; code=HRESULT or errno", _SIGNALLED,
            parameters={"code": parse_code},
        ),
        EffectWord("raise", "raise a plain Python exception, by name: raise=ValueError", _SIGNALLED, parse_exception),
        EffectWord("delay", "wait first: delay=10.1s", _ABSENT, parse_duration, needs_argument=True),
        EffectWord(
            "stall", "block the loop first: stall=3s (simulated world only)", _ABSENT, parse_duration, needs_argument=True,
            is_simulated_only=True,
        ),
        EffectWord(
            "hang", "never answer; the caller's limit ends it; hang=during holds what was taken till then; on=SITE waits for"
            " that site to be passed", _ABSENT, point, parameters={"step": parse_count, "holding": some_text, "on": some_text},
        ),
        EffectWord("late", "do everything, answer late=1s after the caller gave up", _ABSENT, parse_duration),
        EffectWord(
            "drop", "the request (or drop=reply: the answer) vanishes; a step of the caller's own is left out", _ABSENT,
            one_of("request", "reply"),
        ),
        EffectWord("duplicate", "do it twice: the request arrives again", _SILENT),
        EffectWord(
            "reorder", "wait until behind=1 later visits of the site have overtaken, at most within=1s", _SILENT,
            parameters={"behind": parse_count, "within": parse_duration},
        ),
        EffectWord("lie", "report success and do nothing", _SILENT),
        EffectWord(
            "partial", "answer, or write, only the first k of n parts: partial=1/2", _SILENT, parse_part, needs_argument=True
        ),
        EffectWord(
            "corrupt", "damage the answer or what is written: kind=bitflip and others", _SILENT,
            parameters={"kind": one_of(*CORRUPTIONS)},
        ),
        EffectWord("omit", "leave out of the answer what matches: omit=L:*", _SILENT, some_text, needs_argument=True),
        EffectWord(
            "crash", "the role dies before, during or after the work: crash=during step=2 restart=30s (simulated world only)",
            _ABSENT, point, parameters={"step": parse_count, "restart": parse_duration}, is_simulated_only=True,
        ),
        EffectWord("cancel", "cancel the calling task, before, during or after the work", _SIGNALLED, point),
        EffectWord("jump", "the wall clock jumps, then the work is done: jump=-2h", _SILENT, parse_jump, needs_argument=True),
        EffectWord(
            "torn", "some sectors of the write arrive: keep=prefix, suffix, checkerboard or none; sectors=1 of them", _SILENT,
            parameters={"keep": one_of("prefix", "suffix", "checkerboard", "none"), "sectors": parse_count},
        ),
        EffectWord("lose", "the write is acknowledged and never arrives", _SILENT),
        EffectWord(
            "misdirect", "the write goes by=4096B too far, what it should replace stays", _SILENT, parameters={"by": parse_size}
        ),
        EffectWord("stale", "read what was there before the last write", _SILENT),
        EffectWord("short", "half of it, then an error; a host file returns fewer bytes", _SIGNALLED),
        EffectWord(
            "flip", "bits=1 are flipped, the first in the byte at=0B of the data", _SILENT,
            parameters={"bits": parse_count, "at": parse_size},
        ),
        EffectWord("fsyncgate", "fail once and drop what was written since the last sync for good", _SIGNALLED),
        EffectWord("full", "no space left, from the first visit or once full=1MiB have passed", _SIGNALLED, parse_size),
    )
}  # fmt: skip

EFFECTS: Mapping[str, str] = {word.name: word.meaning for word in EFFECT_WORDS.values()}
"""Every effect and what it does."""
