"""Our own form: what is wrong is named by its key; where a script may come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vss.documents import FileSpecKind, RestoreMethodKind
from vss.errors import ConfigurationError, DocumentError
from vss.ports import Ports
from vss.simulation import MemoryFiles, run
from vss_writers.scripted.configuration import load_script
from vss_writers.scripted.declaration import declare
from vss_writers.scripted.script import Script
from vss_writers.scripted.script_reader import parse_script, parse_toml

FILE_SET = {"path": "D:\\Data"}


def with_component(**changes: Any) -> dict[str, Any]:
    return {"components": [{"name": "Data", "file_sets": [FILE_SET], **changes}]}


def with_step(**step: Any) -> dict[str, Any]:
    return {"on": [{"event": "Freeze", **step}]}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"colour": "red"}, "contains unknown field `colour`"),
    ({"usage": "MINE"}, "usage: unknown word 'MINE'"),
    ({"source": "MINE"}, "source: unknown word 'MINE'"),
    ({"freeze_timeout": "soon"}, "freeze_timeout: 'soon' is no duration"),
    ({"freeze_timeout": 0}, "freeze_timeout: expected more than zero seconds"),
    ({"freeze_timeout": float("inf")}, "freeze_timeout: inf is no duration"),
    ({"application_level": "top"}, "$.application_level"),
    ({"restore_method": {"method": "HOPE"}}, "restore_method.method: unknown word 'HOPE'"),
    ({"restore_method": {"writer_restore": "maybe"}}, "restore_method.writer_restore: unknown word 'maybe'"),
    (
        {"restore_method": {"mappings": [{"path": "D:\\a", "alternate_path": "b"}]}},
        "restore_method.mappings[0].alternate_path: path 'b' names no volume",
    ),
    ({"exclude": [{"path": "temp"}]}, "exclude[0].path: path 'temp' names no volume"),
    ({"exclude": [{"path": "D:\\a", "filespec": "\t"}]}, "exclude[0].filespec"),
    (with_component(name="a\\b"), "components[0].name: 'a\\b' holds a backslash"),
    (with_component(file_sets=[{"path": "D:\\a", "kind": "log"}]), "file_sets[0].kind: 'log' does not belong into a filegroup"),
    (with_component(file_sets=[{"path": "D:\\a", "alternate_path": "x"}]), "file_sets[0].alternate_path"),
    (with_component(type="database", file_sets=[{**FILE_SET, "recursive": True}]), "neither recursive nor alternate_path"),
    (with_component(file_sets=[{**FILE_SET, "backup": ["weekly"]}]), "$.components[0].file_sets[0].backup[0]"),
    (
        with_component(partial_files=[{"path": "D:\\", "filename": "*", "ranges": "0:1"}]),
        "partial_files[0]: 'D:\\*' is no path",
    ),
    (with_component(partial_files=[{"path": "D:\\a", "filename": "p", "ranges": "x"}]), "partial_files[0].ranges"),
    (with_component(dependencies=[{"writer_id": "x", "component_name": "y"}]), "writer_id"),
    ({"components": [{"name": "Data"}, {"name": "DATA"}]}, "components[1]: 'data' stands there twice"),
    ({"files": [{"path": "D:"}]}, "files[0].path: 'D:' is no path of a file"),
    ({"files": [{"path": "D:\\a", "size": "big"}]}, "files[0].size: expected bytes or a size"),
    ({"files": [{"path": "D:\\a"}, {"path": "d:\\A"}]}, "files[1]: 'd:\\a' stands there twice"),
    (with_step(), "on[0]: says nothing to do"),
    (with_step(delay="x"), "on[0].delay: 'x' is no duration"),
    (with_step(delay=-1), "on[0].delay: -1 is no duration"),
    (with_step(hang=True, crash="x"), "on[0]: expected at most one of hang, crash, lie, fail, set_failure, found hang, crash"),
    (with_step(lie="metadata"), "on[0].lie: there is no metadata to lie about in Freeze"),
    (with_step(fail={"code": "VSS_E_PROVIDER_VETO"}), "on[0].fail.code: 'VSS_E_PROVIDER_VETO' is not for writers"),
    (with_step(fail={"code": "F4", "retryable": True}), "NONRETRYABLE is not retryable"),
    (with_step(fail={"code": "ENOSPC"}), "on[0].fail.code: 'ENOSPC' is not for writers"),
    (with_step(set_failure={"reported": False}), "on[0].set_failure.reported"),
    (with_step(times=-1, hang=True), "on[0].times"),
    (with_step(event="Identify", set_failure={}), "on[0].set_failure: a writer cannot report a failure in Identify"),
    (with_step(event="Identify", lie="nothing"), "on[0].lie: an Identify that does nothing has no answer"),
]


@pytest.mark.parametrize(("data", "reason"), REFUSED)
def test_a_refusal_names_the_key(data: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_script(data, "writer.toml")

    assert reason in caught.value.message
    assert caught.value.message.startswith("writer.toml: ")


@pytest.mark.parametrize(
    ("since", "reason"),
    [("2026-01-05T08:00:00", "expected a time with its offset"), ("1600-01-05T08:00:00Z", "1600-01-05 lies before 1601-01-01")],
)
def test_a_time_has_an_offset_and_is_a_file_time(since: str, reason: str) -> None:
    text = f"[[components]]\nname = 'D'\n[[components.differenced_files]]\npath = 'D:\\Data'\nsince = {since}"

    with pytest.raises(ConfigurationError, match=rf"differenced_files\[0\].since: {reason}"):
        parse_script(parse_toml(text.encode(), "writer.toml"), "writer.toml")


@pytest.mark.parametrize("data", [b"a = ", b"\xff"])
def test_what_is_not_toml_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"writer.toml: not valid TOML"):
        parse_toml(data, "writer.toml")


def test_log_files_of_a_database_and_masks() -> None:
    component = {
        "name": "DB",
        "type": "database",
        "caption": "the database",
        "file_sets": [
            {"path": "d:\\DB", "filespec": "a.edb", "backup": ["full", "full"], "snapshot": ["full"]},
            {"path": "D:\\DB", "filespec": "*.log", "kind": "log"},
        ],
    }
    (found,) = declare(parse_script({"components": [component]}, "test"), "T1").components

    assert [each.kind for each in found.files] == [FileSpecKind.DATABASE_FILES, FileSpecKind.DATABASE_LOG_FILES]
    assert [each.backup_type_mask for each in found.files] == [0x101, 0xF0F]
    assert found.caption == "the database"


# -- where a script comes from -------------------------------------------------------------------------------------------------

XML = b'<TestWriter usage="OTHER"><RestoreMethod method="CUSTOM" writerRestore="always"/></TestWriter>'
STORED = {
    "/lab/writer.toml": b'usage = "OTHER"\n[[on]]\nevent = "Freeze"\nhang = true\n',
    "/lab/writer.xml": XML,
    "/lab/writer.ini": b"",
}


def loaded(kit: Any, options: dict[str, Any], root: Path | None = None) -> Script:
    async def main(ports: Ports) -> Script:
        for path, data in STORED.items():
            ports.files.make_directory(Path(path).parent)
            ports.files.write_atomically(Path(path), data)
        return load_script(kit.Host(ports, None, root=root), options)

    return run(main, files=MemoryFiles())


@pytest.mark.parametrize(
    ("options", "root"),
    [
        ({"configuration": "/lab/writer.toml"}, None),
        ({"configuration": "/lab/writer.xml"}, None),
        ({"configuration": "writer.toml"}, Path("/lab")),
        ({"xml": XML.decode()}, None),
        ({"usage": "OTHER"}, None),
        ({"configuration": "/lab/writer.toml", "files": [{"path": "D:\\a"}]}, None),
    ],
)
def test_a_script_comes_from_a_file_or_from_the_options(kit: Any, options: dict[str, Any], root: Path | None) -> None:
    assert loaded(kit, options, root).usage == "OTHER"


def test_keys_beside_a_file_are_laid_over_it_and_steps_are_added(kit: Any) -> None:
    step = {"event": "Thaw", "delay": "1s"}
    script = loaded(kit, {"configuration": "/lab/writer.toml", "usage": "USER_DATA", "on": [step]})

    assert script.usage == "USER_DATA"
    assert [each.event for each in script.on] == ["Freeze", "Thaw"]


def test_a_vendor_file_can_be_given_what_it_cannot_say(kit: Any) -> None:
    script = loaded(kit, {"configuration": "/lab/writer.xml", "name": "Mine", "files": [{"path": "D:\\a", "size": "1 KiB"}]})
    metadata = declare(script, "T1")

    assert metadata.friendly_name == "Mine"
    assert metadata.restore_method is not None
    assert metadata.restore_method.method is RestoreMethodKind.CUSTOM
    assert len(script.files) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"configuration": "writer.toml"}, "configuration: expected an absolute path of the host, found 'writer.toml'"),
        ({"configuration": 1}, "configuration: expected text, found int"),
        ({"configuration": "/lab/none.toml"}, "configuration: '/lab/none.toml' cannot be read: No such file"),
        ({"configuration": "/lab/writer.ini"}, "expected a file called .toml or .xml"),
        ({"configuration": "/lab/writer.toml", "xml": ""}, "expected one of configuration and xml, found both"),
        ({"configuration": "/lab/writer.toml", "on": 1}, "on: expected a list of tables"),
        ({"usages": "OTHER"}, "unknown field `usages`"),
    ],
)
def test_options_that_mean_nothing_are_refused(kit: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(kit, options)

    assert reason in caught.value.message


def test_hostile_xml_in_the_options_is_refused(kit: Any) -> None:
    with pytest.raises(DocumentError, match="options of writer 'T1': xml, line 1: document type"):
        loaded(kit, {"xml": "<!DOCTYPE x><TestWriter/>"})
