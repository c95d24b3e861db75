"""``lab.toml``: what it may say, and that every complaint names the key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from vss.cli.main import main
from vss.errors import ConfigurationError, NotFoundError
from vss.lab import configuration_schema, parse_configuration, template_names, template_text
from vss.lab.configuration import parse_size

VOLUME = '[[volumes]]\nname = "D:"\nsize = "4 MiB"\n'


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("machine = ", "not valid TOML"),
        ("", "volumes: expected at least one"),
        (VOLUME + "[machine]\nsede = 1\n", "unknown field `sede` - at `$.machine`"),
        (VOLUME + '[machine]\nseed = "one"\n', "`$.machine.seed`"),
        (VOLUME + '[machine]\nlimits = "lax"\n', "machine.limits: expected 'strict' or 'windows', found 'lax'"),
        (VOLUME + "[machine]\nstart = 2026-01-05T08:00:00\n", "machine.start: expected a time with its offset"),
        ('[[volumes]]\nname = "D:"\n', "missing required field `size` - at `$.volumes[0]`"),
        ('[[volumes]]\nname = "data"\nsize = 1\n', "`$.volumes[0].name`"),
        ('[[volumes]]\nname = "D:"\nsize = "4 Mio"\n', "volumes[0].size: expected bytes or a size"),
        ('[[volumes]]\nname = "D:"\nsize = 0\n', "volumes[0].size: expected a positive size, found 0"),
        (VOLUME + "flush_latency_ms = -1\n", "`$.volumes[0].flush_latency_ms`"),
        (VOLUME + VOLUME.replace("D:", "d:"), "volumes: 'D:' stands there twice"),
        (VOLUME + "[[providers]]\n", "missing required field `kind` - at `$.providers[0]`"),
        (VOLUME + '[[providers]]\nkind = "a"\n' * 2, "providers: 'a' stands there twice"),
        (VOLUME + '[[writers]]\nname = "a"\nkind = "b"\n' * 2, "writers: 'a' stands there twice"),
        (VOLUME + '[[writers]]\nname = "a"\nkind = "b"\noptions = 3\n', "`$.writers[0].options`"),
        (VOLUME + '[[workloads]]\nname = "a"\nkind = "b"\n' * 2, "workloads: 'a' stands there twice"),
        (VOLUME + '[[workloads]]\nname = "../a"\nkind = "b"\n', "`$.workloads[0].name`"),
        (VOLUME + "[[volume]]\n", "unknown field `volume`"),
    ],
)
def test_every_complaint_names_file_and_key(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_configuration(text, "here.toml")

    assert caught.value.message.startswith("here.toml: ")
    assert named in caught.value.message


@pytest.mark.parametrize(("text", "size"), [(512, 512), ("512", 512), ("512 B", 512), ("2KiB", 2048), (" 3 MiB ", 3 << 20)])
def test_sizes(text: int | str, size: int) -> None:
    assert parse_size(text, "key") == size


def test_every_template_can_be_parsed() -> None:
    for name in template_names():
        assert parse_configuration(template_text(name, 3)).machine.seed == 3
    with pytest.raises(NotFoundError, match=r"no lab template 'none': found .*exchange"):
        template_text("none", 0)


def test_the_schema_knows_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "lab"]) == 0

    schema = json.loads(capsys.readouterr().out)
    assert schema == configuration_schema()
    tables: dict[str, Any] = schema["$defs"]
    assert list(tables["VolumeTable"]["properties"]) == [
        "name",
        "size",
        "read_latency_ms",
        "write_latency_ms",
        "flush_latency_ms",
    ]
    assert all(table["additionalProperties"] is False for table in tables.values())
