"""What commands print: text for people on stdout, messages on stderr; with ``--json`` stdout carries nothing but objects.

One object per line. Each has ``schema`` (``vss.cli/1``) and ``type``: a short command prints one object of its own type, a long
one a line per ``event`` or ``status`` and a ``summary``; a failed one ends with an ``error``. Fields may be added; readers
ignore those they do not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from vss.exit_codes import ExitCode

SCHEMA = "vss.cli/1"

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON objects instead of text.")
"""Every command takes it; the handler gets ``as_json``."""


def json_line(type: str, **fields: Any) -> str:
    """Return one object as a line of JSON; what JSON has no form for (a path, an id, an enum) is written as its text."""
    return json.dumps({"schema": SCHEMA, "type": type, **fields}, ensure_ascii=False, separators=(",", ":"), default=str)


def print_json(type: str, **fields: Any) -> None:
    """Print one object on stdout."""
    click.echo(json_line(type, **fields))


def warn(sentences: Sequence[str]) -> None:
    """Say each on stderr."""
    for sentence in sentences:
        click.echo(f"warning: {sentence}", err=True)


def table(rows: Sequence[tuple[str, ...]], headings: tuple[str, ...]) -> str:
    """Return left-aligned columns under headings, without trailing blanks."""
    widths = [max(len(row[column]) for row in [headings, *rows]) for column in range(len(headings))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [headings, *rows]
    ]
    return "\n".join(lines)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of every object that commands print."""
    text = {"type": "string"}
    error = {
        "properties": {
            "type": {"const": "error"},
            "error": {"type": "string", "description": "the error's class"},
            "message": text,
            "hint": text,
            "hresult": {"type": "string", "description": "symbol of the result code; empty where there is none"},
            "hresult_code": {"type": "string", "pattern": "^(0x[0-9A-F]{8})?$"},
            "exit_code": {"enum": [code.value for code in ExitCode if code]},
        },
        "required": ["type", "error", "message", "exit_code"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": SCHEMA,
        "type": "object",
        "properties": {"schema": {"const": SCHEMA}, "type": text},
        "required": ["schema", "type"],
        "if": {"properties": {"type": {"const": "error"}}},
        "then": error,
    }
