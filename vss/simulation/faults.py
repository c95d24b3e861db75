"""Injected faults: a plan of them, which is the ``Ports.faults`` and, by ``at``, the ``Ports.io_faults`` of a world.

Invariants: a plan decides by site, selectors, count and its own random stream only, never by ordinals of unrelated calls; every
strike is one ``FaultFired`` event; after a run the plan says which faults struck and which never did. Several faults that match
one visit apply in the order of the plan, each around the rest; of plain calls the first one strikes.

A crash stops the role's work without its ``finally`` blocks, kills the tasks that work for the role (``vss.simulation.ACTOR``),
and gives its caller the error of a broken connection; later calls of the same role get it too, until ``restart``. At sites of
media the role dies that does the I/O, and where nobody in particular does, the calling task. Roles keep their state in
memory; whoever makes machines may replace it by what was persisted (``when_died``). Source of the counts: "numFailures" of
the Microsoft test writer, extended by what it lacks (delay, hang, crash, lie).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from vss.events import Event, FaultFired
from vss.io_faults import IoFault
from vss.ports import NANOSECONDS, Ports
from vss.simulation.fault_effects import Effects, simulation_loop, written_by
from vss.simulation.fault_errors import connection_lost
from vss.simulation.fault_grammar import Fault, parse_fault, parse_faults
from vss.simulation.fault_plain import plain_fault
from vss.simulation.fault_processes import COORDINATOR, REQUESTOR, PartOfWork, Processes, RoleCrashedError, Work, die
from vss.simulation.fault_selection import PASSING, RunState, SiteVisit, Standing
from vss.simulation.fault_site_kinds import Passage
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.fault_visits import actor_at, answers_bytes, has_own_process, is_for_data, is_plain
from vss.simulation.fault_words import parse_duration, parse_size
from vss.simulation.loop import SimulationLoop
from vss.simulation.parts import ACTOR

_HOSTS = {"service.writer_host": "writer:", "service.provider_host": "provider:"}
_WORLD_SITES = tuple(site.name for site in SITE_BY_NAME.values() if site.passage is Passage.WORLD)
_OWN_ACTORS = (COORDINATOR, REQUESTOR)
_LETTING_GO = ("coord.release_session",)
"""Letting go of what a dead role had is no error, and no effect."""


class FaultPlan:
    """An ordered list of faults, and their record in the run it is attached to."""

    def __init__(
        self,
        faults: Iterable[Fault] = (),
        *,
        scopes: Sequence[str] = (),
        records_visits: bool = False,
        spans_worlds: bool = False,
    ) -> None:
        """Take checked faults; see ``parse`` for the written form.

        Args:
            faults: in the order in which they apply.
            scopes: for each fault the part of the run it is confined to, "" for the whole; see ``enter``.
            records_visits: list every visit of a site in ``visits``.
            spans_worlds: a further world is the same machine, switched on again: counts go on, and who had died is back.
        """
        self.faults = tuple(faults)
        self.scopes = tuple(scopes) or ("",) * len(self.faults)
        self.records_visits = records_visits
        self.spans_worlds = spans_worlds
        self.has_failed_flushes = any(fault.effect == "fsyncgate" for fault in self.faults)
        self.when_died: list[Callable[[str], object]] = []
        self.owners: dict[str, str] = {}
        self._ports: Ports | None = None
        self._isolates = any(fault.effect == "crash" for fault in self.faults)
        self._striking_io: dict[str, bool] = {}
        self._has_world_faults = any(fnmatchcase(site, fault.site) for site in _WORLD_SITES for fault in self.faults)
        self._has_stale = any(fault.effect == "stale" for fault in self.faults)
        self._reset()

    @classmethod
    def parse(
        cls,
        source: str | Iterable[str | Mapping[str, Any]],
        *,
        extra_sites: Collection[str] = (),
        records_visits: bool = False,
    ) -> FaultPlan:
        """Return the plan written in ``source``: a text with one fault per line, or a list of lines and tables.

        Raises:
            ConfigurationError: a fault is malformed or names something unknown.
        """
        if isinstance(source, str):
            return cls(parse_faults(source, extra_sites=extra_sites), records_visits=records_visits)
        return cls((parse_fault(each, extra_sites=extra_sites) for each in source), records_visits=records_visits)

    def to_data(self) -> list[dict[str, Any]]:
        """Return the plan as tables, ready for TOML and JSON."""
        return [fault.to_data() for fault in self.faults]

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)

    # -- a run -----------------------------------------------------------------------------------------------------------------

    def _reset(self) -> None:
        self._standings = [Standing(fault, scope) for fault, scope in zip(self.faults, self.scopes, strict=True)]
        self._standings_at: dict[str, list[Standing]] = {}
        self._state = RunState()
        self._processes = Processes()
        self._processes.mourners.append(self._mourn)
        self._open_scopes: set[str] = {""}

    def attach(self, ports: Ports, *, resume: bool = False) -> None:
        """Begin a run in the world of ``ports``: counts start afresh.

        Args:
            ports: the world.
            resume: go on instead: the machine was switched on again, counts stay, and who had died is back.
        """
        is_first = self._ports is None
        self._ports = ports
        self._effects = Effects(ports)
        if resume or (self.spans_worlds and not is_first):
            self._processes.resurrect()
            return
        self._reset()
        self._state.start_ns = ports.clock.now_ns()

    def listen(self, event: Event) -> None:
        """Take note of an event of the run: phases and sessions are told by events."""
        self._state.listen(event)

    def enter(self, scope: str) -> None:
        """From now on the faults confined to ``scope`` may strike."""
        self._open_scopes.add(scope)

    def leave(self, scope: str) -> None:
        """From now on they may not."""
        self._open_scopes.discard(scope)

    @property
    def visits(self) -> list[SiteVisit]:
        """Every visit of a site in the last run, in order; empty unless they are recorded."""
        return self._state.visits

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

    def back_ns(self, actor: str) -> int | None:
        """When a role that died is started again; None where it stays dead."""
        return self._processes.back_ns(actor)

    def _mourn(self, actor: str) -> None:
        for tell in self.when_died:
            tell(actor)

    # -- sites that are awaited ------------------------------------------------------------------------------------------------

    async def __call__(self, site: str, work: Work, **selectors: str) -> Any:
        """Run ``work`` as the plan says for this visit of ``site``."""
        self._noticed(site, selectors)
        ports = self._world()
        owner = self._owner_at(selectors) if self._isolates else ""
        actor = owner or actor_at(site, selectors)
        self._processes.note(actor)
        if self._isolates and self._processes.takes_doom():
            await die(_running_loop())
        now_ns = ports.clock.now_ns()
        self._state.visit(site, selectors, now_ns, is_kept=self.records_visits)
        if self._has_world_faults and self._strike_world(site, selectors):
            await die(_running_loop())
        is_called = has_own_process(site)
        if (is_called or actor == COORDINATOR) and self._processes.is_gone(actor, now_ns):
            if site in _LETTING_GO:
                return None
            raise connection_lost(site, actor)
        striking = [] if not self.faults else self._striking(site, selectors, now_ns, holds_data=written_by(work) is not None)
        if self._has_stale and answers_bytes(site):
            is_stale = any(standing.fault.effect == "stale" for standing in striking)
            work = partial(self._effects.stale, site, selectors, is_stale, work)
        for standing in reversed(striking):
            if standing.fault.effect == "crash":
                work = partial(self._crash, standing.fault, actor, work)
            elif standing.fault.effect != "stale":
                work = partial(self._effects.apply, standing.fault, site, actor, is_called, work)
        try:
            return await (self._as_actor(site, actor, work) if is_called or owner or actor in _OWN_ACTORS else work())
        finally:
            self._effects.passed(site)

    def _owner_at(self, selectors: Mapping[str, str]) -> str:
        """Return whose process an application's I/O is done in where a user or a requestor asked for it: when that dies, they
        hear that the connection is broken. "" where there is no such process, or a role works there itself."""
        return self.owners.get(selectors.get("writer", ""), "") if ACTOR.get() in ("", REQUESTOR) else ""

    def _noticed(self, site: str, selectors: Mapping[str, str]) -> None:
        """A site was reached by a call that is awaited; for those who tell others."""

    async def _as_actor(self, site: str, actor: str, work: Work) -> Any:
        if actor == ACTOR.get() == COORDINATOR:
            return await work()
        if self._isolates and actor != REQUESTOR and isinstance(asyncio.get_running_loop(), SimulationLoop):
            return await self._processes.in_own_task(actor, site, work)
        token = ACTOR.set(actor)
        try:
            return await work()
        finally:
            ACTOR.reset(token)

    async def _crash(self, fault: Fault, actor: str, work: Work) -> Any:
        loop = simulation_loop(fault)
        rest = PartOfWork(work)
        waits = {"before": 0, "during": int(fault.parameter("step") or 1)}.get(fault.argument or "before")
        if waits != 0:
            await rest.run(waits)
        self._processes.kill(loop, actor, self._back_ns(fault))
        await die(loop, rest)

    def _back_ns(self, fault: Fault) -> int | None:
        restart = fault.parameter("restart")
        return self._now_ns() + round(parse_duration(restart) * NANOSECONDS) if restart else None

    # -- sites that are plain calls --------------------------------------------------------------------------------------------

    def at(self, site: str, size: int = 0, **selectors: str) -> IoFault | None:
        """Return the fault that strikes this visit of a site passed by a plain call, which does ``size`` bytes of I/O.

        Raises:
            RoleCrashedError: the role that does the I/O is dead.
        """
        if self._isolates and self._processes.is_doomed():
            raise RoleCrashedError(f"dead at {site}")
        if not (self.records_visits or self._can_strike(site)):
            return None
        now_ns = self._now_ns()
        is_kept = self.records_visits and is_plain(site)
        self._state.visit(site, selectors, now_ns, size, is_kept=is_kept)
        if self._has_world_faults and self._strike_world(site, selectors):
            self._processes.doom()
            raise RoleCrashedError(f"dead at {site}")
        for standing in self._striking(site, selectors, now_ns, limit=1):
            return self._io_fault(standing.fault, site, actor_at(site, selectors))
        return None

    def _can_strike(self, site: str) -> bool:
        """Whether any fault can; looked up once per name, so that a plan for other sites costs next to nothing."""
        found = self._striking_io.get(site)
        if found is None:
            found = self._has_world_faults or any(fnmatchcase(site, fault.site) for fault in self.faults)
            self._striking_io[site] = found
        return found

    def _io_fault(self, fault: Fault, site: str, actor: str) -> IoFault | None:
        match fault.effect:
            case "stall":
                simulation_loop(fault).stall(parse_duration(fault.argument))
                return None
            case "jump":
                self._effects.jump(fault)
                return None
            case "crash":
                return self._crash_plain(fault, site, actor)
            case _:
                return plain_fault(fault, site, actor)

    def _crash_plain(self, fault: Fault, site: str, actor: str) -> IoFault:
        """Let the role die in a plain call: nothing is done any more (before), or all of it (after)."""
        self._processes.kill(simulation_loop(fault), actor, self._back_ns(fault))
        self._processes.doom()
        dead = RoleCrashedError(f"dead at {site}")
        if fault.argument == "after":
            return IoFault(site, "fail-after", error=dead)
        raise dead

    # -- which faults ----------------------------------------------------------------------------------------------------------

    def _striking(
        self,
        site: str,
        selectors: Mapping[str, str],
        now_ns: int,
        *,
        holds_data: bool = True,
        limit: int | None = None,
    ) -> list[Standing]:
        """Count the visit and return what strikes; damage to what is written needs the data at hand."""
        striking: list[Standing] = []
        for standing in self._named(site):
            if limit is not None and len(striking) >= limit:
                break
            if not holds_data and is_for_data(standing.fault, site):
                continue
            if self._strikes_now(standing, site, selectors, now_ns):
                striking.append(standing)
                self._tell(standing, site, selectors)
        return striking

    def _named(self, site: str) -> list[Standing]:
        """Return the faults that name ``site``; looked up once per run and name."""
        found = self._standings_at.get(site)
        if found is None:
            found = [each for each in self._standings if fnmatchcase(site, each.fault.site)]
            self._standings_at[site] = found
        return found

    def _tell(self, standing: Standing, site: str, selectors: Mapping[str, str]) -> None:
        standing.strikes += 1
        told = " ".join(f"{key}={value}" for key, value in selectors.items() if key not in PASSING)
        self._world().emit(FaultFired(site=site, effect=standing.fault.effect_text, selectors=told))

    def _strikes_now(self, standing: Standing, site: str, selectors: Mapping[str, str], now_ns: int) -> bool:
        fault = standing.fault
        if standing.scope not in self._open_scopes or not self._state.matches(fault, site, selectors, now_ns):
            return False
        if fault.effect == "full" and fault.argument and not self._state.has_passed_bytes(site, parse_size(fault.argument)):
            return False
        standing.visits += 1
        if any(key == "nth" and standing.visits != int(value) for key, value in fault.when):
            return False
        if fault.times is not None and standing.strikes >= fault.times:
            return False
        return fault.probability >= 1.0 or self._world().random.stream("faults").random() < fault.probability

    # -- faults of the world ---------------------------------------------------------------------------------------------------

    def _strike_world(self, site: str, selectors: Mapping[str, str]) -> bool:
        """Let the clock jump and services die; return whether the running task died with one."""
        is_own = False
        now_ns = self._now_ns()
        for standing in self._standings:
            fault = standing.fault
            for place in _WORLD_SITES:
                if fnmatchcase(place, fault.site) and self._strikes_now(
                    standing, site, _without_host(fault, selectors), now_ns
                ):
                    self._tell(standing, place, selectors)
                    is_own = self._strike_place(fault, place) or is_own
        return is_own

    def _strike_place(self, fault: Fault, place: str) -> bool:
        if place == "clock":
            self._effects.jump(fault)
            return False
        loop, back_ns = simulation_loop(fault), self._back_ns(fault)
        killed = [self._processes.kill(loop, actor, back_ns) for actor in self._actors_of(fault, place)]
        return any(killed)

    def _actors_of(self, fault: Fault, place: str) -> list[str]:
        prefix = _HOSTS.get(place)
        if prefix is None:
            return [place.partition(".")[2]]
        wanted = dict(fault.when).get(prefix[:-1], "*")
        return [actor for actor in self._processes.actors if fnmatchcase(actor, prefix + wanted)]

    def _world(self) -> Ports:
        assert self._ports is not None, "attach the plan to a world first (run and real_ports do)"
        return self._ports

    def _now_ns(self) -> int:
        return self._world().clock.now_ns()


def _running_loop() -> SimulationLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimulationLoop), "only a simulated world kills"
    return loop


def _without_host(fault: Fault, selectors: Mapping[str, str]) -> Mapping[str, str]:
    """For the selectors that say which process of a host is meant, a visit says what the fault wants to hear."""
    meant = {key: value for key, value in fault.when if f"{key}:" in _HOSTS.values()}
    return {**selectors, **meant}


__all__ = ["FaultPlan", "SiteVisit"]
