"""``vss sweep``, ``vss campaign``, ``vss interleave``, ``vss replay``: looking for runs in which something breaks.

Each ends with 0 where nothing broke and 11 where something did, after one command per finding that shows it again. What is
printed on stdout is the same for any number of workers; how long it took goes to stderr.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vss.cli.output import json_option, print_json, table
from vss.cli.scenario import SHIPPED, read_scenario_bytes
from vss.exit_codes import ExitCode

if TYPE_CHECKING:
    from vss.exploration.campaign import State
    from vss.exploration.coverage import Coverage
    from vss.exploration.sweep import Report
    from vss.exploration.trials import Finding, Trial
    from vss.exploration.workers import Crew, Executor
    from vss.scenarios.observation import EvidenceLevel

FINDINGS_SHRUNK = 10
jobs_option = click.option("--jobs", type=int, default=1, metavar="J", help="How many processes of this machine do the runs.")
shrink_option = click.option("--shrink/--no-shrink", default=True, help="Shrink what was found to the smallest plan.")
evidence_option = click.option(
    "--evidence",
    type=click.Choice(["full", "light"]),
    default="light",
    show_default=True,
    help="How closely each run is watched: full reads volumes, shadow copies and sets, too.",
)
traces_option = click.option(
    "--traces", type=click.Path(path_type=Path), help="Write a trace of each finding into this directory, for 'vss replay'."
)


@click.command("sweep")
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--pairs", "kind", flag_value="pairs", help="All pairs of faults, on a reduced scenario.")
@click.option("--crash", "kind", flag_value="crash", help="A crash before, during and after each site.")
@click.option("--power-loss", "kind", flag_value="power-loss", help="Power fails at each write that outlives a crash.")
@click.option("--all-visits", is_flag=True, help="Strike media at every visit, not at the first, the middle and the last.")
@click.option("--step", "steps", multiple=True, metavar="STEP", help="Strike in this step only; may be repeated.")
@click.option("--site", "sites", multiple=True, metavar="PATTERN", help="Strike at these sites only; may hold *.")
@click.option("--every", type=click.IntRange(min=1), default=1, metavar="N", help="Do each N-th run only: a sample.")
@jobs_option
@evidence_option
@shrink_option
@traces_option
@json_option
def sweep(
    scenario: Path | None,
    kind: str | None,
    all_visits: bool,
    steps: tuple[str, ...],
    sites: tuple[str, ...],
    every: int,
    jobs: int,
    evidence: EvidenceLevel,
    shrink: bool,
    traces: Path | None,
    as_json: bool,
) -> ExitCode:
    """Strike every point of a clean run with every fault.

    Every effect that makes sense at a point strikes once and always, each in a run of its own.
    Without SCENARIO it sweeps the one that comes with the program: a backup under load, its verification, a disaster, the
    restore, and a fresh backup, which must succeed.
    """
    from vss.exploration import sweep as sweeping
    from vss.real import RealClock

    kind = kind or "single"
    path = Path(f"{SHIPPED}{'pairs' if kind == 'pairs' else 'default'}") if scenario is None else scenario
    clock = RealClock()
    with _crew(path, jobs, evidence=evidence) as crew:
        points = sweeping.selected(sweeping.points_of(crew), steps, sites)
        planned = list(sweeping.trials(kind, points, crew, all_visits, every))
        report, _ = sweeping.sweep(
            crew,
            kind,
            points,
            planned,
            lambda done, bad: click.echo(f"{done} of {len(planned)} runs, {bad} with violations", err=True),
        )
        took_s = clock.now_ns() / 1e9
        if as_json:
            print_json("sweep", **_builtins(report))
        else:
            click.echo(sweep_text(report))
        _tell_findings(crew, path, report.findings, shrink, traces, as_json)
    click.echo(f"{report.runs} runs in {took_s:.1f} s with {jobs} {'process' if jobs == 1 else 'processes'}", err=True)
    return ExitCode.INVARIANT if report.violations else ExitCode.OK


@click.command("campaign")
@click.argument("scenario", type=click.Path(path_type=Path), required=False)
@click.option("--seeds", type=int, required=True, metavar="N", help="How many runs; each has a seed of its own.")
@click.option("--first-seed", type=int, default=1, show_default=True, metavar="N", help="Where seeds begin.")
@click.option("--resume", type=click.Path(path_type=Path), help="Keep the state in this file or directory; go on from there.")
@click.option("--budget", default="", metavar="TIME", help="Stop after this much real time, such as 60s.")
@click.option("--dask", default="", metavar="ADDRESS", help="Use the Dask cluster at ADDRESS; needs the extra 'dask'.")
@jobs_option
@evidence_option
@shrink_option
@traces_option
@json_option
def campaign(
    scenario: Path | None,
    seeds: int,
    first_seed: int,
    resume: Path | None,
    budget: str,
    dask: str,
    jobs: int,
    evidence: EvidenceLevel,
    shrink: bool,
    traces: Path | None,
    as_json: bool,
) -> ExitCode:
    """Run many seeded mixtures of faults and orders.

    What a run does follows from its seed alone. The report is the same for any number of workers, and whether or not the
    campaign was interrupted and taken up again.
    """
    from vss.errors import ConfigurationError
    from vss.exploration import sweep as sweeping
    from vss.exploration.campaign import Campaign
    from vss.real import RealClock, RealFiles
    from vss.simulation.fault_words import parse_duration

    try:
        limit_s = parse_duration(budget) if budget else float("inf")
    except ValueError as error:
        raise ConfigurationError(f"budget: {error}") from None
    clock, files = RealClock(), RealFiles()
    path = Path(f"{SHIPPED}default") if scenario is None else scenario
    if resume is not None and files.is_directory(resume):
        resume = resume / "campaign.json"
    with _crew(path, jobs, dask, evidence=evidence) as crew:
        points = sweeping.points_of(crew)
        run = Campaign(crew, points, crew.text, first_seed=first_seed, seeds=seeds, files=files, path=resume)
        for state in run.run(lambda: clock.now_ns() / 1e9 < limit_s):
            click.echo(f"{state.done} of {state.seeds} runs, {state.violations} with violations", err=True)
        took_s = clock.now_ns() / 1e9
        state = run.state
        if as_json:
            print_json("campaign", **_builtins(state), coverage=_builtins(state.coverage))
        else:
            click.echo(campaign_text(state))
        _tell_findings(crew, path, list(state.findings.values()), shrink, traces, as_json)
    click.echo(f"{took_s:.1f} s", err=True)
    return ExitCode.INVARIANT if state.violations else ExitCode.OK


@click.command("replay")
@click.argument("trace", type=click.Path(path_type=Path))
@json_option
def replay(trace: Path, as_json: bool) -> ExitCode:
    """Run the run of a trace again and say where it first differs, and what breaks."""
    from vss.exploration.trace import parse_trace
    from vss.exploration.trace import replay as repeated

    known = parse_trace(read_scenario_bytes(trace), str(trace))
    with _crew(Path(known.header.scenario), 1) as crew:
        told = repeated(crew.explorer, known, text=crew.text)
        violations = crew.explorer.run(known.header.trial).violations
    if as_json:
        print_json("replay", differences=told, violations=[_builtins(each) for each in violations])
    else:
        click.echo("\n".join(told) or "the same run, record for record")
        for each in violations:
            click.echo(f"{each.kind} {each.name}: {each.message}")
    return ExitCode.INVARIANT if told or violations else ExitCode.OK


# -- what is used and told -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _crew(path: Path, jobs: int, dask: str = "", *, evidence: EvidenceLevel = "full") -> Iterator[Crew]:
    """Yield who does the runs of a scenario file."""
    from vss.cli.loading import loaded_registry
    from vss.errors import ConfigurationError
    from vss.exploration.processes import dask_cluster, local_processes
    from vss.exploration.workers import Crew

    if jobs < 1:
        raise ConfigurationError(f"jobs: expected at least 1, found {jobs}")
    try:
        text = read_scenario_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: expected UTF-8 text, found {error.reason} at byte {error.start}") from error
    with contextlib.ExitStack() as stack:
        executor: Executor | None = None
        if dask:
            executor = stack.enter_context(dask_cluster(dask))
        elif jobs > 1:
            executor = stack.enter_context(local_processes(jobs))
        yield Crew(text, str(path), executor=executor, registry=loaded_registry(), evidence=evidence)


def _tell_findings(
    crew: Crew, path: Path, findings: Sequence[Finding], shrink: bool, traces: Path | None, as_json: bool
) -> None:
    """Tell each finding with the command that shows it again, the first ones shrunk."""
    from vss.exploration.shrink import shrink as shrunk
    from vss.exploration.trials import replay_command

    for number, finding in enumerate(findings):
        violation, smallest = finding.violation, finding.trial
        if shrink and number < FINDINGS_SHRUNK:
            smallest = shrunk(crew.explorer, smallest, key=violation.key).trial
        command = replay_command(smallest, str(path))
        file = None if traces is None else _write_trace(crew, path, smallest, traces / f"finding-{number + 1}.jsonl")
        if as_json:
            told = _builtins(finding) | {"trial": _builtins(smallest)}
            print_json("finding", **told, replay=command, trace=None if file is None else str(file))
        else:
            first = violation.message.partition("\n")[0]
            click.echo(f"\n{violation.kind} {violation.name}, {finding.runs} runs: {first}\n  Again: {command}")
            if file is not None:
                click.echo(f"  Trace: {file}")


def _write_trace(crew: Crew, path: Path, trial: Trial, file: Path) -> Path:
    from vss.cli.version import version
    from vss.exploration.trace import record
    from vss.real import RealFiles

    trace = record(crew.explorer, trial, text=crew.text, source=str(path), version=version())
    files = RealFiles()
    files.make_directory(file.parent)
    files.write_atomically(file, trace.encoded())
    return file


def sweep_text(report: Report) -> str:
    """Return a sweep's report for people."""
    headings = ("Site", "Points", "Visits", "Tried", "Effects", "Runs", "Reported", "Absorbed", "Not struck", "Violated")
    rows = [
        (
            cell.site,
            *(str(number) for number in (cell.points, cell.visits, cell.tried, cell.effects, cell.runs)),
            *(str(cell.outcomes.get(word, 0)) for word in ("reported", "absorbed", "not struck")),
            str(cell.violations),
        )
        for cell in report.cells
    ]
    lines = [f"{report.scenario}: {report.kind} faults", "", table(rows, headings), "", *coverage_lines(report.coverage)]
    if report.not_tabled:
        lines.append(f"sites that the table does not have, left out: {', '.join(report.not_tabled)}")
    if report.known:
        lines.append(f"{report.known} runs are the same whether the fault strikes once or always: done once")
    return "\n".join([*lines, f"{report.runs} runs, {report.violations} with violations; digest {report.digest}"])


