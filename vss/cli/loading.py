"""The process's plugins, for commands: loaded at first use, and one warning on stderr when something is wrong with them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from vss.plugins import PluginHost, Registry


def loaded_registry() -> Registry:
    """Return the registry of this process; the first call warns of plugins that failed to load."""
    host = _host()
    _warn_once()
    return host.registry


def loaded_plugins() -> PluginHost:
    """Return the plugins of this process; the first call warns of those that failed to load."""
    _warn_once()
    return _host()


def _host() -> PluginHost:
    from vss.plugins import plugin_host

    return plugin_host()


@cache
def _warn_once() -> None:
    problems = _host().problems
    if problems:
        names = ", ".join(str(problem.origin) for problem in problems)
        click.echo(f"warning: trouble with plugins: {names}; 'vss plugins --all' says why", err=True)
