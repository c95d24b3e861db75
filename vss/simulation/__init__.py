"""Simulation: the deterministic loop, the simulated ports, and ``run``, which puts a coroutine into a fresh world."""

from __future__ import annotations

from vss.simulation.choices import (
    ChoiceSource,
    FifoChoices,
    Order,
    PctChoices,
    PrefixChoices,
    RecordedChoices,
    ReplayChoices,
    SeededChoices,
    depth_first,
)
from vss.simulation.errors import (
    DeadlockError,
    ForbiddenError,
    LeakError,
    LivelockError,
    ReplayError,
    SimulationError,
    UnhandledError,
    VirtualTimeError,
    WorldClosedError,
)
from vss.simulation.fault_grammar import Fault, parse_fault
from vss.simulation.fault_site_kinds import FaultSite
from vss.simulation.fault_sites import FAULT_SITES, KNOWN_SITES, EffectForm, applicable_effects
from vss.simulation.faults import FaultPlan, SiteVisit
from vss.simulation.host_log import HostState, RecordedFiles
from vss.simulation.loop import SimulationLoop
from vss.simulation.memory_files import MemoryFiles
from vss.simulation.parts import ACTOR
from vss.simulation.ports import START_WALL_NS, ScriptedProcesses, SeededStreams, SimulatedClock, simulated_ports
from vss.simulation.world import Simulation, run

__all__ = [
    "ACTOR",
    "FAULT_SITES",
    "KNOWN_SITES",
    "START_WALL_NS",
    "ChoiceSource",
    "DeadlockError",
    "EffectForm",
    "Fault",
    "FaultPlan",
    "FaultSite",
    "FifoChoices",
    "ForbiddenError",
    "HostState",
    "LeakError",
    "LivelockError",
    "MemoryFiles",
    "Order",
    "PctChoices",
    "PrefixChoices",
    "RecordedChoices",
    "RecordedFiles",
    "ReplayChoices",
    "ReplayError",
    "ScriptedProcesses",
    "SeededChoices",
    "SeededStreams",
    "SimulatedClock",
    "Simulation",
    "SimulationError",
    "SimulationLoop",
    "SiteVisit",
    "UnhandledError",
    "VirtualTimeError",
    "WorldClosedError",
    "applicable_effects",
    "depth_first",
    "parse_fault",
    "run",
    "simulated_ports",
]
