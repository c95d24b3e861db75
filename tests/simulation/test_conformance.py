"""CPython's own asyncio tests pass on the simulation's loop, but for those that need a thread."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

MODULES = (
    "test_tasks",
    "test_taskgroups",
    "test_timeouts",
    "test_queues",
    "test_locks",
    "test_waitfor",
    "test_futures",
    "test_futures2",
    "test_runners",
    "test_pep492",
    "test_context",
    "test_staggered",
    "test_eager_task_factory",
)

FORBIDDEN = {  # all five run the loop in one thread and submit from another, through run_in_executor
    "test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe",
    "test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_cancelled",
    "test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_task_factory_exception",
    "test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_exception",
    "test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_timeout",
}


@pytest.mark.slow
def test_cpythons_own_asyncio_tests_pass_but_for_those_with_threads() -> None:
    if importlib.util.find_spec("test") is None or importlib.util.find_spec("test.test_asyncio") is None:
        pytest.skip("this Python came without its own tests (test.test_asyncio)")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("conformance_runner.py")), *MODULES],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=240,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["run"] > 1000
    assert report["loops"] > 400
    failed = {name: text for name, text in report["failed"].items() if name not in FORBIDDEN}
    assert not failed, "\n".join(failed.values())
    assert all("ForbiddenError" in text for text in report["failed"].values())
