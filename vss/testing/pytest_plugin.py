"""The pytest plugin (entry point ``vss`` of ``pytest11``): fixtures, markers, ``--vss-seed``, a timeline on failure.

Loaded in every pytest run of an environment, so it imports nothing of the project before a fixture is asked for, changes no
test that does not use it, and leaves pytest-asyncio's hooks alone. Reference: ``docs/testing.md``.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from vss.testing.run_log import RUN_LOG

if TYPE_CHECKING:
    from vss.testing.simulated import SimulatedMachine, Simulator

SECTION = "VSS timeline"
_FIXTURE = "vss_fault"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--vss-seed``."""
    group = parser.getgroup("vss", "simulated shadow copies")
    group.addoption("--vss-seed", type=int, default=None, metavar="N", help="seed of simulated runs that name none (default 1)")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and take the seed over."""
    config.addinivalue_line("markers", "vss_fault(fault, ...): inject these faults, together, into every simulated run")
    config.addinivalue_line("markers", "vss_faults(faults): run the test once for each of these faults")
    chosen = config.getoption("--vss-seed")
    RUN_LOG.is_seed_chosen = chosen is not None
    RUN_LOG.seed = 1 if chosen is None else chosen


def pytest_report_header(config: pytest.Config) -> str | None:
    """Show a seed that was chosen."""
    return f"vss: seed {RUN_LOG.seed}" if RUN_LOG.is_seed_chosen else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked ``vss_faults`` once for each fault, under an id that names it."""
    for marker in metafunc.definition.iter_markers("vss_faults"):
        faults = [str(each) for each in (marker.args[0] if marker.args else ())]
        if not faults:
            raise pytest.UsageError(f"{metafunc.definition.nodeid}: vss_faults expects a list of faults, found none")
        if _FIXTURE not in metafunc.fixturenames:
            metafunc.fixturenames.append(_FIXTURE)
        metafunc.parametrize(_FIXTURE, faults, ids=[_id(each) for each in faults], indirect=True)


def _id(fault: str) -> str:
    words = fault.split()
    return ",".join(words[1:] if words[:1] == ["fault"] else words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """A new test begins: its markers say which faults its runs get."""
    faults = [str(each) for marker in item.iter_markers("vss_fault") for each in marker.args]
    case = getattr(item, "callspec", None)
    if case is not None and _FIXTURE in case.params:
        faults.append(str(case.params[_FIXTURE]))
    RUN_LOG.begin(tuple(faults))
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Show the run of a test that failed, and the line that repeats it."""
    report: pytest.TestReport = yield
    run = RUN_LOG.worth_showing() if report.failed and report.when == "call" else None
    if run is not None:
        again = f"reproduce: pytest '{item.nodeid}' --vss-seed={run.seed}"
        report.sections.append((SECTION, f"{run.report()}\n{again}"))
    return report


@pytest.fixture(scope="session")
def vss_sim() -> Simulator:
    """Run stories and scenarios in simulated worlds: ``vss_sim.run(story, faults="writer.freeze hang").ok``. Holds nothing, so
    it is made once and goes with Hypothesis."""
    from vss.testing.simulated import Simulator

    return Simulator()


@pytest.fixture(scope="session")
def vss_machine() -> type[SimulatedMachine]:
    """Order a machine of stubs: ``vss_machine(writers=["Store"]).backup(faults="writer.freeze hang")``."""
    from vss.testing.simulated import SimulatedMachine

    return SimulatedMachine


@pytest.fixture
def vss_fault(request: pytest.FixtureRequest) -> str:
    """The fault of this case of a test marked ``vss_faults``; it is injected into every run of the test by itself."""
    fault: str | None = getattr(request, "param", None)
    if fault is None:
        raise pytest.UsageError(f"{request.node.nodeid}: the fixture vss_fault needs the marker vss_faults([...])")
    return fault
