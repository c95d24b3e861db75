"""Faults that struck, and plugins that cannot be used."""

from __future__ import annotations

from vss.events.base import Event


class FaultFired(Event, frozen=True, kw_only=True):
    site: str
    effect: str
    selectors: str = ""


class PluginProblem(Event, frozen=True, kw_only=True):
    plugin: str
    stage: str
    message: str
