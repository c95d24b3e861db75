"""The providers that ship with the project, under the provider contract."""

from __future__ import annotations

from vss.ports import Ports
from vss.roles.provider import Provider
from vss.testing import InstantProvider, ProviderContract
from vss_providers.array import ArrayProvider
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_providers.luns import SimulatedArray
from vss_providers.system import SystemProvider


class TestInstantProvider(ProviderContract):
    """The model to read."""

    def make_provider(self, ports: Ports) -> Provider:
        return InstantProvider(ports)


class TestCopyOnWriteProvider(ProviderContract):
    """Differential, persistent, with revert."""

    def make_provider(self, ports: Ports) -> Provider:
        return CopyOnWriteProvider(ports)


class TestSystemProvider(ProviderContract):
    """The same under the system's privileges."""

    def make_provider(self, ports: Ports) -> Provider:
        return SystemProvider(ports)


class TestCloneProvider(ProviderContract):
    """Full copies by splitting a mirror."""

    def make_provider(self, ports: Ports) -> Provider:
        return CloneProvider(ports)


class TestArrayProvider(ProviderContract):
    """Hardware; the array outlives the machine's restart, and its kind of copy is a plex unless asked otherwise."""

    _world: Ports | None = None
    _array = SimulatedArray()

    def make_provider(self, ports: Ports) -> Provider:
        if ports is not self._world:
            self._world, self._array = ports, SimulatedArray()
        return ArrayProvider(ports, array=self._array, machine_name="CONTRACT")


class TestArrayProviderDifferential(TestArrayProvider):
    """The same with copies that keep what is overwritten."""

    volatile_attributes = 0x20000
    persistent_attributes = 0x20009
