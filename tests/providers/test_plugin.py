"""What the package registers."""

from __future__ import annotations

from vss.plugins import Kind, Origin, Registrar, Registry
from vss.ports import Ports
from vss.simulation import run
from vss_providers import plugin
from vss_providers.clone import CloneProvider
from vss_providers.copy_on_write import CopyOnWriteProvider


def test_the_providers_are_registered_and_made_with_ports_alone() -> None:
    registrar = Registrar(Origin("vss-providers"))
    plugin.vss_register_providers(registrar)
    registry = Registry(registrar.registrations)

    async def main(ports: Ports) -> None:
        assert isinstance(registry.create_provider("copy-on-write", ports), CopyOnWriteProvider)
        assert isinstance(registry.create_provider("clone", ports), CloneProvider)

    run(main)
    assert registry.names(Kind.PROVIDER) == ["array", "clone", "copy-on-write", "system"]
    assert plugin.VSS_API == "1.0"
