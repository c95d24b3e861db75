"""The vendor's XML form: the shapes its page describes, and refusals that name line and reason."""

from __future__ import annotations

import datetime

import pytest

from vss.documents import (
    BackupSchema,
    ComponentType,
    FileSpec,
    FileSpecKind,
    RestoreMethodKind,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import DocumentError
from vss_writers.scripted.declaration import declare, differenced_files_of, partial_files_of
from vss_writers.scripted.script import Script, filetime
from vss_writers.scripted.script_reader import parse_script
from vss_writers.scripted.xml_configuration import parse_xml

METHOD = '<RestoreMethod method="RESTORE_IF_CAN_REPLACE" writerRestore="always" rebootRequired="no"/>'


def script_of(inside: str, attributes: str = "", method: str = METHOD) -> Script:
    return parse_script(parse_xml(f"<TestWriter {attributes}>\n{method}\n{inside}\n</TestWriter>".encode()), "test")


def declared(inside: str, attributes: str = "", method: str = METHOD) -> WriterMetadata:
    return declare(script_of(inside, attributes, method), "T1")


def component(inside: str, attributes: str = 'componentType="filegroup" componentName="Data"') -> str:
    return f"<Component {attributes}>\n{inside}\n</Component>"


# -- shapes --------------------------------------------------------------------------------------------------------------------


def test_the_smallest_file_is_a_restore_method() -> None:
    found = declared("")

    assert found.usage is UsageType.USER_DATA
    assert found.backup_schema is BackupSchema.WRITER_SUPPORTS_NEW_TARGET
    assert found.restore_method is not None
    assert found.restore_method.writer_restore is WriterRestore.ALWAYS
    assert (found.components, found.excluded) == ((), ())


def test_what_is_not_said_is_off_but_new_targets() -> None:
    script = script_of("")

    assert not script.delete_files
    assert not script.check_includes
    assert script.supports == ()
    assert script.supports_new_target
    assert script.verbosity == "medium"


def test_every_attribute_of_the_root_is_taken() -> None:
    switches = ["deleteFiles", "deletePartialFiles", "deleteDifferencedFiles", "checkIncludes", "checkExcludes"]
    supports = ["supportsCopy", "supportsDifferential", "supportsIncremental", "supportsLog"]
    script = script_of(
        "",
        'usage="OTHER" verbosity="high" supportsNewTarget="no" ' + " ".join(f'{each}="yes"' for each in switches + supports),
    )

    assert (script.usage, script.verbosity, script.supports_new_target) == ("OTHER", "high", False)
    assert script.delete_files
    assert script.delete_partial_files
    assert script.delete_differenced_files
    assert script.check_includes
    assert script.check_excludes
    assert declare(script, "T1").backup_schema == (
        BackupSchema.COPY | BackupSchema.DIFFERENTIAL | BackupSchema.INCREMENTAL | BackupSchema.LOG
    )


@pytest.mark.parametrize("word", ["RESTORE_IF_CAN_BE_REPLACED", "RESTORE_IF_CAN_REPLACE"])
def test_both_spellings_of_the_restore_method_are_known(word: str) -> None:
    found = declared("", method=METHOD.replace("RESTORE_IF_CAN_REPLACE", word)).restore_method

    assert found is not None
    assert found.method is RestoreMethodKind.RESTORE_IF_CAN_REPLACE


def test_alternate_location_mappings_stand_in_the_restore_method() -> None:
    method = (
        '<RestoreMethod method="RESTORE_TO_ALTERNATE_LOCATION" writerRestore="never" rebootRequired="yes">'
        '<AlternateLocationMapping path="d:\\a" filespec="*.txt" recursive="yes" alternatePath="e:\\b\\"/></RestoreMethod>'
    )
    found = declared("", method=method).restore_method

    assert found is not None
    assert found.reboot_required
    assert [(each.path, each.filespec, each.recursive, each.destination) for each in found.mappings] == [
        ("D:\\a", "*.txt", True, "E:\\b")
    ]


def test_a_component_with_file_sets_excludes_and_a_dependency() -> None:
    inside = component(
        '<ComponentFile path="c:\\Data" filespec="*" recursive="yes" alternatePath="c:\\Spit"'
        ' diffBackupRequired="no" logSnapshotRequired="no"/>'
        '<Dependency writerId="{76fe1ac4-15f7-4bcd-987e-8e1acb462fb7}" logicalPath="X" componentName="Y"/>',
        'componentType="filegroup" logicalPath="Top" componentName="Data" selectable="no"',
    )
    found = declared(inside + '<ExcludeFile path="c:\\Data" filespec="x?.*" recursive="no"/>')

    (only,) = found.components
    assert (only.type, only.full_path, only.selectable) == (ComponentType.FILE_GROUP, "Top\\Data", False)
    assert only.files == (
        FileSpec("C:\\Data", "*", True, FileSpecKind.FILE_LIST, "C:\\Spit", backup_type_mask=0xF0F & ~0x2 & ~0x800),
    )
    assert [(each.logical_path, each.component_name) for each in only.dependencies] == [("X", "Y")]
    assert [(each.path, each.filespec) for each in found.excluded] == [("C:\\Data", "x?.*")]


def test_the_file_sets_of_a_database_are_database_files() -> None:
    inside = component('<ComponentFile path="D:\\DB" filespec="a.edb"/>', 'componentType="database" componentName="DB"')
    (only,) = declared(inside).components

    assert only.type is ComponentType.DATABASE
    assert [each.kind for each in only.files] == [FileSpecKind.DATABASE_FILES]
    assert only.selectable


def test_partial_and_differenced_files() -> None:
    script = script_of(
        component(
            '<PartialFile path="D:\\Data" filespec="p.bin" ranges="0:5,0x64:20"/>'
            '<DifferencedFile path="D:\\Data" filespec="*.txt"'
            ' year="2007" month="1" day="22" hour="12" minute="44" second="17"/>'
        )
    )
    since = filetime(datetime.datetime(2007, 1, 22, 12, 44, 17, tzinfo=datetime.UTC))

    (partial,) = partial_files_of(script)["data"]
    (differenced,) = differenced_files_of(script)["data"]
    assert (partial.path, partial.filename, partial.ranges) == ("D:\\Data", "p.bin", "0:5,0x64:20")
    assert (differenced.filespec, differenced.recursive, differenced.last_modify_time) == ("*.txt", False, since)
    assert declare(script, "T1").backup_schema & BackupSchema.LAST_MODIFY


def test_utf_16_and_comments_are_fine() -> None:
    text = f"<?xml version='1.0' encoding='utf-16'?><TestWriter><!-- a comment -->{METHOD}</TestWriter>"

    assert parse_xml(text.encode("utf-16"))["components"] == []


# -- refusals ------------------------------------------------------------------------------------------------------------------

FILE = '<ComponentFile path="D:\\Data" filespec="*"/>'
REFUSED = [
    ("<Component/>", 3, "Component needs the attribute 'componentType'"),
    ("<Surprise/>", 3, "unknown element Surprise in TestWriter, expected one of ExcludeFile, Component, FailEvent"),
    ("text", 1, "TestWriter holds text"),
    (component("text"), 3, "Component holds text"),
    (component("<Surprise/>"), 4, "unknown element Surprise in Component"),
    (component('<ComponentFile path="D:\\Data" filespec="*" color="red"/>'), 4, "unknown attribute 'color' of ComponentFile"),
    (
        component('<ComponentFile path="Data" filespec="*"/>'),
        4,
        "attribute 'path' of ComponentFile: path 'Data' names no volume",
    ),
    (component('<ComponentFile path="D:\\Data\\..\\x" filespec="*"/>'), 4, "is not plain"),
    (component('<ComponentFile path="D:\\Data" filespec="a\\b"/>'), 4, "attribute 'filespec' of ComponentFile"),
    (
        component('<ComponentFile path="D:\\Data" filespec="*" recursive="maybe"/>'),
        4,
        "unknown word 'maybe', expected one of yes",
    ),
    (component('<ComponentFile filespec="*"/>'), 4, "ComponentFile needs the attribute 'path'"),
    (
        component(f'<ComponentFile path="D:\\Data" filespec="*">{FILE}</ComponentFile>'),
        4,
        "ComponentFile holds no other elements",
    ),
    (
        component("", 'componentType="folder" componentName="x"'),
        3,
        "unknown word 'folder', expected one of filegroup, database",
    ),
    (component("", 'componentType="filegroup" componentName="a\\b"'), 3, "'a\\b' is no component name"),
    (component(FILE) + component(FILE), 5, "component 'Data' stands there twice"),
    (
        component('\n<ComponentFile path="D:\\D" filespec="*" recursive="yes"/>', 'componentType="database" componentName="D"'),
        5,
        "the file sets of a database have neither recursive nor alternatePath",
    ),
    (component('<PartialFile path="D:\\Data" filespec="*.bin" ranges="0:5"/>'), 4, "attribute 'filespec' of PartialFile"),
    (component('<PartialFile path="D:\\Data" filespec="p" ranges="0-5"/>'), 4, "'0-5' is no range, expected OFFSET:LENGTH"),
    (component('<PartialFile path="D:\\Data" filespec="p" ranges="0:18446744073709551616"/>'), 4, "ends beyond 64 bits"),
    (
        component(
            '<DifferencedFile path="D:\\Data" filespec="*" year="2007" month="13" day="22" hour="1" minute="4" second="1"/>'
        ),
        4,
        "no possible time: month must be in 1..12",
    ),
    (
        component('<DifferencedFile path="D:\\Data" filespec="*" year="x" month="1" day="2" hour="1" minute="4" second="1"/>'),
        4,
        "'x' is no number",
    ),
    (component('<Dependency writerId="nobody" componentName="x"/>'), 4, "attribute 'writerId' of Dependency"),
    (
        component(
            '<DifferencedFile path="D:\\Data" filespec="*" year="1600" month="1" day="2" hour="1" minute="4" second="1"/>'
        ),
        4,
        "1600-01-02 lies before 1601-01-01",
    ),
    ('<FailEvent writerEvent="Freez" retryable="no"/>', 3, "unknown word 'Freez', expected one of Identify"),
    ('<FailEvent writerEvent="Freeze" numFailures="-1"/>', 3, "'-1' is no number"),
    ('<FailEvent writerEvent="Freeze" hresult="VSS_E_BAD_STATE"/>', 3, "'VSS_E_BAD_STATE' is not for writers"),
    ('<FailEvent writerEvent="Freeze" hresult="VSS_E_WRITERERROR_TIMEOUT" retryable="no"/>', 3, "TIMEOUT is retryable"),
    ('<FailEvent writerEvent="Freeze" hresult="NONSENSE"/>', 3, "no result code and no errno is called 'NONSENSE'"),
]


@pytest.mark.parametrize(("inside", "line", "reason"), REFUSED)
def test_a_refusal_names_line_and_reason(inside: str, line: int, reason: str) -> None:
    with pytest.raises(DocumentError) as caught:
        script_of(inside)

    assert reason in caught.value.message
    assert f"line {line}:" in caught.value.message


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"<TestWriter>", "not well-formed"),
        (b"<BETest/>", "expected element TestWriter, found BETest"),
        (b"<TestWriter/>", "the first element in TestWriter is RestoreMethod, found nothing"),
        (b"<TestWriter><Component/></TestWriter>", "the first element in TestWriter is RestoreMethod, found Component"),
        (b"<TestWriter><RestoreMethod/></TestWriter>", "RestoreMethod needs the attribute 'method'"),
        (b'<TestWriter usage="MINE"/>', "the first element"),
        (f'<TestWriter usage="MINE">{METHOD}</TestWriter>'.encode(), "unknown word 'MINE'"),
        (
            f"<TestWriter>{METHOD[:-2]}><Other/></RestoreMethod></TestWriter>".encode(),
            "expected element AlternateLocationMapping",
        ),
        (f"<TestWriter>{METHOD}{METHOD}</TestWriter>".encode(), "unknown element RestoreMethod in TestWriter"),
        (b"\xff\xfe\x00\xd8", "not utf-16"),
        (b"\xc3(", "not utf-8"),
    ],
)
def test_a_file_of_another_kind_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(DocumentError, match=r"writer\.xml") as caught:
        parse_xml(data, "writer.xml")

    assert reason in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><TestWriter>&b;</TestWriter>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><TestWriter/>',
        b"<TestWriter>" + b"<a>" * 70 + b"</a>" * 70 + b"</TestWriter>",
        b'<TestWriter usage="' + b"x" * 70_000 + b'"/>',
        b"<TestWriter>" + b"<a/>" * 200_001 + b"</TestWriter>",
        b"<TestWriter>&x;</TestWriter>",
    ],
    ids=["entities", "external", "deep", "long", "many", "undefined entity"],
)
def test_hostile_files_are_refused_by_the_guard(data: bytes) -> None:
    with pytest.raises(DocumentError):
        parse_xml(data)
