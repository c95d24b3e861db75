"""What a run reached: writer states × events, result codes, kinds of events, outcomes. Read from its records only.

A cell is a short text, so that cells of any number of runs are merged by counting. What there is to reach comes from the tables
that decide: ``TRANSITIONS`` of the writer's machine, ``HResult``, the events' classes, the fault sites.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from vss.events import Record, WriterAnswered, WriterCalled, WriterIdentified, WriterTimedOut, WriterVetoed
from vss.hresult import HResult
from vss.machines.writer import TRANSITIONS, WriterEvent, WriterState
from vss.observe.jsonl import event_types
from vss.scenarios import Outcome
from vss.simulation.fault_sites import FAULT_SITES

_CODE = re.compile(r"\b(?:VSS_[ES]|[ES])_[A-Z_]+")
_LOST = (WriterEvent.FREEZE, WriterEvent.THAW, WriterEvent.ABORT)


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what there is was reached.

    Attributes:
        writer_cells: state and event of each legal cell reached, with runs.
        writer_cells_missing: legal cells that no run reached.
        codes: result codes seen, with runs.
        events: kinds of events seen, with runs.
        events_missing: kinds that no run emitted.
        sites: sites of the table that a fault struck, with runs.
        sites_missing: those where none did.
        outcomes: runs by outcome.
    """

    writer_cells: dict[str, int]
    writer_cells_missing: list[str]
    codes: dict[str, int]
    events: dict[str, int]
    events_missing: list[str]
    sites: dict[str, int]
    sites_missing: list[str]
    outcomes: dict[str, int]


def cells_of(outcome: Outcome, word: str) -> tuple[str, ...]:
    """Return the cells of a run, sorted; ``word`` is its outcome."""
    cells = {f"outcome {word}"}
    cells.update(f"event {type(record.event).__name__}" for record in outcome.records)
    cells.update(f"writer {cell}" for cell in _writer_cells(outcome.records))
    for step in outcome.steps:
        cells.update(f"code {name}" for name in _codes(step.hresult))
    for record in outcome.records:
        cells.update(f"code {name}" for name in _codes(getattr(record.event, "hresult", "")))
    cells.update(f"site {site}" for site in _struck(outcome.records))
    return tuple(sorted(cells))


def _codes(text: str) -> Iterable[str]:
    return (name for name in _CODE.findall(text) if name in HResult.__members__)


def _struck(records: Iterable[Record]) -> Iterable[str]:
    return (str(getattr(record.event, "site")) for record in records if type(record.event).__name__ == "FaultFired")  # noqa: B009


def _writer_cells(records: Iterable[Record]) -> Iterable[str]:
    """Follow every writer through every session by its events, and tell which event it got in which state."""
    states: dict[tuple[str, str], WriterState] = {}
    for record in records:
        event = record.event
        if isinstance(event, WriterIdentified):
            yield f"{WriterState.STABLE.name} {WriterEvent.IDENTIFY.value}"  # a session begins with it
        elif isinstance(event, WriterCalled | WriterAnswered | WriterVetoed | WriterTimedOut):
            who = (event.writer, getattr(event, "session_id", ""))
            state = states.get(who, WriterState.STABLE)
            if isinstance(event, WriterCalled):
                yield f"{state.name} {event.step}"
            elif isinstance(event, WriterTimedOut):
                states[who] = _after_loss(state, event.step)
            elif event.state in WriterState.__members__:
                states[who] = WriterState[event.state]


def _after_loss(state: WriterState, step: str) -> WriterState:
    """Return where a writer stands after a step without answer: as ``WriterMachine.lose`` has it."""
    cell = next((each for each in TRANSITIONS if each[0] is state and each[1].value == step), None)
    if cell is not None and cell[1] in _LOST:
        return TRANSITIONS[cell][1]
    return WriterState.UNKNOWN


def coverage_of(cells: Mapping[str, int]) -> Coverage:
    """Return what merged cells amount to."""
    kinds: dict[str, dict[str, int]] = {}
    for cell in sorted(cells):
        kind, _, rest = cell.partition(" ")
        kinds.setdefault(kind, {})[rest] = cells[cell]
    writer = kinds.get("writer", {})
    legal = [f"{state.name} {event.value}" for state, event in TRANSITIONS if event is not WriterEvent.FREEZE_TIMER_EXPIRED]
    events = kinds.get("event", {})
    sites = kinds.get("site", {})
    return Coverage(
        writer_cells={cell: writer[cell] for cell in legal if cell in writer},
        writer_cells_missing=[cell for cell in legal if cell not in writer],
        codes=kinds.get("code", {}),
        events=events,
        events_missing=[name for name in event_types() if name not in events],
        sites=sites,
        sites_missing=[site.name for site in FAULT_SITES if site.name not in sites],
        outcomes=kinds.get("outcome", {}),
    )
