"""Scenarios with writers that have a planted bug, and who runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from tests.exploration.scenarios import RACY, TINY
from vss.exploration.sweep import shipped
from vss.exploration.workers import Crew
from vss.plugins import load
from vss.plugins.hookspecs import hookimpl
from vss.plugins.loader import Candidate
from vss.plugins.registry import Registrar, Registry
from vss_writers.scripted.writer import make_scripted_writer


class RacyWriters:
    """Registers a writer that vetoes Freeze when it was overtaken: no test in asyncio's own order finds that."""

    VSS_API = "1.0"

    def __init__(self) -> None:
        self.frozen: list[str] = []

    @hookimpl
    def vss_register_writers(self, registry: Registrar) -> None:
        def make(host: Any, options: Mapping[str, Any]) -> Any:
            writer = make_scripted_writer(host, options)
            good = writer.on_freeze
            name = str(options["name"])
            if name == "A":
                self.frozen.clear()

            async def on_freeze(*arguments: Any) -> Any:
                await asyncio.sleep(0)
                self.frozen.append(name)
                if self.frozen == ["B", "A"]:
                    raise RuntimeError("overtaken")
                return await good(*arguments)

            writer.on_freeze = on_freeze
            return writer

        registry.writer("racy", make)


class GrudgingWriters:
    """Registers a writer that never again freezes after it was aborted once: the planted bug of recovery."""

    VSS_API = "1.0"

    @hookimpl
    def vss_register_writers(self, registry: Registrar) -> None:
        def make(host: Any, options: Mapping[str, Any]) -> Any:
            writer = make_scripted_writer(host, options)
            good_abort, good_freeze = writer.on_abort, writer.on_freeze
            grudges: list[str] = []

            async def on_abort(*arguments: Any) -> Any:
                grudges.append("aborted")
                return await good_abort(*arguments)

            async def on_freeze(*arguments: Any) -> Any:
                if grudges:
                    raise RuntimeError("not again")
                return await good_freeze(*arguments)

            writer.on_abort, writer.on_freeze = on_abort, on_freeze
            return writer

        registry.writer("grudging", make)


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The built-in roles, and writers with a race."""
    return load(
        extra=[Candidate.of("racy", RacyWriters()), Candidate.of("grudging", GrudgingWriters())], environment={}, is_strict=True
    ).registry


@pytest.fixture(scope="session")
def racy(registry: Registry) -> Crew:
    """Who runs the scenario with the race."""
    return Crew(RACY, "racy.toml", registry=registry)


@pytest.fixture(scope="session")
def tiny(registry: Registry) -> Crew:
    """Who runs the smallest scenario that is worth it."""
    return Crew(TINY, "tiny.toml", registry=registry)


@pytest.fixture(scope="session")
def grudging(registry: Registry) -> Crew:
    """Who runs it with a writer that bears a grudge."""
    return Crew(TINY.replace('"scripted"', '"grudging"'), "grudging.toml", registry=registry)


@pytest.fixture(scope="session")
def crew(registry: Registry) -> Crew:
    """Who runs the scenario that ``vss sweep`` has by default."""
    return Crew(shipped("default"), "shipped:default", registry=registry)
