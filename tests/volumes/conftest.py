"""Builders that the tests of the volumes share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vss.ids import Guid
from vss.volumes import MemoryStore
from vss.volumes.block_store import WritableBlockDevice
from vss.volumes.extent_core import ExtentCore

MakeCore = Callable[..., ExtentCore]


@pytest.fixture
def make_core() -> MakeCore:
    """Return a builder of freshly formatted, mounted file systems: ``make_core(device=…, size_bytes=…)``; no clock."""

    def make(device: WritableBlockDevice | None = None, *, size_bytes: int = 1 << 20) -> ExtentCore:
        store = MemoryStore(size_bytes) if device is None else device
        ExtentCore.format(store, volume_id=Guid(int=7))
        return ExtentCore.mount(store, now_ns=lambda: 1)

    return make
