"""``vss schema``: JSON Schemas of what the product writes and reads, made from the types themselves."""

from __future__ import annotations

import importlib
import json

import click

from vss.cli.output import json_option

SCHEMAS: dict[str, str] = {
    "cli": "vss.cli.output:json_schema",
    "event": "vss.observe.jsonl:json_schema",
    "lab": "vss.lab.configuration:configuration_schema",
    "scenario": "vss.scenarios.scenario:scenario_schema",
}
"""Name on the command line and the function that returns the schema."""


@click.command()
@json_option
@click.argument("name", type=click.Choice(sorted(SCHEMAS)))
def schema(as_json: bool, name: str) -> None:
    """Print a JSON Schema: of events, of labs, of scenarios, of command output.

    ``event`` is one line of an event log, ``lab`` the file lab.toml, ``scenario`` a
    file for 'vss run', ``cli`` an object that a command prints with --json. The
    schema is JSON anyway; --json prints it on one line.
    """
    module_name, _, attribute = SCHEMAS[name].partition(":")
    document = getattr(importlib.import_module(module_name), attribute)()
    click.echo(json.dumps(document, ensure_ascii=False, indent=None if as_json else 2))
