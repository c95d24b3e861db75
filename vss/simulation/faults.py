"""Injected faults: a plan of them, and what each effect does at the site that it strikes.

``FaultPlan`` is the ``Ports.faults`` of a world. Invariants: a plan decides by site, selectors, count and its own random stream
only, never by ordinals of unrelated calls; every strike is one ``FaultFired`` event; after a run the plan says which faults
struck and which never did. Several faults that match one visit apply in the order of the plan, each around the rest.

A crash stops the role's work without its ``finally`` blocks, kills the tasks that work for the role (``vss.simulation.ACTOR``),
and gives its caller the error of a broken connection; later calls of the same role get it too, until ``restart``. At the sites
of requestor, coordinator and volume, where the caller itself is the one to crash, the calling task dies. Source of the counts:
"numFailures" of the Microsoft test writer, extended by what it lacks (delay, hang, crash, lie).
"""

from __future__ import annotations

import asyncio
import errno
import os
import types
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, NoReturn

from vss.errors import (
    InconsistentSnapshotError,
    InsufficientStorageError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
    VolumeFullError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
    VssError,
    WriterError,
    WriterRetryableError,
    WriterTimeoutError,
)
from vss.events import FaultFired
from vss.hresult import HResult
from vss.ports import NANOSECONDS, Ports
from vss.simulation.errors import ForbiddenError
from vss.simulation.fault_grammar import Fault, parse_code, parse_duration, parse_exception, parse_fault, parse_faults
from vss.simulation.loop import SimulationLoop
from vss.simulation.parts import ACTOR

Work = Callable[[], Awaitable[Any]]
_CALLED_ROLES = ("writer", "provider")  # have a process of their own; at other sites the caller is the one who dies
_DEFAULT_CODES: dict[str, HResult | int] = {
    "writer": HResult.VSS_E_WRITERERROR_NONRETRYABLE,
    "provider": HResult.VSS_E_PROVIDER_VETO,
    "volume": errno.EIO,
}
_ERRORS: dict[str, tuple[type[VssError], ...]] = {
    "writer": (WriterError, WriterRetryableError, WriterTimeoutError, InconsistentSnapshotError),
    "provider": (ProviderError, ProviderVetoError, VolumeNotSupportedError, InsufficientStorageError),
    "volume": (VolumeError, VolumeFullError),
}


@dataclass(slots=True)
class _Standing:
    """A fault in a run: visits that matched its selectors, and strikes."""

    fault: Fault
    visits: int = 0
    strikes: int = 0


