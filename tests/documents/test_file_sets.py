"""Which files and volumes a selection means."""

from __future__ import annotations

import pytest

from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
)
from vss.documents.file_sets import (
    effective_backup_type,
    is_backed_up,
    needs_snapshot,
    select_files,
    volumes_needed,
)
from vss.documents.machine_paths import FileListing
from vss.documents.selection import ComponentSet
from vss.errors import InvalidArgumentError

B = BackupType
LISTING = FileListing(
    [
        "D:\\Mail\\DB1.edb",
        "D:\\Mail\\db1.tmp",
        "D:\\Mail\\old\\db0.edb",
        "D:\\Spit\\copy\\a.dat",
        "L:\\Logs\\E0000000001.log",
        "L:\\Logs\\E00.chk",
    ]
)


def group(*files: FileSpec, name: str = "Mail") -> ComponentSet:
    component = Component(ComponentType.FILE_GROUP, name, files=files)
    return ComponentSet(component, (component,))


def paths(*sets: ComponentSet, excluded: tuple[ExcludedFiles, ...] = (), backup_type: BackupType = B.FULL) -> list[str]:
    return [each.path for each in select_files(sets, excluded, backup_type, LISTING)]


def test_names_match_without_case_and_only_in_the_directory() -> None:
    assert paths(group(FileSpec("d:\\MAIL\\", "*.EDB"))) == ["d:\\MAIL\\DB1.edb"]


def test_recursive_sets_reach_below() -> None:
    assert paths(group(FileSpec("D:\\Mail", "*.edb", recursive=True))) == ["D:\\Mail\\DB1.edb", "D:\\Mail\\old\\db0.edb"]


def test_exclusions_beat_file_sets_but_those_from_the_snapshot_do_not_count() -> None:
    everything = group(FileSpec("D:\\Mail", "*.*"))
    assert paths(everything, excluded=(ExcludedFiles("D:\\Mail", "*.tmp"),)) == ["D:\\Mail\\DB1.edb"]
    assert len(paths(everything, excluded=(ExcludedFiles("D:\\Mail", "*.tmp", from_snapshot=True),))) == 2


def test_a_file_is_taken_once_and_belongs_to_who_names_it_first() -> None:
    first, second = group(FileSpec("D:\\Mail", "DB1.edb"), name="one"), group(FileSpec("D:\\mail", "*.edb"), name="two")
    (found,) = select_files([first, second], (), B.FULL, LISTING)
    assert found.component.component_name == "one"


def test_an_alternate_path_is_read_but_the_normal_path_is_what_counts() -> None:
    spit = group(FileSpec("D:\\Live", "*.dat", recursive=True, alternate_location="D:\\Spit"))
    (found,) = select_files([spit], (), B.FULL, LISTING)
    assert (found.path, found.source_path) == ("D:\\Live\\copy\\a.dat", "D:\\Spit\\copy\\a.dat")
    assert paths(spit, excluded=(ExcludedFiles("D:\\Spit", "*", True),)) == ["D:\\Live\\copy\\a.dat"]
    assert paths(spit, excluded=(ExcludedFiles("D:\\Live", "*", True),)) == []


def test_environment_variables_are_expanded() -> None:
    sets = [group(FileSpec("%store%", "*.edb"))]
    excluded = [ExcludedFiles("%Store%", "x*")]
    environment = {"STORE": "D:\\Mail"}
    assert [each.path for each in select_files(sets, excluded, B.FULL, LISTING, environment)] == ["D:\\Mail\\DB1.edb"]
    assert volumes_needed(sets, B.FULL, environment) == ("D:",)


def test_the_mask_says_which_backups_a_file_set_belongs_to() -> None:
    log = FileSpec("L:\\Logs", "*.log", kind=FileSpecKind.DATABASE_LOG_FILES, backup_type_mask=0xF0C)
    assert [kind for kind in B if kind is not B.UNDEFINED and is_backed_up(log, kind)] == [B.INCREMENTAL, B.LOG]
    assert paths(group(log)) == []
    assert paths(group(log), backup_type=B.LOG) == ["L:\\Logs\\E0000000001.log"]


def test_a_log_backup_takes_no_database_files() -> None:
    database = FileSpec("D:\\Mail", "*.edb", kind=FileSpecKind.DATABASE_FILES)
    assert is_backed_up(database, B.FULL)
    assert not is_backed_up(database, B.LOG)


def test_copy_counts_as_full_and_undefined_selects_nothing() -> None:
    full_only = FileSpec("D:\\Mail", "*", backup_type_mask=0x101)
    assert is_backed_up(full_only, B.COPY)
    with pytest.raises(InvalidArgumentError, match="UNDEFINED selects no files"):
        is_backed_up(full_only, B.UNDEFINED)


def test_volumes_are_those_whose_files_must_come_from_the_shadow_copy() -> None:
    sets = [
        group(FileSpec("l:\\Logs", "*.log"), FileSpec("D:\\Mail", "*.edb")),
        group(FileSpec("E:\\Static", "*", backup_type_mask=0x00F)),
        group(FileSpec("F:\\Live", "*", alternate_location="G:\\Spit")),
        group(FileSpec("H:\\Later", "*", backup_type_mask=0x404)),
    ]
    assert volumes_needed(sets, B.FULL) == ("L:", "D:", "G:")
    assert volumes_needed(sets, B.INCREMENTAL) == ("L:", "D:", "G:", "H:")
    assert not needs_snapshot(sets[1].explicit.files[0], B.FULL)


def test_a_file_set_without_volume_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="component 'Mail': path '%unknown%' names no volume"):
        volumes_needed([group(FileSpec("%unknown%", "*"))], B.FULL)


def test_a_type_that_the_schema_lacks_counts_as_full() -> None:
    schema = BackupSchema.INCREMENTAL | BackupSchema.COPY
    assert [effective_backup_type(schema, kind) for kind in (B.FULL, B.INCREMENTAL, B.DIFFERENTIAL, B.LOG, B.COPY)] == [
        B.FULL,
        B.INCREMENTAL,
        B.FULL,
        B.FULL,
        B.COPY,
    ]


def test_a_path_that_climbs_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="not plain"):
        paths(group(FileSpec("D:\\Mail\\..\\Secret", "*")))
