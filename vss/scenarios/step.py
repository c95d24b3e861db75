"""What every step of a method has: a name, how it runs, how it is refused before anything runs. Kinds are in ``steps``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vss.errors import ConfigurationError
from vss.nearest import nearest
from vss.simulation.fault_grammar import parse_duration

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage

SETS = Path("/sets")
"""Where the backup sets of a scenario lie, on the host in memory."""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="do"):
    """Base of all steps.

    Attributes:
        name: unique; what expectations and other steps call it. What it does, numbered, where nothing is said.
        background: go on with the next step at once; ``wait`` collects it.
        under_load: whether the workloads work meanwhile; not in the background.
        needs: steps that must have ended well; without them this one is skipped.
        unless: steps of which one must have failed; where all ended well this one is skipped.
        because: why it is done, for the report.
    """

    name: str = ""
    background: bool = False
    under_load: bool = False
    needs: list[str] = msgspec.field(default_factory=list)
    unless: list[str] = msgspec.field(default_factory=list)
    because: str = ""

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what can never work, before anything runs.

        Raises:
            ConfigurationError: names the key, what was expected and what was found.
        """

    async def run(self, stage: Stage) -> Any:
        """Do it; return JSON-ready data or a record with ``exit_code``. Raises ``VssError``."""
        raise NotImplementedError


def check_duration(text: str, where: str) -> None:
    """Refuse what is no duration."""
    check_value(parse_duration, text, where)


def check_value(parse: Callable[[str], object], text: str, where: str) -> None:
    """Refuse what ``parse`` refuses with ``ValueError``."""
    try:
        parse(text)
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from None


def check_reference(name: str, names: Sequence[str], where: str) -> None:
    """Refuse a step that the method does not have."""
    if name not in names:
        raise ConfigurationError(f"{where}: no step is called '{name}'{nearest(name, names)}")


def check_word(word: str, words: Sequence[str], where: str) -> None:
    """Refuse a word that is none of ``words``."""
    if word not in words:
        raise ConfigurationError(f"{where}: expected one of {', '.join(words)}, found '{word}'{nearest(word, words)}")
