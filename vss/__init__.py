"""A laboratory for snapshot backup: coordinator, requestors, writers, providers, and every failure of that world on demand.

The names below are imported at first use, so that ``import vss`` (and with it every command and every pytest run that loads
our plugin) stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vss.coordinator.session import Session
    from vss.errors import VssError
    from vss.lab import Lab
    from vss.plugins.hookspecs import hookimpl
    from vss.roles.provider import Provider
    from vss.roles.requestor import Requestor
    from vss.roles.verifier import Verifier
    from vss.roles.writer import Writer

__all__ = ["Lab", "Provider", "Requestor", "Session", "Verifier", "VssError", "Writer", "hookimpl"]

_HOME = {
    "Lab": "vss.lab",
    "Provider": "vss.roles.provider",
    "Requestor": "vss.roles.requestor",
    "Session": "vss.coordinator.session",
    "Verifier": "vss.roles.verifier",
    "VssError": "vss.errors",
    "Writer": "vss.roles.writer",
    "hookimpl": "vss.plugins.hookspecs",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'vss' has no attribute '{name}'")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
