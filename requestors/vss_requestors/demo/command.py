"""``vss demo``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from vss.cli.loading import loaded_plugins
from vss.cli.output import json_option, print_json
from vss.errors import AlreadyExistsError
from vss.exit_codes import ExitCode
from vss.real import RealFiles
from vss_requestors.demo.report import demo_report
from vss_requestors.demo.story import LAB, SETS, Stage, tell, to_data


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=None, help="Keep lab, backup sets and event log there.")
@click.option("--seed", default=1, show_default=True, help="The root of every random stream: same seed, same bytes.")
@json_option
def demo(out: Path | None, seed: int, as_json: bool) -> ExitCode:
    """The whole story on a fresh lab, in seconds.

    Workload, full backup, verification, truncation, disaster, restore, roll-forward; then the same with a wrong bit, a writer
    that does not thaw, and a provider that is too slow. Exit code 11 when an act does not go as it must.
    """
    if out is not None:
        root = out.absolute()
        for name in (LAB, SETS):
            if (root / name).exists():
                raise AlreadyExistsError(f"{out / name} exists: the demo writes into an empty directory")
        return _play(root, seed, as_json, out)
    with tempfile.TemporaryDirectory(prefix="vss-demo-") as directory:
        return _play(Path(directory), seed, as_json, None)


def _play(root: Path, seed: int, as_json: bool, out: Path | None) -> ExitCode:
    stage = Stage(RealFiles(), root, loaded_plugins(), seed)
    acts = tell(stage)
    if as_json:
        print_json("demo", seed=seed, acts=to_data(acts), is_met=all(act.is_met for act in acts))
    else:
        click.echo(demo_report(acts, stage.records_of, seed, out))
    return ExitCode.OK if all(act.is_met for act in acts) else ExitCode.INVARIANT
