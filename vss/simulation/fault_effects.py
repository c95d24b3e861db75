"""What an effect does at a site that is awaited. One coroutine per visit and fault, around the work; several nest.

Crashes are in ``vss.simulation.fault_processes``, damage to answers in ``fault_damage``, plain calls in ``vss.io_faults``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from vss.errors import VssError
from vss.ports import Ports
from vss.simulation.errors import ForbiddenError
from vss.simulation.fault_damage import damaged
from vss.simulation.fault_errors import failure_of
from vss.simulation.fault_grammar import Fault
from vss.simulation.fault_plain import plain_fault
from vss.simulation.fault_processes import PartOfWork, Work
from vss.simulation.fault_site_kinds import Answer
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.fault_words import parse_count, parse_duration, parse_exception, parse_jump
from vss.simulation.loop import SimulationLoop

_OVERTAKE_WITHIN = "1s"


@dataclass(slots=True)
class _Watch:
    """Waits until a number of visits of a site are over."""

    site: str
    left: int
    is_over: asyncio.Future[None]


@dataclass(slots=True)
class Effects:
    """The effects of one run.

    Attributes:
        ports: the world.
        answers: what sites answered first, for ``stale``.
    """

    ports: Ports
    answers: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = field(default_factory=dict)
    _watches: list[_Watch] = field(default_factory=list)

    def passed(self, site: str) -> None:
        """A visit of ``site`` is over: let go who waited for that."""
        for watch in self._watches:
            if fnmatchcase(site, watch.site):
                watch.left -= 1
                if watch.left == 0 and not watch.is_over.done():
                    watch.is_over.set_result(None)

    async def apply(self, fault: Fault, site: str, actor: str, is_called: bool, work: Work) -> Any:
        """Do ``work`` as ``fault`` has it. ``is_called``: the role answers for itself; else the work is the caller's own."""
        effect = _EFFECTS.get(fault.effect)
        if effect is not None:
            return await effect(self, fault, work)
        match fault.effect:
            case "fail":
                raise failure_of(site, actor, fault.parameter("code"))
            case "full":
                raise failure_of(site, actor, "ENOSPC")
            case "fail-after":
                await work()
                raise failure_of(site, actor, fault.parameter("code"))
            case "raise":
                raise parse_exception(fault.argument or "RuntimeError")(f"injected at {site}")
            case "drop" if is_called:
                if fault.argument == "reply":
                    await work()
                return await _for_ever()
            case "duplicate":
                return await _twice(work, is_called)
            case "reorder":
                return await self._overtaken(fault, site, work)
            case "lie" | "lose" | "drop":
                return [] if _answers_items(site) else None
            case _:
                return await _damaged(fault, site, actor, work)

    async def _delay(self, fault: Fault, work: Work) -> Any:
        await self.ports.clock.sleep(parse_duration(fault.argument))
        return await work()

    async def _stall(self, fault: Fault, work: Work) -> Any:
        simulation_loop(fault).stall(parse_duration(fault.argument))
        return await work()

    async def _jump(self, fault: Fault, work: Work) -> Any:
        self.jump(fault)
        return await work()

    def jump(self, fault: Fault) -> None:
        """Let the wall clock jump; ``ForbiddenError`` where it is not the simulation's."""
        jump = getattr(self.ports.clock, "jump_wall", None)
        if jump is None:
            raise ForbiddenError(f"'{fault}' needs a simulated world", hint="nobody sets the clock of a real machine")
        jump(parse_jump(fault.argument))

    async def _hang(self, fault: Fault, work: Work) -> Any:
        if fault.parameter("on"):
            await self._until_passed(fault.parameter("on"), 1)
            return await work()
        is_during = fault.argument == "during" or (not fault.argument and bool(fault.parameter("holding")))
        part = PartOfWork(work)
        if is_during:
            await part.run(parse_count(fault.parameter("step") or "1"))
        elif fault.argument == "after":
            await part.run(None)
        if part.is_given_up:
            raise asyncio.CancelledError
        try:
            return await _for_ever()
        except asyncio.CancelledError as error:
            await part.let_go(error)
            raise

    async def _late(self, fault: Fault, work: Work) -> Any:
        result = await work()
        try:
            await _for_ever()
        except asyncio.CancelledError:  # the caller has given up: now the answer comes
            await self.ports.clock.sleep(parse_duration(fault.argument or "0"))
        return result

    async def _cancel(self, fault: Fault, work: Work) -> Any:
        task = asyncio.current_task()
        assert task is not None, "sites are passed by tasks"
        if fault.argument == "after":
            result = await work()
            task.cancel()
            return result
        if fault.argument == "during":
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()
        return await work()

    async def _overtaken(self, fault: Fault, site: str, work: Work) -> Any:
        try:
            async with asyncio.timeout(parse_duration(fault.parameter("within") or _OVERTAKE_WITHIN)):
                await self._until_passed(site, parse_count(fault.parameter("behind") or "1"))
        except TimeoutError:
            pass  # nobody came
        return await work()

    async def _until_passed(self, site: str, visits: int) -> None:
        watch = _Watch(site, visits, asyncio.get_running_loop().create_future())
        self._watches.append(watch)
        try:
            await watch.is_over
        finally:
            self._watches.remove(watch)

    async def stale(self, site: str, selectors: dict[str, str], is_struck: bool, work: Work) -> Any:
        """Do ``work`` and remember its first answer; where a fault strikes give that one again."""
        key = (site, tuple(selectors.items()))
        answer = await work()
        first = self.answers.setdefault(key, answer)
        return first if is_struck else answer


