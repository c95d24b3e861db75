"""Who reads a clock, or draws randomness, past the ports: seen from the interpreter's own calls, exactly, without patching.

``watched`` installs a profile function for the length of a block. A call of the system's clocks or random sources is charged to
the nearest caller outside the standard modules that only pass it on; calls by anything but the packages under test are ignored
(the standard library's own, pytest's). Where another profiler is installed the block is not watched, and says so.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_CLOCKS = frozenset(
    {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime", "ctime"}
)
_NOW = frozenset({"now", "utcnow", "today"})
_ENTROPY = frozenset({"urandom", "getrandom"})
_PASSED_ON = frozenset({"random", "uuid", "datetime", "secrets", "tempfile", "_pydatetime", "_strptime"})


class HiddenInputs:
    """What was seen: one sentence per place, in the order of first sight."""

    def __init__(self, packages: tuple[str, ...]) -> None:
        """Charge calls to code of ``packages`` (top-level names, or module names) only."""
        self.packages = packages
        self.is_watching = False
        self.places: dict[str, None] = {}

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """The interpreter's profile function."""
        if event != "c_call":
            return
        what = _forbidden(argument)
        if not what:
            return
        caller: FrameType | None = frame
        while caller is not None and caller.f_globals.get("__name__", "") in _PASSED_ON:
            caller = caller.f_back
        if caller is None:
            return
        module = str(caller.f_globals.get("__name__", ""))
        if any(module == each or module.startswith(f"{each}.") for each in self.packages):
            self.places[f"{module}, line {caller.f_lineno}: {what}"] = None


def _forbidden(function: Any) -> str:
    """Return the name under which a builtin counts as a clock or a random source, or ""."""
    name = getattr(function, "__name__", "")
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", "") or getattr(owner, "__name__", "")
    if name in _CLOCKS and module == "time":
        return f"time.{name}"
    if name in _NOW and isinstance(owner, type) and owner.__module__ == "datetime":
        return f"{owner.__name__}.{name}"
    if name in _ENTROPY and module == "posix":
        return f"os.{name}"
    random = sys.modules.get("random")
    if random is not None and owner is not None and owner is getattr(random, "_inst", None):
        return "random, the module's own generator"
    return ""


@contextmanager
def watched(packages: tuple[str, ...]) -> Iterator[HiddenInputs]:
    """Watch a block; look at ``places`` afterwards, and at ``is_watching`` first."""
    seen = HiddenInputs(packages)
    if sys.getprofile() is not None:
        yield seen
        return
    seen.is_watching = True
    sys.setprofile(seen.profile)
    try:
        yield seen
    finally:
        sys.setprofile(None)
