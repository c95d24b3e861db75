"""The command ``eseutil``: the engine's tool on ordinary files, in its own spelling (``/mh FILE``, ``-mh``, ``--mh``).

Click sees the arguments as they are; the mode decides what they mean. Exit codes are the project's: 0 ok, 2 usage, 6 for damage
found, 10 for a missing file, 1 for anything else; the JET code, which is the original tool's exit code, is printed.

Sources: published engine, eseutil.cxx (syntax); the exit codes are ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.checksums import check
from vss_writers.ese.eseutil.dump import dump_any, dump_checkpoint, dump_header
from vss_writers.ese.eseutil.labels import Dump
from vss_writers.ese.eseutil.rebuilding import run_defragmentation, run_repair
from vss_writers.ese.eseutil.recovery import run_recovery
from vss_writers.ese.eseutil.restoring import dump_environment, run_hard_recovery
from vss_writers.ese.files import FileSystem, HostFileSystem

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_MISMATCH = 6
EXIT_NOT_FOUND = 10

_NOT_FOUND = (JetCode.FileNotFound, JetCode.CheckpointFileNotFound, JetCode.DatabaseNotFound)
_MISMATCHES = (
    JetCode.ReadVerifyFailure,
    JetCode.DatabaseCorrupted,
    JetCode.LogFileCorrupt,
    JetCode.CheckpointCorrupt,
    JetCode.LogReadVerifyFailure,
)
_MODES = ("mh", "ml", "mk", "k", "r", "cc", "cm", "p", "d")
_OPTIONS = {"r": "lsdia8cu", "cc": "tfk", "p": "t", "d": "tpb"}
"""Letters that each mode takes."""
_WITH_VALUE = {"r": "lsd", "cc": "f", "p": "t", "d": "tb"}
"""Those that a value must follow. The target of ``/cc /t`` may be joined to it only: without one there is none."""
_USAGE = (
    "expected /mh FILE, /ml BASE_OR_FILE, /mk FILE, /k FILE_OR_BASE, /r BASE [/l DIR] [/s DIR] [/d DIR] [/i] [/a]"
    " [/u] [/c5|/c8],"
    " /cm DIR, /cc DIR [/t[:DIR]] [/f DIR] [/k], /p FILE [/t FILE] or /d FILE [/t FILE] [/p] [/b FILE]"
)


@dataclass(slots=True)
class Request:
    """What the arguments ask for."""

    mode: str
    target: str
    options: dict[str, str] = field(default_factory=dict)


def parse(arguments: Sequence[str]) -> Request:
    """Read the arguments in any of the spellings; ``click.UsageError`` names what is wrong.

    An option's value follows it, or is joined to it (``/lDIR``, ``/l:DIR``).
    """
    mode = ""
    values: list[str] = []
    options: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name = _option_name(argument, mode)
        if not name:
            values.append(argument)
        elif not mode:
            mode = _mode_of(name, argument)
        else:
            _take_option(mode, name, argument, rest, options)
    if not mode:
        raise click.UsageError(f"no mode given: {_USAGE}")
    if len(values) != 1:
        raise click.UsageError(f"one file or base name expected after /{mode}, found {len(values)}")
    return Request(mode, values[0], options)


def _option_name(argument: str, mode: str) -> str:
    """Name of an option, or empty where the argument is a path: ``/srv/db.edb`` is one, ``/mh`` is not."""
    if argument.startswith("-"):
        return argument.lstrip("-").lower()
    if not argument.startswith("/"):
        return ""
    name = argument[1:]
    if not mode:
        return name.lower() if name.lower() in _MODES or "/" not in name else ""
    if "/" not in name or (name[1:2] == ":" and name[0].lower() in _OPTIONS.get(mode, "")):
        return name
    return ""


def _mode_of(name: str, argument: str) -> str:
    if name.lower() not in _MODES:
        raise click.UsageError(f"unknown mode {argument}: {_USAGE}")
    return name.lower()


def _take_option(mode: str, name: str, argument: str, rest: list[str], options: dict[str, str]) -> None:
    letter, value = name[0].lower(), name[1:].removeprefix(":")
    if letter not in _OPTIONS.get(mode, ""):
        raise click.UsageError(f"unknown option {argument}: {_USAGE}")
    if letter in _WITH_VALUE[mode] and not value:
        if not rest:
            raise click.UsageError(f"a path is expected after {argument}")
        value = rest.pop(0)
    if (mode, letter) == ("r", "u") and value:
        raise click.UsageError(f"/u takes no log: recovery replays all logs that are there, found {argument}")
    if (mode, letter) == ("r", "c") and value not in ("5", "8"):
        raise click.UsageError(f"/c5 or /c8 expected, found {argument}")
    options[letter] = value


async def run(request: Request, files: FileSystem) -> Dump:
    """Do what ``request`` asks for.

    Raises:
        JetError: where the mode could not do its work at all.
    """
    match request.mode:
        case "mh":
            return await dump_header(files, request.target)
        case "mk":
            return await dump_checkpoint(files, request.target)
        case "ml":
            return await dump_any(files, request.target)
        case "k":
            return await check(files, request.target)
        case "cm":
            return await dump_environment(files, request.target)
        case "cc":
            return await run_hard_recovery(files, request.target, request.options)
        case "p":
            return await run_repair(files, request.target, request.options)
        case "d":
            return await run_defragmentation(files, request.target, request.options)
        case _:
            return await run_recovery(files, request.target, request.options)


def exit_code_of(error: JetError) -> int:
    """The project's exit code for an error."""
    if error.code in _NOT_FOUND:
        return EXIT_NOT_FOUND
    return EXIT_MISMATCH if error.code in _MISMATCHES else EXIT_FAILURE


