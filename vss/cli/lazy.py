"""A Click group that knows its commands by name and imports one only when it is used.

Names come from the table in ``vss.cli.commands`` and from the plugins' registry; where both have a name, ours wins and the
registry's is never reached (the loader's duplicates rule holds among plugins). Plugins are loaded when a name is not ours, or
for the help. A misspelt command is a usage error that names the nearest ones.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import Any

import click

from vss.cli.commands import COMMANDS, GROUPS
from vss.cli.loading import loaded_registry
from vss.errors import NotFoundError, PluginError
from vss.plugins.registry import Kind, Registration, nearest_names


class LazyGroup(click.Group):
    """The group at ``path`` (``""`` is the root)."""

    def __init__(self, *arguments: Any, path: str = "", **options: Any) -> None:
        """Make the group; ``path`` is the words that lead to it, separated by blanks."""
        super().__init__(*arguments, **options)
        self.path = path

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names one word below this group, sorted."""
        return sorted({*super().list_commands(ctx), *self._lines()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None where there is none of that name."""
        added = super().get_command(ctx, cmd_name)
        return added if added is not None else find_command(self._below(cmd_name))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of ``args``.

        Raises:
            click.UsageError: there is none of that name; the message names the nearest ones.
            PluginError: a plugin that failed to load owned the name, or may own it.
        """
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            nearest = nearest_names(name, self.list_commands(ctx))
            if not nearest:
                with contextlib.suppress(NotFoundError):
                    loaded_registry().find(Kind.COMMAND, self._below(name))
            suggestion = " Did you mean " + " or ".join(f"'{each}'" for each in nearest) + "?" if nearest else ""
            ctx.fail(f"No such command '{name}'.{suggestion}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from their lines of help, without importing them."""
        lines = self._lines()
        for name in super().list_commands(ctx):
            lines.setdefault(name, self.commands[name].get_short_help_str())
        if lines:
            with formatter.section("Commands"):
                formatter.write_dl([(name, lines[name]) for name in sorted(lines)])

    def _below(self, name: str) -> str:
        return f"{self.path} {name}".strip()

    def _lines(self) -> dict[str, str]:
        """Names one word below this group, with their lines of help."""
        known = {path: entry.help for path, entry in COMMANDS.items()}
        for registration in _registered():
            known.setdefault(registration.name, registration.summary)
        prefix = f"{self.path} " if self.path else ""
        lines: dict[str, str] = {}
        for path, line in known.items():
            if path.startswith(prefix):
                word, _, rest = path[len(prefix) :].partition(" ")
                lines[word] = GROUPS.get(prefix + word, lines.get(word, "")) if rest else line
        return lines


def find_command(path: str) -> click.Command | None:
    """Return the command at ``path``, from the table, the registry, or as a group of longer paths; None where there is none."""
    declared = COMMANDS.get(path)
    if declared is not None:
        module_name, _, attribute = declared.target.partition(":")
        return _with_registered(path, getattr(importlib.import_module(module_name), attribute))
    prefix = f"{path} "
    is_declared_group = any(each.startswith(prefix) for each in COMMANDS)
    for registration in _registered():
        if registration.name == path:
            command = registration.resolve()
            if not isinstance(command, click.Command):
                raise PluginError(
                    f"command '{path}' of plugin {registration.origin} must be a click.Command, found {type(command).__name__}"
                )
            return _with_registered(path, command)
    if is_declared_group or any(each.name.startswith(prefix) for each in _registered()):
        return LazyGroup(path.rpartition(" ")[2], path=path, help=GROUPS.get(path), no_args_is_help=True)
    return None


def _with_registered(path: str, command: click.Command) -> click.Command:
    """Add what plugins registered below a group that is a command of its own."""
    if isinstance(command, click.Group) and not isinstance(command, LazyGroup):
        prefix = f"{path} "
        for registration in _registered():
            name = registration.name.removeprefix(prefix)
            if name != registration.name and " " not in name and name not in command.commands:
                command.add_command(registration.resolve(), name)
    return command


def _registered() -> list[Registration]:
    return loaded_registry().registrations(Kind.COMMAND)
