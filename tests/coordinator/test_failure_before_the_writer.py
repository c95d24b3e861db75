"""A call that failed before it reached its writer: the writer did nothing of it, so no part of it can count as done."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import WriterError
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
