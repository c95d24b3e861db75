"""``vss shadow`` and ``vss admin repair``: shadow copies in image files, and what is done with those of a lab.

``list``, ``export`` and ``verify`` read any image that carries shadow copies and change nothing. ``expose``, ``unexpose`` and
``revert`` work on a lab; ``repair`` is the way out when a lab does not start because of what stands behind a volume.
Layout of the list: vssadmin command reference.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import click

from vss.cli.lab import in_lab
from vss.cli.output import json_option, print_json
from vss.errors import InvalidArgumentError, UnsupportedError
from vss.exit_codes import ExitCode

if TYPE_CHECKING:
    from vss.lab import Lab
    from vss.roles.provider import Provider, SnapshotProperties
    from vss_providers.on_disk.reader import ShadowCopy, ShadowVolume

image_argument = click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
offset_option = click.option("--offset", type=int, default=0, help="Where the volume starts in the image, in bytes.")
lab_argument = click.argument("directory", type=click.Path(path_type=Path))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def _opened(path: Path, offset: int) -> Iterator[ShadowVolume]:
    from vss.real import RealFiles
    from vss_providers.images import ImageFile, open_volume

    file = ImageFile(RealFiles().open(path), str(path))
    try:
        yield open_volume(file, offset)
    finally:
        file.close()


# -- images --------------------------------------------------------------------------------------------------------------------


@click.command("list")
@image_argument
@offset_option
@json_option
def list_copies(image: Path, offset: int, as_json: bool) -> None:
    """List the shadow copies in IMAGE, oldest first; images made by Windows too."""
    with _opened(image, offset) as volume:
        found = [_copy_data(number, copy) for number, copy in enumerate(volume.shadow_copies, 1)]
    if as_json:
        print_json("shadows", image=str(image), shadows=found)
        return
    if not found:
        click.echo("No items found that satisfy the query.")
    for each in found:
        _print_copy(each)


def _copy_data(number: int, copy: ShadowCopy) -> dict[str, Any]:
    created = f"{_EPOCH + timedelta(microseconds=copy.created_ns // 1000):%Y-%m-%d %H:%M:%S}"
    data: dict[str, Any] = {
        "number": number,
        "store_id": str(copy.store_id),
        "created": created,
        "size_bytes": copy.size_bytes,
        "is_stored_elsewhere": copy.is_stored_elsewhere,
    }
    if not copy.is_stored_elsewhere:
        information = copy.information
        data |= {
            "snapshot_id": str(information.snapshot_id),
            "snapshot_set_id": str(information.snapshot_set_id),
            "snapshots_in_set": information.snapshots_in_set,
            "originating_machine": information.originating_machine,
            "service_machine": information.service_machine,
            "attributes": _attributes(information.attributes),
            "saved_blocks": len(copy.blocks.saved),
            "overlay_blocks": len(copy.blocks.overlays),
        }
    return data


def _attributes(bits: int) -> list[str]:
    from vss.coordinator.contexts import SnapshotAttributes

    names = [bit.name or "" for bit in SnapshotAttributes(bits)]
    return [name.capitalize().replace("_", " ").replace("Client accessible", "Client-accessible") for name in names]


def _print_copy(each: dict[str, Any]) -> None:
    if each["is_stored_elsewhere"]:
        click.echo(f"Shadow copy {each['number']}: {each['size_bytes']} bytes, {each['created']}, stored on another volume\n")
        return
    click.echo(f"Contents of shadow copy set ID: {{{each['snapshot_set_id']}}}")
    click.echo(f"   Contained {each['snapshots_in_set']} shadow copies at creation time: {each['created']}")
    click.echo(f"      Shadow Copy ID: {{{each['snapshot_id']}}}")
    click.echo(f"         Number in the image: {each['number']}")
    click.echo(f"         Size: {each['size_bytes']} bytes, {each['saved_blocks']} blocks of 16 KiB saved")
    click.echo(f"         Originating Machine: {each['originating_machine']}")
    click.echo(f"         Service Machine: {each['service_machine']}")
    click.echo(f"         Attributes: {', '.join(each['attributes']) or 'None'}\n")


@click.command("export")
@image_argument
@click.option("--shadow", required=True, help="Which: its number, 1 is the oldest, or its id.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The image to make; it must not exist.")
@offset_option
@json_option
def export_copy(image: Path, shadow: str, out: Path, offset: int, as_json: bool) -> None:
    """Write a shadow copy of IMAGE to an image of its own."""
    from vss.real import RealFiles
    from vss_providers.images import export, find_copy

    with _opened(image, offset) as volume:
        size = export(find_copy(volume, shadow), RealFiles(), out.absolute())
    if as_json:
        print_json("exported", image=str(image), shadow=shadow, out=str(out), size_bytes=size)
    else:
        click.echo(f"{out}: {size} bytes")


@click.command("verify")
@image_argument
@offset_option
@json_option
def verify_copies(image: Path, offset: int, as_json: bool) -> ExitCode:
    """Compare every saved block in IMAGE with its digest, where there is one."""
    from vss_providers.images import verify

    results: list[dict[str, Any]] = []
    with _opened(image, offset) as volume:
        for number, copy in enumerate(volume.shadow_copies, 1):
            found = verify(volume, copy)
            results.append(
                {"number": number, "saved": found.saved_count, "with_digest": found.digest_count, "wrong": found.wrong}
            )
    is_wrong = any(each["wrong"] for each in results)
    if as_json:
        print_json("verified", image=str(image), shadows=results)
    else:
        for each in results:
            click.echo(f"shadow copy {each['number']}: {each['saved']} blocks saved, {each['with_digest']} with a digest")
        for each in results:
            for volume_offset, image_offset in each["wrong"]:
                place = f"volume offset {volume_offset:#x}, image offset {image_offset:#x}"
                click.echo(f"shadow copy {each['number']}: wrong bytes in the block saved from {place}")
    return ExitCode.VERIFICATION_MISMATCH if is_wrong else ExitCode.OK


# -- labs ----------------------------------------------------------------------------------------------------------------------


def _found(lab: Lab, snapshot: str) -> tuple[Provider, SnapshotProperties]:
    """Find a shadow copy of a lab and its provider; ``NotFoundError`` where there is none."""
    try:
        snapshot_id = UUID(snapshot)
    except ValueError as error:
        raise InvalidArgumentError(f"expected the id of a shadow copy, found '{snapshot}'") from error
    properties = lab.coordinator.snapshot(snapshot_id)
    return next(each for each in lab.coordinator.providers if each.provider_id == properties.provider_id), properties


@click.command("expose")
@lab_argument
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--shadow", required=True, help="The shadow copy, by its id.")
@click.option("--mount", "is_mounted", is_flag=True, help="Mount it read-only through FUSE until interrupted.")
@json_option
def expose(directory: Path, target: Path, shadow: str, is_mounted: bool, as_json: bool) -> None:
    """Write the files of a shadow copy of the lab in DIRECTORY out to TARGET, a new or empty directory of this host.

    With --mount nothing is written: TARGET is a mount of it, and the lab is on, as long as the command runs.
    """
    if is_mounted:
        _expose_by_mount(directory, target, shadow, as_json)
        return
    from vss_providers.exposure import Exposure, take_away, write_out

    root = target.absolute()

    async def work(lab: Lab) -> Exposure:
        provider, properties = _found(lab, shadow)
        files = await lab.coordinator.open_snapshot(properties.snapshot_id)
        written = await write_out(lab.ports, files, properties.snapshot_id, root)
        try:
            await provider.set_exposed_name(properties.snapshot_id, str(target))
        except BaseException:
            take_away(lab.ports.files, root)
            raise
        return written

    written = in_lab(directory, work)
    if as_json:
        print_json("exposed", shadow=shadow, target=str(target), files=written.file_count, size_bytes=written.size_bytes)
    else:
        click.echo(f"shadow copy {shadow} exposed as {target}: {written.file_count} files, {written.size_bytes} bytes")


def _expose_by_mount(directory: Path, target: Path, shadow: str, as_json: bool) -> None:
    from vss_providers.mounting import mount

    def tell() -> None:
        if as_json:
            print_json("mounted", shadow=shadow, target=str(target))
        else:
            click.echo(f"shadow copy {shadow} is mounted at {target} until this command is interrupted")

    root = target.absolute()

    async def work(lab: Lab) -> None:
        provider, properties = _found(lab, shadow)
        files = await lab.coordinator.open_snapshot(properties.snapshot_id)
        await provider.set_exposed_name(properties.snapshot_id, str(target))
        try:
            mount(files, root, lab.ports.files, tell)
        finally:
            await provider.set_exposed_name(properties.snapshot_id, "")

    in_lab(directory, work)
    if not as_json:
        click.echo(f"shadow copy {shadow} is not mounted any more")


@click.command("unexpose")
@lab_argument
@click.argument("target", type=click.Path(path_type=Path))
@json_option
def unexpose(directory: Path, target: Path, as_json: bool) -> None:
    """Take an exposed shadow copy of the lab in DIRECTORY away from TARGET."""
    from vss_providers.exposure import exposed_snapshot, take_away

    root = target.absolute()

    async def work(lab: Lab) -> str:
        snapshot_id = exposed_snapshot(lab.ports.files, root)
        known = {each.snapshot_id for each in lab.coordinator.snapshots()}
        if snapshot_id in known:  # it may have been deleted meanwhile; its tree goes all the same
            provider, _ = _found(lab, str(snapshot_id))
            await provider.set_exposed_name(snapshot_id, "")
        take_away(lab.ports.files, root)
        return str(snapshot_id)

    shadow = in_lab(directory, work)
    if as_json:
        print_json("unexposed", shadow=shadow, target=str(target))
    else:
        click.echo(f"shadow copy {shadow} is not exposed any more")


@click.command("revert")
@lab_argument
@click.option("--shadow", required=True, help="The shadow copy, by its id.")
@click.option("--force-dismount", is_flag=True, help="Take the volume away from the applications that use it.")
@json_option
def revert(directory: Path, shadow: str, force_dismount: bool, as_json: bool) -> None:
    """Bring the volume of a shadow copy back to it. Newer shadow copies of the volume are deleted; nothing undoes this."""

    async def work(lab: Lab) -> str:
        provider, properties = _found(lab, shadow)
        if force_dismount:
            await lab.take_down(f"volume {properties.original_volume} is dismounted to be reverted")
        await provider.revert(properties.snapshot_id, force_dismount=force_dismount)
        await lab.coordinator.refresh_snapshots()
        return properties.original_volume

    volume = in_lab(directory, work)
    if as_json:
        print_json("reverted", shadow=shadow, volume=volume)
    else:
        click.echo(f"volume {volume} is as in shadow copy {shadow}")


@click.command("repair")
@click.option("--lab", "directory", required=True, type=click.Path(path_type=Path), help="The lab's directory.")
@click.option("--for", "/for", "volume", required=True, help="The volume, such as D:.")
@click.option("--erase", is_flag=True, help="Erase the volume's shadow copies, whatever state they are in.")
@json_option
def repair(directory: Path, volume: str, erase: bool, as_json: bool) -> None:
    """Finish a revert of VOLUME that was cut short, or erase its shadow copies, in a lab that does not start."""
    from vss.lab.state import image_path, read_state
    from vss.real import RealFiles
    from vss.volumes import ImageStore
    from vss_providers.repair import erase_diff_area, finish_revert

    files, root = RealFiles(), directory.absolute()
    read_state(files, root)
    path = image_path(root, volume.rstrip("\\"))
    if not files.exists(path):
        raise InvalidArgumentError(f"the lab has no volume {volume} on disk: expected {path}")
    store = ImageStore.open(files, path)
    try:
        reverted = "" if erase else finish_revert(store)
        if erase:
            erase_diff_area(store)
        elif not reverted:
            raise UnsupportedError(
                f"volume {volume}: no revert was cut short, there is nothing to finish",
                hint="--erase gives up its shadow copies, whatever state they are in",
            )
    finally:
        store.close()
    if as_json:
        print_json("repaired", volume=volume, is_erased=erase, reverted_to=reverted)
    else:
        click.echo(f"volume {volume}: " + ("its shadow copies are erased" if erase else f"reverted to shadow copy {reverted}"))
