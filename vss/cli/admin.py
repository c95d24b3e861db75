"""``vss admin``: what vssadmin shows of a machine, in its layout, for a lab.

Layout of the lists: vssadmin command reference (the header lines are left out, they name another product). Where vssadmin says
``/for=D:`` both that and ``--for D:`` are understood. Only deleting shadow copies changes the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from vss.cli.lab import in_lab
from vss.cli.output import json_option, print_json
from vss.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from vss.coordinator import WriterStatus
    from vss.lab import Lab
    from vss.roles.provider import SnapshotProperties

lab_option = click.option("--lab", "directory", required=True, type=click.Path(path_type=Path), help="The lab's directory.")
for_option = click.option("--for", "/for", "volume", default="", help="Only of this volume, such as D:.")

LAST_ERRORS = {
    "S_OK": "No error",
    "VSS_E_WRITERERROR_RETRYABLE": "Retryable error",
    "VSS_E_WRITERERROR_NONRETRYABLE": "Non-retryable error",
    "VSS_E_WRITERERROR_TIMEOUT": "Timed out",
    "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT": "Inconsistent shadow copy",
    "VSS_E_WRITER_NOT_RESPONDING": "Not responding",
}
"""vssadmin's short words; any other code is an "Unexpected error"."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@click.command("writers")
@lab_option
@json_option
def list_writers(directory: Path, as_json: bool) -> None:
    """List the writers, with their states and last errors."""

    async def ask(lab: Lab) -> list[WriterStatus]:
        async with lab.open_session() as session:
            session.initialize_for_backup()
            await session.gather_writer_metadata()
            return await session.gather_writer_status()

    statuses = in_lab(directory, ask)
    if as_json:
        print_json("writers", writers=[_writer_data(each) for each in statuses])
        return
    for status in statuses:
        click.echo(f"Writer name: '{status.name}'")
        click.echo(f"   Writer Id: {{{status.writer_id}}}")
        click.echo(f"   Writer Instance Id: {{{status.instance_id}}}")
        click.echo(f"   State: [{status.state.value}] {status.state.word}")
        click.echo(f"   Last error: {LAST_ERRORS.get(status.failure.name, 'Unexpected error')}")
        click.echo(_session_of(status))


def _session_of(status: WriterStatus) -> str:
    """A line with the session that brought the writer into its state, and how long ago, for a status may be old news; nothing
    where no session ever did."""
    from vss.observe.quantities import duration

    return f"   Session: {{{status.session_id}}}, {duration(status.age_ns)} ago\n" if status.session_id.int else ""


def _writer_data(status: WriterStatus) -> dict[str, Any]:
    return {
        "name": status.name,
        "writer_id": str(status.writer_id),
        "instance_id": str(status.instance_id),
        "state": status.state.name,
        "state_number": status.state.value,
        "failure": status.failure.name,
        "failure_number": f"0x{status.failure.value:08X}",
        "message": status.message,
        "session_id": str(status.session_id) if status.session_id.int else None,
        "age_ns": status.age_ns,
    }


@click.command("providers")
@lab_option
@json_option
def list_providers(directory: Path, as_json: bool) -> None:
    """List the providers."""

    async def ask(lab: Lab) -> list[dict[str, Any]]:
        return [
            {"name": each.name, "type": each.type.name.capitalize(), "id": str(each.provider_id), "version": each.version}
            for each in lab.coordinator.providers
        ]

    found = in_lab(directory, ask)
    if as_json:
        print_json("providers", providers=found)
        return
    for provider in found:
        click.echo(f"Provider name: '{provider['name']}'")
        click.echo(f"   Provider type: {provider['type']}")
        click.echo(f"   Provider Id: {{{provider['id']}}}")
        click.echo(f"   Version: {provider['version']}\n")


@click.command("volumes")
@lab_option
@json_option
def list_volumes(directory: Path, as_json: bool) -> None:
    """List the volumes."""

    async def ask(lab: Lab) -> list[dict[str, Any]]:
        return [
            {
                "path": f"{name}\\",
                "name": f"\\\\?\\Volume{{{each.volume_id}}}\\",
                "size_bytes": each.size_bytes,
                "is_lost": each.is_lost,
            }
            for name, each in lab.volumes.items()
        ]

    found = in_lab(directory, ask)
    if as_json:
        print_json("volumes", volumes=found)
        return
    for volume in found:
        click.echo(f"Volume path: {volume['path']}" + (" (lost)" if volume["is_lost"] else ""))
        click.echo(f"    Volume name: {volume['name']}")


@click.command("shadows")
@lab_option
@for_option
@click.option("--shadow", "/shadow", "snapshot", default="", help="Only this shadow copy, by its id.")
@json_option
def list_shadows(directory: Path, volume: str, snapshot: str, as_json: bool) -> None:
    """List the shadow copies, oldest first."""

    async def ask(lab: Lab) -> tuple[list[SnapshotProperties], dict[UUID, str]]:
        return await chosen(lab, volume, snapshot), {each.provider_id: each.name for each in lab.coordinator.providers}

    found, providers = in_lab(directory, ask)
    if as_json:
        print_json("shadows", shadows=[_shadow_data(each, providers) for each in found])
        return
    if not found:
        click.echo("No items found that satisfy the query.")
    for each in found:
        _print_shadow(each, providers)


