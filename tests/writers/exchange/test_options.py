"""The writer's options and its plugin."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from vss.errors import ConfigurationError
from vss.plugins import plugin_host
from vss_writers.exchange.options import parse_options
from vss_writers.exchange.verifier import ExchangeVerifier
from vss_writers.exchange.writer import WRITER_CLASS_ID, make_exchange_writer


def test_the_defaults_are_a_small_server() -> None:
    options = parse_options("SG1", {})

    assert options.database_path("One") == "D:\\Exchange\\SG1\\One.edb"
    assert (options.log_file_bytes, options.checkpoint_depth_bytes, options.page_size) == (1 << 20, 20 << 20, 8192)


def test_the_older_profile_brings_its_own_size_of_logs() -> None:
    assert parse_options("SG1", {"log_profile": "exchange-2003"}).log_file_bytes == 5 << 20
    assert parse_options("SG1", {"log_profile": "exchange-2003", "log_file_size": "64 KiB"}).log_file_bytes == 64 << 10


def test_a_store_of_the_older_profile_is_backed_up_and_restored(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.work(20)
        backup = await bench.back_up()
        names = await bench.log_names()
        assert {"E00.log", "res1.log", "res2.log"} <= set(names)
        assert any(len(name) == len("E0000001.log") for name in names)
        assert not any(name.endswith(".jrs") for name in names)
        await bench.allow_overwriting()
        await bench.restore(backup)
        assert await bench.missing() == []

    kit.play(script, options='log_profile = "exchange-2003"')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database": []}, "database"),
        ({"databases": []}, "databases: expected at least one name"),
        ({"databases": ["a/b"]}, r"databases\[0\]: 'a/b' cannot be a file name"),
        ({"databases": [" "]}, r"databases\[0\]: ' ' cannot be a file name"),
        ({"databases": ["One", "ONE"]}, r"databases\[1\]: 'ONE' stands there twice"),
        ({"database_directory": "Exchange"}, "database_directory: expected a path such as"),
        ({"log_directory": "L:\\"}, "log_directory: expected a path such as"),
        ({"base_name": "E0"}, "base_name: expected three letters or digits"),
        ({"first_generation": 0}, "first_generation: expected 1 to 2147481599, found 0"),
        ({"log_profile": "exchange-2003", "first_generation": 0xFFFEF}, "first_generation: expected 1 to 1048558"),
        ({"page_size": 2048}, "page_size: expected 4096 or 8192, found 2048"),
        ({"idle_seconds": -1}, "idle_seconds: expected 0 or more, found -1"),
        ({"log_profile": "exchange-5.5"}, "log_profile"),
        ({"log_file_size": "5 KiB"}, "log_file_size: expected at least 16 KiB in steps of 4 KiB"),
        ({"log_file_size": 20000}, "log_file_size: expected at least 16 KiB in steps of 4 KiB"),
        ({"log_file_size": "much"}, "log_file_size: expected bytes or a size"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused_by_its_key(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse_options("SG1", options)


def test_pages_may_be_small(kit: Any) -> None:
    async def script(bench: Any) -> None:
        await bench.deliver("on a small page")
        assert len(await bench.messages()) == 1

    kit.play(script, options="page_size = 4096")


def test_the_plugin_registers_what_there_is() -> None:
    registry = plugin_host().registry

    assert registry.create_verifiers()[WRITER_CLASS_ID].name == ExchangeVerifier.name
    for kind, name in (("writer", "exchange"), ("workload", "mail-flow"), ("workload", "activity-log")):
        found = [each for each in registry.registrations() if (each.kind, each.name) == (kind, name)]
        assert len(found) == 1
        module, _, attribute = found[0].target.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))
    assert callable(make_exchange_writer)
