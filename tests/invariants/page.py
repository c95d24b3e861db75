"""Writes ``docs/invariants.md`` from the invariants and the planted bugs: ``python -m tests.invariants.page``."""

from __future__ import annotations

from pathlib import Path

from tests.invariants.planted import ALL
from vss.simulation.invariants import INVARIANTS, Invariant, Kind

PAGE = Path(__file__).resolve().parents[2] / "docs" / "invariants.md"

WHERE_THERE_IS_EVIDENCE = ("B11", "C5", "B7", "B10", "D2", "D6", "D7", "D9", "D10", "D11", "D12", "R2", "R3", "R4")
"""What a scenario's run judges where it can."""

NOT_IN_SCENARIOS = ("S11", "D1", "D3", "D4", "D5", "R9")

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

A scenario (`vss run`, `vss faults run`, `vss sweep`) is judged by {always} of them whatever it does: its volumes are watched
below the gate, its shadow copies are read at the commit, when the set is finished and after every step, and backup sets,
restores and the files of frozen writers are compared with the images of the volumes. Others are judged where lab and method
give what they need:

| | judged where |
|---|---|
| C5 | an application that tells of its writes (`activity-log`) works around the commit |
| D6, D7, D9, D11, D12 | a writer has a store of databases and logs (`mail`, `exchange`) and gets BackupComplete or Abort |
| D2 | a `check` follows a power cut, and users were promised that what is acknowledged is durable (`mail-flow`) |
| B11 | a full backup without faults, of files that the writers' documents name whole and without variables |
| B7, D10 | a `check` follows a restore; D10 where logs had been truncated before |
| B10 | a restore was refused, and no fault struck it |
| R2, R3 | backups follow the last strike of a fault; a backup or restore failed by an error with a code |
| R4 | in a sweep: every 500th run is done twice, the first one included |

{never} are judged by tests of their own only: they need a second run, a recovery that is
cut, or the engine's own writes, and R9 is about real time. `Outcome.not_judged` names what lacked its evidence in a run.

Where a fault struck the bytes of a medium, or somebody changed the files of a store by hand, B1, B3, the statements about that
volume or store, and a check that fails prove nothing and are passed over; that somebody notices is R6.

Looking passes no fault site and takes no virtual time: a run has the same digest with and without. It costs about 14 ms for a
backup and a restore on the `small` lab; `run_scenario(..., evidence="light")` leaves out what reads volumes and sets, and the
exhaustive search of interleavings does.

What was not judged is listed with what it lacks; nothing counts as kept because nobody looked. `vss.volumes.watched_store`
takes the evidence of volumes, `vss.simulation.invariants.relations` puts to the proof what only several runs, a recovery or a
restore can show ("trials"), and `vss.simulation.invariants.protocol_model` is the independent model of the protocol that R8
replays a log through. Each statement has at least one bug that is planted by a test and has to be found ({bugs} in all).
"""


def page() -> str:
    """Return the page."""
    records = sum(not each.needs and each.invariant_id not in _BY_TRIAL for each in INVARIANTS.values())
    always = len(INVARIANTS) - len(WHERE_THERE_IS_EVIDENCE) - len(NOT_IN_SCENARIOS)
    never = f"{', '.join(NOT_IN_SCENARIOS[:-1])} and {NOT_IN_SCENARIOS[-1]}"
    lines = [_HEAD.format(count=len(INVARIANTS), records=records, bugs=len(ALL), always=always, never=never)]
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
