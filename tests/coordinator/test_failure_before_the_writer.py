"""A call that failed before it reached its writer: the writer did nothing of it, so no part of it can count as done."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import WriterError
from vss.events import Event, WriterVetoed
from vss.hresult import HResult
from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene


@pytest.mark.parametrize("struck", ["writer.prepare_snapshot", "writer.freeze", "writer.thaw", "writer.post_snapshot"])
def test_it_is_no_partial_failure(struck: str) -> None:
    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
        assert status.state.is_failed
        assert status.failure is HResult.VSS_E_WRITERERROR_NONRETRYABLE

    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == struck:
            raise WriterError("lost on the way", hresult=HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE)
        return await work()

    run(main, faults=faults)


@pytest.mark.parametrize("before", ["writer.prepare_snapshot", "writer.freeze"])
def test_backup_shutdown_that_fails_is_told_of_a_writer_that_had_failed_before(before: str) -> None:
    told: list[Event] = []

    async def main(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()

    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site in (before, "writer.backup_shutdown"):
            raise WriterError("lost on the way", hresult=HResult.VSS_E_WRITERERROR_RETRYABLE)
        return await work()

    run(main, faults=faults, emit=told.append)
    steps = [each.step for each in told if isinstance(each, WriterVetoed)]

    assert steps[-1] == "BackupShutdown"
