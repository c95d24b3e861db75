"""``vss faults``: the catalogue of failures: list them, read about one, make them happen."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vss.cli.loading import loaded_registry
from vss.cli.output import json_option, print_json, table
from vss.cli.scenario import fault_option, html_option, seed_option, trace_option, write_outputs
from vss.errors import InvalidArgumentError
from vss.exit_codes import ExitCode

if TYPE_CHECKING:
    from vss.scenarios import Outcome
    from vss.scenarios.catalogue import Entry

_TITLE_COLUMNS = 62

pack_option = click.option("--pack", type=click.IntRange(1, 8), help="Only the entries of this pack.")


def _facts(entry: Entry) -> dict[str, Any]:
    import msgspec

    return {"title": entry.title, **msgspec.to_builtins(entry.failure), "is_pending": entry.failure.is_pending}


def _chosen(pack: int | None, phase: str | None = None) -> list[Entry]:
    from vss.scenarios.catalogue import entries

    return [
        each
        for each in entries()
        if (pack is None or pack in each.failure.packs) and (phase is None or phase == each.failure.phase)
    ]


@click.command("list")
@pack_option
@click.option("--phase", help="Only the entries of this phase, such as freeze.")
@click.option("--pending", "only_pending", is_flag=True, help="Only the entries that cannot run yet.")
@json_option
def list_failures(pack: int | None, phase: str | None, only_pending: bool, as_json: bool) -> None:
    """List the failures of the catalogue."""
    from vss.scenarios.failure import PHASES
    from vss.scenarios.step import check_word

    if phase is not None:
        check_word(phase, PHASES, "--phase")
    found = [each for each in _chosen(pack, phase) if each.failure.is_pending or not only_pending]
    if as_json:
        print_json("failures", failures=[_facts(each) for each in found])
        return
    rows = []
    for each in found:
        failure = each.failure
        state = f"waits for {failure.waits_for}" if failure.is_pending else "ready"
        rows.append((each.id, failure.phase, textwrap.shorten(each.title, _TITLE_COLUMNS, placeholder=" …"), state))
    click.echo(table([_cut(row) for row in rows], ("Id", "Phase", "Failure", "State")))
    ready = sum(1 for each in found if not each.failure.is_pending)
    click.echo(f"\n{len(found)} failures, {ready} ready to run, {len(found) - ready} pending")


def _cut(row: tuple[str, ...]) -> tuple[str, ...]:
    return (*row[:-1], textwrap.shorten(row[-1], 33, placeholder=" …"))


@click.command("show")
@click.argument("id")
@json_option
def show_failure(id: str, as_json: bool) -> None:
    """Tell what a failure is: what is seen, why, what must hold, whether to try again."""
    from vss.scenarios.catalogue import entry
    from vss.scenarios.failure import GUARANTEES, PACKS

    found = entry(id)
    if as_json:
        print_json("failure", **_facts(found))
        return
    failure = found.failure
    click.echo(f"{found.id}  {found.title}\n")
    parts = [("Phase", failure.phase), ("What is seen", failure.sees), ("Why", failure.why)]
    parts += [("Must hold", f"{name}: {GUARANTEES[name]}") for name in failure.must_hold]
    parts += [("Try again", failure.retry), ("Source", f"{failure.source} ({failure.evidence})")]
    parts += [("Pack", f"{number}: {PACKS[number]}") for number in failure.packs]
    if failure.is_pending:
        parts.append(("Pending", f"waits for {failure.waits_for}"))
    else:
        scenario = found.scenario()
        parts += [("Fault", str(fault) + (f" (during '{during}')" if during else "")) for during, fault in scenario.faults]
        parts += [("Expected", str(each)) for each in scenario.expect]
        parts.append(("Run it", f"vss faults run {found.id}"))
    for label, text in parts:
        click.echo(textwrap.fill(text, 118, initial_indent=f"{label:<13} ", subsequent_indent=" " * 14))


@click.command("run")
@click.argument("id", required=False)
@pack_option
@click.option("--all", "is_all", is_flag=True, help="Every entry that can run.")
@seed_option
@fault_option
@trace_option
@html_option
@json_option
def run_failure(
    id: str | None, pack: int | None, is_all: bool, seed: int | None, faults: tuple[str, ...], trace: Path | None,
    html: Path | None, as_json: bool,
) -> ExitCode:  # fmt: skip
    """Make a failure happen, or all of a pack, and check what must hold.

    With ID the report is that of 'vss run'; with --pack or --all it is a table.
    """
    if (id is not None) + (pack is not None) + is_all != 1:
        raise InvalidArgumentError("expected one of ID, --pack and --all")
    if id is not None:
        return _run_one(id, seed, faults, trace, html, as_json)
    if trace is not None or html is not None or faults:
        raise InvalidArgumentError("--trace, --html and --fault go with one failure, expected ID")
    return _run_several(_chosen(pack), seed, as_json)


def _run_one(
    id: str, seed: int | None, faults: tuple[str, ...], trace: Path | None, html: Path | None, as_json: bool
) -> ExitCode:
    from vss.scenarios import run_scenario
    from vss.scenarios.catalogue import entry
    from vss.scenarios.report import facts_of, report, reproduction
    from vss.simulation.fault_grammar import parse_fault

    found = entry(id)
    more = [parse_fault(each) for each in faults]
    outcome = run_scenario(found.scenario(), loaded_registry(), seed=seed, faults=more)
    reproduce = reproduction(["vss", "faults", "run", found.id], outcome.seed, faults)
    write_outputs(outcome, reproduce, trace, html)
    if as_json:
        print_json("scenario", **facts_of(outcome, reproduce), failure=_facts(found))
    else:
        click.echo(report(outcome, reproduce))
    return outcome.exit_code


def _run_several(chosen: list[Entry], seed: int | None, as_json: bool) -> ExitCode:
    from vss.scenarios import run_scenario

    registry = loaded_registry()
    ready = [each for each in chosen if not each.failure.is_pending]
    outcomes: list[tuple[Entry, Outcome]] = [(each, run_scenario(each.scenario(), registry, seed=seed)) for each in ready]
    bad = [each for each, outcome in outcomes if not outcome.ok]
    pending = [each for each in chosen if each.failure.is_pending]
    if as_json:
        results = [
            {
                "id": each.id,
                "ok": outcome.ok,
                "seed": outcome.seed,
                "digest": outcome.digest,
                "shortfalls": [f"{one.kind} {one.name}: {one.message}" for one in outcome.shortfalls],
            }
            for each, outcome in outcomes
        ]
        print_json("failures", results=results, pending=[each.id for each in pending], bad=[each.id for each in bad])
    else:
        rows = [_result_row(each, outcome) for each, outcome in outcomes]
        click.echo(table(rows, ("Id", "Failure", "Faults", "Events", "Verdict")))
        click.echo(f"\n{len(outcomes)} run, {len(bad)} not as they must be, {len(pending)} pending")
        for each in bad:
            click.echo(f"  vss faults run {each.id}" + (f" --seed {seed}" if seed is not None else ""))
    return ExitCode.INVARIANT if bad else ExitCode.OK


def _result_row(entry: Entry, outcome: Outcome) -> tuple[str, ...]:
    struck = sum(each.strikes for each in outcome.faults)
    verdict = "as it must be" if outcome.ok else f"{len(outcome.shortfalls)} NOT as it must be"
    title = textwrap.shorten(entry.title, _TITLE_COLUMNS, placeholder=" …")
    return entry.id, title, str(struck), str(len(outcome.records)), verdict
