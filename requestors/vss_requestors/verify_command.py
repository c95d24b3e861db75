"""``vss verify PATH``: a backup set checked by itself, without the machine it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from vss.cli.output import json_option, print_json
from vss.exit_codes import ExitCode
from vss_requestors.betest_report import verification_report
from vss_requestors.results import SetVerification
from vss_requestors.sizes import parse_rate


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else parse_rate(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def verify_path(path: Path, throttle_bytes_per_s: float | None) -> SetVerification:
    """Verify the set in ``path`` in the real world, with the verifiers of the loaded plugins."""
    from vss.cli.loading import loaded_registry
    from vss.ports import Ports
    from vss.real import run_real
    from vss_requestors.repository.set_reader import find_set
    from vss_requestors.verify import verify_set

    verifiers = loaded_registry().create_verifiers()

    async def main(ports: Ports) -> SetVerification:
        found = await find_set(ports, path)
        return await verify_set(ports, found, verifiers, throttle_bytes_per_s=throttle_bytes_per_s)

    return run_real(main)


@click.command("verify")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--throttle", callback=_rate, help="Bytes a second, for example 20MiB.")
@click.option("--verbose", is_flag=True, help="Name every file.")
@json_option
def verify(path: Path, throttle: float | None, verbose: bool, as_json: bool) -> ExitCode:
    """Check a backup set: manifest, documents, and every page through the writers' verifiers.

    PATH is the directory of a set, or one that holds exactly one set.
    """
    result = verify_path(path, throttle)
    code = result.exit_code
    if as_json:
        fields: dict[str, Any] = msgspec.to_builtins(result)
        print_json("summary", command="verify", result=fields, exit_code=int(code))
    else:
        click.echo(verification_report(result, is_verbose=verbose))
    return code
