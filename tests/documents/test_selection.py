"""Who is in a backup and a restore: the vendor's example writer, rule by rule."""

from __future__ import annotations

import pytest

from vss.documents import (
    BackupType,
    Component,
    ComponentType,
    RestoreSubcomponent,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterComponents,
    WriterMetadata,
)
from vss.documents.selection import (
    ComponentSet,
    RestoreChoice,
    explicit_when_everything_is_chosen,
    find_component,
    is_ancestor,
    restore_chain,
    select_for_backup,
    select_for_restore,
    selectable_ancestors,
)
from vss.errors import InvalidArgumentError, NotFoundError
from vss.ids import Guid

B = BackupType
ID = Guid(int=1)

# Name, logical path, selectable for backup, for restore ("Working with selectability and logical paths", MyWriter).
MY_WRITER = (
    ("Executables", "", False, False),
    ("ConfigFiles", "Executables", False, False),
    ("LicenseInfo", "", True, False),
    ("Security", "", True, False),
    ("UserInfo", "Security", False, False),
    ("Certificates", "Security", False, False),
    ("writerData", "", True, True),
    ("Set1", "writerData", False, True),
    ("Jan", "writerData\\Set1", False, False),
    ("Dec", "writerData\\Set1", False, False),
    ("Set2", "writerData", False, True),
    ("Jan", "writerData\\Set2", False, False),
    ("Dec", "writerData\\Set2", False, False),
    ("Query", "writerData\\QueryLogs", False, False),
    ("Usage", "writerData", True, True),
    ("Jan", "writerData\\Usage", False, False),
    ("Dec", "writerData\\Usage", False, False),
)


def writer(*rows: tuple[str, str, bool, bool]) -> WriterMetadata:
    components = tuple(
        Component(ComponentType.FILE_GROUP, name, path, selectable=selectable, selectable_for_restore=for_restore)
        for name, path, selectable, for_restore in rows
    )
    return WriterMetadata(ID, ID, "MyWriter", UsageType.USER_DATA, SourceType.OTHER, components=components)


WRITER = writer(*MY_WRITER)


def explicit(sets: tuple[ComponentSet, ...]) -> list[str]:
    return [each.explicit.full_path for each in sets]


def members(sets: tuple[ComponentSet, ...], full_path: str) -> list[str]:
    found = next(each for each in sets if each.explicit.full_path == full_path)
    return [each.full_path for each in found.members]


def backed_up(*paths: str) -> WriterComponents:
    components = tuple(
        SelectedComponent(ComponentType.FILE_GROUP, path.rpartition("\\")[2], path.rpartition("\\")[0]) for path in paths
    )
    return WriterComponents(ID, ID, components=components)


# -- backup --------------------------------------------------------------------------------------------------------------------


def test_everything_chosen_makes_five_components_explicit() -> None:
    assert [each.full_path for each in explicit_when_everything_is_chosen(WRITER)] == [
        "Executables",
        "Executables\\ConfigFiles",
        "LicenseInfo",
        "Security",
        "writerData",
    ]


def test_everything_chosen_covers_every_component_once() -> None:
    covered = [member for each in select_for_backup(WRITER) for member in each.members]
    assert sorted(each.full_path for each in covered) == sorted(each.full_path for each in WRITER.components)


def test_a_non_selectable_component_brings_nothing_in_implicitly() -> None:
    assert members(select_for_backup(WRITER), "Executables") == ["Executables"]


def test_levels_between_need_not_be_declared() -> None:
    assert "writerData\\QueryLogs\\Query" in members(select_for_backup(WRITER), "writerData")


def test_one_wanted_component_brings_the_non_selectable_ones_of_its_writer() -> None:
    assert explicit(select_for_backup(WRITER, ["licenseinfo"])) == ["Executables", "Executables\\ConfigFiles", "LicenseInfo"]


def test_a_selectable_component_below_a_selectable_one_can_be_had_alone() -> None:
    sets = select_for_backup(WRITER, ["writerData\\Usage"])
    assert explicit(sets)[-1] == "writerData\\Usage"
    assert members(sets, "writerData\\Usage") == ["writerData\\Usage", "writerData\\Usage\\Jan", "writerData\\Usage\\Dec"]


def test_it_is_implicit_when_its_ancestor_is_wanted_as_well() -> None:
    sets = select_for_backup(WRITER, ["Usage", "writerData"])
    assert explicit(sets) == ["Executables", "Executables\\ConfigFiles", "writerData"]


