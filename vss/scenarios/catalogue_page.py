"""The page ``docs/failures.md``, made from the catalogue: what each entry is, and whether it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.scenarios.catalogue import Entry
from vss.scenarios.failure import GUARANTEES, PACKS

_GROUPS = {
    "W": "Writers",
    "P": "Providers and shadow copies",
    "C": "The coordinator",
    "R": "Requestors",
    "S": "Storage",
    "L": "Logs, checkpoint, chain",
    "M": "Several volumes, writers, sessions",
    "X": "Replication and passive copies",
    "T": "Restore and replay",
}


def catalogue_page(entries: Sequence[Entry]) -> str:
    """Return the page, Markdown."""
    return "\n".join(_lines(entries)) + "\n"


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    running = sum(1 for each in entries if not each.failure.is_pending)
    yield "# Failures"
    yield ""
    yield "<!-- Made from vss/scenarios/catalogue by python docs/refresh.py. -->"
    yield ""
    yield f"What goes wrong around snapshot backup and log-replay restore: {len(entries)} failures, {running} ready to run."
    yield "`vss faults show W01` says why one happens and whether to try again, `vss faults run W01` makes it happen, in"
    yield "simulated time, and checks what must hold. The others say what they wait for."
    yield "How to write your own: [scenarios](scenarios.md)."
    yield ""
    yield "| Guarantee | |"
    yield "|---|---|"
    for name, text in GUARANTEES.items():
        yield f"| {name} | {text} |"
    yield ""
    yield "| Pack | | Ready | Pending |"
    yield "|---|---|---|---|"
    for number, text in PACKS.items():
        members = [each for each in entries if number in each.failure.packs]
        ready = " ".join(each.id for each in members if not each.failure.is_pending)
        yield f"| {number} | {text} | {ready} | {' '.join(each.id for each in members if each.failure.is_pending)} |"
    for letter, heading in _GROUPS.items():
        yield ""
        yield f"## {heading}"
        yield ""
        yield "| Id | Failure | Phase | What the user sees | Must hold | State |"
        yield "|---|---|---|---|---|---|"
        for each in entries:
            if each.id.startswith(letter):
                failure = each.failure
                state = f"waits for {failure.waits_for}" if failure.is_pending else f"`vss faults run {each.id}`"
                cells = (each.id, each.title, failure.phase, failure.sees, " ".join(failure.must_hold), state)
                yield "| " + " | ".join(_cell(text) for text in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
