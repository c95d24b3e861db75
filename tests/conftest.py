"""Nothing but the guard that tests do not see the environment's settings of the product."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in sorted(os.environ):
        if name.startswith("VSS_") and name != "VSS_GOLDEN":
            monkeypatch.delenv(name)
