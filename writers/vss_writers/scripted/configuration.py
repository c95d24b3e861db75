"""Where a writer's script comes from: the options in ``lab.toml``, a file of the host that they name, or both.

    options = { configuration = "writer.toml" }      our form (.toml) or the vendor's (.xml), a file of the host
    options = { xml = "<TestWriter …>" }             the vendor's form, inline
    options = { components = [...], on = [...] }     our form, inline

Keys beside ``configuration`` or ``xml`` are laid over what these say; ``files`` and ``on`` are added to it, so that a vendor
file can be given files to make and delays it knows nothing of. A relative path is taken from the lab's directory where the host
knows one (``root``), and refused where it does not: what it meant would depend on where a command was started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vss.errors import ConfigurationError
from vss.plugins.hosts import WriterHost
from vss_writers.scripted.script import Script
from vss_writers.scripted.script_reader import parse_script, parse_toml
from vss_writers.scripted.xml_configuration import parse_xml

_SOURCES = ("configuration", "xml")
_ADDED = ("files", "on")
_PARSERS: Mapping[str, Callable[[bytes, str], dict[str, Any]]] = {".toml": parse_toml, ".xml": parse_xml}


def load_script(host: WriterHost, options: Mapping[str, Any]) -> Script:
    """Return the script that ``options`` describe.

    Raises:
        ConfigurationError: a key means nothing, or the named file cannot be read; names key or file.
        DocumentError: the XML is malformed, hostile, or not in the format; names line and reason.
    """
    where = f"options of writer '{host.name}'"
    given = [key for key in _SOURCES if key in options]
    if len(given) > 1:
        raise ConfigurationError(f"{where}: expected one of configuration and xml, found both")
    over = {key: value for key, value in options.items() if key not in _SOURCES}
    if not given:
        return parse_script(over, where)
    text = options[given[0]]
    if not isinstance(text, str):
        raise ConfigurationError(f"{where}: {given[0]}: expected text, found {type(text).__name__}")
    if given == ["xml"]:
        source, data = f"{where}: xml", parse_xml(text.encode(), f"{where}: xml")
    else:
        source, data = _read(host, text, where)
    return parse_script(_laid_over(data, over, where), source)


def _read(host: WriterHost, text: str, where: str) -> tuple[str, dict[str, Any]]:
    path = Path(text)
    if not path.is_absolute():
        root = getattr(host, "root", None)
        if root is None:
            raise ConfigurationError(
                f"{where}: configuration: expected an absolute path of the host, found '{text}'",
                hint="the lab says where it lies only when it lies in a directory; or put the configuration into the options",
            )
        path = Path(root) / path
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigurationError(f"{where}: configuration: expected a file called .toml or .xml, found '{text}'")
    try:
        content = host.ports.files.read_bytes(path)
    except OSError as error:
        raise ConfigurationError(f"{where}: configuration: '{text}' cannot be read: {error.strerror or error}") from error
    return str(path), parse(content, str(path))


def _laid_over(data: dict[str, Any], over: Mapping[str, Any], where: str) -> dict[str, Any]:
    merged = {**data, **over}
    for key in _ADDED:
        if key in data and key in over:
            if not isinstance(data[key], list) or not isinstance(over[key], list):
                raise ConfigurationError(f"{where}: {key}: expected a list of tables")
            merged[key] = [*data[key], *over[key]]
    return merged
