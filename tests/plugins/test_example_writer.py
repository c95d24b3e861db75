"""The example of a third-party writer, used in this process; ``tests/test_packaging.py`` installs it."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

from vss.errors import ConfigurationError
from vss.plugins import Candidate, Origin, PluginHost, Registrar, Registry, load
from vss.roles import Provider

ROOT = Path(__file__).parents[2]
CONTEXT = cast("Any", None)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "vss_writer_notes", ROOT / "examples" / "vss-writer-notes" / "vss_writer_notes.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(example: ModuleType) -> PluginHost:
    return load([Candidate.of("notes", example)], environment={}, is_strict=True)


class Notes:
    """Files that remember what was written to them."""

    def __init__(self) -> None:
        self.written: dict[str, bytes] = {}

    async def make_directory(self, path: str) -> None: ...

    async def open(self, path: str, **options: Any) -> Any:
        async def pwrite(offset: int, data: bytes) -> None:
            self.written[path] = data

        async def done() -> None: ...

        return SimpleNamespace(pwrite=pwrite, sync=done, close=done)


def writer_host(files: Any = None) -> Any:
    return SimpleNamespace(ports=None, files=files, machine_name="EX1", name="diary")


def test_it_declares_one_component(host: PluginHost) -> None:
    writer = host.registry.create_writer("notes", writer_host(), {"directory": "D:\\Notes"})

    metadata = asyncio.run(writer.identify())

    assert metadata.instance_name == "diary"
    assert [component.full_path for component in metadata.components] == ["Notes"]


@pytest.mark.parametrize("ending", ["on_thaw", "on_abort"])
def test_a_note_waits_while_the_writer_is_frozen(ending: str, host: PluginHost) -> None:
    async def scenario() -> tuple[dict[str, bytes], dict[str, bytes]]:
        files = Notes()
        writer: Any = host.registry.create_writer("notes", writer_host(files), {"directory": "D:\\Notes"})
        await writer.on_prepare_snapshot(CONTEXT)
        await writer.on_freeze(CONTEXT)
        adding = asyncio.create_task(writer.add("today", "milk"))
        await asyncio.sleep(0)
        frozen = dict(files.written)
        await getattr(writer, ending)(CONTEXT)
        await adding
        return frozen, files.written

    assert asyncio.run(scenario()) == ({}, {"D:\\Notes\\today.txt": b"milk"})


def test_an_option_of_the_wrong_form_is_named(host: PluginHost) -> None:
    with pytest.raises(ConfigurationError, match="writer 'diary': 'directory' must be a path"):
        host.registry.create_writer("notes", writer_host(), {"directory": 5})


def test_a_provider_is_made_from_its_class() -> None:
    body = dict.fromkeys(Provider.__abstractmethods__) | {"__init__": lambda self, ports: None}
    mirror = type("Mirror", (Provider,), body)
    registrar = Registrar(Origin("mirror"))
    registrar.provider("mirror", mirror)

    assert isinstance(Registry(registrar.registrations).create_provider("mirror", CONTEXT), mirror)
