"""Both console scripts. Every command runs through ``run_command``: one place for errors, signals and exit codes.

Start-up is kept short: this module imports Click and the words only; commands, plugins and everything heavy are imported when
used (``vss.cli.lazy``). Exit codes: ``vss.exit_codes``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import click

from vss.cli.failures import report
from vss.cli.lazy import LazyGroup, find_command
from vss.cli.signals import sigterm_as_interrupt
from vss.exit_codes import ExitCode

_FLAGS_OF_OUTPUT = ("--json", "--debug")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``vss`` and return its exit code."""
    return run_command(lambda: root, "vss", arguments)


def betest(arguments: Sequence[str] | None = None) -> int:
    """Run ``betest``, the command that the requestors' plugin registers under that name, and return its exit code."""
    return run_command(_betest_command, "betest", arguments)


def run_command(command: Callable[[], click.Command], program: str, arguments: Sequence[str] | None) -> int:
    """Run a command and return its exit code; no exception gets out.

    A command may return an ``ExitCode`` (or nothing), raise ``VssError``, or exit through Click.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    as_json, is_debugging = (flag in words for flag in _FLAGS_OF_OUTPUT)
    is_debugging = is_debugging or os.environ.get("VSS_DEBUG", "") not in {"", "0"}
    _make_output_printable()
    with sigterm_as_interrupt() as termination:
        try:
            result = command().main(args=words, prog_name=program, standalone_mode=False)
            return result if isinstance(result, int) else ExitCode.OK
        except SystemExit as exit_request:
            return _code_of(exit_request)
        except BrokenPipeError:
            _discard_output()
            return ExitCode.UNEXPECTED
        except BaseException as error:  # noqa: BLE001 - everything becomes a message and an exit code here, and only here
            return report(error, as_json=as_json, with_traceback=is_debugging, is_terminated=termination.has_come)


def _strict(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from vss.plugins import plugin_host

        plugin_host().raise_problems()


def _version(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value and not context.resilient_parsing:
        from vss.cli.version import version

        click.echo(f"vss {version()}")
        context.exit()


@click.group(cls=LazyGroup, no_args_is_help=False, invoke_without_command=False)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.option(
    "--strict-plugins",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_strict,
    help="Any trouble with a plugin is an error.",
)
def root() -> None:
    """The laboratory for snapshot backup.

    Exit codes: 0 done, 1 unexpected failure, 2 usage, 3 warnings, 4 snapshot failed, 5 window lost, 6 wrong bytes, 7 vetoed,
    8 set in progress, 9 plugin failed, 10 not found, 11 invariant violated, 130 and 143 interrupted after thaw.
    """


def _betest_command() -> click.Command:
    from vss.cli.loading import loaded_registry
    from vss.plugins.registry import Kind

    loaded_registry().find(Kind.COMMAND, "betest")
    command = find_command("betest")
    assert command is not None, "what the registry has is found"
    return command


def _code_of(exit_request: SystemExit) -> int:
    """The meaning that Python gives to an exit request: nothing is 0, text is a message and 1."""
    if exit_request.code is None or isinstance(exit_request.code, int):
        return exit_request.code or ExitCode.OK
    click.echo(exit_request.code, err=True)
    return ExitCode.UNEXPECTED


def _make_output_printable() -> None:
    """A terminal that cannot show a character gets a question mark instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _discard_output() -> None:
    """The reader of our output has gone: what is buffered must not raise again at exit (Python library, module signal)."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
