"""``vss plugins``: what is loaded; with ``--all`` also what is blocked or broken, and why."""

from __future__ import annotations

from typing import Any

import click

from vss.cli.output import json_option, print_json, table
from vss.plugins import Kind, PluginHost, PluginRecord, plugin_host
from vss.plugins.loader import API_VERSION


@click.command()
@json_option
@click.option("--all", "show_all", is_flag=True, help="Show blocked and broken plugins too, with their tracebacks.")
def plugins(as_json: bool, show_all: bool) -> None:
    """What is loaded, blocked and broken."""
    host = plugin_host()
    records = [record for record in host.records if show_all or record.status == "ok"]
    if as_json:
        print_json("plugins", **_data(host, records))
    else:
        _print_text(host, records, show_all=show_all)


def _data(host: PluginHost, records: list[PluginRecord]) -> dict[str, Any]:
    return {
        "api": ".".join(map(str, API_VERSION)),
        "plugins": [_record_data(record) for record in records],
        "problems": [
            {
                "plugin": problem.origin.plugin,
                "value": problem.origin.value,
                "distribution": problem.origin.distribution,
                "version": problem.origin.version,
                "stage": problem.stage,
                "message": problem.message,
                "traceback": problem.traceback,
                "is_warning": problem.is_warning,
            }
            for problem in host.problems
        ],
    }


def _record_data(record: PluginRecord) -> dict[str, Any]:
    return {
        "name": record.origin.plugin,
        "value": record.origin.value,
        "distribution": record.origin.distribution,
        "version": record.origin.version,
        "origin": "built in" if record.origin.is_built_in else "entry point",
        "status": record.status,
        "reason": record.reason,
        "api": record.api,
        "hooks": list(record.hooks),
        "registered": {
            kind.value: [each.name for each in record.registrations if each.kind is kind]
            for kind in Kind
            if any(each.kind is kind for each in record.registrations)
        },
    }


def _print_text(host: PluginHost, records: list[PluginRecord], *, show_all: bool) -> None:
    rows = [
        (
            record.origin.plugin,
            record.status,
            f"{record.origin.distribution} {record.origin.version}".strip() or "-",
            "built in" if record.origin.is_built_in else "entry point",
            _registered(record) or record.reason or "-",
        )
        for record in records
    ]
    click.echo(table(rows, ("plugin", "status", "distribution", "origin", "registers")))
    if show_all:
        for problem in host.problems:
            click.echo(f"\n{'warning' if problem.is_warning else 'problem'}: plugin {problem.origin}, stage {problem.stage}")
            click.echo(f"  {problem.message}")
            if problem.traceback:
                click.echo("  " + problem.traceback.rstrip().replace("\n", "\n  "))
    elif host.problems or len(records) < len(host.records):
        click.echo(f"{len(host.records) - len(records)} blocked or broken; --all shows them")


def _registered(record: PluginRecord) -> str:
    """``writers: exchange, files; commands: eseutil``."""
    by_kind = _record_data(record)["registered"]
    return "; ".join(f"{kind}s: {', '.join(names)}" for kind, names in by_kind.items())
