"""Where files go back to: every restore method with every restore target, new targets, ranges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import (
    AlternateLocationMapping,
    Component,
    ComponentType,
    DifferencedFile,
    DirectedTarget,
    FileSpec,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    RestoreSubcomponent,
    RestoreTarget,
    SelectedComponent,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.errors import BackupSetError, InvalidArgumentError, RestoreRefusedError, UnsupportedError, VssError
from vss.hresult import HResult
from vss.ids import Guid
from vss.simulation import run
from vss_requestors.repository.records import ManifestFile
from vss_requestors.restore_placement import Placement, check_method, place_files
from vss_requestors.restore_ranges import direct

Kind = RestoreMethodKind
Target = RestoreTarget

FILE = "D:\\a\\b\\1.txt"
SPEC = FileSpec("D:\\a", "*.txt", recursive=True)
MAPPING = AlternateLocationMapping("D:\\a", "*.txt", True, "E:\\other")
IN_PLACE, ELSEWHERE = [FILE], ["E:\\other\\b\\1.txt"]


def entry(path: str = FILE, size_bytes: int = 100, ranges: str = "") -> ManifestFile:
    return ManifestFile(
        machine_path=path,
        path="",
        size_bytes=size_bytes,
        sha256="",
        quick_digests="",
        modified_ns=0,
        kind="file",
        owners=(),
        ranges=ranges,
    )


class Files:
    """Only says what exists."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths

    async def exists(self, path: str) -> bool:
        return path in self.paths


def written_by(kind: Kind | None, *mappings: AlternateLocationMapping, components: Sequence[Component] = ()) -> WriterMetadata:
    return WriterMetadata(
        writer_id=Guid(int=1),
        instance_id=Guid(int=2),
        friendly_name="W",
        usage=UsageType.USER_DATA,
        source=SourceType.OTHER,
        restore_method=None if kind is None else RestoreMethod(kind, WriterRestore.ALWAYS, mappings=mappings),
        components=tuple(components),
    )


GROUP = Component(ComponentType.FILE_GROUP, "component", files=(SPEC,))


def place(
    metadata: WriterMetadata,
    *entries: ManifestFile,
    there: Sequence[str] = (),
    members: Sequence[Component] = (GROUP,),
    **selected: Any,
) -> list[list[Placement]]:
    component = SelectedComponent(ComponentType.FILE_GROUP, "component", **selected)

    async def main(ports: Any) -> list[list[Placement]]:
        return await place_files(Files(*there), metadata, members, component, entries or [entry()])  # type: ignore[arg-type]

    return run(main)


def destinations(tried: list[list[Placement]]) -> list[list[str]]:
    return [[each.destination for each in placements] for placements in tried]


# -- method × target ---------------------------------------------------------------------------------------------------------

BY_METHOD = {
    Kind.RESTORE_IF_NOT_THERE: [IN_PLACE],
    Kind.RESTORE_IF_CAN_REPLACE: [IN_PLACE, ELSEWHERE],
    Kind.STOP_RESTORE_START: [IN_PLACE],
    Kind.RESTORE_STOP_START: [IN_PLACE],
    Kind.RESTORE_TO_ALTERNATE_LOCATION: [ELSEWHERE],
    Kind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE: [IN_PLACE],
}


@pytest.mark.parametrize("kind", BY_METHOD)
@pytest.mark.parametrize("target", [Target.UNDEFINED, Target.ORIGINAL, Target.DIRECTED])
def test_original_means_obey_the_method_and_directed_without_targets_too(kind: Kind, target: Target) -> None:
    assert destinations(place(written_by(kind, MAPPING), restore_target=target)) == BY_METHOD[kind]


@pytest.mark.parametrize("kind", BY_METHOD)
def test_original_location_forces_the_original_place(kind: Kind) -> None:
    assert destinations(place(written_by(kind, MAPPING), there=[FILE], restore_target=Target.ORIGINAL_LOCATION)) == [IN_PLACE]


@pytest.mark.parametrize("kind", BY_METHOD)
def test_alternate_means_the_mapping_but_methods_at_reboot_ignore_targets(kind: Kind) -> None:
    expected = IN_PLACE if kind is Kind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE else ELSEWHERE
    assert destinations(place(written_by(kind, MAPPING), restore_target=Target.ALTERNATE)) == [expected]


@pytest.mark.parametrize(
    ("kind", "target"),
    [(Kind.RESTORE_TO_ALTERNATE_LOCATION, Target.ORIGINAL), (Kind.RESTORE_IF_CAN_REPLACE, Target.ALTERNATE)],
)
def test_without_a_mapping_there_is_no_alternate_location(kind: Kind, target: Target) -> None:
    with pytest.raises(RestoreRefusedError, match="no mapping fits"):
        place(written_by(kind), restore_target=target)


