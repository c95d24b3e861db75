"""Writes ``docs/invariants.md`` from the invariants and the planted bugs: ``python -m tests.invariants.page``."""

from __future__ import annotations

from pathlib import Path

from tests.invariants.planted import ALL
from vss.simulation.invariants import INVARIANTS, Invariant, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "invariants.md"

_FAMILIES = {
    "F": "Freeze and hold",
    "C": "Content of shadow copies",
    "S": "Sessions, states, resources",
    "B": "Backup set, verification, restore",
    "D": "Store and logs",
    "R": "Whole run",
}

_HEAD = """# Invariants

What must hold after every run, whatever was injected: {count} statements, each with an id. `vss.simulation.invariants` judges
them from the event log and from bytes that were taken down independently of the code that is judged; it never asks that code
whether it is right. **S** is safety (nothing bad happens), **L** liveness (something good happens in time).

Every simulated run (`vss.simulation.run`, every test, every start of a lab) is judged at its end by the {records} statements
for which the event log is enough; a run that broke one ends in `InvariantError`, exit code 11, with what broke it and the
five records before it. A test that makes its events up says so: `run(main, unjudged="made-up events")`. The others need the
evidence named in the table:

```python
from vss.simulation.invariants import Evidence, assert_invariants

verdict = assert_invariants(Evidence(records=recorder.records, end_ns=clock.now_ns()))
print(verdict.judged, verdict.not_judged)
```

A scenario (`vss run`, `vss faults run`, `vss sweep`) is judged by 44: its volumes are watched below the gate, its shadow copies
are read at the commit, when the set is finished and after every step, and backup sets, restores and the files of frozen writers
are compared with the images of the volumes. Looking passes no fault site and takes no virtual time: a run has the same digest
with and without. It costs about 11 ms for a backup and a restore on the `small` lab; `run_scenario(..., evidence="light")`
leaves it out, and the exhaustive search of interleavings does. `Outcome.not_judged` names what lacked its evidence: the
statements that need a trial, and B11, C5, D1, D5, D6, D7, D9, D11, D12 and R9. Where a fault struck the bytes of a medium, B1,
B3 and the statements about that volume prove nothing and are passed over; that somebody notices is R6.

What was not judged is listed with what it lacks; nothing counts as kept because nobody looked. `vss.volumes.watched_store`
takes the evidence of volumes, `vss.simulation.invariants.relations` puts to the proof what only several runs, a recovery or a
restore can show ("trials"), and `vss.simulation.invariants.protocol_model` is the independent model of the protocol that R8
replays a log through. Each statement has at least one bug that is planted by a test and has to be found ({bugs} in all).
"""


def page() -> str:
    """Return the page."""
    records = sum(not each.needs and each.invariant_id not in _BY_TRIAL for each in INVARIANTS.values())
    lines = [_HEAD.format(count=len(INVARIANTS), records=records, bugs=len(ALL))]
    for letter, title in _FAMILIES.items():
        lines += [f"## {title}", "", "| id | | statement | evidence | planted bugs |", "|---|---|---|---|---|"]
        own = [each for each in INVARIANTS.values() if each.invariant_id.startswith(letter)]
        lines += [_row(each) for each in sorted(own, key=lambda each: int(each.invariant_id[1:]))]
        lines.append("")
    return "\n".join(lines)


_BY_TRIAL = ("B7", "B10", "D2", "D3", "D4", "D10", "S11", "R2", "R3", "R4", "R9")


def _row(each: Invariant) -> str:
    bugs = "; ".join(bug.what for bug in ALL if bug.invariant_id == each.invariant_id)
    needs = ", ".join(need.value.replace("_", " ") for need in each.needs)
    if not needs:
        needs = "trial" if each.invariant_id in _BY_TRIAL and each.invariant_id != "R9" else "records"
    kind = "L" if each.kind is Kind.LIVENESS else "S"
    return f"| {each.invariant_id} | {kind} | {each.statement.replace('|', chr(92) + '|')} | {needs} | {bugs} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
