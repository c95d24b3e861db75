"""What of the unsynced effects survives one failure of power, said in a few words: ``lost``, ``kept``, ``only:2,5+torn:head``.

Decides which of the states that a disk may legally show (``vss.simulation.power_loss``) a run is given, over all media of a
machine at once. The unsynced effects are numbered from 1 in the order in which they were issued, whatever medium they went to;
what survives is applied in that order, so ``first:N`` is what a disk in order shows, and ``only`` and ``without`` are what one
does that writes in another order. Numbers that a run does not reach mean nothing there, so that a place and a form that were
found in one run can be tried in another.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from vss.nearest import nearest
from vss.simulation.choices import derived_seed
from vss.simulation.power_loss import PowerLossState

_TORN = "torn"
_TEARS: dict[str, Callable[[int], range]] = {
    "head": lambda sectors: range((sectors + 1) // 2),
    "tail": lambda sectors: range((sectors + 1) // 2, sectors),
    "alternate": lambda sectors: range(0, sectors, 2),
}
WAYS = {
    "lost": "nothing",
    "kept": "everything",
    "first": "the first N",
    "only": "those with these numbers",
    "without": "all but those",
    "sample": "each with probability 1/2, drawn from the seed N",
}
"""The words, and what survives."""
_GRAMMAR = "lost, kept, first:N, only:N,…, without:N,… or sample:N, and +torn:head, +torn:tail or +torn:alternate"


class UnsyncedEffect(NamedTuple):
    """An effect that a failure of power may take.

    Attributes:
        number: place in the order of issue, over all media and the whole run.
        medium: the volume's name, or "host".
        text: what it does.
        sectors: how many sectors it writes; 0 for what is there whole or not at all, a name or a length.
    """

    number: int
    medium: str
    text: str
    sectors: int


@dataclass(frozen=True, slots=True)
class Survivors:
    """Which unsynced effects survive.

    Attributes:
        way: one of ``WAYS``.
        numbers: of effects from 1; for ``first`` and ``sample`` one number.
        torn: "", or which half of the newest survivor is there: "head", "tail", or "alternate" sectors.
    """

    way: str = "lost"
    numbers: tuple[int, ...] = ()
    torn: str = ""

    @classmethod
    def parse(cls, text: str) -> Survivors:
        """Return what a text says.

        Raises:
            ValueError: it says nothing; names the nearest word.
        """
        first, _, rest = text.partition("+")
        way, _, numbers = first.partition(":")
        torn = rest.removeprefix(f"{_TORN}:")
        if way not in WAYS:
            raise ValueError(f"unsynced: expected {_GRAMMAR}, found '{text}'{nearest(way, WAYS)}")
        if rest and (torn == rest or torn not in _TEARS or way == "lost"):
            near = nearest(torn, _TEARS) if way != "lost" else "; of nothing, nothing is torn"
            raise ValueError(f"unsynced: expected +torn:head, +torn:tail or +torn:alternate, found '+{rest}'{near}")
        given = numbers.split(",") if numbers else []
        wanted = {"lost": (0, 0), "kept": (0, 0), "first": (1, 1), "sample": (1, 1)}.get(way, (1, len(given)))
        is_numbered = all(each.isascii() and each.isdigit() and int(each) > 0 for each in given)
        if not (wanted[0] <= len(given) <= wanted[1] and is_numbered):
            raise ValueError(f"unsynced: expected {_GRAMMAR} with numbers from 1, found '{text}'")
        return cls(way, tuple(sorted({int(each) for each in given})), torn)

    def __str__(self) -> str:
        numbers = f":{','.join(map(str, self.numbers))}" if self.numbers else ""
        return f"{self.way}{numbers}" + (f"+{_TORN}:{self.torn}" if self.torn else "")

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is lost, so that nobody needs to know what was unsynced."""
        return self.way == "kept" and not self.torn

    def state(self, effects: Sequence[UnsyncedEffect]) -> PowerLossState:
        """Return which of ``effects``, by index, survive, and what of the newest one."""
        places = range(len(effects))
        chosen = [number - 1 for number in self.numbers]
        match self.way:
            case "lost":
                kept: list[int] = []
            case "kept":
                kept = list(places)
            case "first":
                kept = list(places[: self.numbers[0]])
            case "only":
                kept = [place for place in places if place in chosen]
            case "without":
                kept = [place for place in places if place not in chosen]
            case _:
                rng = random.Random(derived_seed(self.numbers[0], "survivors"))
                kept = [place for place in places if rng.random() < 0.5]
        sectors = effects[kept[-1]].sectors if kept and self.torn else 0
        torn = tuple(_TEARS[self.torn](sectors)) if sectors > 1 else None
        return PowerLossState(tuple(kept), torn)


def possible_survivors(
    effects: Sequence[UnsyncedEffect], *, seed: int = 1, subset_max: int = 4, samples: int = 3
) -> Iterator[Survivors]:
    """Yield forms that give every kind of legal state of ``effects``; several may give the same state.

    None and all; the newest torn; every prefix, its newest torn, too. Of up to ``subset_max`` effects every subset, of more
    each alone, all but each, and ``samples`` seeded ones.
    """
    count = len(effects)
    yield Survivors("lost")
    yield Survivors("kept")
    if count and effects[-1].sectors > 1:
        yield from (Survivors("kept", torn=torn) for torn in _TEARS if torn != "alternate" or effects[-1].sectors > 2)
    for length in range(1, count):
        yield Survivors("first", (length,))
        if effects[length - 1].sectors > 1:
            yield from (Survivors("first", (length,), torn) for torn in ("head", "tail"))
    if count <= subset_max:
        for size in range(1, count):
            yield from (Survivors("only", chosen) for chosen in combinations(range(1, count + 1), size))
        return
    for number in range(1, count + 1):
        yield Survivors("only", (number,))
        yield Survivors("without", (number,))
    for each in range(samples):
        yield Survivors("sample", (seed + each,))
