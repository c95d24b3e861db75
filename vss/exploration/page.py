"""The table of a sweep as a page has it: what was tried at each site, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vss.exploration.points import Point
from vss.exploration.sweep import Report
from vss.simulation.fault_sites import FAULT_SITES, applicable_effects

HEADINGS = ("Site", "Points", "Effects", "Runs", "Reported", "Absorbed", "Not struck", "Violations")


def sweep_table(report: Report) -> str:
    """Return the table as Markdown, with a row of sums."""
    rows: list[tuple[str | int, ...]] = [
        (
            f"`{cell.site}`",
            cell.points,
            cell.effects,
            cell.runs,
            *(cell.outcomes.get(word, 0) for word in ("reported", "absorbed", "not struck")),
            cell.violations,
        )
        for cell in report.cells
    ]
    sums = [sum(int(row[column]) for row in rows) for column in range(1, len(HEADINGS))]
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" + "|--:" * (len(HEADINGS) - 1) + "|"]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in [*rows, ("all", *sums)]]
    return "\n".join(lines) + "\n"


def planned(points: Sequence[Point]) -> Mapping[str, tuple[int, int]]:
    """Return what the table must say of each site that a clean run passes: points, and forms of effects to try."""
    return {
        site.name: (count, len(applicable_effects(site)))
        for site in FAULT_SITES
        if (count := sum(1 for point in points if point.site == site.name))
    }