def test_an_implicit_component_named_with_its_ancestor_stays_implicit() -> None:
    assert explicit(select_for_backup(WRITER, ["Security", "UserInfo"]))[-1] == "Security"


def test_a_non_selectable_component_cannot_be_had_without_its_selectable_ancestor() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"'Security\\UserInfo' of writer 'MyWriter' is not selectable.*'Security' only"
    ):
        select_for_backup(WRITER, ["UserInfo"])


def test_nothing_wanted_leaves_the_writer_out() -> None:
    assert select_for_backup(WRITER, []) == ()
    assert select_for_backup(writer()) == ()


def test_an_unknown_component_is_named_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError, match="no component 'Mail': it has Executables, "):
        select_for_backup(WRITER, ["Mail"])
    with pytest.raises(NotFoundError, match="it has none"):
        find_component(writer(), "Mail")


def test_an_ambiguous_name_needs_the_full_path() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'Jan' .* may be writerData\\Set1\\Jan, writerData\\Set2\\Jan, "):
        find_component(WRITER, "Jan")
    assert find_component(WRITER, "\\WRITERDATA\\set2\\jan").logical_path == "writerData\\Set2"


def test_ancestors_go_by_whole_parts_and_without_case() -> None:
    assert is_ancestor("a\\b", "A\\B\\c")
    assert not is_ancestor("a\\b", "a\\bc")
    assert not is_ancestor("a", "a")
    usage = find_component(WRITER, "writerData\\Usage\\Jan")
    assert [each.full_path for each in selectable_ancestors(WRITER, usage)] == ["writerData", "writerData\\Usage"]


# -- restore -------------------------------------------------------------------------------------------------------------------


def test_all_explicitly_backed_up_components_can_be_restored() -> None:
    assert select_for_restore(WRITER, backed_up("Security", "writerData")) == (
        RestoreChoice("Security"),
        RestoreChoice("writerData"),
    )


def test_an_implicit_component_is_restored_as_a_subcomponent_of_the_explicit_one() -> None:
    choice = select_for_restore(WRITER, backed_up("Security", "writerData"), ["writerData\\Set1", "Usage"])
    assert choice == (
        RestoreChoice("writerData", (RestoreSubcomponent("writerData", "Set1"), RestoreSubcomponent("writerData", "Usage"))),
    )


def test_the_whole_component_outranks_its_parts() -> None:
    assert select_for_restore(WRITER, backed_up("writerData"), ["Set1", "writerData"]) == (RestoreChoice("writerData"),)


def test_what_is_not_selectable_for_restore_comes_with_its_ancestor_only() -> None:
    with pytest.raises(InvalidArgumentError, match=r"not selectable for restore.*'writerData' only"):
        select_for_restore(WRITER, backed_up("writerData"), ["Query"])


def test_what_was_not_backed_up_cannot_be_restored() -> None:
    with pytest.raises(NotFoundError, match="'LicenseInfo' of writer 'MyWriter' was not backed up"):
        select_for_restore(WRITER, backed_up("writerData"), ["LicenseInfo"])


@pytest.mark.parametrize(
    ("history", "chain"),
    [
        ([B.FULL], (0,)),
        ([B.FULL, B.COPY], (1,)),
        ([B.FULL, B.DIFFERENTIAL, B.DIFFERENTIAL], (0, 2)),
        ([B.FULL, B.INCREMENTAL, B.COPY, B.INCREMENTAL], (0, 1, 3)),
        ([B.FULL, B.INCREMENTAL, B.FULL, B.INCREMENTAL, B.LOG], (2, 3, 4)),
        ([B.FULL, B.INCREMENTAL, B.DIFFERENTIAL], (0, 2)),
    ],
)
def test_restore_chain(history: list[BackupType], chain: tuple[int, ...]) -> None:
    assert restore_chain(history) == chain


def test_a_chain_needs_a_full_backup_and_a_defined_type() -> None:
    with pytest.raises(NotFoundError, match="no full backup before the incremental backup"):
        restore_chain([B.COPY, B.INCREMENTAL])
    with pytest.raises(InvalidArgumentError, match="history is empty"):
        restore_chain([])
    with pytest.raises(InvalidArgumentError, match="OTHER"):
        restore_chain([B.FULL, B.OTHER])
