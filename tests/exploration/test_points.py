"""Points of a clean run: named by what stays the same, counted by visits."""

from __future__ import annotations

import pytest

from vss.errors import ConfigurationError
from vss.exploration.points import Point, clean_run, stable_selectors
from vss.exploration.sweep import points_of, selected, visits_tried
from vss.exploration.workers import Crew
from vss.plugins.registry import Registry
from vss.scenarios import parse_scenario
from vss.simulation.fault_grammar import parse_fault


def test_points_have_the_same_names_under_every_seed(crew: Crew) -> None:
    _, first = clean_run(crew.explorer.scenario, crew.registry, seed=1)
    _, other = clean_run(crew.explorer.scenario, crew.registry, seed=2)

    assert [str(point) for point in first] == [str(point) for point in other]
    assert "backup: writer.freeze[writer=Notes]" in [str(point) for point in first]


def test_ids_and_places_do_not_name_a_point() -> None:
    told = {
        "session": "x",
        "file": "/sets/8d1e5f60-1234-4000-8000-000000000000/a",
        "writer": "A, B",
        "offset": "12",
        "level": "",
    }

    assert stable_selectors(told) == (("writer", "A? B"),)


def test_a_fault_at_a_point_is_a_line_that_parses() -> None:
    point = Point("backup", "provider.commit", (("provider", "Copy-on-write shadow copy provider"),), 2)

    step, line = point.fault("fail code=F3", 2)
    always = parse_fault(point.fault("hang", None)[1])

    assert step == "backup"
    assert parse_fault(line).when == (("provider", "Copy-on-write shadow copy provider"), ("nth", "2"))
    assert (always.times, always.when) == (None, (("provider", "Copy-on-write shadow copy provider"),))


def test_roles_are_struck_at_every_visit_and_media_at_three() -> None:
    assert visits_tried(Point("s", "writer.freeze", (), 4), all_visits=False) == [1, 2, 3, 4]
    assert visits_tried(Point("s", "volume.write", (), 9), all_visits=False) == [1, 5, 9]
    assert visits_tried(Point("s", "volume.write", (), 1), all_visits=False) == [1]
    assert visits_tried(Point("s", "volume.write", (), 4), all_visits=True) == [1, 2, 3, 4]


def test_what_shows_that_all_is_well_again_is_not_struck(crew: Crew) -> None:
    assert {point.step for point in points_of(crew)} == {"backup", "verify", "disaster", "restore"}


def test_points_are_selected_by_step_and_site(crew: Crew) -> None:
    points = points_of(crew)

    assert {point.site for point in selected(points, [], ["writer.fr*"])} == {"writer.freeze"}
    assert {point.step for point in selected(points, ["restore"], [])} == {"restore"}
    with pytest.raises(ConfigurationError, match=r"passes no point of writer\.frieze"):
        selected(points, [], ["writer.frieze"])


def test_a_scenario_that_is_not_clean_by_itself_is_refused(registry: Registry) -> None:
    scenario = parse_scenario(
        'title = "t"\nfaults = ["writer.freeze times=always fail"]\n[lab]\ntemplate = "small"\n[[method]]\ndo = "backup"\n',
        "x.toml",
    )

    with pytest.raises(ConfigurationError, match=r"x\.toml: the run without injected faults is not clean: expectation backup"):
        clean_run(scenario, registry)
