"""The command line as a whole: lookup, help, errors, signals, start-up."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import click
import pytest

import vss.cli.loading
from vss.cli import lazy
from vss.cli.commands import COMMANDS
from vss.cli.lazy import LazyGroup
from vss.cli.main import betest, main, run_command
from vss.cli.output import json_option, print_json
from vss.errors import VerificationError
from vss.exit_codes import ExitCode
from vss.plugins import Candidate, Kind, PluginHost, Registrar, hookimpl, load

ROOT = Path(__file__).parents[2]
SHELVES = [str(ROOT / shelf) for shelf in (".", "providers", "writers", "requestors")]


@click.command()
@json_option
def greet(as_json: bool) -> None:
    if as_json:
        print_json("greeting", text="hello", path=Path("/x"))
    else:
        click.echo("hello")


@click.command()
def mismatch() -> None:
    raise VerificationError("page 5 is wrong")


@click.group()
def own() -> None:
    """A group of a plugin's own."""


@own.command("first")
def first() -> None:
    click.echo("first")


def plugin() -> types.ModuleType:
    @hookimpl
    def vss_register_commands(registry: Registrar) -> None:
        registry.command("", "greet", greet, help="Say hello.")
        registry.command("", "betest", mismatch, help="Back up as betest does.")
        registry.command("", "broken", "no_such_module_anywhere:command")
        registry.command("", "plugins", mismatch, help="Never reached: the table's own command wins.")
        registry.command("", "not-click", len, help="Not a Click command.")  # type: ignore[arg-type]
        registry.command("", "own", own, help="A group of a plugin's own.")
        registry.command("own", "second", greet)
        registry.command("own", "first", mismatch)
        registry.command("admin list", "tapes", greet, help="List the tapes.")
        registry.command("robot arm", "move", greet, help="Move the arm.")

    module = types.ModuleType("commands_plugin")
    vars(module).update(VSS_API="1.0", vss_register_commands=vss_register_commands)
    return module


def use(host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands see ``host`` as the process's own."""
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: host)
    vss.cli.loading._warn_once.cache_clear()


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    host = load([Candidate.of("commands", plugin())], environment={})
    use(host, monkeypatch)
    return host


# -- finding commands ----------------------------------------------------------------------------------------------------------


def test_help_lists_our_commands_and_the_plugins_by_their_lines(
    commands: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--help"]) == 0

    out = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name.partition(' ')[0]} " in out
    assert "Say hello." in out
    assert "What vssadmin shows and does." in out
    assert "Never reached" not in out


