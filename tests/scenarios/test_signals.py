"""SIGINT and SIGTERM at chosen moments of ``betest`` and ``vss demo``, in processes of their own.

A plugin beside the scripts stops the process at the chosen moment: it says so on stderr and waits on stdin until the test has
sent its signal. So nothing here sleeps and no moment is missed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from vss.exit_codes import ExitCode

pytestmark = pytest.mark.slow

PLUGIN = '''
"""Stops this process at the moment named in STOP_AT, once."""
import os
import sys

from vss.plugins import hookimpl

VSS_API = "1.0"
left = [os.environ.get("STOP_AT", "")]


def stop(moment):
    if left and left[0] == moment:
        left.clear()
        print("AT", moment, file=sys.stderr, flush=True)
        sys.stdin.readline()


@hookimpl
def vss_event_recorded(record):
    event = record.event
    phase = getattr(event, "phase", "")
    stop(type(event).__name__ + (":" + phase if phase else ""))


class Stopping:
    """Copy-on-write that can be stopped in the middle of a hold."""


def make(ports):
    from vss_providers.copy_on_write import CopyOnWriteProvider

    class StoppingProvider(CopyOnWriteProvider):
        async def commit_snapshots(self, snapshot_set_id):
            stop("in the hold")
            await ports.clock.sleep(0.001)
            await super().commit_snapshots(snapshot_set_id)

    return StoppingProvider(ports)


@hookimpl
def vss_register_providers(registry):
    registry.provider("stopping", make)
'''


@pytest.fixture
def stopping(shell: Any) -> Any:
    """The shell, with the plugin installed for its processes."""
    site = shell.place / "site"
    (site / "stopping-1.0.dist-info").mkdir(parents=True)
    (site / "stopping_plugin.py").write_text(PLUGIN)
    (site / "stopping-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: stopping\nVersion: 1.0\n")
    (site / "stopping-1.0.dist-info" / "entry_points.txt").write_text("[vss.plugins]\nstopping = stopping_plugin\n")
    inherited = [shell.environment["PYTHONPATH"]] if "PYTHONPATH" in shell.environment else []
    shell.environment["PYTHONPATH"] = os.pathsep.join([str(site), *inherited])
    return shell


def interrupted(shell: Any, moment: str, number: signal.Signals, *words: str) -> tuple[int, str]:
    """Run ``words`` until ``moment``, send the signal, return exit code and standard error."""
    with subprocess.Popen(
        shell.command(words),
        cwd=shell.place,
        env={**shell.environment, "STOP_AT": moment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == f"AT {moment}\n"
        process.send_signal(number)
        _, err = process.communicate("go on\n", timeout=60)
        return process.returncode, err


def states(place: Path) -> list[str]:
    return [json.loads(each.read_bytes())["state"] for each in sorted(place.glob("sets/*/session.json"))]


MOMENTS = (
    *("DatabaseMounted", "PhaseEntered:gather", "PhaseEntered:prepare", "WriterFroze", "in the hold", "SnapshotCommitted"),
    *("WriterThawed", "PhaseEntered:copy", "FileCopied", "PhaseEntered:verify", "DatabaseDismounted"),
)


def test_betest_can_be_interrupted_at_any_moment(stopping: Any) -> None:
    stopping.must("vss", "lab", "create", "lab")
    configuration = stopping.place / "lab" / "lab.toml"
    configuration.write_text(configuration.read_text().replace('"copy-on-write"', '"stopping"'))
    stopping.must("vss", "lab", "run", "lab", "--for", "2m")
    count = 0
    for index, moment in enumerate(MOMENTS):
        number = (signal.SIGINT, signal.SIGTERM)[index % 2]

        code, err = interrupted(stopping, moment, number, "betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets")

        assert code == (ExitCode.INTERRUPTED, ExitCode.TERMINATED)[index % 2], (moment, err)
        assert "interrupted, everything was released" in err
        new = states(stopping.place)[count:] if moment != "DatabaseDismounted" else []
        assert all(state == "failed" for state in new), (moment, new)
        count = len(states(stopping.place))
        done = stopping.must("vss", "lab", "check", "lab")
        assert done.out == "all invariants hold\n", moment
    assert stopping.must("vss", "admin", "list", "shadows", "--lab", "lab", "--json").data["shadows"] == []
    backup = stopping.must("betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets", "--json").data["result"]
    assert backup["state"] == "complete"


@pytest.mark.parametrize(("moment", "number"), [("SnapshotSetCreated", signal.SIGINT), ("VolumeLost", signal.SIGTERM)])
def test_the_demo_can_be_interrupted(stopping: Any, moment: str, number: signal.Signals) -> None:
    code, err = interrupted(stopping, moment, number, "vss", "demo", "--out", "out")

    assert code == 128 + number, err
    assert stopping.run("vss", "lab", "show", "out/lab").code == ExitCode.OK


def test_a_demo_that_is_not_kept_leaves_nothing_when_it_is_interrupted(stopping: Any) -> None:
    temporary = stopping.place / "tmp"
    temporary.mkdir()
    stopping.environment["TMPDIR"] = str(temporary)

    code, _ = interrupted(stopping, "WriterFroze", signal.SIGTERM, "vss", "demo")

    assert code == ExitCode.TERMINATED
    assert list(temporary.iterdir()) == []


def test_a_killed_process_leaves_a_lab_that_can_be_used(stopping: Any) -> None:
    stopping.must("vss", "lab", "create", "lab")
    stopping.must("vss", "lab", "run", "lab", "--for", "2m")

    code, _ = interrupted(stopping, "FileCopied", signal.SIGKILL, "betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets")

    assert code == -signal.SIGKILL
    assert all(state != "complete" for state in states(stopping.place))
    backup = stopping.must("betest", "--lab", "lab", "/B", "/T", "FULL", "/D", "sets", "--json").data["result"]
    assert backup["state"] == "complete"
    assert stopping.must("vss", "admin", "list", "shadows", "--lab", "lab", "--json").data["shadows"] == []


def test_a_second_process_is_refused_while_the_first_runs(stopping: Any) -> None:
    stopping.must("vss", "lab", "create", "lab")
    command = stopping.command(("vss", "lab", "run", "lab", "--for", "1m"))
    with subprocess.Popen(
        command,
        cwd=stopping.place,
        env={**stopping.environment, "STOP_AT": "DatabaseMounted"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as first:
        assert first.stderr is not None
        assert first.stderr.readline() == "AT DatabaseMounted\n"
        second = stopping.run("vss", "lab", "show", "lab")
        first.communicate("go on\n", timeout=60)
    assert second.code == ExitCode.SET_IN_PROGRESS
    assert "lab is in use: another process is running this machine" in second.err
    assert first.returncode == 0
    stopping.must("vss", "lab", "check", "lab")