def campaign_text(state: State) -> str:
    """Return a campaign's report for people."""
    last = state.first_seed + state.done - 1
    lines = [f"{state.title}: seeds {state.first_seed} to {last} of {state.first_seed + state.seeds - 1}", ""]
    lines += coverage_lines(state.coverage)
    return "\n".join([*lines, f"{state.done} runs, {state.violations} with violations; digest {state.digest}"])


def coverage_lines(coverage: Coverage) -> list[str]:
    """Return what was reached of what there is."""
    reached, missing = len(coverage.writer_cells), coverage.writer_cells_missing
    lines = [
        "outcomes: " + ", ".join(f"{word} {count}" for word, count in sorted(coverage.outcomes.items())),
        f"writer states × events reached: {reached} of {reached + len(missing)} legal ones",
    ]
    if missing:
        lines.append("  not reached: " + ", ".join(missing))
    lines += [
        f"result codes seen: {len(coverage.codes)}",
        f"kinds of events seen: {len(coverage.events)} of {len(coverage.events) + len(coverage.events_missing)}",
        f"sites struck: {len(coverage.sites)} of {len(coverage.sites) + len(coverage.sites_missing)}",
    ]
    return lines


def _builtins(value: object) -> dict[str, object]:
    import msgspec

    data = msgspec.to_builtins(value)
    assert isinstance(data, dict), "only records are printed"
    return data
