"""What a visit of a fault site is by its name and selectors: who works there, how it is passed, what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from vss.simulation.fault_grammar import Fault
from vss.simulation.fault_processes import COORDINATOR, REQUESTOR
from vss.simulation.fault_site_kinds import DATA_EFFECTS, Answer, Passage
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.parts import ACTOR

_CALLED_ROLES = ("writer", "provider")


@cache
def has_own_process(site: str) -> bool:
    """Whether the role at ``site`` answers for itself; elsewhere the caller is the one who dies."""
    return site.partition(".")[0] in _CALLED_ROLES


def is_plain(site: str) -> bool:
    """Whether the site is passed by plain calls."""
    known = SITE_BY_NAME.get(site)
    return known is None or known.passage is Passage.IO


@cache
def answers_bytes(site: str) -> bool:
    """Whether what is done at ``site`` returns data."""
    known = SITE_BY_NAME.get(site)
    return known is not None and known.answer is Answer.BYTES


def is_for_data(fault: Fault, site: str) -> bool:
    """Whether ``fault`` damages data at a site that writes them."""
    known = SITE_BY_NAME.get(site)
    return fault.effect in DATA_EFFECTS and known is not None and known.answer is Answer.NOTHING


def actor_at(site: str, selectors: Mapping[str, str]) -> str:
    """Return who works at ``site``: the role called, the service, the requestor, or at media whoever the task works for."""
    role = site.partition(".")[0]
    if role in _CALLED_ROLES:
        return f"{role}:{selectors[role]}" if role in selectors else role
    if role == "restore":
        return REQUESTOR
    if role in (COORDINATOR, REQUESTOR):
        return role
    return ACTOR.get() or (REQUESTOR if role == "set" else role)
