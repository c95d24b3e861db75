"""Phases of a requestor's run: recorded as events, and kept for runs that nobody records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from vss.events import PhaseEntered, PhaseLeft
from vss.ports import Ports
from vss_requestors.results import PhaseTiming


class Phases:
    """Times the phases of one session."""

    def __init__(self, ports: Ports) -> None:
        """Begin with none."""
        self.session_id = ""
        self.timings: list[PhaseTiming] = []
        self._ports = ports

    @asynccontextmanager
    async def phase(self, name: str) -> AsyncIterator[None]:
        """Time the block; an exception makes its outcome "failed"."""
        entered_ns = self._ports.clock.now_ns()
        self._ports.emit(PhaseEntered(phase=name, session_id=self.session_id))
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        finally:
            duration_ns = self._ports.clock.now_ns() - entered_ns
            self._ports.emit(PhaseLeft(phase=name, session_id=self.session_id, duration_ns=duration_ns, outcome=outcome))
            self.timings.append(PhaseTiming(phase=name, duration_ns=duration_ns, outcome=outcome))
