"""Schedules as text, so that a trial is data: who decides what an order leaves open.

``seeded`` draws every choice from the trial's seed, ``pct:DEPTH:PICKS`` gives tasks random priorities with change points, and a
list of numbers replays recorded answers. A replay takes a recording that does not fit: what is missing is 0, as the stock loop
would do, and a number too high is the highest that the run offers; so a shortened recording is a run, too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from vss.errors import ConfigurationError
from vss.simulation import ChoiceSource, FifoChoices, Order, PctChoices, SeededChoices

SEEDED = "seeded"
_PCT = re.compile(r"pct:([1-9]\d*):([1-9]\d*)")
_RECORDED = re.compile(r"\d+(,\d+)*")


class FittedChoices:
    """Recorded answers, fitted to what the run offers."""

    def __init__(self, answers: Sequence[int]) -> None:
        """Keep ``answers``."""
        self._answers = tuple(answers)
        self._used = 0

    def pick(self, keys: Sequence[int]) -> int:
        """Return the next answer as an index into ``keys``."""
        return self.draw(len(keys))

    def draw(self, bound: int) -> int:
        """Return the next answer, or the highest number below ``bound``."""
        position = self._used
        self._used += 1
        return min(self._answers[position], bound - 1) if position < len(self._answers) else 0


def schedule_text(answers: Sequence[int]) -> str:
    """Return recorded answers as text, without the zeros at the end, which a replay adds itself."""
    end = len(answers)
    while end and not answers[end - 1]:
        end -= 1
    return ",".join(str(each) for each in answers[:end])


def checked_order(order: str, choices: str) -> None:
    """Refuse what says nothing, or what would never be asked.

    Raises:
        ConfigurationError: names the word.
    """
    orders = [each.value for each in Order]
    if order not in orders:
        raise ConfigurationError(f"order: expected one of {', '.join(orders)}, found '{order}'")
    if choices and order == Order.FIFO.value:
        raise ConfigurationError(f"choices '{choices}': with order 'fifo' nothing is asked", hint="--order any, or jitter")
    if choices and choices != SEEDED and not _PCT.fullmatch(choices) and not _RECORDED.fullmatch(choices):
        raise ConfigurationError(f"choices: expected 'seeded', 'pct:DEPTH:PICKS' or numbers such as '0,2,1', found '{choices}'")


def choice_source(order: str, choices: str, seed: int) -> ChoiceSource | None:
    """Return who decides; None where nothing is left open. Raises as ``checked_order``."""
    checked_order(order, choices)
    if order == Order.FIFO.value:
        return None
    if choices == SEEDED:
        return SeededChoices(seed)
    pct = _PCT.fullmatch(choices)
    if pct is not None:
        return PctChoices(seed, depth=int(pct[1]), expected_picks=int(pct[2]))
    return FittedChoices([int(each) for each in choices.split(",")]) if choices else FifoChoices()
