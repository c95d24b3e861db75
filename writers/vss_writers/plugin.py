"""The writers' plugin: registers by name only, so that loading it imports no writer."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from vss.plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from vss.plugins.registry import Registrar

VSS_API = "1.0"

_EXCHANGE = UUID("76fe1ac4-15f7-4bcd-987e-8e1acb462fb7")
_SCRIPTED = UUID("5affb034-969f-4919-8875-88f830d0ef89")


@hookimpl
def vss_register_writers(registry: Registrar) -> None:
    """Register the Exchange-like store, the scripted writer, and the express writer, which is metadata only."""
    registry.writer(
        "exchange", "vss_writers.exchange.writer:make_exchange_writer", summary="An Exchange-like store on the ESE engine."
    )
    registry.writer(
        "scripted", "vss_writers.scripted.writer:make_scripted_writer", summary="A writer whose behaviour comes from a file."
    )
    registry.writer("express", "vss.roles.express:express_writer", summary="A writer that is a metadata document and no code.")


@hookimpl
def vss_register_verifiers(registry: Registrar) -> None:
    """Register the verifiers of their files."""
    registry.verifier(_EXCHANGE, "vss_writers.exchange.verifier:ExchangeVerifier", summary="Pages, logs, checkpoint.")
    registry.verifier(_SCRIPTED, "vss_writers.scripted.verifier:ScriptedVerifier", summary="Digests taken at Freeze.")


@hookimpl
def vss_register_workloads(registry: Registrar) -> None:
    """Register what users and bystanders do."""
    registry.workload("mail-flow", "vss_writers.exchange.mail_flow:make_mail_flow", summary="Users of the mail store.")
    registry.workload(
        "activity-log", "vss_writers.activity_log.workload:make_activity_log", summary="A bystander without a writer."
    )


@hookimpl
def vss_register_commands(registry: Registrar) -> None:
    """Register what only the writers' packages can do."""
    commands = "vss_writers.exchange.mail_commands"
    registry.command("lab", "load", f"{commands}:load", help="Put real mail into the lab's store.")
    registry.command("lab", "export", f"{commands}:export", help="Write a mailbox as mbox.")
    registry.command("lab", "dismount", f"{commands}:dismount", help="Dismount the store's databases.")
    registry.command("lab", "mount", f"{commands}:mount", help="Mount the store's databases.")
    streaming = "vss_writers.exchange.streaming_commands"
    registry.command("lab", "stream-backup", f"{streaming}:stream_backup", help="Back the store up page by page, at work.")
    registry.command("lab", "stream-restore", f"{streaming}:stream_restore", help="Restore such a set, with hard recovery.")
    registry.command("", "eseutil", "vss_writers.ese.eseutil.command:command", help="The store's own tool.")