class FaultPlan:
    """An ordered list of faults, and their record in the run it is attached to."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        """Take checked faults; see ``parse`` for the written form."""
        self.faults = tuple(faults)
        self._ports: Ports | None = None
        self._reset()

    @classmethod
    def parse(cls, source: str | Iterable[str | Mapping[str, Any]], *, extra_sites: Collection[str] = ()) -> FaultPlan:
        """Return the plan written in ``source``: a text with one fault per line, or a list of lines and tables.

        Raises:
            ConfigurationError: a fault is malformed or names something unknown.
        """
        if isinstance(source, str):
            return cls(parse_faults(source, extra_sites=extra_sites))
        return cls(parse_fault(each, extra_sites=extra_sites) for each in source)

    def to_data(self) -> list[dict[str, Any]]:
        """Return the plan as tables, ready for TOML and JSON."""
        return [fault.to_data() for fault in self.faults]

    def _reset(self) -> None:
        self._standings = [_Standing(fault) for fault in self.faults]
        self._gone: dict[str, int | None] = {}

    def attach(self, ports: Ports) -> None:
        """Begin a run in the world of ``ports``: counts start afresh."""
        self._ports = ports
        self._start_ns = ports.clock.now_ns()
        self._reset()

    @property
    def fired(self) -> list[Fault]:
        """The faults that struck in the last run, in the order of the plan."""
        return [standing.fault for standing in self._standings if standing.strikes]

    @property
    def never_fired(self) -> list[Fault]:
        """The faults that did not strike in the last run."""
        return [standing.fault for standing in self._standings if not standing.strikes]

    def strikes(self) -> list[int]:
        """Return how often each fault struck in the last run, in the order of the plan."""
        return [standing.strikes for standing in self._standings]

    async def __call__(self, site: str, work: Work, **selectors: str) -> Any:
        """Run ``work`` as the plan says for this visit of ``site``."""
        assert self._ports is not None, "attach the plan to a world first (run and real_ports do)"
        role = site.partition(".")[0]
        actor = f"{role}:{selectors[role]}" if role in selectors else role
        if self._is_gone(actor):
            raise _connection_lost(site, actor)
        for standing in reversed(self._striking(site, selectors)):
            work = partial(self._strike, standing.fault, site, actor, work)
        if not _is_called(site):
            return await work()
        token = ACTOR.set(actor)
        try:
            return await work()
        finally:
            ACTOR.reset(token)

    # -- which faults --------------------------------------------------------------------------------------------------------

    def _striking(self, site: str, selectors: Mapping[str, str]) -> list[_Standing]:
        assert self._ports is not None
        striking = []
        for standing in self._standings:
            if self._strikes_now(standing, site, selectors):
                standing.strikes += 1
                striking.append(standing)
                told = " ".join(f"{key}={value}" for key, value in selectors.items())
                self._ports.emit(FaultFired(site=site, effect=standing.fault.effect_text, selectors=told))
        return striking

    def _strikes_now(self, standing: _Standing, site: str, selectors: Mapping[str, str]) -> bool:
        assert self._ports is not None
        fault = standing.fault
        if not fnmatchcase(site, fault.site) or not all(self._matches(key, value, selectors) for key, value in fault.when):
            return False
        standing.visits += 1
        if any(key == "nth" and standing.visits != int(value) for key, value in fault.when):
            return False
        if fault.times is not None and standing.strikes >= fault.times:
            return False
        return fault.probability >= 1.0 or self._ports.random.stream("faults").random() < fault.probability

    def _matches(self, key: str, value: str, selectors: Mapping[str, str]) -> bool:
        if key == "nth":
            return True
        if key == "after":
            assert self._ports is not None
            return self._ports.clock.now_ns() - self._start_ns >= round(parse_duration(value) * NANOSECONDS)
        return key in selectors and fnmatchcase(selectors[key], value)

    # -- what they do ----------------------------------------------------------------------------------------------------------

    async def _strike(self, fault: Fault, site: str, actor: str, work: Work) -> Any:
        assert self._ports is not None
        match fault.effect:
            case "fail":
                raise _failure(site, actor, fault.parameter("code"))
            case "fail-after":
                await work()
                raise _failure(site, actor, fault.parameter("code"))
            case "raise":
                raise parse_exception(fault.argument or "RuntimeError")(f"injected at {site}")
            case "delay":
                await self._ports.clock.sleep(parse_duration(fault.argument))
                return await work()
            case "stall":
                _simulation_loop(fault).stall(parse_duration(fault.argument))
                return await work()
            case "hang":
                return await asyncio.get_running_loop().create_future()
            case "lie":
                return None
            case _:
                return await self._crash(fault, site, actor, work)

    async def _crash(self, fault: Fault, site: str, actor: str, work: Work) -> Any:
        assert self._ports is not None
        loop = _simulation_loop(fault)
        suspensions = {"before": 0, "during": int(fault.parameter("step") or 1)}.get(fault.argument or "before")
        if not _is_called(site):
            await _doomed(work, suspensions, loop)
        dead = loop.create_future()
        context = copy_context()
        context.run(ACTOR.set, actor)
        task = loop.create_task(_doomed(work, suspensions, loop, dead), context=context)
        try:
            await dead
        finally:
            loop.kill(task)
        loop.kill_actor(actor)
        restart = fault.parameter("restart")
        self._gone[actor] = self._ports.clock.now_ns() + round(parse_duration(restart) * NANOSECONDS) if restart else None
        raise _connection_lost(site, actor)

    def _is_gone(self, actor: str) -> bool:
        if actor not in self._gone:
            return False
        assert self._ports is not None
        back_ns = self._gone[actor]
        if back_ns is None or self._ports.clock.now_ns() < back_ns:
            return True
        del self._gone[actor]
        return False


async def _doomed(
    work: Work, suspensions: int | None, loop: SimulationLoop, dead: asyncio.Future[None] | None = None
) -> NoReturn:
    """Run ``work`` until it has waited ``suspensions`` times (None: to its end), tell ``dead``, and die.

    When the world lets its dead go, what is left of ``work`` is cancelled.
    """
    rest = _Rest(work)
    if suspensions != 0:
        await rest.run(suspensions)
    if dead is not None:
        dead.set_result(None)
    try:
        await loop.die()
    except asyncio.CancelledError as error:
        await rest.let_go(error)
        raise


class _Rest:
    """A coroutine that is run in part, and what is left of it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._left: Generator[Any, None, Any] | None = None

    @types.coroutine
    def run(self, suspensions: int | None) -> Generator[Any, None, None]:
        """Run until the last of ``suspensions`` waits begins; that wait is not passed on, so nothing ends it."""
        running = _awaited(self._work).__await__()
        try:
            waits = 0
            while True:
                waited = next(running)
                waits += 1
                if waits == suspensions:
                    self._left = running
                    return
                yield waited
        except StopIteration:
            return
        except Exception:  # noqa: BLE001 - the role died a moment later anyway; nobody hears of its error
            return

    @types.coroutine
    def let_go(self, error: asyncio.CancelledError) -> Generator[Any, None, None]:
        """Cancel what is left."""
        if self._left is None:
            return
        try:
            yield self._left.throw(error)
            yield from self._left
        except StopIteration:
            return


async def _awaited(work: Work) -> Any:
    return await work()


def _is_called(site: str) -> bool:
    return site.partition(".")[0] in _CALLED_ROLES


def _simulation_loop(fault: Fault) -> SimulationLoop:
    loop = asyncio.get_running_loop()
    if not isinstance(loop, SimulationLoop):
        raise ForbiddenError(f"'{fault}' needs a simulated world", hint="in the real world use delay, hang, fail, raise or lie")
    return loop


def _failure(site: str, actor: str, code_text: str) -> Exception:
    """Return the error that the role at ``site`` would raise for a code."""
    role, _, step = site.partition(".")
    code = parse_code(code_text) if code_text else _DEFAULT_CODES.get(role, HResult.E_FAIL)
    message = f"'{actor}' failed at {site}: injected fault"
    if isinstance(code, HResult):
        kinds = _ERRORS.get(role, (VssError,))
        return next((kind for kind in kinds if kind.default_hresult is code), kinds[0])(message, hresult=code)
    if role != "volume":
        return OSError(code, os.strerror(code), f"injected at {site}")
    if code == errno.ENOSPC:
        return VolumeFullError(message)
    kind = VolumeReadError if step == "read" else VolumeWriteError
    return kind(f"{message} ({errno.errorcode[code]})")


def _connection_lost(site: str, actor: str) -> VssError:
    if site.startswith("writer."):
        return WriterError(f"{actor} does not answer: it died", hresult=HResult.VSS_E_WRITER_NOT_RESPONDING)
    return ProviderError(f"{actor} does not answer: it died", hresult=HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR)