def test_a_component_goes_to_its_mapping_whole_or_not_at_all() -> None:
    second = entry("D:\\c\\2.dat")
    members = (replace(GROUP, files=(SPEC, FileSpec("D:\\c", "*.dat"))),)
    writer = written_by(Kind.RESTORE_IF_CAN_REPLACE, MAPPING)
    assert destinations(place(writer, entry(), second, members=members)) == [[FILE, "D:\\c\\2.dat"]]
    with pytest.raises(RestoreRefusedError, match=r"no mapping fits 'D:\\c\\2.dat'"):
        place(writer, entry(), second, members=members, restore_target=Target.ALTERNATE)


def test_if_not_there_looks_at_every_file() -> None:
    writer = written_by(Kind.RESTORE_IF_NOT_THERE)
    assert destinations(place(writer)) == [IN_PLACE]
    with pytest.raises(RestoreRefusedError, match="restores only what is not there"):
        place(writer, entry("D:\\a\\0.txt"), entry(), there=[FILE])
    mapped = place(written_by(Kind.RESTORE_IF_NOT_THERE, MAPPING), entry("D:\\a\\0.txt"), entry(), there=[FILE])
    assert destinations(mapped) == [["E:\\other\\0.txt", "E:\\other\\b\\1.txt"]]
    assert {each.mapping for each in mapped[0]} == {MAPPING}


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind.CUSTOM, "only its own requestor knows how"),
        (Kind.RESTORE_AT_REBOOT, "nothing here replaces files while the machine starts"),
        (Kind.UNDEFINED, "it declares none"),
        (None, "it declares none"),
    ],
)
def test_what_nobody_can_carry_out_is_refused_with_the_reason(kind: Kind | None, reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason) as caught:
        check_method(written_by(kind))
    assert caught.value.hresult is HResult.VSS_E_NOT_SUPPORTED


# -- new targets -------------------------------------------------------------------------------------------------------------

NEW = NewTarget("d:\\A\\", "*.TXT", True, "D:\\new")


@pytest.mark.parametrize("kind", BY_METHOD)
@pytest.mark.parametrize("target", Target)
def test_a_new_target_overrides_everything(kind: Kind, target: Target) -> None:
    tried = place(written_by(kind, MAPPING), there=[FILE], restore_target=target, new_targets=(NEW,))
    assert destinations(tried)[0] == ["D:\\new\\b\\1.txt"]
    assert tried[0][0].mapping is None


@pytest.mark.parametrize("target", [replace(NEW, filespec="*.log"), replace(NEW, recursive=False), replace(NEW, path="D:\\b")])
def test_a_new_target_is_of_one_file_set_exactly(target: NewTarget) -> None:
    assert destinations(place(written_by(Kind.STOP_RESTORE_START), new_targets=(target,))) == [IN_PLACE]


def test_a_destination_that_is_no_path_is_refused() -> None:
    writer = written_by(Kind.RESTORE_IF_CAN_REPLACE)
    with pytest.raises(InvalidArgumentError):
        place(writer, new_targets=(replace(NEW, alternate_path="D:\\..\\.."),))


def test_two_files_never_become_one() -> None:
    members = (replace(GROUP, files=(FileSpec("D:\\a", "x"), FileSpec("D:\\b", "x"))),)
    targets = (NewTarget("D:\\a", "x", False, "D:\\c"), NewTarget("D:\\b", "x", False, "d:\\C"))
    with pytest.raises(RestoreRefusedError, match="would both be"):
        place(written_by(Kind.STOP_RESTORE_START), entry("D:\\a\\x"), entry("D:\\b\\x"), members=members, new_targets=targets)


# -- which files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["D:\\outside.txt", "D:\\a\\1.exe"])
def test_a_file_outside_every_file_set_is_no_file_of_the_component(path: str) -> None:
    with pytest.raises(BackupSetError, match="outside its file sets"):
        place(written_by(Kind.RESTORE_IF_CAN_REPLACE), entry(path))


def test_of_the_files_of_other_parts_none_comes_back() -> None:
    other = Component(ComponentType.FILE_GROUP, "other", "component", files=(FileSpec("D:\\o", "*"),))
    writer = written_by(Kind.RESTORE_IF_CAN_REPLACE, components=(GROUP, other))
    part = (RestoreSubcomponent("", "part"),)
    tried = place(writer, entry(), entry("D:\\o\\2"), restore_subcomponents=part)
    assert destinations(tried) == [IN_PLACE]
    with pytest.raises(BackupSetError):
        place(writer, entry(), entry("D:\\o\\2"))
    with pytest.raises(BackupSetError):
        place(writer, entry(), entry("D:\\else\\2"), restore_subcomponents=part)


