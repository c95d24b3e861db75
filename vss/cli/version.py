"""The version of the installed distribution."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from vss.plugins.loader import DISTRIBUTION


def version() -> str:
    """Return the version, or say that this is a checkout that is not installed."""
    try:
        return version_of(DISTRIBUTION)
    except PackageNotFoundError:
        return "(not installed)"
