"""From an exception to what the user sees and the exit code: the only place where commands' errors are handled.

A ``VssError`` gives its message, notes, hint and result code; of several at once the first decides the exit code. Click's usage
errors give their own text. Anything else is our mistake: exit 1, one line, and the traceback only with ``--debug`` (or
``VSS_DEBUG=1``). An interrupt has been handled by whoever held writers frozen before it gets here; it only becomes 130 or 143.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass

import click

from vss.cli.output import print_json
from vss.errors import Interrupted, VssError
from vss.exit_codes import ExitCode


@dataclass(frozen=True, slots=True)
class Failure:
    """What to say."""

    error: str
    message: str
    exit_code: int
    hint: str = ""
    hresult: str = ""
    hresult_code: str = ""
    notes: tuple[str, ...] = ()


def failures_of(error: BaseException, *, is_terminated: bool = False) -> list[Failure]:
    """Return what to say about ``error``, in order; the first decides the exit code."""
    if isinstance(error, BaseExceptionGroup):
        return [failure for each in error.exceptions for failure in failures_of(each, is_terminated=is_terminated)]
    name = type(error).__name__
    if isinstance(error, KeyboardInterrupt | click.Abort | Interrupted):
        is_sigterm = is_terminated or (isinstance(error, Interrupted) and error.exit_code is ExitCode.TERMINATED)
        text = "interrupted, everything was released" if isinstance(error, Interrupted) else "interrupted"
        return [Failure("Interrupted", text, ExitCode.TERMINATED if is_sigterm else ExitCode.INTERRUPTED)]
    if isinstance(error, VssError):
        notes = tuple(getattr(error, "__notes__", ()))
        code = error.hresult
        return [Failure(name, error.message, error.exit_code, error.hint, code.name, f"0x{code.value:08X}", notes)]
    if isinstance(error, click.ClickException):
        # Click gives 1 to a file that cannot be opened and to its plain exception; for us both are the caller's to change.
        return [Failure(name, error.format_message(), ExitCode.USAGE, _usage_hint(error))]
    message = f"unexpected {name}: {error}" if str(error) else f"unexpected {name}"
    return [Failure(name, message, ExitCode.UNEXPECTED, "this is a defect of the program; --debug shows where")]


def report(error: BaseException, *, as_json: bool, with_traceback: bool, is_terminated: bool = False) -> int:
    """Tell the user about ``error`` and return the exit code."""
    failures = failures_of(error, is_terminated=is_terminated)
    if with_traceback:
        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    for failure in failures:
        if as_json:
            _print_json(failure)
        else:
            _print_text(failure)
    return int(failures[0].exit_code)


def _print_json(failure: Failure) -> None:
    print_json(
        "error",
        error=failure.error,
        message=failure.message,
        hint=failure.hint,
        hresult=failure.hresult,
        hresult_code=failure.hresult_code,
        notes=list(failure.notes),
        exit_code=int(failure.exit_code),
    )


def _print_text(failure: Failure) -> None:
    click.echo(f"error: {failure.message}", err=True)
    for note in failure.notes:
        click.echo(f"note:  {note}", err=True)
    if failure.hint:
        click.echo(f"hint:  {failure.hint}", err=True)
    if failure.hresult:
        click.echo(f"code:  {failure.hresult} ({failure.hresult_code})", err=True)


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"'{context.command_path} --help' shows how it is used" if context is not None else ""
