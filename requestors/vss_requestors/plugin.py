"""The requestors' plugin: registers by name only, so that loading it imports no requestor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vss.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from vss.plugins.registry import Registrar

VSS_API = "1.0"


@hookimpl
def vss_register_requestors(registry: Registrar) -> None:
    """Register backup, restore and verification."""
    registry.requestor("backup", "vss_requestors.backup:BackupRequestor", summary="Backs up, verifies, reports.")
    registry.requestor("restore", "vss_requestors.restore:RestoreRequestor", summary="Verifies a set and restores it.")
    registry.requestor("verify", "vss_requestors.verify_requestor:VerifyRequestor", summary="Judges a backup set.")


@hookimpl
def vss_register_commands(registry: Registrar) -> None:
    """Register ``betest`` and ``vss verify``."""
    registry.command("", "betest", "vss_requestors.betest_command:betest", help="Back up or restore a lab.")
    registry.command("", "demo", "vss_requestors.demo.command:demo", help="The whole story on a fresh lab, in seconds.")
    registry.command("", "verify", "vss_requestors.verify_command:verify", help="Check a backup set.")
