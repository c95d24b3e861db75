"""What a restore that was refused left on the machine: nothing, if it is right.

Looks at the volumes before a restore that nothing runs beside, and again where it failed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vss.scenarios.backup_steps import Restore
from vss.scenarios.outcome import StepOutcome
from vss.scenarios.step import Step
from vss.scenarios.volume_files import Images


class Refusals:
    """The restores of a run that failed.

    Attributes:
        changed: by step, the volumes that are not as before.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.changed: dict[str, Sequence[str]] = {}
        self._before: dict[str, Images] = {}

    def step_began(self, step: Step, images: Callable[[], Images], *, is_alone: bool) -> None:
        """Look, where it is a restore and nothing else runs."""
        if is_alone and not step.under_load and isinstance(step, Restore):
            self._before[step.name] = images()

    def step_ended(self, outcome: StepOutcome, images: Callable[[], Images]) -> None:
        """Compare, where it failed and nobody killed it."""
        before = self._before.pop(outcome.step, None)
        if before is not None and outcome.error and outcome.error != "killed":
            now = images()
            self.changed[outcome.step] = [f"volume {name}" for name in sorted(before) if before[name].different(now[name])]