def test_files_that_the_writer_added_during_the_backup_come_back() -> None:
    partial = (PartialFile("D:\\p\\", "big.dat", "D:\\p\\ranges.bin"),)
    differenced = (DifferencedFile("D:\\q", "*", False, 0),)
    found = [entry("D:\\p\\big.dat", 5, "7:5"), entry("D:\\p\\ranges.bin"), entry("D:\\q\\new.dat")]
    writer = written_by(Kind.STOP_RESTORE_START)
    (placements,) = place(writer, *found, partial_files=partial, differenced_files=differenced)
    assert [each.destination for each in placements] == [each.machine_path for each in found]
    assert [each.is_overlay for each in placements] == [True, False, False]
    assert [(each.source_offset, each.offset, each.length) for each in placements[0].pieces] == [(7, 7, 5)]
    part = (RestoreSubcomponent("", "part"),)
    tried = place(writer, *found, partial_files=partial, differenced_files=differenced, restore_subcomponents=part)
    assert destinations(tried) == [[]]


# -- directed targets --------------------------------------------------------------------------------------------------------


def directed(source: str, sources: str, destination: str, destinations: str) -> DirectedTarget:
    from_path, _, from_name = source.rpartition("\\")
    to_path, _, to_name = destination.rpartition("\\")
    return DirectedTarget(from_path + "\\", from_name, sources, to_path, to_name, destinations)


def pieces(placement: Placement) -> list[tuple[int, int, int]]:
    return [(each.source_offset, each.offset, each.length) for each in placement.pieces]


def test_ranges_go_where_the_writer_directs_them() -> None:
    targets = (directed(FILE, "0:10,20:5", "E:\\x\\y", "100:10,0:5"), directed(FILE, "50:1", "e:\\X\\Y", "200:1"))
    writer = written_by(Kind.RESTORE_IF_CAN_REPLACE)
    ((other, image),) = place(writer, entry(), entry("D:\\a\\2.txt"), restore_target=Target.DIRECTED, directed_targets=targets)
    assert (other.destination, image.destination) == ("D:\\a\\2.txt", "E:\\x\\y")
    assert pieces(image) == [(0, 100, 10), (20, 0, 5), (50, 200, 1)]
    assert image.is_overlay
    assert image.size_bytes == 16
    without = place(writer, directed_targets=targets)
    assert destinations(without) == [IN_PLACE], "directed targets count with target DIRECTED only"


def test_a_file_may_be_directed_into_itself() -> None:
    targets = (directed(FILE, "0:10", FILE, "50:10"),)
    ((image,),) = place(written_by(Kind.STOP_RESTORE_START), restore_target=Target.DIRECTED, directed_targets=targets)
    assert (image.destination, pieces(image), image.is_overlay) == (FILE, [(0, 50, 10)], True)


def test_ranges_directed_into_a_file_that_comes_back_go_over_it() -> None:
    targets = (directed(FILE, "0:10", "D:\\a\\2.txt", "5:10"),)
    writer = written_by(Kind.STOP_RESTORE_START)
    ((image,),) = place(writer, entry(), entry("D:\\a\\2.txt", 30), restore_target=Target.DIRECTED, directed_targets=targets)
    assert (pieces(image), image.is_overlay) == ([(0, 0, 30), (0, 5, 10)], False)


def test_methods_at_reboot_ignore_directed_targets() -> None:
    targets = (directed(FILE, "0:10", "E:\\x", "0:10"),)
    writer = written_by(Kind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE)
    assert destinations(place(writer, restore_target=Target.DIRECTED, directed_targets=targets)) == [IN_PLACE]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (directed("D:\\a\\none", "0:1", "E:\\x", "0:1"), "is not in the set"),
        (directed(FILE, "0:1", "E:\\x", "0:2"), "as many ranges of the same sizes"),
        (directed(FILE, "0:1,5:1", "E:\\x", "0:1"), "as many ranges of the same sizes"),
        (directed(FILE, "0:x", "E:\\x", "0:1"), "is no range"),
        (directed(FILE, "95:10", "E:\\x", "0:10"), "which the set does not have"),
        (directed(FILE, "0:5,5:5", "E:\\x", "0:5,3:5"), "ranges that overlap"),
    ],
)
def test_directed_targets_that_cannot_be_meant_are_refused(target: DirectedTarget, message: str) -> None:
    with pytest.raises(RestoreRefusedError, match=message):
        direct([entry()], (target,), "component")


def test_of_a_partial_file_only_its_ranges_can_be_directed() -> None:
    partial = entry(FILE, 20, "0:10,50:10")
    assert direct([partial], (directed(FILE, "52:8", "E:\\x", "0:8"),), "c").by_destination["E:\\x"][0].source_offset == 52
    with pytest.raises(RestoreRefusedError, match="does not have"):
        direct([partial], (directed(FILE, "5:10", "E:\\x", "0:10"),), "c")


def test_a_directed_destination_that_is_no_path_is_refused() -> None:
    targets = (directed(FILE, "0:1", "E:\\..\\x", "0:1"),)
    with pytest.raises(VssError):
        place(written_by(Kind.STOP_RESTORE_START), restore_target=Target.DIRECTED, directed_targets=targets)
