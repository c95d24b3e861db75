"""What every group of provider checks builds on: the author's factory, and how a story is played on a fresh bench."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from vss.events import Event
from vss.ports import FaultSite, Ports
from vss.roles.provider import Provider, ProviderCapabilities
from vss.simulation import ChoiceSource
from vss.testing.contracts.provider_bench import ProviderBench
from vss.testing.contracts.verdict import not_applicable
from vss.testing.contracts.world import run_world

T = TypeVar("T")
MAX_VIRTUAL_S = 30 * 86400.0


class ProviderChecks:
    """What an author overrides. Only ``make_provider`` must be.

    Attributes:
        volume_size_bytes: length of the volumes; a store may grow behind its volume.
        volatile_attributes: VSS_VOLSNAP_ATTR bits of a shadow copy that goes with its session.
        persistent_attributes: bits of one that stays; used where the capabilities claim it.
    """

    volume_size_bytes: int = 2 << 20
    volatile_attributes: int = 0x0
    persistent_attributes: int = 0x9

    def make_provider(self, ports: Ports) -> Provider:
        """Return a fresh provider. Called again in the same world when the machine restarts: what survives a restart (an
        array, a service) is kept by the contract class, by ``ports``."""
        raise NotImplementedError("override make_provider: return a fresh provider for the world of ports")

    def play(
        self,
        story: Callable[[ProviderBench], Awaitable[T]],
        *,
        names: Sequence[str] = ("D:",),
        records_writes: bool = False,
        faults: FaultSite | None = None,
        choices: ChoiceSource | None = None,
        events: list[Event] | None = None,
    ) -> T:
        """Boot a bench in a fresh world, play ``story`` on it, close the provider; a world that ends badly fails the check."""

        async def main(ports: Ports) -> T:
            bench = ProviderBench(self, ports, names, records_writes=records_writes)
            await bench.boot()
            result = await story(bench)
            await bench.demand("close", when="at the end")
            return result

        return run_world(
            main,
            f"the provider of {type(self).__name__}",
            faults=faults,
            choices=choices,
            events=events,
            max_virtual_s=MAX_VIRTUAL_S,
        )

    def capabilities(self) -> ProviderCapabilities:
        """Return the provider's record of what it can do."""

        async def ask(bench: ProviderBench) -> ProviderCapabilities:
            return bench.provider.capabilities

        return self.play(ask)

    def require(self, claim: str) -> None:
        """Skip the check unless the capabilities record claims ``claim``."""
        if not getattr(self.capabilities(), claim):
            not_applicable(f"the capabilities record does not claim {claim}")
