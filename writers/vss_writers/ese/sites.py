"""Named sites: places where the engine reaches its files, which its owner may watch, delay or let fail.

The engine runs every effect on a log, a page or the checkpoint through ``AtSite`` and is none the wiser. Names: ``log.write``,
``log.rotate``, ``log.delete``, ``log.open``, ``log.read``, ``page.read``, ``page.write``, ``checkpoint.write``. Selectors are
texts: ``file`` (path), ``gen`` (log generation, decimal), ``page`` (number of the first page). The default does the work and
nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Work = Callable[[], Awaitable[Any]]


class AtSite(Protocol):
    """What the owner of an instance may put in the way of its effects."""

    async def __call__(self, site: str, work: Work, /, **selectors: str) -> Any:
        """Do ``work``, or not, or something else, as for this visit of ``site``; what it raises counts as the effect's."""
        ...


async def just_do(site: str, work: Work, /, **selectors: str) -> Any:
    """Do the work."""
    return await work()
