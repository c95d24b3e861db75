"""Byte ranges of partial files: ``0:5, 0x64:20``, offset and length, decimal or hexadecimal, 64 bits each.

Source: VSS documentation, "IVssComponent::AddPartialFile".
"""

from __future__ import annotations

import re

_RANGE = re.compile(r"\s*(0[xX][0-9a-fA-F]{1,16}|\d{1,20})\s*:\s*(0[xX][0-9a-fA-F]{1,16}|\d{1,20})\s*")


def parse_ranges(text: str) -> tuple[tuple[int, int], ...]:
    """Return (offset, length) pairs in the order given; ``ValueError`` where the text is none."""
    found: list[tuple[int, int]] = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"'{part.strip()}' is no range, expected OFFSET:LENGTH")
        offset, length = (int(number, 16 if number[1:2] in ("x", "X") else 10) for number in match.groups())
        if offset + length >= 1 << 64:
            raise ValueError(f"'{part.strip()}' ends beyond 64 bits")
        found.append((offset, length))
    return tuple(found)
