"""The catalogue of failures: one file per entry, package data.

An entry that runs is a scenario file with a ``[failure]`` table; one that is pending has the table only, which says what it
waits for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from vss.errors import BadStateError, ConfigurationError, NotFoundError
from vss.lab.toml_tables import toml_tables
from vss.nearest import nearest
from vss.scenarios.failure import Failure
from vss.scenarios.scenario import Scenario, scenario_of


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry, its scenario not parsed yet."""

    title: str
    failure: Failure
    tables: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its identifier."""
        return self.failure.id

    def scenario(self) -> Scenario:
        """Return the scenario, checked.

        Raises:
            BadStateError: the entry is pending.
            ConfigurationError: the file means nothing.
        """
        if self.failure.is_pending:
            raise BadStateError(f"failure {self.id} cannot run yet: it waits for {self.failure.waits_for}")
        return scenario_of(self.tables, f"{self.id}.toml")


def parse_entry(text: str, source: str) -> Entry:
    """Return the entry in the text of a file.

    Raises:
        ConfigurationError: not TOML, or its ``[failure]`` table is missing or means nothing.
    """
    tables = toml_tables(text, source)
    try:
        failure = msgspec.convert(tables.get("failure", {}), Failure)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{source}: {error}") from error
    failure.check(f"{source}: failure")
    return Entry(title=str(tables.get("title", "")), failure=failure, tables=tables)


@cache
def entries() -> tuple[Entry, ...]:
    """Return every entry, by identifier."""
    folder = resources.files(__name__)
    found = sorted(each.name for each in folder.iterdir() if each.name.endswith(".toml"))
    return tuple(parse_entry((folder / name).read_text("utf-8"), name) for name in found)


def entry(id: str) -> Entry:
    """Return one entry, whatever the case of ``id``.

    Raises:
        NotFoundError: there is none.
    """
    known = {each.id.upper(): each for each in entries()}
    if id.upper() not in known:
        raise NotFoundError(f"no failure is called '{id}'{nearest(id.upper(), known)}", hint="'vss faults list' has them all")
    return known[id.upper()]
