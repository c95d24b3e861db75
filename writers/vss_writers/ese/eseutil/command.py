"""The command ``eseutil``: the engine's tool on ordinary files, in its own spelling (``/mh FILE``, ``-mh``, ``--mh``).

Click sees the arguments as they are; the mode decides what they mean. Exit codes are the project's: 0 ok, 2 usage, 6 for damage
found, 10 for a missing file, 1 for anything else; the JET code, which is the original tool's exit code, is printed.

Sources: published engine, eseutil.cxx (syntax); the exit codes are ours.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.arguments import USAGE, Request, parse
from vss_writers.ese.eseutil.checksums import check
from vss_writers.ese.eseutil.dump import dump_any, dump_checkpoint, dump_header
from vss_writers.ese.eseutil.host_files import ToolFileSystem, failure_of
from vss_writers.ese.eseutil.labels import Dump
from vss_writers.ese.eseutil.rebuilding import run_defragmentation, run_repair
from vss_writers.ese.eseutil.recovery import run_recovery
from vss_writers.ese.eseutil.restoring import dump_environment, run_hard_recovery
from vss_writers.ese.files import FileSystem

EXIT_OK = 0
EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_MISMATCH = 6
EXIT_NOT_FOUND = 10

_NOT_FOUND = (JetCode.FileNotFound, JetCode.CheckpointFileNotFound, JetCode.DatabaseNotFound)
_MISMATCHES = (
    JetCode.BadPageLink,
    JetCode.BadParentPageLink,
    JetCode.BadLineCount,
    JetCode.PageTagCorrupted,
    JetCode.NodeCorrupted,
    JetCode.ReadVerifyFailure,
    JetCode.PageNotInitialized,
    JetCode.DatabaseCorrupted,
    JetCode.DatabaseCorruptedNoRepair,
    JetCode.BadPatchPage,
    JetCode.CheckpointCorrupt,
    JetCode.LogFileCorrupt,
    JetCode.LogReadVerifyFailure,
    JetCode.LogTornWriteDuringHardRestore,
    JetCode.LogTornWriteDuringHardRecovery,
    JetCode.LogCorruptDuringHardRestore,
    JetCode.LogCorruptDuringHardRecovery,
    JetCode.CommittedLogFileCorrupt,
)


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


@click.command(name="eseutil", cls=WindowsSpelling, epilog=USAGE)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, as_json: bool, arguments: tuple[str, ...]) -> None:
    """Look at, check, recover, repair and defragment files of the store, as eseutil does."""
    request = parse(arguments)
    try:
        dump = asyncio.run(_run_here(request))
    except JetError as error:
        _print_failure(request, error, as_json=as_json)
        context.exit(exit_code_of(error))
    if as_json:
        _print_json(request, {**dump.data, "jet_error": dump.error_code})
    else:
        click.echo("\n".join(dump.lines))
        click.echo(_closing(dump))
    context.exit(EXIT_MISMATCH if dump.is_mismatch else EXIT_OK)


async def _run_here(request: Request) -> Dump:
    """Do it on files of the host; ``JetError`` for what the operating system refuses, too."""
    try:
        return await run(request, ToolFileSystem())
    except OSError as error:
        raise failure_of(error, request.target) from error


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
        places = {"path": error.path, "page": error.page_number, "offset": error.offset}
        _print_json(request, {**failure, **{name: value for name, value in places.items() if value is not None}})
        return
    text = f"Operation terminated with error {int(error.code)} ({error.name}, {error.text})"
    click.echo(f"{text}: {error.detail}" if error.detail else f"{text}.", err=True)
    if error.path is not None:
        click.echo(f"File: {error.path}", err=True)
    if error.page_number is not None:
        click.echo(f"Page: {error.page_number}", err=True)
    if error.offset is not None:
        click.echo(f"Offset: {error.offset:#x}", err=True)


def _print_json(request: Request, data: dict[str, Any]) -> None:
    click.echo(json.dumps({"schema": "vss.cli/1", "command": "eseutil", "mode": request.mode, **data}))