def test_a_plugins_command_runs(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greet"]) == 0
    assert main(["greet", "--json"]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "hello",
        '{"schema":"vss.cli/1","type":"greeting","text":"hello","path":"/x"}',
    ]


@pytest.mark.parametrize("words", [["admin", "list", "tapes"], ["robot", "arm", "move"], ["own", "second"]])
def test_a_command_in_a_group_runs(words: list[str], commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0

    assert capsys.readouterr().out == "hello\n"


def test_a_groups_own_command_is_not_replaced(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["own", "first"]) == 0

    assert capsys.readouterr().out == "first\n"


def test_a_group_shows_its_commands(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["admin", "list", "--help"]) == 0

    out = capsys.readouterr().out
    assert "List the tapes." in out
    assert "Say hello." not in out


def test_a_command_added_in_the_usual_way_is_listed_too(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    group = LazyGroup("tool", path="robot")
    group.add_command(greet, "greet")

    assert run_command(lambda: group, "tool", ["--help"]) == 0
    assert run_command(lambda: group, "tool", ["greet"]) == 0

    assert "  greet" in capsys.readouterr().out


def test_an_empty_group_has_no_list_of_commands(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(lambda: LazyGroup("tool", path="nothing here"), "tool", ["--help"]) == 0

    assert "Commands:" not in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_of_the_table_can_be_imported_and_its_help_begins_as_the_table_says(
    path: str, commands: PluginHost
) -> None:
    command = lazy.find_command(path)

    assert command is not None
    assert command.name == path.rpartition(" ")[2]
    assert command.get_short_help_str(200).startswith(COMMANDS[path].help.rstrip("."))


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_every_command_of_the_table_takes_json(path: str, commands: PluginHost) -> None:
    def leaves(command: click.Command) -> list[click.Command]:
        if isinstance(command, click.Group):
            return [leaf for each in command.commands.values() for leaf in leaves(each)]
        return [command]

    command = lazy.find_command(path)
    assert command is not None
    for leaf in leaves(command):
        assert "--json" in [name for parameter in leaf.params for name in parameter.opts], leaf.name


# -- wrong spellings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["plugin"], "No such command 'plugin'. Did you mean 'plugins'?"),
        (["qqqq"], "No such command 'qqqq'."),
        (["admin", "lst"], "No such command 'lst'. Did you mean 'list'?"),
        (["plugins", "--jsn"], "Did you mean --json?"),
        (["--debgu"], "Did you mean --debug?"),
        (["schema", "evnt"], "'evnt' is not one of"),
    ],
)
def test_a_wrong_spelling_is_usage_with_the_nearest(
    words: list[str], suggestion: str, commands: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == ExitCode.USAGE

    assert suggestion.replace("'", "") in capsys.readouterr().err.replace("'", "")


def test_a_usage_error_as_json(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugin", "--json"]) == ExitCode.USAGE

    out, err = capsys.readouterr()
    assert err == ""
    document = json.loads(out)
    assert (document["type"], document["exit_code"]) == ("error", 2)
    assert document["hint"] == "'vss --help' shows how it is used"


# -- trouble with plugins ------------------------------------------------------------------------------------------------------


def broken_host() -> PluginHost:
    def explode() -> Any:
        raise ImportError("gone")

    return load([Candidate(Candidate.of("vss-tapes", None).origin, explode)], environment={})


def test_a_broken_plugin_is_one_warning_and_the_command_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(broken_host(), monkeypatch)

    assert main(["--help"]) == 0
    assert main(["--help"]) == 0

    assert capsys.readouterr().err == "warning: trouble with plugins: vss-tapes; 'vss plugins --all' says why\n"


def test_a_command_that_a_broken_plugin_may_own_is_exit_9(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(broken_host(), monkeypatch)

    assert main(["tapes"]) == ExitCode.PLUGIN_FAILED
    assert main(["plugin"]) == ExitCode.USAGE
    assert betest([]) == ExitCode.PLUGIN_FAILED

    assert "command 'tapes' may belong to plugin vss-tapes, which failed to load at stage import" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "words"), [("broken", "cannot be imported"), ("not-click", "must be a click.Command, found")])
def test_a_command_that_is_none_is_exit_9(
    name: str, words: str, commands: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name]) == ExitCode.PLUGIN_FAILED

    assert words in capsys.readouterr().err


def test_strict_plugins_is_an_error_for_every_problem(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host = broken_host()
    monkeypatch.setattr(vss.plugins, "plugin_host", lambda: host)

    assert main(["--strict-plugins", "plugins"]) == ExitCode.PLUGIN_FAILED

    assert "error: plugin vss-tapes failed at stage import: ImportError: gone" in capsys.readouterr().err


def test_betest_is_the_registered_command(commands: PluginHost, capsys: pytest.CaptureFixture[str]) -> None:
    assert betest([]) == ExitCode.VERIFICATION_MISMATCH
    assert "error: page 5 is wrong" in capsys.readouterr().err


def test_betest_without_a_plugin_is_not_found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    use(load([], environment={}), monkeypatch)

    assert betest([]) == ExitCode.NOT_FOUND
    assert commands_of(load([], environment={})) == []


def commands_of(host: PluginHost) -> list[str]:
    return host.registry.names(Kind.COMMAND)


# -- ends ----------------------------------------------------------------------------------------------------------------------


def ending(callback: Any) -> int:
    return run_command(lambda: click.Command("end", callback=callback), "end", [])


def raising(error: BaseException) -> Any:
    def callback() -> None:
        raise error

    return callback


@pytest.mark.parametrize(
    ("callback", "code"),
    [
        (lambda: None, 0),
        (lambda: ExitCode.WARNINGS, 3),
        (lambda: "text", 0),
        (raising(SystemExit(4)), 4),
        (raising(SystemExit("text")), 1),
        (raising(SystemExit()), 0),
        (lambda: click.get_current_context().exit(5), 5),
        (raising(ValueError("x")), 1),
        (raising(KeyboardInterrupt()), 130),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143),
        (lambda: os.kill(os.getpid(), signal.SIGINT), 130),
    ],
)
def test_exit_codes(callback: Any, code: int) -> None:
    before = signal.getsignal(signal.SIGTERM)

    assert ending(callback) == code

    assert signal.getsignal(signal.SIGTERM) is before


def test_a_stream_that_cannot_be_reconfigured_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)

    assert ending(lambda: click.echo("█ done")) == 0

    assert text.getvalue() == "█ done\n"


def test_outside_the_main_thread_a_command_runs_without_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise ValueError("signal only works in main thread of the main interpreter")

    monkeypatch.setattr(signal, "signal", refuse)

    assert ending(lambda: ExitCode.WARNINGS) == ExitCode.WARNINGS


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("VSS_DEBUG", "1")

    assert ending(raising(ValueError("x"))) == ExitCode.UNEXPECTED

    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)

        assert ending(raising(BrokenPipeError())) == ExitCode.UNEXPECTED


def test_a_terminal_without_the_characters_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", write_through=True))

    assert ending(lambda: click.echo("█ done")) == 0

    assert raw.getvalue() == b"? done\n"


def test_arguments_come_from_the_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["vss", "--version"])

    assert main() == 0

    assert capsys.readouterr().out.startswith("vss ")


# -- start-up ------------------------------------------------------------------------------------------------------------------

HEAVY = ("numpy", "networkx", "rich", "lxml", "structlog", "asyncio", "xxhash", "vss.roles", "vss.coordinator", "vss.documents")


def imported_by(*words: str) -> set[str]:
    """Run ``python -X importtime -m vss …`` in a fresh process and return the modules it imported."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(SHELVES)}
    command = [sys.executable, "-X", "importtime", "-m", "vss", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


@pytest.mark.slow
def test_help_imports_nothing_heavy() -> None:
    modules = imported_by("--help")

    assert "click" in modules
    assert sorted(each for each in HEAVY if each in modules) == []


@pytest.mark.slow
def test_python_m_vss_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vss", "nonsense"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(SHELVES)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode in {ExitCode.USAGE, ExitCode.PLUGIN_FAILED}
    assert "error:" in done.stderr
