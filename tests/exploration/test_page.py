"""The page's table has a row for every site that the default sweep strikes, and says how many points and effects there are."""

from __future__ import annotations

import re
from pathlib import Path

from vss.exploration.page import HEADINGS, planned, sweep_table
from vss.exploration.sweep import points_of, sweep, trials
from vss.exploration.workers import Crew

PAGE = Path(__file__).parents[2] / "docs" / "exploration.md"
ROW = re.compile(r"^\| `([\w.]+)` \| (\d+) \| (\d+) \|", re.MULTILINE)


def test_sites_points_and_effects_of_the_table_are_current(crew: Crew) -> None:
    text = PAGE.read_text("utf-8")
    found = {site: (int(points), int(effects)) for site, points, effects in ROW.findall(text) if int(points)}

    assert found == dict(planned(points_of(crew))), "run python benchmarks/exploration.py --fill"
    assert f"| {' | '.join(HEADINGS)} |" in text


def test_the_table_adds_up(tiny: Crew) -> None:
    points = [point for point in points_of(tiny) if point.site == "writer.freeze"]
    report, _ = sweep(tiny, "single", points, trials("single", points, tiny, every=30))

    lines = sweep_table(report).splitlines()

    assert lines[-1].startswith(f"| all | 1 | {sum(cell.effects for cell in report.cells)} | {report.runs} |")
    assert len(lines) == len(report.cells) + 3
