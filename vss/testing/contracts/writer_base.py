"""What every group of writer checks builds on: the author's factory and hooks, and how a story is played on a fresh bench."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from vss.coordinator import Limits
from vss.events import Event
from vss.plugins.hosts import WriterHost
from vss.ports import FaultSite, Ports
from vss.roles.verifier import Verifier
from vss.roles.writer import Writer
from vss.simulation import ChoiceSource, FaultPlan
from vss.testing.contracts.direct_session import DirectSession
from vss.testing.contracts.world import run_world
from vss.testing.contracts.writer_bench import WriterBench

T = TypeVar("T")
MAX_VIRTUAL_S = 30 * 86400.0


class WriterChecks:
    """What an author overrides. Only ``make_writer`` must be.

    Attributes:
        volumes: names of the machine's volumes; all are in every shadow copy set.
        volume_size_bytes: length of each.
        several_instances: whether a second writer of this class can live on the same machine; ``make_writer`` is then asked
            for one whose ``host.name`` differs, and must keep it apart from the first.
    """

    volumes: Sequence[str] = ("C:", "D:")
    volume_size_bytes: int = 8 << 20
    several_instances: bool = True

    def make_writer(self, host: WriterHost) -> Writer:
        """Return a fresh writer for the machine of ``host``. An ``Application`` (start, stop) is started by the bench."""
        raise NotImplementedError("override make_writer: return a fresh writer for the machine of host")

    def make_verifier(self) -> Verifier | None:
        """Return the verifier of the writer's files, where there is one."""
        return None

    async def work(self, writer: Writer, number: int) -> None:
        """Do operation ``number`` of the application, which changes the writer's files; returns when it is acknowledged."""

    async def before_restore(self, writer: Writer) -> None:
        """Do what an operator does before a restore: take the application off line, allow overwriting."""

    async def after_stop(self, writer: Writer) -> None:
        """End what ``make_writer`` began and the writer itself does not end."""

    @property
    def has_work(self) -> bool:
        """Whether the author said how the application works."""
        return type(self).work is not WriterChecks.work

    # -- playing ---------------------------------------------------------------------------------------------------------------

    def play(
        self,
        story: Callable[[WriterBench], Awaitable[T]],
        *,
        faults: str | FaultSite | None = None,
        limits: Limits | None = None,
        choices: ChoiceSource | None = None,
        seed: int = 1,
        events: list[Event] | None = None,
        excused: Collection[str] = (),
    ) -> T:
        """Boot a bench in a fresh world, play ``story`` on it, shut it down; a world that ends badly fails the check."""
        plan = FaultPlan.parse(faults) if isinstance(faults, str) else faults

        async def main(ports: Ports) -> T:
            bench = WriterBench(self, ports, limits)
            await bench.boot()
            result = await story(bench)
            await bench.shut_down()
            return result

        return run_world(
            main,
            f"the writer of {type(self).__name__}",
            seed=seed,
            faults=plan,
            choices=choices,
            events=events,
            max_virtual_s=MAX_VIRTUAL_S,
            excused=excused,
        )

    def play_directly(self, story: Callable[[DirectSession], Awaitable[T]]) -> T:
        """Play ``story`` with the handlers called one by one, without a coordinator between."""

        async def on_bench(bench: WriterBench) -> T:
            return await story(await DirectSession.begin(bench))

        return self.play(on_bench)
