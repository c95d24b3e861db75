"""What happens at an event, step by step from the script: wait, hang, crash, lie, fail, or nothing of that.

Each step counts the events of its kind that it has seen; it meets those after the first ``after``, at most ``times`` of them.
Delays of several steps add up; the first step that does more than wait decides. Counts live as long as the writer object: a
machine that starts anew begins from zero, as a restarted test writer does. Retryable codes are drawn from the machine's seed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from vss.errors import WriterError
from vss.hresult import HResult
from vss.ports import Ports
from vss_writers.scripted.script import RETRYABLE_FAILURES, FailureTable, StepTable, failure_code, seconds


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that is due: its code is drawn, its message made."""

    code: HResult
    message: str
    is_reported: bool

    def as_error(self) -> WriterError:
        """Return it as the writer's veto."""
        return WriterError(self.message, hresult=self.code)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the handler is to do after the waiting: its work, unless a lie or a failure takes its place."""

    lie: str = ""
    fail: Failure | None = None
    set_failure: Failure | None = None


@dataclass(slots=True)
class _CountedStep:
    table: StepTable
    seen: int = field(default=0)

    def meets(self) -> bool:
        self.seen += 1
        number = self.seen - self.table.after
        return number >= 1 and (self.table.times is None or number <= self.table.times)


class Behaviour:
    """The steps of one writer, with their counts."""

    def __init__(self, steps: Sequence[StepTable], ports: Ports, name: str) -> None:
        """Begin with nothing seen; ``name`` is the lab's name of the writer, from which its random stream follows."""
        self._steps = [_CountedStep(each) for each in steps]
        self._ports = ports
        self._random = ports.random.stream(f"scripted-writer:{name}")

    async def meet(self, event: str) -> Verdict:
        """An event has come: wait as scripted, and say what else is due.

        Raises:
            RuntimeError: a crash is scripted.
        """
        due = [each for each in self._steps if each.table.event == event and each.meets()]
        delay_s = sum(seconds(each.table.delay) for each in due)
        if delay_s:
            await self._ports.clock.sleep(delay_s)
        for step in due:
            table = step.table
            if table.hang:
                await asyncio.Event().wait()
            if table.crash:
                raise RuntimeError(table.crash)
            if table.lie:
                return Verdict(lie=table.lie)
            if table.fail is not None:
                return Verdict(fail=self._failure(step, table.fail))
            if table.set_failure is not None:
                return Verdict(set_failure=self._failure(step, table.set_failure))
        return Verdict()

    def _failure(self, step: _CountedStep, table: FailureTable) -> Failure:
        code = failure_code(table) or self._random.choice(RETRYABLE_FAILURES)
        times = step.table.times
        number = step.seen - step.table.after
        of = "" if times is None else f" of {times}"
        return Failure(code, table.message or f"scripted failure {number}{of} at {step.table.event}", table.reported)
