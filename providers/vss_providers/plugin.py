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
    registry.provider(
        "system",
        "vss_providers.system:SystemProvider",
        summary="copy-on-write as every machine has it: client accessible shadow copies, last in the order of selection",
    )
    registry.provider(
        "array",
        "vss_providers.array:ArrayProvider",
        summary="copies of LUNs inside a simulated storage array: transportable, importable elsewhere, to be broken off",
    )


@hookimpl
def vss_register_commands(registry: Registrar) -> None:
    """Register what only this package can do: read the on-disk format, and what needs it."""
    commands = "vss_providers.commands"
    registry.command("shadow", "list", f"{commands}:list_copies", help="List the shadow copies in an image.")
    registry.command("shadow", "export", f"{commands}:export_copy", help="Write a shadow copy to an image of its own.")
    registry.command("shadow", "verify", f"{commands}:verify_copies", help="Compare saved blocks with their digests.")
    registry.command("shadow", "expose", f"{commands}:expose", help="Write a shadow copy out as a folder tree.")
    registry.command("shadow", "unexpose", f"{commands}:unexpose", help="Take an exposed shadow copy away.")
    registry.command("shadow", "revert", f"{commands}:revert", help="Bring a volume back to a shadow copy.")
    registry.command("admin", "repair", f"{commands}:repair", help="Finish a revert, or erase a damaged diff area.")