@click.command("shadows")
@lab_option
@for_option
@click.option("--shadow", "/shadow", "snapshot", default="", help="This shadow copy, by its id.")
@click.option("--oldest", "/oldest", "is_oldest", is_flag=True, help="The oldest shadow copy of the volume.")
@click.option("--all", "/all", "is_all", is_flag=True, help="All shadow copies, of the volume where one is named.")
@click.option("--force", "is_forced", is_flag=True, help="Those that are exposed as well.")
@json_option
def delete_shadows(
    directory: Path, volume: str, snapshot: str, is_oldest: bool, is_all: bool, is_forced: bool, as_json: bool
) -> None:
    """Delete shadow copies: one by its id, or the oldest or all of a volume."""
    if [bool(snapshot), is_oldest, is_all].count(True) != 1:
        raise InvalidArgumentError("say which shadow copies to delete: exactly one of --shadow, --oldest and --all")
    if is_oldest and not volume:
        raise InvalidArgumentError("--oldest needs the volume: --for")

    async def delete(lab: Lab) -> list[SnapshotProperties]:
        found = await chosen(lab, volume, snapshot)
        if not found:
            raise NotFoundError("there is no such shadow copy" if snapshot else "there is no shadow copy to delete")
        found = found[:1] if is_oldest else found
        async with lab.open_session() as session:
            session.initialize_for_backup()
            await session.delete_snapshots([each.snapshot_id for each in found], force=is_forced)
        return found

    gone = in_lab(directory, delete)
    if as_json:
        print_json("deleted", shadows=[str(each.snapshot_id) for each in gone])
    else:
        click.echo(f"Successfully deleted {len(gone)} shadow {'copy' if len(gone) == 1 else 'copies'}.")


async def chosen(lab: Lab, volume: str, snapshot: str) -> list[SnapshotProperties]:
    """Ask the providers, and return the shadow copies of a volume (any where empty) or with an id, oldest first.

    Raises:
        NotFoundError: the machine has no such volume.
        InvalidArgumentError: the id is none.
    """
    wanted = ""
    if volume:
        wanted = lab.volume(volume.rstrip("\\")).name
    try:
        snapshot_id = UUID(snapshot) if snapshot else None
    except ValueError as error:
        raise InvalidArgumentError(f"expected the id of a shadow copy, found '{snapshot}'") from error
    found = [
        each
        for each in await lab.coordinator.query_snapshots()
        if wanted in ("", each.original_volume) and snapshot_id in (None, each.snapshot_id)
    ]
    return sorted(found, key=lambda each: each.created_ns)


def _shadow_data(each: SnapshotProperties, providers: dict[UUID, str]) -> dict[str, Any]:
    return {
        "snapshot_id": str(each.snapshot_id),
        "snapshot_set_id": str(each.snapshot_set_id),
        "original_volume": each.original_volume,
        "device": each.device_name,
        "created": _created(each.created_ns),
        "provider": providers.get(each.provider_id, str(each.provider_id)),
        "type": _type_of(each),
        "attributes": _attributes_of(each),
    }


def _print_shadow(each: SnapshotProperties, providers: dict[UUID, str]) -> None:
    click.echo(f"Contents of shadow copy set ID: {{{each.snapshot_set_id}}}")
    click.echo(f"   Contained {each.snapshots_in_set} shadow copies at creation time: {_created(each.created_ns)}")
    click.echo(f"      Shadow Copy ID: {{{each.snapshot_id}}}")
    click.echo(f"         Original Volume: ({each.original_volume})\\\\?\\Volume{{{each.original_volume_id}}}\\")
    click.echo(f"         Shadow Copy Volume: {each.device_name}")
    click.echo(f"         Originating Machine: {each.originating_machine}")
    click.echo(f"         Service Machine: {each.service_machine}")
    click.echo(f"         Provider: '{providers.get(each.provider_id, str(each.provider_id))}'")
    click.echo(f"         Type: {_type_of(each)}")
    click.echo(f"         Attributes: {', '.join(_attributes_of(each)) or 'None'}\n")


def _created(created_ns: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=created_ns // 1000):%Y-%m-%d %H:%M:%S}"


def _type_of(each: SnapshotProperties) -> str:
    """``ClientAccessibleWriters`` and the like: the context's name."""
    from vss.coordinator.contexts import SnapshotContext

    return SnapshotContext(each.context).name.title().replace("_", "")


def _attributes_of(each: SnapshotProperties) -> Sequence[str]:
    """The attribute bits in vssadmin's spelling, lowest first."""
    from vss.coordinator.contexts import SnapshotAttributes

    names = [bit.name or "" for bit in SnapshotAttributes(each.attributes)]
    return [name.capitalize().replace("_", " ").replace("Client accessible", "Client-accessible") for name in names]
