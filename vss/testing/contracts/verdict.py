"""How a check ends when it does not pass: broken, with what to mend, or not applicable, with the reason.

Both are exceptions that every test framework knows: an ``AssertionError``, and ``unittest.SkipTest``, which pytest reports as a
skip. A simulated world that ends badly (a deadlock, a task left behind) breaks the contract too.
"""

from __future__ import annotations

import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from vss.simulation.errors import (
    DeadlockError,
    ForbiddenError,
    LeakError,
    LivelockError,
    SimulationError,
    UnhandledError,
    VirtualTimeError,
)

MANUAL = "Volume Shadow Copy Service documentation"


class ContractBroken(AssertionError):
    """The message says what is wrong, what was expected and found, what to mend, and the source of the rule."""


def broken(what: str, *, expected: str, found: str, mend: str, source: str) -> NoReturn:
    """Fail the check.

    Args:
        what: the defect, in one line, naming the role.
        expected: what the contract demands.
        found: what was seen.
        mend: what its author can do.
        source: the document and section that says so.
    """
    __tracebackhide__ = True  # pytest shows the check that failed, not this function
    raise ContractBroken(f"{what}\n  expected: {expected}\n  found:    {found}\n  mend:     {mend}\n  source:   {source}")


def page(name: str) -> str:
    """Return the name of a page of the vendor's manual as a source."""
    return f'{MANUAL}, "{name}"'


def not_applicable(reason: str) -> NoReturn:
    """Skip the check."""
    raise unittest.SkipTest(f"does not apply: {reason}")


_ENDS: dict[type[SimulationError], tuple[str, str]] = {
    LeakError: ("leaves a task or a timer behind", "await or cancel every task you create, cancel every timer you arm"),
    UnhandledError: ("loses an exception in a task nobody awaits", "await the task, or handle its exception inside"),
    DeadlockError: ("waits for ever", "give every wait a limit (asyncio.timeout), and wake whoever waits for a thaw"),
    LivelockError: ("spins without letting time pass", "await something that takes time inside every loop"),
    VirtualTimeError: ("does not come to an end", "end background work when it is stopped"),
    ForbiddenError: ("reaches past its ports", "use ports.blocking, ports.files and ports.processes instead"),
}


@contextmanager
def good_end(role: str) -> Iterator[None]:
    """Turn the bad end of a simulated world into a broken contract of ``role``."""
    try:
        yield
    except SimulationError as error:
        for kind, (what, mend) in _ENDS.items():
            if isinstance(error, kind):
                broken(
                    f"{role} {what}",
                    expected="a run that ends, with nothing left over",
                    found=str(error),
                    mend=mend,
                    source="vss.simulation.errors",
                )
        raise
