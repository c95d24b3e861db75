"""Scenarios: a lab, a method, faults and expectations in one file; run in simulated time, judged by the invariants."""

from vss.scenarios.outcome import FaultReport, Outcome, Shortfall, StepOutcome
from vss.scenarios.runner import run_scenario
from vss.scenarios.scenario import Scenario, load_scenario, parse_scenario, scenario_schema

__all__ = [
    "FaultReport",
    "Outcome",
    "Scenario",
    "Shortfall",
    "StepOutcome",
    "load_scenario",
    "parse_scenario",
    "run_scenario",
    "scenario_schema",
]
