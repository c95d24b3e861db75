"""Power that fails in the middle of a step: at one visit of a fault site, before what is done there has an effect.

As text: ``[during=STEP] SITE [when=…] [unsynced=FORM]``, with the selectors of the fault language; without ``nth`` it is the
first visit. What survives of the effects that nobody made durable is said as ``vss.simulation.survivors`` has it: nothing,
where nothing is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss.simulation.fault_grammar import Fault, parse_fault
from vss.simulation.fault_sites import effects_at
from vss.simulation.fault_words import EFFECT_WORDS
from vss.simulation.survivors import Survivors, UnsyncedEffect

DURING = "during="
UNSYNCED = "unsynced="

Unsynced = Callable[[], list[UnsyncedEffect]]
"""Tells which effects a failure of power may take now."""


class PowerFailure:
    """One failure of power; it happens once in a run.

    Attributes:
        text: as it was written; "" for one that nobody wrote.
        during: the step, "" for any.
        survivors: which of the effects survive that nobody made durable.
        has_happened: whether it did.
    """

    def __init__(self, during: str, place: Fault, survivors: Survivors, text: str = "") -> None:
        """Let power fail at the visit that ``place`` describes; its effect does not count."""
        self.text = text
        self.during = during
        self.survivors = survivors
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
        form = words.pop().removeprefix(UNSYNCED) if words and words[-1].startswith(UNSYNCED) else "lost"
        try:
            survivors = Survivors.parse(form)
        except ValueError as error:
            raise ConfigurationError(f"power failure '{text}': {error}") from None
        return cls(during, _place(words), survivors, text)

    def happens_now(self, step: str, site: str, selectors: Mapping[str, str], unsynced: Unsynced) -> bool:
        """Tell of a visit; True where power fails at this one."""
        if self.has_happened or self.during not in ("", step) or not fnmatchcase(site, self._site):
            return False
        if not all(key in selectors and fnmatchcase(selectors[key], value) for key, value in self._when):
            return False
        self._left -= 1
        self.has_happened = self._left == 0
        return self.has_happened


class PowerSurvey(PowerFailure):
    """No failure: looks at what one would find at every visit.

    Args:
        note: told of each visit: step, site, what the site says of itself, and who tells what is unsynced.
    """

    def __init__(self, note: Callable[[str, str, Mapping[str, str], Unsynced], None]) -> None:
        """Let power fail nowhere."""
        super().__init__("", _place(["set.write"]), Survivors())
        self._note = note

    def happens_now(self, step: str, site: str, selectors: Mapping[str, str], unsynced: Unsynced) -> bool:
        """Note a visit."""
        self._note(step, site, selectors, unsynced)
        return False


def _place(words: Sequence[str]) -> Fault:
    """Return the place that words of the fault language name, as a fault with whatever effect makes sense there."""
    effects = [each for each in effects_at(words[0]) if not EFFECT_WORDS[each].needs_argument] if words else []
    return parse_fault(" ".join([*words, *(effects[:1] or ["crash"])]))
