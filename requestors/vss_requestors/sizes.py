"""Rates as people write them: ``500000``, ``20MiB``, ``1.5GB``."""

from __future__ import annotations

import math
import re

_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmg", 1)}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmg", 1)}
_RATE = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z]*)(?:/s)?", re.IGNORECASE)


def parse_rate(text: str) -> float:
    """Return bytes a second.

    Raises:
        ValueError: not a number above zero with a known unit.
    """
    match = _RATE.fullmatch(text.strip())
    factor = _UNITS.get(match["unit"].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"expected bytes a second such as 500000 or 20MiB, found {text!r}")
    rate = float(match["number"]) * factor
    if not 0 < rate < math.inf:
        raise ValueError(f"expected more than 0 bytes a second, found {text!r}")
    return rate
