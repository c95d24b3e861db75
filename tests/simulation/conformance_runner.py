"""Runs modules of CPython's own asyncio tests with the simulation's loop in the place of the stock one; prints JSON.

A script, not a test module: started by ``test_conformance.py`` in a process of its own, because the event loop policy and the
tests' tear-downs are global. Usage: ``python conformance_runner.py MODULE…``.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import unittest
import warnings

from vss.simulation import SimulationLoop

loops_made = 0


class SimulationPolicy(asyncio.DefaultEventLoopPolicy):
    """Every new loop is ours."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        global loops_made
        loops_made += 1
        return SimulationLoop(max_steps_per_instant=0)


def main(names: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))  # a test that never ends must not take the machine with it
    warnings.simplefilter("ignore")  # the tests provoke warnings and look for those they want themselves
    report: dict[str, object] = {}
    count = 0
    failed: dict[str, str] = {}
    for name in names:
        try:
            module = importlib.import_module(f"test.test_asyncio.{name}")
        except ModuleNotFoundError:
            continue
        asyncio.set_event_loop_policy(SimulationPolicy())
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromModule(module).run(result)
        count += result.testsRun
        failed |= {case.id().removeprefix("test.test_asyncio."): text for case, text in result.failures + result.errors}
    report = {"run": count, "loops": loops_made, "failed": failed}
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