_HELP = ("--help", "-h", "-?", "/?")


class WindowsSpelling(click.Command):
    """A command that leaves its arguments alone: ``-mh`` is one mode here, not the options ``-m`` and ``-h``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep only ``--json`` and a request for help as options of Click's."""
        rest = [argument for argument in args if argument.lower() not in ("--json", "-json", "/json")]
        if not rest or any(argument in _HELP for argument in rest):
            click.echo(self.get_help(ctx))
            ctx.exit(EXIT_OK if rest else EXIT_USAGE)
        return super().parse_args(ctx, [*(["--json"] if len(rest) < len(args) else []), "--", *rest])


@click.command(name="eseutil", cls=WindowsSpelling, epilog=_USAGE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, as_json: bool, arguments: tuple[str, ...]) -> None:
    """Look at, check, recover, repair and defragment files of the store, as eseutil does."""
    request = parse(arguments)
    try:
        dump = asyncio.run(run(request, HostFileSystem()))
    except JetError as error:
        _print_failure(request, error, as_json=as_json)
        context.exit(exit_code_of(error))
    if as_json:
        _print_json(request, {**dump.data, "jet_error": dump.error_code})
    else:
        click.echo("\n".join(dump.lines))
        click.echo(_closing(dump))
    context.exit(EXIT_MISMATCH if dump.is_mismatch else EXIT_OK)


def _closing(dump: Dump) -> str:
    if not dump.error_code:
        return "\nOperation completed successfully."
    code = JetCode(dump.error_code)
    return f"\nOperation terminated with error {dump.error_code} (JET_err{code.name}, {code_text(code)})."


def code_text(code: JetCode) -> str:
    """What a code means."""
    return JetError(code).text


def _print_failure(request: Request, error: JetError, *, as_json: bool) -> None:
    if as_json:
        failure: dict[str, Any] = {"error": str(error), "jet_error": int(error.code), "jet_name": error.name}
        if error.path is not None:
            failure["path"] = error.path
        _print_json(request, failure)
    else:
        click.echo(f"Operation terminated with error {int(error.code)} ({error.name}, {error.text}): {error.detail}", err=True)
        if error.path is not None:
            click.echo(f"File: {error.path}", err=True)


def _print_json(request: Request, data: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": "vss.cli/1", "command": "eseutil", "mode": request.mode, **data}))
