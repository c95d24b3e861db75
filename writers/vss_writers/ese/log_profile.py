"""How the log files of a product line are named and sized, and when their generations end.

Up to Exchange 2003 a closed generation has five hexadecimal digits, generations have 5 MB, and reserve logs are ``res1.log``
and ``res2.log``; Exchange 2007 writes eight digits from the first generation on, 1 MB, and ``E00res00001.jrs``. Names of either
kind are read everywhere; an instance refuses a directory that holds those of the other kind: one stream has one kind.

Sources: published engine, log.cxx, logstream.cxx; the vendor's pages on Exchange 2003 and 2007 transaction logs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum

_ARCHIVED = re.compile(r"^(?P<base>.{3})(?P<generation>[0-9A-F]{8}|[0-9A-F]{5})\.log$", re.IGNORECASE)
_ANNOUNCED_EVERY = 20_000


class LogProfile(StrEnum):
    """A product line."""

    EXCHANGE_2003 = "exchange-2003"
    EXCHANGE_2007 = "exchange-2007"

    @property
    def digits(self) -> int:
        """Hexadecimal digits of a generation in a name."""
        return 5 if self is LogProfile.EXCHANGE_2003 else 8

    @property
    def log_file_size(self) -> int:
        """Bytes of a generation, unless told otherwise."""
        return (5 if self is LogProfile.EXCHANGE_2003 else 1) << 20

    @property
    def generation_max(self) -> int:
        """Generations end before this one: −519."""
        return 0xFFFEF if self is LogProfile.EXCHANGE_2003 else 0x7FFFF800

    def is_end_announced(self, generation: int) -> bool:
        """Whether event 514 is due with this generation: far from the end with each 20,000th, near to it with every one."""
        first = 0xE0000 if self is LogProfile.EXCHANGE_2003 else 0x40000000
        return self.is_end_near(generation) or (generation >= first and (generation - first) % _ANNOUNCED_EVERY == 0)

    def is_end_near(self, generation: int) -> bool:
        """Whether it is urgent; of the older product line no such limit is known."""
        return self is LogProfile.EXCHANGE_2007 and generation >= 0x7FFFF000

    @property
    def other(self) -> LogProfile:
        """The other product line."""
        return LogProfile.EXCHANGE_2007 if self is LogProfile.EXCHANGE_2003 else LogProfile.EXCHANGE_2003

    def archived_name(self, base: str, generation: int) -> str:
        """Name of a closed generation."""
        return f"{base}{generation:0{self.digits}X}.log"

    def reserve_name(self, base: str, number: int) -> str:
        """Name of a reserve log, which keeps room for the records of a clean end."""
        return f"res{number}.log" if self is LogProfile.EXCHANGE_2003 else f"{base}res{number:05X}.jrs"


def generation_of(base: str, name: str) -> int | None:
    """Generation that an archived log's name says, or None where the name is not one of this base; 5 and 8 digits are read."""
    match = _ARCHIVED.match(name)
    if match is None or match["base"].upper() != base.upper():
        return None
    return int(match["generation"], 16) or None


def profile_of(base: str, names: Iterable[str]) -> LogProfile | None:
    """The product line whose closed generations are among ``names``, or None where they tell nothing."""
    for name in sorted(names):
        if generation_of(base, name):
            return LogProfile.EXCHANGE_2007 if len(name) == len("E0000000001.log") else LogProfile.EXCHANGE_2003
    return None


def name_of_other_profile(base: str, names: Iterable[str], profile: LogProfile) -> str | None:
    """A closed generation or reserve log among ``names`` that ``profile`` would have named otherwise, or None."""
    reserve = [profile.other.reserve_name(base, number).casefold() for number in (1, 2)]
    for name in sorted(names):
        is_closed_of_other = generation_of(base, name) and len(name) == len(profile.other.archived_name(base, 1))
        if is_closed_of_other or name.casefold() in reserve:
            return name
    return None
