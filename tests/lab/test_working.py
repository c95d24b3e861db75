"""Programs die: a workload that is killed or cancelled ends for itself, and the machine and its backup go on."""

from __future__ import annotations

import pytest

from vss.events import WorkloadAcknowledged
from vss.plugins import load
from vss.scenarios import parse_scenario, run_scenario

TEXT = """
title = "A program dies"
lets_faults_rest = true
[lab]
template = "small"
[[method]]
do = "backup"
name = "backup"
under_load = true
[[faults]]
during = "backup"
fault = "volume.write when=volume:L: when=nth:2 EFFECT"
"""


@pytest.mark.parametrize("effect", ["crash=before", "crash=during", "crash=after", "cancel", "lie"])
def test_a_workload_that_dies_takes_nobody_with_it(effect: str) -> None:
    outcome = run_scenario(parse_scenario(TEXT.replace("EFFECT", effect)), load().registry)

    assert outcome.faults[0].strikes == 1
    assert outcome.violations() == ()
    assert outcome.steps[0].exit_code == 0
    assert any(isinstance(record.event, WorkloadAcknowledged) for record in outcome.records)
