"""The pytest plugin, in pytest runs of its own: fixtures, markers, seeds, the section on failure, and its good neighbours."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import entry_points

import pytest

pytest_plugins = ["pytester"]

IS_INSTALLED = any(each.name == "vss" for each in entry_points(group="pytest11"))
LOADED = [] if IS_INSTALLED else ["-p", "vss.testing.pytest_plugin"]
OPTIONS = ["-p", "no:cacheprovider", "--strict-markers", "-Werror"]
INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"

BACKUP = """
async def backup(scene):
    await scene.backup()
"""


def run(pytester: pytest.Pytester, test: str, *options: str, subprocess: bool = False) -> pytest.RunResult:
    pytester.makefile(".ini", pytest=INI)
    pytester.makepyfile(test_it=test)
    go = pytester.runpytest_subprocess if subprocess else pytester.runpytest_inprocess
    return go(*LOADED, *OPTIONS, *options)


def test_a_fault_is_injected_and_looked_at(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_it(vss_machine):
            run = vss_machine(writers=["Store"]).backup(faults="writer.freeze hang")
            assert not run.ok
            assert "FreezeWindowLost" in run.event_names
        """,
    )

    result.assert_outcomes(passed=1)


def test_the_timeline_and_the_line_that_repeats_it_are_shown_on_failure(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_it(vss_machine):
            assert vss_machine(writers=["Store"]).backup(faults="writer.freeze hang").ok
        """,
        "--vss-seed=12",
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "vss: seed 12",
            "*- VSS timeline -*",
            "seed 12, * events",
            "ended with FreezeWindowError: *",
            "struck: fault writer.freeze hang",
            "*freeze window*LOST",
            "reproduce: pytest 'test_it.py::test_it' --vss-seed=12",
        ]
    )


def test_a_test_that_passes_or_runs_nothing_shows_nothing(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        def test_good(vss_machine):
            assert vss_machine().backup().ok

        def test_bad():
            assert False
        """,
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.no_fnmatch_line("*VSS timeline*")


def test_a_broken_invariant_fails_the_test_and_is_shown(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from vss.events import WritesHeld

        def test_it(vss_sim):
            async def story(ports):
                ports.emit(WritesHeld(volume="D:", limit_ns=10**10))
                await ports.clock.sleep(60)
            vss_sim.run(story)
        """,
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*InvariantError*", "*- VSS timeline -*", "*invariant violation*"])


def test_marked_faults_apply_to_every_run_of_the_test_only(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        BACKUP
        + """
import pytest

@pytest.mark.vss_fault("writer.thaw hang", "provider.query delay=1s")
def test_marked(vss_sim):
    assert vss_sim.run(backup).fired == ("fault writer.thaw hang", "fault provider.query delay=1s")

def test_unmarked(vss_sim):
    assert vss_sim.run(backup).fired == ()
""",
    )

    result.assert_outcomes(passed=2)


def test_a_list_of_faults_makes_a_case_of_each(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        BACKUP
        + """
import pytest

@pytest.mark.vss_faults(["writer.freeze hang", "fault provider.commit fail code=E_OUTOFMEMORY"])
def test_asked(vss_sim, vss_fault):
    assert vss_sim.run(backup).fired == ("fault " + vss_fault.removeprefix("fault "),)

@pytest.mark.vss_faults(["writer.freeze hang", "provider.commit fail"])
def test_unasked(vss_sim):
    assert len(vss_sim.run(backup).fired) == 1
""",
        "-v",
    )

    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [
            "*::test_asked[[]writer.freeze,hang[]] PASSED*",
            "*::test_asked[[]provider.commit,fail,code=E_OUTOFMEMORY[]] PASSED*",
        ]
    )


def test_an_empty_list_of_faults_and_a_lonely_fixture_are_refused(pytester: pytest.Pytester) -> None:
    empty = run(pytester, "import pytest\n@pytest.mark.vss_faults([])\ndef test_it(): pass\n")
    lonely = run(pytester, "def test_it(vss_fault): pass\n")

    assert empty.ret != 0
    empty.stdout.fnmatch_lines(["*vss_faults expects a list of faults*"])
    lonely.assert_outcomes(errors=1)
    lonely.stdout.fnmatch_lines(["*needs the marker vss_faults*"])


def test_the_seed_reaches_runs_and_is_one_by_default(pytester: pytest.Pytester) -> None:
    test = """
def test_it(vss_machine, request):
    assert vss_machine().backup().seed == (request.config.getoption("--vss-seed") or 1)
"""

    run(pytester, test).assert_outcomes(passed=1)
    run(pytester, test, "--vss-seed=99").assert_outcomes(passed=1)


def test_every_single_fault_is_a_case_with_an_id_of_its_own(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        BACKUP
        + """
from vss.testing import vss_every_fault

@vss_every_fault(backup, sites="writer.freeze", effects=("fail", "hang"))
def test_it(vss_sim, single_fault):
    assert vss_sim.run(backup, faults=single_fault.fault).fired
""",
        "-v",
    )

    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*::test_it[[]writer.freeze[[]A[]]#1-hang[]] PASSED*"])


def test_a_failed_contract_shows_its_timeline(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        from vss.testing import StubWriter, WriterContract

        class Slow(StubWriter):
            async def on_freeze(self, context):
                import asyncio
                await asyncio.sleep(7)

        class TestSlow(WriterContract):
            def make_writer(self, host):
                writer = Slow("Slow")
                writer.instance_name = host.name
                return writer
        """,
        "-k",
        "fit_the_window",
    )

    assert result.parseoutcomes()["failed"] == 1
    result.stdout.fnmatch_lines(["*takes 7 s in on_freeze*", "*mend: *", "*- VSS timeline -*", "*7.000 s of 10 s*"])


# -- neighbours ----------------------------------------------------------------------------------------------------------------

ASYNC_TEST = """
import pytest
from vss.testing import vss_sim_test

@vss_sim_test(seeds=3, order="any")
async def test_ours(scene, tmp_path):
    await scene.backup()
    assert tmp_path.exists()

@pytest.mark.parametrize("count", [1, 2])
@vss_sim_test
async def test_parametrised(ports, count):
    await ports.clock.sleep(3600 * count)

class TestClass:
    @vss_sim_test
    async def test_method(self, ports):
        await ports.clock.sleep(1)
"""


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_async_tests_need_no_plugin_and_mind_none(mode: str, pytester: pytest.Pytester) -> None:
    run(pytester, ASYNC_TEST, f"--asyncio-mode={mode}").assert_outcomes(passed=4)


def test_async_tests_run_without_any_async_plugin(pytester: pytest.Pytester) -> None:
    run(pytester, ASYNC_TEST, "-p", "no:asyncio", "-Wignore").assert_outcomes(passed=4)


def test_users_async_tests_keep_their_loop(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
        import asyncio

        async def test_it():
            assert type(asyncio.get_running_loop()).__module__.startswith("asyncio")
        """,
        "--asyncio-mode=auto",
    )

    result.assert_outcomes(passed=1)


CONFTEST = """
import asyncio
from vss.simulation import SimulationLoop

def pytest_asyncio_loop_factories(config, item):
    if item.get_closest_marker("simulated"):
        return {"simulated": SimulationLoop}
    return {"default": asyncio.new_event_loop}

def pytest_configure(config):
    config.addinivalue_line("markers", "simulated: run on virtual time")
"""


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_pytest_asyncio_can_be_given_our_loop_by_a_conftest(mode: str, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    result = run(
        pytester,
        """
        import asyncio
        import pytest
        from vss.errors import BadStateError
        from vss.testing import Scene, running_ports

        @pytest.mark.simulated
        @pytest.mark.asyncio
        async def test_virtual():
            scene = await Scene.build(running_ports())
            await scene.backup()
            await asyncio.sleep(86400)
            assert scene.ports.clock.now_ns() == 86400 * 10**9

        @pytest.mark.asyncio
        async def test_real():
            with pytest.raises(BadStateError, match="its time would be real"):
                running_ports()
        """,
        f"--asyncio-mode={mode}",
        "-p",
        "no:looptime_plugin",  # rewrites every loop of pytest-asyncio, and needs one with a selector
        subprocess=True,
    )

    result.assert_outcomes(passed=2)


HYPOTHESIS = """
from hypothesis import given, settings, strategies as st
from vss.testing.strategies import plans, schedules
from vss.testing import vss_sim_test

async def backup(scene):
    await scene.backup()

@settings(max_examples=10, deadline=None, database=None)
@given(plan=plans(effects=("fail", "delay")), schedule=schedules())
def test_fixture(vss_sim, plan, schedule):
    vss_sim.run(backup, faults=plan, choices=schedule.choices())

@settings(max_examples=10, deadline=None, database=None)
@given(seconds=st.integers(1, 100))
@vss_sim_test
async def test_decorator(ports, seconds):
    assert ports.clock.now_ns() == 0     # a fresh world for each example
    await ports.clock.sleep(seconds)
"""


def test_it_goes_with_hypothesis(pytester: pytest.Pytester) -> None:
    run(pytester, HYPOTHESIS).assert_outcomes(passed=2)


@pytest.mark.slow
def test_it_goes_with_xdist(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        BACKUP
        + """
import pytest
from vss.testing import vss_every_fault

@vss_every_fault(backup, sites="writer.*", effects=("hang",))
def test_many(vss_sim, single_fault):
    assert vss_sim.run(backup, faults=single_fault.fault).seed == 5

def test_bad(vss_sim):
    assert vss_sim.run(backup, faults="writer.freeze hang").ok
""",
        "-n2",
        "--vss-seed=5",
        subprocess=True,
    )

    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes["passed"] > 5
    result.stdout.fnmatch_lines(["*- VSS timeline -*", "reproduce: pytest 'test_it.py::test_bad' --vss-seed=5"])


@pytest.mark.slow
def test_it_goes_with_looptime(pytester: pytest.Pytester) -> None:
    if importlib.util.find_spec("looptime") is None:
        pytest.skip("looptime is not installed")
    run(pytester, ASYNC_TEST, "--asyncio-mode=auto", subprocess=True).assert_outcomes(passed=4)


# -- cost ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_loading_the_plugin_imports_nothing_else_of_the_project(pytester: pytest.Pytester) -> None:
    code = (
        "import sys, pytest\n"
        f"pytest.main({[*LOADED, '--co', '-q', '-p', 'no:cacheprovider']!r})\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0].startswith('vss')))\n"
        "print(sorted(name for name in ('numpy', 'networkx', 'lxml', 'structlog', 'msgspec') if name in sys.modules))\n"
    )
    result = pytester.run(sys.executable, "-c", code)

    expected = ["vss", "vss.testing", "vss.testing.pytest_plugin", "vss.testing.run_log"]
    assert result.outlines[-2:] == [str(expected), "[]"]
