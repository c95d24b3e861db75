"""``vss admin list shadows``: of a lab, or with ``--image`` of an image file, which the providers' package reads."""

from __future__ import annotations

from pathlib import Path

import click

from vss.cli.output import json_option
from vss.errors import InvalidArgumentError, PluginError


@click.command("shadows")
@click.option("--lab", "directory", type=click.Path(path_type=Path), help="The lab's directory.")
@click.option(
    "--image", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An image file, made by Windows or a lab."
)
@click.option("--offset", type=int, default=0, help="Where the volume starts in the image, in bytes.")
@click.option("--for", "/for", "volume", default="", help="Only of this volume, such as D:.")
@click.option("--shadow", "/shadow", "snapshot", default="", help="Only this shadow copy, by its id.")
@json_option
@click.pass_context
def list_shadows(
    context: click.Context,
    directory: Path | None,
    image: Path | None,
    offset: int,
    volume: str,
    snapshot: str,
    as_json: bool,
) -> None:
    """List the shadow copies of a lab or in an image, oldest first."""
    if (directory is None) == (image is None):
        raise InvalidArgumentError("say where the shadow copies are: either --lab or --image")
    if image is None:
        from vss.cli import admin

        context.invoke(admin.list_shadows, directory=directory, volume=volume, snapshot=snapshot, as_json=as_json)
        return
    if volume or snapshot:
        raise InvalidArgumentError("--for and --shadow are for labs: an image holds one volume")
    from vss.cli.lazy import find_command

    command = find_command("shadow list")
    if command is None:
        raise PluginError("reading images needs the package of the providers, which is not loaded")
    context.invoke(command, image=image, offset=offset, as_json=as_json)
