"""``vss run``: one scenario file in simulated time, with a report of what happened and what was expected.

Exit code 0 where everything is as it must be, 11 where an expectation or an invariant is broken, 2 for a file that means
nothing, 10 where there is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vss.cli.loading import loaded_registry
from vss.cli.output import json_option, print_json
from vss.errors import InvalidArgumentError, NotFoundError, VolumeWriteError
from vss.exit_codes import ExitCode

if TYPE_CHECKING:
    from vss.scenarios import Outcome, Scenario

seed_option = click.option("--seed", type=int, help="The root of every random stream, instead of the file's own.")
fault_option = click.option("--fault", "faults", multiple=True, metavar="LINE", help="One more fault; may be repeated.")
trace_option = click.option("--trace", type=click.Path(path_type=Path), help="Write every event to this file, as JSON lines.")
html_option = click.option("--html", type=click.Path(path_type=Path), help="Write the report as a page to this file.")

order_option = click.option(
    "--order", type=click.Choice(["fifo", "jitter", "any"]), default="fifo", help="The order of steps: asyncio's by default."
)
choices_option = click.option(
    "--choices", default="", metavar="TEXT", help="Who decides what the order leaves open: seeded, pct:DEPTH:PICKS, or numbers."
)
reboot_option = click.option("--reboot-after", default="", metavar="STEP", help="Cut the power for a minute after this step.")
power_option = click.option(
    "--power-fails", default="", metavar="PLACE", help="Power fails there: [during=STEP] SITE [when=…] [unsynced=FORM]."
)
SHIPPED = "shipped:"
"""Before the name of a scenario that comes with the program."""


def read_scenario(path: Path) -> Scenario:
    """Read and check a scenario file; ``shipped:NAME`` is one that comes with the program.

    Raises:
        NotFoundError: there is none.
        InvalidArgumentError: it cannot be read.
        ConfigurationError: it means nothing.
    """
    from vss.scenarios import load_scenario

    return load_scenario(str(path), read_scenario_bytes(path))


def read_scenario_bytes(path: Path) -> bytes:
    """Return the bytes of a scenario file; errors as ``read_scenario``, but for what they mean."""
    if str(path).startswith(SHIPPED):
        from vss.exploration.sweep import shipped

        return shipped(str(path).removeprefix(SHIPPED)).encode()
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no scenario file {path}") from error
    except OSError as error:
        raise InvalidArgumentError(f"scenario file {path} cannot be read: {error.strerror or error}") from error


def write_outputs(outcome: Outcome, reproduce: str, trace: Path | None, html: Path | None) -> None:
    """Write what was asked for.

    Raises:
        VolumeWriteError: a file cannot be written.
    """
    from vss.observe import jsonl
    from vss.scenarios.page import page

    if trace is not None:
        _write(trace, jsonl.encode_all(outcome.records))
    if html is not None:
        _write(html, page(outcome, reproduce).encode())


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise VolumeWriteError(f"{path} cannot be written: {error.strerror or error}") from error


@click.command("run")
@click.argument("scenario", type=click.Path(path_type=Path))
@seed_option
@fault_option
@order_option
@choices_option
@reboot_option
@power_option
@trace_option
@html_option
@json_option
def run(
    scenario: Path,
    seed: int | None,
    faults: tuple[str, ...],
    order: str,
    choices: str,
    reboot_after: str,
    power_fails: str,
    trace: Path | None,
    html: Path | None,
    as_json: bool,
) -> ExitCode:
    """Run a scenario file: a lab, a method, faults, expectations.

    Everything happens in simulated time, in milliseconds; the same seed gives the same run. A fault of the command line may
    begin with during=STEP: it then strikes in that step only.
    """
    from vss.exploration.trials import Explorer, replay_command, trial_of
    from vss.scenarios.report import facts_of, report

    parsed = read_scenario(scenario)
    root = parsed.seed if seed is None else seed
    trial = trial_of(
        parsed,
        seed=root,
        faults=faults,
        order=order,
        choices=choices,
        reboot_after=reboot_after,
        power_fails=power_fails,
    )
    outcome = Explorer(parsed, loaded_registry()).outcome(trial)
    reproduce = replay_command(trial, str(scenario))
    write_outputs(outcome, reproduce, trace, html)
    if as_json:
        print_json("scenario", **facts_of(outcome, reproduce))
    else:
        click.echo(report(outcome, reproduce))
    return outcome.exit_code
