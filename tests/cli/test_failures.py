"""From exceptions to messages and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from vss import errors
from vss.cli.exit_codes_page import meanings, page
from vss.cli.failures import failures_of, report
from vss.exit_codes import ExitCode
from vss.hresult import HResult

ROOT = Path(__file__).parents[2]


def test_a_vss_error_gives_message_notes_hint_and_code(capsys: pytest.CaptureFixture[str]) -> None:
    error = errors.NotFoundError("no lab at /x", hint="'vss lab create' makes one")
    error.add_note("looked in two places")

    code = report(error, as_json=False, with_traceback=False)

    assert code == ExitCode.NOT_FOUND
    assert capsys.readouterr().err == (
        "error: no lab at /x\n"
        "note:  looked in two places\n"
        "hint:  'vss lab create' makes one\n"
        "code:  VSS_E_OBJECT_NOT_FOUND (0x80042308)\n"
    )


def test_the_same_as_json_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    code = report(
        errors.WriterError("writer refused", hresult=HResult.VSS_E_WRITERERROR_RETRYABLE), as_json=True, with_traceback=False
    )

    out, err = capsys.readouterr()
    assert (code, err) == (7, "")
    assert json.loads(out) == {
        "schema": "vss.cli/1",
        "type": "error",
        "error": "WriterError",
        "message": "writer refused",
        "hint": "",
        "hresult": "VSS_E_WRITERERROR_RETRYABLE",
        "hresult_code": "0x800423F3",
        "notes": [],
        "exit_code": 7,
    }


def test_of_several_errors_the_first_decides(capsys: pytest.CaptureFixture[str]) -> None:
    group = ExceptionGroup("several", [errors.PluginError("one"), ExceptionGroup("more", [errors.NotFoundError("two")])])

    assert report(group, as_json=False, with_traceback=False) == ExitCode.PLUGIN_FAILED
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")] == ["error: one", "error: two"]


@pytest.mark.parametrize(
    ("error", "is_terminated", "code"),
    [
        (KeyboardInterrupt(), False, 130),
        (KeyboardInterrupt(), True, 143),
        (click.Abort(), False, 130),
        (errors.Interrupted(2), False, 130),
        (errors.Interrupted(2), True, 143),
        (errors.Interrupted(15), False, 143),
    ],
)
def test_an_interrupt_is_one_word_and_a_code(error: BaseException, is_terminated: bool, code: int) -> None:
    (failure,) = failures_of(error, is_terminated=is_terminated)

    assert failure.exit_code == code
    assert failure.message.startswith("interrupted")
    assert failure.hresult == ""


@pytest.mark.parametrize("error", [ZeroDivisionError("by nought"), ZeroDivisionError()])
def test_an_unexpected_exception_is_short_and_its_traceback_comes_on_request(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error, as_json=False, with_traceback=False) == ExitCode.UNEXPECTED
    short = capsys.readouterr().err
    assert report(error, as_json=False, with_traceback=True) == ExitCode.UNEXPECTED
    full = capsys.readouterr().err

    assert short.startswith("error: unexpected ZeroDivisionError")
    assert len(short.splitlines()) == 2
    assert full.endswith(short)
    assert len(full) > len(short)


def test_clicks_own_errors_are_usage_errors() -> None:
    (failure,) = failures_of(click.FileError("x.toml", hint="no such file"))

    assert failure.exit_code == ExitCode.USAGE
    assert "x.toml" in failure.message


def test_every_code_has_a_meaning() -> None:
    assert list(meanings()) == list(ExitCode)


def test_the_page_is_what_the_table_says() -> None:
    assert (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8") == page(), (
        "run: python -m vss.cli.exit_codes_page > docs/exit-codes.md"
    )
