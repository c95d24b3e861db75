"""The tables of this package as Mermaid state diagrams; ``docs/states.md`` is what ``document`` returns.

Only what a reader wants to see at once is drawn: calls that leave the state as it is are left out, parallel edges share one
arrow. Regenerate the file with ``python -m vss.machines.diagram > docs/states.md``; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from enum import Enum

from vss.machines import provider, session, writer

Edge = tuple[str, str, str]
"""State before, label, state after."""


def _outcomes(before: Enum, label: str, when_ok: Enum, when_failed: Enum) -> Iterator[Edge]:
    if when_ok is when_failed:
        yield before.name, label, when_ok.name
    else:
        yield before.name, label, when_ok.name
        yield before.name, f"{label} fails", when_failed.name


def writer_edges() -> Iterator[Edge]:
    """Yield every row of the writer's table."""
    for (before, event), (when_ok, when_failed) in writer.TRANSITIONS.items():
        yield from _outcomes(before, event.value, when_ok, when_failed)


def provider_edges() -> Iterator[Edge]:
    """Yield every row of the provider's table."""
    for (before, phase), (when_ok, when_failed) in provider.TRANSITIONS.items():
        yield from _outcomes(before, phase.value, when_ok, when_failed)


def session_edges() -> Iterator[Edge]:
    """Yield every row of the session's table, with the ways calls can fail."""
    for (before, call), after in session.TRANSITIONS.items():
        if call in session.TWO_MOMENTS:
            yield from _outcomes(before, call.value, after, session.state_after_failure(before, call))
        else:
            yield before.name, call.value, after.name


def mermaid(edges: Iterable[Edge], start: str, finals: Iterable[str] = ()) -> str:
    """Render ``edges`` as a Mermaid ``stateDiagram-v2``, states in the order they are met."""
    labels: dict[tuple[str, str], list[str]] = {}
    for before, label, after in edges:
        if before != after:
            labels.setdefault((before, after), []).append(label)
    lines = ["stateDiagram-v2", f"    [*] --> {start}"]
    lines += [f"    {before} --> {after}: {', '.join(texts)}" for (before, after), texts in labels.items()]
    lines += [f"    {state} --> [*]" for state in finals]
    return "\n".join(lines) + "\n"


def _section(title: str, text: str, diagram: str) -> str:
    return f"## {title}\n\n{text}\n\n```mermaid\n{diagram}```\n"


def document() -> str:
    """Return the text of ``docs/states.md``."""
    sections = (
        _section(
            "Writer",
            "One writer in one session (`vss/machines/writer.py`). Events that change nothing, such as a\n"
            "second Abort, are left out. A failed writer stays failed until the next session. A step that is not answered\n"
            "leads to UNKNOWN, but Freeze and Thaw to their failed states.",
            mermaid(writer_edges(), writer.WriterState.STABLE.name),
        ),
        _section(
            "Session",
            "The order of a requestor's calls (`vss/machines/session.py`). Calls that leave the state as it is are\n"
            "left out, and so is Release, which is legal everywhere.",
            mermaid(
                (edge for edge in session_edges() if edge[1] != session.SessionCall.RELEASE.value),
                session.SessionState.CREATED.name,
            ),
        ),
        _section(
            "Provider",
            "One snapshot set at one provider (`vss/machines/provider.py`). While preparing, AbortSnapshots may only\n"
            "interrupt EndPrepareSnapshots.",
            mermaid(
                provider_edges(),
                provider.ProviderState.EMPTY.name,
                [state.name for state in provider.ProviderState if state in provider.FINAL_STATES],
            ),
        ),
    )
    heading = "# States\n\nGenerated from the tables by `python -m vss.machines.diagram`; do not edit.\n\n"
    return heading + "\n".join(sections)


if __name__ == "__main__":
    sys.stdout.write(document())
