"""The one way in which the text of a TOML file that a person wrote becomes tables."""

from __future__ import annotations

import tomllib
from typing import Any

from vss.errors import ConfigurationError


def toml_tables(text: str, source: str) -> dict[str, Any]:
    """Return the tables of a text; ``source`` is its name, for the message.

    Raises:
        ConfigurationError: not TOML; says where.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{source}: not valid TOML: {error}") from error
