"""Where injected faults strike what a requestor works out itself; and how far along a copy is, for those that wait for it."""

from __future__ import annotations

from typing import TypeVar

from vss.ports import Ports, no_faults

T = TypeVar("T")


async def passing(ports: Ports, site: str, value: T) -> T:
    """Return ``value``, or what a fault at ``site`` makes of it."""
    if ports.faults is no_faults:
        return value

    async def give() -> T:
        return value

    result: T = await ports.faults(site, give)
    return result


def percent_of(done_bytes: int, total_bytes: int) -> str:
    """Return how much is done, as sites tell it."""
    return str(done_bytes * 100 // total_bytes if total_bytes else 100)
