"""``vss verify PATH...``: backup sets checked by themselves, without the machine they came from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from vss.cli.output import json_option, print_json
from vss.errors import VssError
from vss.exit_codes import ExitCode
from vss_requestors.betest_report import verification_report
from vss_requestors.results import SetVerification
from vss_requestors.sizes import parse_rate


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else parse_rate(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


Judged = SetVerification | VssError
"""A set as judged, or why it could not be."""


def verify_paths(paths: Sequence[Path], throttle_bytes_per_s: float | None) -> list[Judged]:
    """Verify the sets in ``paths`` in the real world, one by one, with the verifiers of the loaded plugins."""
    from vss.cli.loading import loaded_registry
    from vss.ports import Ports
    from vss.real import run_real
    from vss_requestors.repository.set_reader import find_set
    from vss_requestors.verify import verify_set

    verifiers = loaded_registry().create_verifiers()

    async def judge(ports: Ports, path: Path) -> Judged:
        try:
            found = await find_set(ports, path)
            return await verify_set(ports, found, verifiers, throttle_bytes_per_s=throttle_bytes_per_s)
        except VssError as error:
            return error

    async def main(ports: Ports) -> list[Judged]:
        return [await judge(ports, path) for path in paths]

    return run_real(main)


def worst(codes: Sequence[ExitCode]) -> ExitCode:
    """Return the exit code of several sets: wrong bytes before a set that cannot be judged before warnings."""

    def weight(code: ExitCode) -> int:
        if code is ExitCode.VERIFICATION_MISMATCH:
            return 3
        return {ExitCode.OK: 0, ExitCode.WARNINGS: 1}.get(code, 2)

    return max(codes, key=weight)


@click.command("verify")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--throttle", callback=_rate, help="Bytes a second, for example 20MiB.")
@click.option("--verbose", is_flag=True, help="Name every file.")
@json_option
def verify(paths: tuple[Path, ...], throttle: float | None, verbose: bool, as_json: bool) -> ExitCode:
    """Check backup sets: manifest, documents, and every page through the writers' verifiers.

    PATH is the directory of a set, or one that holds exactly one set. Of several the worst result gives the exit code; one that
    cannot be judged does not keep the others from it.
    """
    judged = verify_paths(paths, throttle)
    if len(judged) == 1 and isinstance(judged[0], VssError):
        raise judged[0]
    code = worst([each.exit_code for each in judged])
    if as_json:
        results = [_data(path, each) for path, each in zip(paths, judged, strict=True)]
        fields: dict[str, Any] = {"result": results[0]} if len(results) == 1 else {"results": results}
        print_json("summary", command="verify", **fields, exit_code=int(code))
    else:
        reports = [_text(path, each, is_verbose=verbose) for path, each in zip(paths, judged, strict=True)]
        click.echo("\n\n".join(reports))
    return code


def _data(path: Path, judged: Judged) -> dict[str, Any]:
    if isinstance(judged, VssError):
        code = {"hresult": judged.hresult.name, "exit_code": int(judged.exit_code)}
        return {"path": str(path), "error": judged.message, **code}
    fields: dict[str, Any] = msgspec.to_builtins(judged)
    return fields


def _text(path: Path, judged: Judged, *, is_verbose: bool) -> str:
    if isinstance(judged, VssError):
        return f"{path}\n\nNOT judged: {judged.message}"
    return verification_report(judged, is_verbose=is_verbose)
