"""Judging a simulated run at its end: every run, everywhere, by the invariants that the event log alone can show.

The events are taken as they are emitted, with the loop's instants, and judged once the world has ended, when nothing can be
emitted any more. A run that broke an invariant ends in ``InvariantError``, also where it ended in another error: that one is
the cause then. Where the simulator itself ended the run (deadlock, bound, leak) its error stays, and what was broken is a note
on it.
"""

from __future__ import annotations

from vss.errors import InvariantError
from vss.events import Event, Record
from vss.simulation.errors import SimulationError
from vss.simulation.loop import SimulationLoop


class RunJudge:
    """Takes the events of one run."""

    def __init__(self, loop: SimulationLoop) -> None:
        """Stamp events with the instants of ``loop``."""
        self._loop = loop
        self._records: list[Record] = []

    def take(self, event: Event) -> None:
        """Keep an event."""
        self._records.append(Record(len(self._records) + 1, self._loop.now_ns, event))

    def judge(self, ended_by: BaseException | None = None) -> None:
        """Judge what was taken; ``ended_by`` is the exception that ended the run.

        Raises:
            InvariantError: an invariant is broken, and no error of the simulator says so already.
        """
        if not self._records:
            return
        from vss.simulation.invariants import Evidence, check, report  # a run without events does not pay for it

        evidence = Evidence(records=self._records, end_ns=self._loop.now_ns, stall_ns=self._loop.lateness_ns)
        verdict = check(evidence)
        if verdict.is_good:
            return
        text = report(verdict, self._records)
        if ended_by is not None and (isinstance(ended_by, SimulationError) or not isinstance(ended_by, Exception)):
            ended_by.add_note(text)
            return
        raise InvariantError(text, hint="replay the run with the same seed and plan") from ended_by