_EFFECTS: dict[str, Callable[[Effects, Fault, Work], Awaitable[Any]]] = {
    "delay": Effects._delay,
    "stall": Effects._stall,
    "jump": Effects._jump,
    "hang": Effects._hang,
    "late": Effects._late,
    "cancel": Effects._cancel,
}


def _answers_items(site: str) -> bool:
    known = SITE_BY_NAME.get(site)
    return known is not None and known.answer is Answer.ITEMS


def written_by(work: Work) -> tuple[Callable[[int, bytes], Awaitable[Any]], int, bytes] | None:
    """Return write, offset and data of a ``functools.partial(write, …, offset, data)``: data that can be damaged."""
    if not isinstance(work, partial) or len(work.args) < 2:
        return None
    *first, offset, data = work.args
    if not (isinstance(offset, int) and isinstance(data, (bytes, bytearray, memoryview))):
        return None
    return partial(work.func, *first, **work.keywords), offset, bytes(data)


async def _damaged(fault: Fault, site: str, actor: str, work: Work) -> Any:
    """Do ``work`` and damage what it writes, where that is known, or else its answer."""
    written = written_by(work)
    if written is None:
        return damaged(fault, await work())
    write, offset, data = written
    result = None
    for piece_offset, piece in plain_fault(fault, site, actor).pieces(offset, data):
        result = await write(piece_offset, piece)
    if fault.effect == "short":
        raise failure_of(site, actor, "EIO")
    return result


async def _for_ever() -> Any:
    return await asyncio.get_running_loop().create_future()


async def _twice(work: Work, is_called: bool) -> Any:
    """Do ``work`` twice: a role answers the first request and what it says to the second is nobody's; a caller's own step is
    what the second time made of it."""
    first = await work()
    if not is_called:
        return await work()
    with suppress(VssError):  # the answer to a request that nobody made
        await work()
    return first


def simulation_loop(fault: Fault) -> SimulationLoop:
    """Return the running loop; ``ForbiddenError`` where it is not a simulated one."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulationLoop):
        raise ForbiddenError(f"'{fault}' needs a simulated world", hint="in the real world use delay, hang, fail, raise or lie")
    return loop
