"""``vss lab stream-backup|stream-restore``: a lab's store backed up and restored through the engine's streaming interface."""

from __future__ import annotations

from pathlib import Path

import click

from vss.cli.lab import in_lab, lab_argument
from vss.cli.output import json_option, print_json
from vss.lab import Lab
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.hard_recovery import HardRecoveryReport
from vss_writers.ese.restore_environment import RestoreEnvironment
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.exchange.mail_commands import store_of, writer_option
from vss_writers.exchange.streaming import back_up_streaming, restore_streaming


@click.command()
@lab_argument
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="The set's directory, empty or missing.")
@click.option("--type", "kind", type=click.Choice([kind.value for kind in SnapshotKind]), default="full", show_default=True)
@click.option("--annotation", default="", help="Free text for restore.env.")
@writer_option
@json_option
def stream_backup(directory: Path, target: Path, kind: str, annotation: str, writer_name: str, as_json: bool) -> None:
    """Back up the lab's store while it works: pages, logs and a restore.env."""

    set_directory = str(target.absolute())

    async def back_up(lab: Lab) -> RestoreEnvironment:
        group = store_of(lab, writer_name).group
        return await back_up_streaming(group, HostFileSystem(), set_directory, SnapshotKind(kind), annotation=annotation)

    made = in_lab(directory, back_up)
    names = [each.name for each in made.databases]
    first, last = made.generation_low, made.generation_high
    if as_json:
        print_json("streamed", set=str(target), kind=kind, databases=names, generation_first=first, generation_last=last)
    else:
        click.echo(f"{kind} streaming backup in {target}: {len(names)} databases, logs {first:#x} to {last:#x}")
        click.echo(f"'vss eseutil /cm {target}' prints its restore.env")


@click.command()
@lab_argument
@click.option("--from", "source", type=click.Path(path_type=Path), required=True, help="The set's directory.")
@click.option("--not-last", is_flag=True, help="More sets of the chain follow: put the files back, recover later.")
@click.option("--set-only", is_flag=True, help="Do not play the store's own logs afterwards.")
@writer_option
@json_option
def stream_restore(directory: Path, source: Path, not_last: bool, set_only: bool, writer_name: str, as_json: bool) -> None:
    """Restore a streaming set over the dismounted store and run hard recovery; 'mount' brings it up."""

    set_directory = str(source.absolute())

    async def restore(lab: Lab) -> HardRecoveryReport | None:
        group = store_of(lab, writer_name).group
        return await restore_streaming(group, HostFileSystem(), set_directory, is_last=not not_last, play_forward=not set_only)

    report = in_lab(directory, restore)
    if report is None:
        if as_json:
            print_json("restored", set=str(source), recovered=False)
        else:
            click.echo(f"{source} restored; hard recovery runs with the last set")
    elif as_json:
        print_json(
            "restored",
            set=str(source),
            recovered=True,
            generation_first=report.generation_first,
            generation_last=report.generation_last,
            played_forward_last=report.played_forward_last,
        )
    else:
        forward = f", then logs up to {report.played_forward_last:#x}" if report.played_forward_last else ""
        click.echo(f"{source} restored: logs {report.generation_first:#x} to {report.generation_last:#x} replayed{forward}")
