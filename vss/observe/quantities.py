"""Durations, instants and sizes as people read them. Pure, locale-free, exact to the digits shown."""

from __future__ import annotations

_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB")


def duration(nanoseconds: int) -> str:
    """Return ``0 s``, ``12 µs``, ``250.0 ms``, ``3.250 s`` or ``2 h 03 min 04 s``."""
    if nanoseconds == 0:
        return "0 s"
    if nanoseconds < 1_000_000:
        return f"{nanoseconds / 1_000:.0f} µs"
    if nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1_000_000:.1f} ms"
    if nanoseconds < 60_000_000_000:
        return f"{nanoseconds / 1_000_000_000:.3f} s"
    minutes, seconds = divmod(nanoseconds // 1_000_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min {seconds:02} s" if hours else f"{minutes} min {seconds:02} s"


def limit(nanoseconds: int) -> str:
    """Return a limit without idle digits: ``10 s``, ``2.5 s``, ``100 ms``; a negative one is ``none``."""
    if nanoseconds < 0:
        return "none"
    if 0 < nanoseconds < 1_000_000_000:
        return f"{nanoseconds / 1_000_000:g} ms"
    return f"{nanoseconds / 1_000_000_000:g} s"


def instant(nanoseconds: int) -> str:
    """Return ``00:00:03.250``, with days in front where there are any (``2d 01:00:00.000``)."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}.{rest // 1_000_000:03}"
    return f"{days}d {clock}" if days else clock


def size(count: int) -> str:
    """Return ``512 bytes``, ``12.0 KiB``, ``1.5 GiB``."""
    if count < 1024:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    power = min((count.bit_length() - 1) // 10, len(_BINARY_UNITS))
    return f"{count / 1024**power:.1f} {_BINARY_UNITS[power - 1]}"


def counted(count: int, noun: str) -> str:
    """Return ``1 page``, ``2 pages``; for nouns whose plural is a plain s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
