"""``vss admin … shadowstorage``: where a lab keeps the saved blocks of its shadow copies, and how much room they may take.

Layout and sizes as vssadmin has them: ``/maxsize=`` takes a number with KB to EB, a percentage of the volume, or UNBOUNDED.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vss.cli.lab import in_lab
from vss.cli.output import json_option, print_json
from vss.errors import InvalidArgumentError, UnsupportedError

if TYPE_CHECKING:
    from vss.lab import Lab
    from vss.roles.provider import Provider, ShadowStorage

UNBOUNDED = 0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(%|[KMGTPE]?B?)", re.IGNORECASE)
_UNITS = ("KB", "MB", "GB", "TB", "PB", "EB")
_POWERS = {"": 0, "B": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}

lab_option = click.option("--lab", "directory", required=True, type=click.Path(path_type=Path), help="The lab's directory.")
for_option = click.option("--for", "/for", "volume", required=True, help="The volume, such as D:.")
on_option = click.option("--on", "/on", "storage_volume", default="", help="Where its saved blocks go; by default the same.")
size_option = click.option("--maxsize", "/maxsize", "maximum", default="UNBOUNDED", help="Such as 64MB, 10% or UNBOUNDED.")


def parse_maximum(text: str, volume_bytes: int) -> int:
    """Return bytes for ``320MB``, ``10%`` of the volume, or ``UNBOUNDED`` (0).

    Raises:
        InvalidArgumentError: no size.
    """
    if text.upper() == "UNBOUNDED":
        return UNBOUNDED
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidArgumentError(f"expected a maximum such as 64MB, 10% or UNBOUNDED, found '{text}'")
    number, unit = float(found[1]), found[2].upper()
    size = number * volume_bytes / 100 if unit == "%" else number * 1024.0 ** _POWERS[unit.removesuffix("B") or ""]
    if size < 1:
        raise InvalidArgumentError(f"expected a maximum above 0, found '{text}'")
    return int(size)


def _provider(lab: Lab) -> Provider:
    """The provider that keeps saved blocks.

    Raises:
        UnsupportedError: the machine has none.
    """
    from vss.roles.provider import ProviderType

    for provider in lab.coordinator.providers:
        if provider.capabilities.is_differential and provider.type is not ProviderType.HARDWARE:
            return provider
    raise UnsupportedError("no provider of the machine has shadow copy storage")


@click.command("shadowstorage")
@lab_option
@click.option("--for", "/for", "volume", default="", help="Only of this volume, such as D:.")
@click.option("--on", "/on", "storage_volume", default="", help="Only what is stored on this volume.")
@json_option
def list_storage(directory: Path, volume: str, storage_volume: str, as_json: bool) -> None:
    """List the shadow copy storage associations."""

    async def ask(lab: Lab) -> list[ShadowStorage]:
        names = [lab.volume(name.rstrip("\\")).name if name else "" for name in (volume, storage_volume)]
        found = [each for provider in lab.coordinator.providers for each in await provider.query_storage()]
        return [each for each in found if names[0] in ("", each.volume) and names[1] in ("", each.storage_volume)]

    found = in_lab(directory, ask)
    if as_json:
        print_json("shadowstorage", associations=[_data(each) for each in found])
        return
    if not found:
        click.echo("No items found that satisfy the query.")
    for each in found:
        click.echo("Shadow Copy Storage association")
        click.echo(f"   For volume: ({each.volume})\\\\?\\Volume{{{each.volume_id}}}\\")
        click.echo(f"   Shadow Copy Storage volume: ({each.storage_volume})\\\\?\\Volume{{{each.storage_volume_id}}}\\")
        click.echo(f"   Used Shadow Copy Storage space: {_space(each.used_bytes, each.volume_bytes)}")
        click.echo(f"   Allocated Shadow Copy Storage space: {_space(each.allocated_bytes, each.volume_bytes)}")
        maximum = _space(each.maximum_bytes, each.volume_bytes) if each.maximum_bytes else "UNBOUNDED (100%)"
        click.echo(f"   Maximum Shadow Copy Storage space: {maximum}\n")


def _data(each: ShadowStorage) -> dict[str, Any]:
    return {
        "volume": each.volume,
        "storage_volume": each.storage_volume,
        "used_bytes": each.used_bytes,
        "allocated_bytes": each.allocated_bytes,
        "maximum_bytes": each.maximum_bytes or None,
    }


def _space(size_bytes: int, volume_bytes: int) -> str:
    """``1.50 GB (3%)`` as vssadmin says it; powers of two."""
    percent = f"({size_bytes * 100 // volume_bytes}%)"
    if size_bytes < 1024:
        return f"{size_bytes} bytes {percent}"
    power = min((size_bytes.bit_length() - 1) // 10, len(_UNITS))
    return f"{size_bytes / 1024**power:.2f} {_UNITS[power - 1]} {percent}"


@click.command("shadowstorage")
@lab_option
@for_option
@on_option
@size_option
@click.option("--inside", "is_inside", is_flag=True, help="In a file inside the volume, of fixed size, instead of behind it.")
@json_option
def add_storage(directory: Path, volume: str, storage_volume: str, maximum: str, is_inside: bool, as_json: bool) -> None:
    """Give a volume a place for the saved blocks of its shadow copies."""

    async def work(lab: Lab) -> None:
        target = lab.volume(volume.rstrip("\\"))
        storage = lab.volume(storage_volume.rstrip("\\")) if storage_volume else target
        size = parse_maximum(maximum, target.size_bytes)
        await _provider(lab).add_storage(target, storage, size, is_inside=is_inside)

    in_lab(directory, work)
    _say(as_json, "added", f"Successfully added the shadow copy storage association of {volume}", volume)


@click.command("shadowstorage")
@lab_option
@for_option
@on_option
@size_option
@json_option
def resize_storage(directory: Path, volume: str, storage_volume: str, maximum: str, as_json: bool) -> None:
    """Change the maximum size. Where it is too small for them, the oldest shadow copies are deleted."""

    async def work(lab: Lab) -> None:
        target = lab.volume(volume.rstrip("\\"))
        await _require_association(lab, target.name, storage_volume)
        await _provider(lab).resize_storage(target, parse_maximum(maximum, target.size_bytes))

    in_lab(directory, work)
    _say(as_json, "resized", f"Successfully resized the shadow copy storage association of {volume}", volume)


@click.command("shadowstorage")
@lab_option
@for_option
@on_option
@json_option
def delete_storage(directory: Path, volume: str, storage_volume: str, as_json: bool) -> None:
    """Take a storage association away; refused while the volume has shadow copies."""

    async def work(lab: Lab) -> None:
        target = lab.volume(volume.rstrip("\\"))
        await _require_association(lab, target.name, storage_volume)
        await _provider(lab).delete_storage(target)

    in_lab(directory, work)
    _say(as_json, "deleted", f"Successfully deleted the shadow copy storage association of {volume}", volume)


async def _require_association(lab: Lab, volume: str, storage_volume: str) -> None:
    """Refuse a storage volume that the volume is not associated with."""
    if not storage_volume:
        return
    wanted = lab.volume(storage_volume.rstrip("\\")).name
    found = [each.storage_volume for each in await _provider(lab).query_storage() if each.volume == volume]
    if found and wanted not in found:
        raise InvalidArgumentError(f"the shadow copies of {volume} are stored on {found[0]}, not on {wanted}")


def _say(as_json: bool, type: str, text: str, volume: str) -> None:
    if as_json:
        print_json(type, volume=volume)
    else:
        click.echo(text)
