"""Guards only: tests see neither the environment's settings of the product nor signals that somebody set to be ignored."""

from __future__ import annotations

import os
import signal

import pytest


def pytest_configure() -> None:
    """A shell starts what it puts into the background with SIGINT ignored, and children inherit that: tests that interrupt a
    program, or themselves, would wait for ever. The handlers of an ordinary start are put in place, in every worker."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sorted(os.environ):
        if name.startswith("VSS_") and name != "VSS_GOLDEN":
            monkeypatch.delenv(name)
