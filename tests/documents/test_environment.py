"""Environment variables in declared paths, and the lists of files that a machine keeps out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vss.documents import (
    AlternateLocationMapping,
    Component,
    ComponentType,
    DifferencedFile,
    ExcludedFiles,
    FileSpec,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.environment import expanded, expanded_metadata, expanded_selection
from vss.documents.exclusions import (
    DEFAULT_FILES_NOT_TO_BACKUP,
    FileExclusion,
    exclusion_of,
    exclusions_of,
    parse_exclusion,
)
from vss.errors import InvalidArgumentError, UnknownVariableError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.testing.stubs import stub_guid

ENVIRONMENT = {"SystemRoot": "D:\\Windows", "DATA": "L:"}

METADATA = WriterMetadata(
    writer_id=stub_guid("A"),
    instance_id=stub_guid("a"),
    friendly_name="A",
    usage=UsageType.USER_DATA,
    source=SourceType.OTHER,
    components=(
        Component(
            ComponentType.FILE_GROUP, "files", files=(FileSpec("%data%\\x", "*", alternate_location="%SYSTEMROOT%\\spit"),)
        ),
    ),
    excluded=(ExcludedFiles("%data%\\x\\tmp", "*"),),
    restore_method=RestoreMethod(
        RestoreMethodKind.RESTORE_TO_ALTERNATE_LOCATION,
        WriterRestore.ALWAYS,
        mappings=(AlternateLocationMapping("%data%\\x", "*", False, "%data%\\elsewhere"),),
    ),
)


def test_names_compare_without_case_and_text_without_variables_stays() -> None:
    assert expanded("%systemroot%\\System32", ENVIRONMENT) == "D:\\Windows\\System32"
    assert expanded("D:\\50% of it", {}) == "D:\\50% of it"


def test_an_unknown_variable_is_an_error_that_names_it() -> None:
    with pytest.raises(UnknownVariableError, match=r"'Nowhere' is not defined.*found DATA, SystemRoot") as caught:
        expanded("%data%\\%Nowhere%\\x", ENVIRONMENT)
    assert caught.value.variable == "Nowhere"
    assert (caught.value.hresult, caught.value.exit_code) == (HResult.E_INVALIDARG, ExitCode.USAGE)


def test_every_path_of_a_document_is_expanded() -> None:
    found = expanded_metadata(METADATA, ENVIRONMENT)
    (spec,) = found.components[0].files
    assert (spec.path, spec.alternate_location) == ("L:\\x", "D:\\Windows\\spit")
    assert [each.path for each in found.excluded] == ["L:\\x\\tmp"]
    assert found.restore_method is not None
    assert [(each.path, each.destination) for each in found.restore_method.mappings] == [("L:\\x", "L:\\elsewhere")]


def test_a_document_without_variables_is_the_same_object() -> None:
    plain = replace(METADATA, components=(), excluded=(), restore_method=None)
    assert expanded_metadata(plain, {}) is plain


def test_the_error_names_writer_component_and_variable() -> None:
    with pytest.raises(UnknownVariableError, match=r"writer 'A': component 'files': path .* 'SYSTEMROOT'") as caught:
        expanded_metadata(METADATA, {"DATA": "L:"})
    assert caught.value.variable == "SYSTEMROOT"


def test_what_a_writer_added_is_expanded_too() -> None:
    component = SelectedComponent(
        ComponentType.FILE_GROUP,
        "files",
        partial_files=(PartialFile("%data%\\x", "one", "0:5"),),
        differenced_files=(DifferencedFile("%data%\\x", "*", True, 0),),
    )
    found = expanded_selection(component, ENVIRONMENT)
    assert [each.path for each in found.partial_files] == ["L:\\x"]
    assert [each.path for each in found.differenced_files] == ["L:\\x"]


# -- FilesNotToBackup, FilesNotToSnapshot --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "filespec", "recursive"),
    [
        ("D:\\temp\\* /s", "D:\\temp", "*", True),
        ("D:\\temp\\*.tmp", "D:\\temp", "*.tmp", False),
        ("\\Pagefile.sys", "", "Pagefile.sys", False),
        ("\\SIS Common Store\\*.* /s", "\\SIS Common Store", "*.*", True),
        ("%SystemRoot%\\CSC\\* /s", "D:\\Windows\\CSC", "*", True),
        ("$AllVolumes$\\System Volume Information\\*.db", "\\System Volume Information", "*.db", False),
        ("$UserProfile$\\x.dat", "D:\\Users\\me", "x.dat", False),
    ],
)
def test_an_entry_is_read(text: str, path: str, filespec: str, recursive: bool) -> None:
    environment = {**ENVIRONMENT, "UserProfile": "D:\\Users\\me"}
    assert parse_exclusion(text, "App", environment) == FileExclusion(path, filespec, recursive, "App")


@pytest.mark.parametrize("text", ["", "file", "D:\\temp\\", "D:\\te*p\\x", "D:\\te?p\\x /s"])
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="of 'App', expected something like"):
        parse_exclusion(text, "App", {})


@pytest.mark.parametrize(
    ("machine_path", "application"),
    [
        ("D:\\pagefile.sys", "Memory Page File"),
        ("L:\\PAGEFILE.SYS", "Memory Page File"),
        ("D:\\deep\\pagefile.sys", ""),
        ("L:\\SIS Common Store\\deep\\a", "Single Instance Storage"),
        ("D:\\Windows\\CSC\\x", "Offline Files Cache"),
        ("D:\\Windows\\x", ""),
    ],
)
def test_the_defaults_of_windows_apply(machine_path: str, application: str) -> None:
    """%TEMP% is not defined here, so that entry means nothing."""
    applying = exclusions_of({}, ENVIRONMENT, defaults=DEFAULT_FILES_NOT_TO_BACKUP)
    assert "Temporary Files" not in [each.application for each in applying]
    found = exclusion_of(machine_path, applying)
    assert ("" if found is None else found.application) == application


def test_own_entries_take_the_place_of_a_default_of_the_same_name() -> None:
    applying = exclusions_of({"memory page file": ("E:\\swap",)}, {}, defaults=DEFAULT_FILES_NOT_TO_BACKUP)
    assert exclusion_of("D:\\pagefile.sys", applying) is None
    assert exclusion_of("E:\\swap", applying) is not None


def test_the_entries_of_a_writer_that_runs_do_not_apply() -> None:
    entries = {"Store": ("D:\\data\\* /s",), "Other": ("D:\\data\\*.tmp",)}
    applying = exclusions_of(entries, {}, writers=["STORE"])
    assert [each.application for each in applying] == ["Other"]


def test_an_own_entry_with_an_unknown_variable_is_an_error() -> None:
    with pytest.raises(UnknownVariableError, match="'TEMP'"):
        exclusions_of({"App": ("%TEMP%\\* /s",)}, {})
