"""``vss lab``: make a machine on disk, look at it, let it run, break it, repair it, check it.

Every command is one start of the machine in virtual time (``vss.lab.world``): it boots, does its work, shuts down in order.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from vss.cli.loading import loaded_plugins, loaded_registry
from vss.cli.output import json_option, print_json, warn
from vss.errors import InvalidArgumentError
from vss.exit_codes import ExitCode

if TYPE_CHECKING:
    from vss.lab import Lab

T = TypeVar("T")

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

lab_argument = click.argument("directory", type=click.Path(path_type=Path))


def parse_duration(text: str) -> float:
    """Return seconds for ``90s``, ``5m``, ``1h30m`` and the like.

    Raises:
        InvalidArgumentError: no duration.
    """
    parts = _DURATION.findall(text)
    if not parts or _DURATION.sub("", text).strip():
        raise InvalidArgumentError(f"expected a duration such as 90s, 5m or 1h30m, found '{text}'")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def in_lab(directory: Path, main: Callable[[Lab], Awaitable[T]], *, expendable: Sequence[str] = ()) -> T:
    """Start the lab in ``directory``, run ``main`` on it, stop it, and return the result; warn of dropped observers.

    ``expendable`` names volumes that may come up as lost (see ``run_in_lab``).
    """
    from vss.lab.world import run_in_lab
    from vss.real import RealFiles

    root = directory.absolute()
    run = run_in_lab(RealFiles(), root, main, loaded_registry(), plugins=loaded_plugins(), expendable=expendable)
    warn(run.warnings)
    return run.result


@click.command()
@lab_argument
@click.option("--template", default="exchange", show_default=True, help="The lab to start from.")
@click.option("--seed", default=0, show_default=True, help="The root of every random stream.")
@json_option
def create(directory: Path, template: str, seed: int, as_json: bool) -> None:
    """Make a lab in DIRECTORY, which must be empty or missing."""
    from vss.lab import template_text
    from vss.lab.world import create_lab
    from vss.real import RealFiles

    root = directory.absolute()
    text = template_text(template, seed)
    configuration, records = create_lab(RealFiles(), root, text, loaded_registry(), plugins=loaded_plugins())
    if as_json:
        print_json("lab", directory=str(directory), machine=configuration.machine.name, seed=seed, events=len(records))
    else:
        click.echo(f"lab {configuration.machine.name} made in {directory} (template {template}, seed {seed})")
        click.echo(f"edit {directory / 'lab.toml'} to change it, 'vss lab show {directory}' to look at it")


@click.command()
@lab_argument
@json_option
def show(directory: Path, as_json: bool) -> None:
    """What the machine is made of and what state it is in."""

    async def look(lab: Lab) -> dict[str, Any]:
        from vss.lab.facts import facts_of

        return await facts_of(lab)

    facts = in_lab(directory, look)
    if as_json:
        print_json("lab", **facts)
    else:
        _print_facts(facts)


def _print_facts(facts: dict[str, Any]) -> None:
    from vss.observe.quantities import instant, size

    click.echo(f"machine {facts['machine']}, clock {instant(facts['now_ns'])}")
    for volume in facts["volumes"]:
        click.echo(f"volume {volume['name']} {size(volume['size_bytes'])}" + (" LOST" if volume["is_lost"] else ""))
    for provider in facts["providers"]:
        click.echo(f"provider '{provider['name']}' ({provider['type']})")
    for copy in facts["shadow_copies"]:
        click.echo(f"shadow copy {copy['id']} of {copy['volume']} (set {copy['set']})")
    for kind in ("writers", "workloads"):
        for each in facts[kind]:
            click.echo(f"{kind[:-1]} '{each['name']}'")
            for key, value in each.items():
                if key != "name":
                    _print_value(key, value)


def _print_value(key: str, value: Any) -> None:
    if isinstance(value, list):
        for entry in value:
            text = ", ".join(f"{name} {item}" for name, item in entry.items()) if isinstance(entry, dict) else str(entry)
            click.echo(f"  {key}: {text}")
    else:
        click.echo(f"  {key}: {value}")


@click.command()
@lab_argument
@click.option("--for", "duration", default="10m", show_default=True, help="How long, in virtual time: 90s, 5m, 1h30m.")
@json_option
def run(directory: Path, duration: str, as_json: bool) -> None:
    """Let the workloads work, in virtual time."""
    seconds = parse_duration(duration)

    async def work(lab: Lab) -> list[dict[str, Any]]:
        await lab.run_for(seconds)
        return [{"name": name, **each.report()} for name, each in lab.workloads.items()]

    reports = in_lab(directory, work)
    if as_json:
        print_json("run", seconds=seconds, workloads=reports)
        return
    for report in reports:
        facts = ", ".join(f"{key} {value}" for key, value in report.items() if key != "name")
        click.echo(f"workload '{report['name']}': {facts}")


@click.command()
@lab_argument
@json_option
def check(directory: Path, as_json: bool) -> ExitCode:
    """Check what must hold at rest: nothing held, nothing leaked, every acknowledged operation there."""

    async def look(lab: Lab) -> list[str]:
        return await lab.check()

    problems = in_lab(directory, look)
    if as_json:
        print_json("check", problems=problems)
    else:
        for problem in problems:
            click.echo(problem)
        click.echo(f"{len(problems)} violations" if problems else "all invariants hold")
    return ExitCode.INVARIANT if problems else ExitCode.OK


@click.command()
@lab_argument
@click.argument("volume")
@json_option
def lose(directory: Path, volume: str, as_json: bool) -> None:
    """Lose the disk under VOLUME (such as D:), with every shadow copy on it."""

    async def disaster(lab: Lab) -> None:
        await lab.lose_volume(volume)

    in_lab(directory, disaster, expendable=[volume])
    _say(as_json, "lost", f"volume {volume} is lost", volume=volume)


@click.command()
@lab_argument
@click.argument("volume")
@json_option
def replace(directory: Path, volume: str, as_json: bool) -> None:
    """Put a new, empty disk in the place of a lost VOLUME."""

    async def repair(lab: Lab) -> None:
        await lab.replace_volume(volume)

    in_lab(directory, repair)
    _say(as_json, "replaced", f"volume {volume} has a new, empty disk", volume=volume)


@click.command()
@lab_argument
@click.argument("volume")
@click.argument("size")
@json_option
def grow(directory: Path, volume: str, size: str, as_json: bool) -> None:
    """Make VOLUME, and the file system on it, SIZE long.

    VOLUME is a name such as D:, SIZE is bytes, or 64MiB, 2GiB and the like. Refused while the volume has shadow copies or room
    for them. lab.toml stays as it was: the size there is that of a new disk, and a grown image may be longer.
    """
    from vss.lab.configuration import parse_size

    size_bytes = parse_size(size, "SIZE")

    async def lengthen(lab: Lab) -> None:
        await lab.volume(volume).grow(size_bytes)

    in_lab(directory, lengthen)
    _say(as_json, "grown", f"volume {volume} has {size_bytes} bytes", volume=volume, size_bytes=size_bytes)


@click.command("flip-bit")
@lab_argument
@click.argument("path")
@click.argument("offset", type=int)
@click.option("--bit", type=click.IntRange(0, 7), default=0, show_default=True, help="Which bit of the byte.")
@json_option
def flip_bit(directory: Path, path: str, offset: int, bit: int, as_json: bool) -> None:
    """Flip one bit on the disk under the file PATH (D:\\...), at OFFSET bytes."""

    async def damage(lab: Lab) -> None:
        await lab.flip_bit(path, offset, bit)

    in_lab(directory, damage)
    _say(as_json, "flipped", f"bit {bit} of byte {offset} of {path} is flipped on the disk", path=path, offset=offset, bit=bit)


def _say(as_json: bool, type: str, text: str, **fields: Any) -> None:
    if as_json:
        print_json(type, **fields)
    else:
        click.echo(text)
