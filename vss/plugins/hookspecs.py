"""The hooks a plugin module may implement. This is the whole contract; everything asynchronous lives on registered objects.

A plugin is a module (or any object) found through the entry-point group ``vss.plugins``. It declares ``VSS_API = "1.0"`` and
implements hooks by functions marked with ``@hookimpl``; each may name any subset of the hook's arguments. Hooks are plain
functions: an ``async def`` is refused, because nobody would await it (pluggy documentation, "Calling hooks").

The register hooks run once, when plugins are loaded, in the order below; a plugin is loaded whole or not at all. Built-ins
are visited first, then third parties by name. Nothing depends on the order of discovery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from vss.events import Record
    from vss.plugins.registry import Registrar

PROJECT = "vss"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def vss_register_writers(registry: Registrar) -> None:
    """Called once at load. Add writers by ``registry.writer(name, factory, summary="…")``."""


@hookspec
def vss_register_providers(registry: Registrar) -> None:
    """Called once at load. Add providers by ``registry.provider(name, factory, summary="…")``."""


@hookspec
def vss_register_requestors(registry: Registrar) -> None:
    """Called once at load. Add requestors by ``registry.requestor(name, factory, summary="…")``."""


@hookspec
def vss_register_verifiers(registry: Registrar) -> None:
    """Called once at load. Add verifiers by ``registry.verifier(writer_class_id, factory, summary="…")``."""


@hookspec
def vss_register_workloads(registry: Registrar) -> None:
    """Called once at load. Add workloads of labs by ``registry.workload(name, factory, summary="…")``."""


@hookspec
def vss_register_commands(registry: Registrar) -> None:
    """Called once at load. Add commands by ``registry.command(group_path, name, "module:attribute", help="…")``."""


@hookspec
def vss_event_recorded(record: Record) -> None:
    """Called after an event was recorded, never inside a window that holds writes. Be quick; a raising observer is dropped."""


@hookspec
def vss_choose_provider(volume: str, context: int) -> str | None:
    """Called when no provider was asked for by id: return a registered provider's name, or None to leave it to others.

    Third parties are asked before built-ins, in the order of their names; the first answer wins. ``context`` is the shadow
    copy context's number, ``volume`` the volume's name.
    """


REGISTER_HOOKS = (
    "vss_register_writers",
    "vss_register_providers",
    "vss_register_requestors",
    "vss_register_verifiers",
    "vss_register_workloads",
    "vss_register_commands",
)
HOOKS = (*REGISTER_HOOKS, "vss_event_recorded", "vss_choose_provider")
