"""What this package registers: read by the plugin loader, imports no role code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vss.plugins import hookimpl

if TYPE_CHECKING:
    from vss.plugins.registry import Registrar

VSS_API = "1.0"


@hookimpl
def vss_register_providers(registry: Registrar) -> None:
    """Add the built-in providers."""
    registry.provider(
        "copy-on-write",
        "vss_providers.copy_on_write:CopyOnWriteProvider",
        summary="differential shadow copies in the on-disk format of the field, behind the volume in its image",
    )
    registry.provider(
        "clone",
        "vss_providers.clone:CloneProvider",
        summary="full copies by splitting a mirror, in memory, gone when the machine stops",
    )
