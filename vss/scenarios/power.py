"""Power that fails in the middle of a step: at one visit of a fault site, before what is done there has an effect.

As text: ``[during=STEP] SITE [when=…] [unsynced=lost|kept]``, with the selectors of the fault language; without ``nth`` it is
the first visit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss.simulation.fault_grammar import Fault, parse_fault

DURING = "during="
_UNSYNCED = "unsynced="


class PowerFailure:
    """One failure of power; it happens once in a run.

    Attributes:
        during: the step, "" for any.
        keeps_unsynced: whether writes survive that were not flushed.
        has_happened: whether it did.
    """

    def __init__(self, during: str, place: Fault, *, keeps_unsynced: bool) -> None:
        """Let power fail at the visit that ``place`` describes; its effect does not count."""
        self.during = during
        self.keeps_unsynced = keeps_unsynced
        self.has_happened = False
        self._site = place.site
        self._when = [(key, value) for key, value in place.when if key not in ("nth", "after")]
        self._left = int(dict(place.when).get("nth", "1"))

    @classmethod
    def parse(cls, text: str, steps: Sequence[str]) -> PowerFailure:
        """Return the failure that a text describes.

        Raises:
            ConfigurationError: a word means nothing; names the nearest one.
        """
        words = text.split(" ")
        during = words.pop(0).removeprefix(DURING) if text.startswith(DURING) else ""
        if during and during not in steps:
            raise ConfigurationError(f"power failure '{text}': no step is called '{during}'{nearest(during, steps)}")
        unsynced = words.pop().removeprefix(_UNSYNCED) if words and words[-1].startswith(_UNSYNCED) else "lost"
        if unsynced not in ("kept", "lost"):
            raise ConfigurationError(f"power failure '{text}': unsynced: expected 'kept' or 'lost', found '{unsynced}'")
        return cls(during, parse_fault(" ".join([*words, "crash"])), keeps_unsynced=unsynced == "kept")

    def happens_now(self, step: str, site: str, selectors: Mapping[str, str]) -> bool:
        """Tell of a visit; True where power fails at this one."""
        if self.has_happened or self.during not in ("", step) or not fnmatchcase(site, self._site):
            return False
        if not all(key in selectors and fnmatchcase(selectors[key], value) for key, value in self._when):
            return False
        self._left -= 1
        self.has_happened = self._left == 0
        return self.has_happened
