"""Steps about the machine as a whole: time, power, disks, its clock, and waiting for what runs in the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vss.errors import ConfigurationError, InvariantError, UnsupportedError
from vss.lab.configuration import LabConfiguration, parse_size
from vss.nearest import nearest
from vss.ports import NANOSECONDS
from vss.scenarios.step import Step, check_duration, check_reference, check_value
from vss.simulation.fault_grammar import parse_duration
from vss.simulation.fault_words import parse_jump
from vss.simulation.ports import SimulatedClock
from vss.simulation.survivors import Survivors

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage

_PIECE = bytes(64 << 10)


class Work(Step, frozen=True, kw_only=True, tag="work"):
    """Let the workloads work. ``duration`` in virtual time."""

    duration: str

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no duration."""
        check_duration(self.duration, where)

    async def run(self, stage: Stage) -> Any:
        """Work."""
        await stage.lab.run_for(parse_duration(self.duration))


class Sleep(Step, frozen=True, kw_only=True, tag="sleep"):
    """Let virtual time pass while nobody works."""

    duration: str

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no duration."""
        check_duration(self.duration, where)

    async def run(self, stage: Stage) -> Any:
        """Sleep."""
        await stage.lab.ports.clock.sleep(parse_duration(self.duration))


class Wait(Step, frozen=True, kw_only=True, tag="wait"):
    """Wait for a step in the background."""

    step: str

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown step."""
        check_reference(self.step, names, f"{where}: step")

    async def run(self, stage: Stage) -> Any:
        """Wait."""
        await stage.wait_for(self.step)


class Check(Step, frozen=True, kw_only=True, tag="check"):
    """Check what must hold at rest; what is found is an ``InvariantError``."""

    async def run(self, stage: Stage) -> Any:
        """Check."""
        problems = await stage.lab.check()
        if problems:
            raise InvariantError("; ".join(problems))


class JumpClock(Step, frozen=True, kw_only=True, tag="jump_clock"):
    """The wall clock jumps: ``by = "+2h"``. Clocks that measure time do not."""

    by: str

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no jump."""
        check_value(parse_jump, self.by, where)

    async def run(self, stage: Stage) -> Any:
        """Jump."""
        clock = stage.lab.ports.clock
        if not isinstance(clock, SimulatedClock):
            raise UnsupportedError("only the clock of a simulated machine can be made to jump")
        clock.jump_wall(parse_jump(self.by))


class Fill(Step, frozen=True, kw_only=True, tag="fill"):
    """Fill a volume with a file ``path`` until no more than ``leaving`` is free."""

    path: str
    leaving: str | int = "16 KiB"

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no size."""
        parse_size(self.leaving, f"{where}: leaving")

    async def run(self, stage: Stage) -> Any:
        """Write until that is so."""
        volume = stage.lab.volume(self.path.partition("\\")[0])
        target = volume.files.free_bytes - parse_size(self.leaving, "leaving")
        file = await stage.lab.files.open(self.path, write=True, create=True)
        written = 0
        try:
            while written < target:
                piece = _PIECE[: min(len(_PIECE), target - written)]
                await file.pwrite(written, piece)
                written += len(piece)
            await file.sync()
        finally:
            await file.close()
        return {"path": self.path, "size_bytes": written, "free_bytes": volume.files.free_bytes}


class Lose(Step, frozen=True, kw_only=True, tag="lose"):
    """The disk under a volume is gone, and every application that used it notices."""

    volume: str

    async def run(self, stage: Stage) -> Any:
        """Lose it."""
        await stage.lab.lose_volume(self.volume)
        await stage.lab.take_down(f"the disk under {self.volume} is gone")


class Replace(Step, frozen=True, kw_only=True, tag="replace"):
    """Put a new, empty disk in the place of a lost one."""

    volume: str

    async def run(self, stage: Stage) -> Any:
        """Replace it."""
        await stage.lab.replace_volume(self.volume)


class Restart(Step, frozen=True, kw_only=True, tag="restart"):
    """Shut the machine down in order and boot it again.

    Attributes:
        down_for: how long it is off.
        options: of writers and workloads, laid over those that they have from this boot on: somebody changed a setting, or put
            the disks into a machine that has others.
    """

    down_for: str = "1m"
    options: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no duration."""
        check_duration(self.down_for, where)

    def reconfigured(self, lab: LabConfiguration) -> LabConfiguration:
        """Return the machine as it comes up again.

        Raises:
            ConfigurationError: no writer and no workload has a name that ``options`` holds.
        """
        names = [*(each.name for each in lab.writers), *(each.name for each in lab.workloads)]
        for name in self.options:
            if name not in names:
                raise ConfigurationError(f"options: no writer and no workload is called '{name}'{nearest(name, names)}")

        writers = [msgspec.structs.replace(each, options=self._laid_over(each.name, each.options)) for each in lab.writers]
        workloads = [msgspec.structs.replace(each, options=self._laid_over(each.name, each.options)) for each in lab.workloads]
        return msgspec.structs.replace(lab, writers=writers, workloads=workloads)

    def _laid_over(self, name: str, known: Mapping[str, Any]) -> dict[str, Any]:
        return {**known, **self.options.get(name, {})}

    @property
    def down_ns(self) -> int:
        """How long the machine is off."""
        return round(parse_duration(self.down_for) * NANOSECONDS)


class PowerCut(Restart, frozen=True, kw_only=True, tag="power_cut"):
    """The machine loses power and boots again. ``unsynced``: what survives of the effects that nobody made durable: "lost",
    "kept", or another form of ``vss.simulation.survivors``."""

    unsynced: str = "lost"

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown word."""
        super().check(names, where)
        check_value(Survivors.parse, self.unsynced, where)

    @property
    def survivors(self) -> Survivors:
        """What survives."""
        return Survivors.parse(self.unsynced)
