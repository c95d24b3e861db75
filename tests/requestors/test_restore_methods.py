"""Restores by method, target, part, range and chain on a whole machine: what comes back, and what the writer hears."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vss.documents import (
    AlternateLocationMapping,
    BackupSchema,
    BackupType,
    Component,
    ComponentDependency,
    ComponentType,
    DifferencedFile,
    DirectedTarget,
    FileRestoreStatus,
    FileSpec,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    RestoreTarget,
    WriterRestore,
)
from vss.documents.ranges import ByteRange, render_ranges_file
from vss.errors import (
    BackupSetError,
    InvalidArgumentError,
    NotFoundError,
    RestoreRefusedError,
    UnsupportedError,
    VolumeWriteError,
    VssError,
)
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import Guid
from vss_requestors.backup import BackupRequestor
from vss_requestors.component_selection import ComponentName
from vss_requestors.repository import open_set
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult, RestoreResult
from vss_requestors.services import ApplicationServices

Kind = RestoreMethodKind
ONE, TWO = "D:\\data\\one.edb", "D:\\data\\deep\\two.edb"
MAPPINGS = (
    AlternateLocationMapping("D:\\data", "*.edb", False, "L:\\other"),
    AlternateLocationMapping("D:\\data\\deep", "*.edb", False, "L:\\other\\deep"),
    AlternateLocationMapping("L:\\logs", "*.log", False, "L:\\otherlogs"),
)


def method(kind: Kind, restore: WriterRestore = WriterRestore.ALWAYS, **fields: Any) -> RestoreMethod:
    return RestoreMethod(kind, restore, **fields)


async def back_up(world: Any, **options: Any) -> BackupResult:
    result: BackupResult = await BackupRequestor().run(world, **{**world.options, **options})
    assert result.state == "complete", result.components
    return result


async def restore(world: Any, kit: Any, **options: Any) -> RestoreResult:
    result: RestoreResult = await RestoreRequestor().run(world, **{"source": kit.TARGET, **options})
    return result


def start(world: Any, kit: Any, **options: Any) -> Any:
    return world.start([kit.StoreWriter(world.ports, calls=world.calls, **options)])


def changing(**changes: Any) -> Any:
    """A handler that changes the writer's only component."""

    def handler(context: Any) -> None:
        (component,) = context.components.components
        context.set_components(replace(context.components, components=(replace(component, **changes),)))

    return handler


class Seen:
    """What the writer finds in its component at PostRestore."""

    def __init__(self) -> None:
        self.components: list[Any] = []

    def __call__(self, context: Any) -> None:
        self.components = list(context.components.components)


# -- alternate locations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restore_kind", [WriterRestore.ALWAYS, WriterRestore.IF_REPLACE_FAILS])
def test_what_went_to_its_alternate_location_is_recorded_for_the_writer(kit: Any, restore_kind: WriterRestore) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        to_alternate = method(Kind.RESTORE_TO_ALTERNATE_LOCATION, restore_kind, mappings=MAPPINGS)
        await start(world, kit, restore_method=to_alternate, behaviour={"on_post_restore": seen})
        await back_up(world)
        before = await world.tree()
        result = await restore(world, kit)
        assert result.exit_code == ExitCode.OK
        assert await world.tree() == before
        assert await world.read("L:\\other\\deep\\two.edb") == kit.STORE_FILES[TWO]
        (component,) = seen.components
        assert sorted(component.mappings_used, key=lambda each: each.path) == list(MAPPINGS)
        assert component.file_restore_status is FileRestoreStatus.ALL

    kit.play(script)


class Unwritable:
    """The machine's files, but nothing can be made on one volume."""

    def __init__(self, files: Any, volume: str) -> None:
        self._files, self._volume = files, volume

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    async def open(self, path: str, **options: Any) -> Any:
        if options.get("write") and path.startswith(self._volume):
            raise VolumeWriteError(f"'{path}' is in use")
        return await self._files.open(path, **options)


@pytest.mark.parametrize(
    ("kind", "mappings", "status", "reason"),
    [
        (Kind.RESTORE_IF_CAN_REPLACE, MAPPINGS, "ALL", ""),
        (Kind.RESTORE_IF_CAN_REPLACE, (), "NONE", "is in use"),
        (Kind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE, MAPPINGS, "NONE", "nothing here replaces files while the machine starts"),
    ],
)
def test_what_cannot_be_replaced_goes_to_its_mapping_or_stays_as_it_is(
    kit: Any, kind: Kind, mappings: Any, status: str, reason: str
) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(kind, mappings=mappings))
        await back_up(world)
        await world.write(ONE, kit.database(5, fill=9))
        before = await world.tree()
        whole = world.files
        world.files = Unwritable(whole, "D:")
        result = await restore(world, kit)
        world.files = whole
        assert await world.tree() == before
        (component,) = result.components
        assert component.status == status
        assert reason in component.reason
        if status == "ALL":
            assert await world.read("L:\\other\\one.edb") == kit.STORE_FILES[ONE]
            assert "goes to its alternate location" in result.warnings[0]
            assert result.exit_code == ExitCode.WARNINGS

    kit.play(script)


def test_what_can_be_replaced_is_whatever_mappings_there_are(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        method_ = method(Kind.RESTORE_IF_CAN_REPLACE, WriterRestore.IF_REPLACE_FAILS, mappings=MAPPINGS)
        await start(world, kit, restore_method=method_, behaviour={"on_post_restore": seen})
        await back_up(world)
        await world.destroy_originals()
        assert (await restore(world, kit)).exit_code == ExitCode.OK
        assert await world.tree() == kit.STORE_FILES
        assert not await world.files.exists("L:\\other")
        assert seen.components == [], "replacing did not fail, so there is no PostRestore"

    kit.play(script)


# -- services ----------------------------------------------------------------------------------------------------------------


class Service:
    """An application that notes when it is stopped and started."""

    name = "The Store"

    def __init__(self, world: Any, fails: str = "") -> None:
        self.world, self.fails = world, fails

    async def start(self) -> None:
        self._note("start")

    async def stop(self) -> None:
        self._note("stop")

    def _note(self, what: str) -> None:
        self.world.calls.append(what)
        if self.fails == what:
            raise VssError("it hangs")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.STOP_RESTORE_START, ["Store.identify", "Store.on_pre_restore", "stop", "start", "Store.on_post_restore"]),
        (Kind.RESTORE_STOP_START, ["Store.identify", "Store.on_pre_restore", "Store.on_post_restore", "stop", "start"]),
    ],
)
@pytest.mark.parametrize("name", ["store", "THE STORE"])
def test_a_service_is_stopped_and_started_where_the_method_says(kit: Any, kind: Kind, expected: Any, name: str) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(kind, service=name))
        world_writers, world.writers = world.writers, {"Store": Service(world), "Other": object()}
        await back_up(world)
        world.calls.clear()
        assert (await restore(world, kit)).exit_code == ExitCode.OK
        assert world.calls == expected
        world.writers = world_writers

    kit.play(script)


@pytest.mark.parametrize(
    ("kind", "fails", "status", "reason"),
    [
        (Kind.STOP_RESTORE_START, "stop", "NONE", "it hangs"),
        (Kind.STOP_RESTORE_START, "start", "ALL", "service 'Store' did not start: it hangs"),
        (Kind.RESTORE_STOP_START, "stop", "ALL", "service 'Store' did not stop: it hangs"),
        (Kind.RESTORE_STOP_START, "start", "ALL", "service 'Store' did not start: it hangs"),
    ],
)
def test_a_service_that_fails_shows_in_the_result(kit: Any, kind: Kind, fails: str, status: str, reason: str) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(kind, service="Store"))
        world.writers = {"Store": Service(world, fails)}
        await back_up(world)
        (component,) = (await restore(world, kit)).components
        assert (component.status, component.reason) == (status, reason)

    kit.play(script)


@pytest.mark.parametrize(
    ("writers", "service", "error", "message"),
    [
        (None, "Store", UnsupportedError, "has no services that can be stopped"),
        ({"Store": object()}, "Store", UnsupportedError, "has none of that name"),
        (None, "", RestoreRefusedError, "names no service"),
    ],
)
def test_without_the_service_nothing_is_asked_of_the_writer(
    kit: Any, writers: Any, service: str, error: type[VssError], message: str
) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(Kind.STOP_RESTORE_START, service=service))
        world.writers = writers
        await back_up(world)
        world.calls.clear()
        with pytest.raises(error, match=message):
            await restore(world, kit)
        assert world.calls == []

    kit.play(script)


class WithServices:
    """A machine that has services of its own."""

    def __init__(self, world: Any, service: Service) -> None:
        self._world, self._service = world, service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def has_service(self, name: str) -> bool:
        return name == "Store"

    async def stop_service(self, name: str) -> None:
        await self._service.stop()

    async def start_service(self, name: str) -> None:
        await self._service.start()


def test_a_machine_may_offer_services_itself(kit: Any) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(Kind.STOP_RESTORE_START, service="Store"))
        await back_up(world)
        world.calls.clear()
        machine: Any = WithServices(world, Service(world))
        result = await RestoreRequestor().run(machine, source=kit.TARGET)
        assert result.exit_code == ExitCode.OK
        assert world.calls[2:4] == ["stop", "start"]

    kit.play(script)


def test_a_service_nobody_knows_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        with pytest.raises(NotFoundError, match="no service 'x'"):
            await ApplicationServices({}).stop_service("x")

    kit.play(script)


# -- parts, new targets, options ---------------------------------------------------------------------------------------------

TREE = (
    Component(ComponentType.FILE_GROUP, "All", files=(FileSpec("L:\\logs", "*.log"),)),
    Component(
        ComponentType.FILE_GROUP,
        "One",
        logical_path="All",
        selectable=False,
        selectable_for_restore=True,
        files=(FileSpec("D:\\data", "one.edb"),),
    ),
    Component(
        ComponentType.FILE_GROUP,
        "Deep",
        logical_path="All\\One",
        selectable=False,
        files=(FileSpec("D:\\data\\deep", "*"),),
    ),
)


def test_a_part_that_is_selectable_for_restore_comes_back_alone(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        await start(world, kit, components=TREE, behaviour={"on_post_restore": seen})
        await back_up(world)
        await world.destroy_originals()
        result = await restore(world, kit, components=(ComponentName("Store", "All\\One"),))
        assert sorted(await world.tree()) == [TWO, ONE], "with what lies below it"
        assert [each.component for each in result.components] == ["All"]
        (part,) = seen.components[0].restore_subcomponents
        assert (part.logical_path, part.component_name) == ("All", "One")
        await restore(world, kit, components=(ComponentName("", "One"), ComponentName("", "All")))
        assert await world.tree() == kit.STORE_FILES, "the whole counts for more than its parts"

    kit.play(script)


def test_a_component_that_was_not_backed_up_is_not_found(kit: Any) -> None:
    async def script(world: Any) -> None:
        components = (
            Component(ComponentType.FILE_GROUP, "One", files=(FileSpec("D:\\data", "one.edb"),)),
            Component(ComponentType.FILE_GROUP, "Two", files=(FileSpec("D:\\data\\deep", "two.edb"),)),
        )
        await start(world, kit, components=components)
        await back_up(world, components=(ComponentName("", "One"),))
        with pytest.raises(NotFoundError, match="'Two' of writer 'Store' was not backed up") as caught:
            await restore(world, kit, components=(ComponentName("", "Two"),))
        assert caught.value.hresult is HResult.VSS_E_OBJECT_NOT_FOUND

    kit.play(script)


NEW = NewTarget("D:\\data", "*.edb", False, "L:\\moved")


def test_a_new_target_takes_one_file_set_elsewhere(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        schema = BackupSchema.WRITER_SUPPORTS_NEW_TARGET
        await start(world, kit, schema=schema, behaviour={"on_post_restore": seen})
        await back_up(world)
        await world.destroy_originals()
        await restore(world, kit, new_targets=(NEW,))
        assert ONE not in await world.tree()
        assert TWO in await world.tree()
        assert await world.read("L:\\moved\\one.edb") == kit.STORE_FILES[ONE]
        assert seen.components[0].new_targets == (NEW,)
        with pytest.raises(NotFoundError, match="no chosen component has the file set"):
            await restore(world, kit, new_targets=(replace(NEW, recursive=True),))

    kit.play(script)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"new_targets": (NEW,)}, UnsupportedError),
        ({"restore_options": '"Roll Forward"="All"'}, UnsupportedError),
        ({"restore_options": '"Roll Forward"="Perhaps"'}, InvalidArgumentError),
        ({"restore_options": "<Restore/>", "authoritative": True}, InvalidArgumentError),
    ],
)
def test_what_the_writer_does_not_support_is_refused_before_it_is_asked(
    kit: Any, options: dict[str, Any], error: type[VssError]
) -> None:
    async def script(world: Any) -> None:
        await start(world, kit)
        await back_up(world)
        world.calls.clear()
        with pytest.raises(error):
            await restore(world, kit, **options)
        assert world.calls == []

    kit.play(script)


def test_options_in_the_writers_own_form_are_passed_on(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        await start(world, kit, behaviour={"on_post_restore": seen}, schema=BackupSchema.AUTHORITATIVE_RESTORE)
        await back_up(world)
        await restore(world, kit, restore_options="<Restore/>")
        assert seen.components[0].restore_options == "<Restore/>"
        await restore(world, kit, restore_options='"Own"="1"', authoritative=True)
        assert seen.components[0].restore_options == '"Authoritative"="All","Own"="1"'
        await restore(world, kit, restore_options='"Authoritative"="Item:x"', authoritative=True)
        assert seen.components[0].restore_options == '"Authoritative"="Item:x"'

    kit.play(script)


def test_a_component_restored_without_what_it_depends_on_is_named(kit: Any) -> None:
    async def script(world: Any) -> None:
        needs = (ComponentDependency(Guid(int=5), "Far", "Other"), ComponentDependency(Guid(int=5), "\\\\host\\", "Remote"))
        components = (Component(ComponentType.FILE_GROUP, "One", files=(FileSpec("D:\\data", "*"),), dependencies=needs),)
        await start(world, kit, components=components)
        backed_up = await BackupRequestor().run(world, **world.options)
        assert backed_up.exit_code == ExitCode.WARNINGS
        assert "component 'One' of writer 'Store' depends on 'far\\other'" in backed_up.warnings[0]
        assert len(backed_up.warnings) == 1
        result = await restore(world, kit)
        assert "is restored without 'Far\\Other'" in result.warnings[0]
        assert result.exit_code == ExitCode.WARNINGS

    kit.play(script)


# -- who takes part ----------------------------------------------------------------------------------------------------------


def test_a_writer_that_never_takes_part_gets_its_files_and_no_events(kit: Any) -> None:
    async def script(world: Any) -> None:
        await start(world, kit, restore_method=method(Kind.RESTORE_IF_CAN_REPLACE, WriterRestore.NEVER))
        await back_up(world)
        await world.destroy_originals()
        world.calls.clear()
        assert (await restore(world, kit)).exit_code == ExitCode.OK
        assert world.calls == ["Store.identify"]
        assert await world.tree() == kit.STORE_FILES

    kit.play(script)


TWO_COMPONENTS = (
    Component(ComponentType.FILE_GROUP, "One", files=(FileSpec("D:\\data", "one.edb"),)),
    Component(ComponentType.FILE_GROUP, "Two", files=(FileSpec("D:\\data\\deep", "two.edb"),)),
)


@pytest.mark.parametrize("step", ["on_pre_restore", "on_post_restore"])
def test_a_writer_may_refuse_one_component_and_take_the_others(kit: Any, step: str) -> None:
    async def script(world: Any) -> None:
        def refuse(context: Any) -> None:
            code = HResult.VSS_E_WRITERERROR_NONRETRYABLE
            context.set_component_failure(ComponentType.FILE_GROUP, "", "One", code, "it is mounted")

        await start(world, kit, components=TWO_COMPONENTS, behaviour={step: refuse})
        await back_up(world)
        await world.destroy_originals()
        result = await restore(world, kit)
        first, second = result.components
        assert "it is mounted" in first.reason
        assert (second.status, second.reason) == ("ALL", "")
        assert first.status == ("NONE" if step == "on_pre_restore" else "ALL")
        assert (ONE in await world.tree()) is (step == "on_post_restore")
        assert result.exit_code == ExitCode.WARNINGS

    kit.play(script)


@pytest.mark.parametrize("stop", [False, True])
def test_a_writer_may_fail_one_component_of_a_backup(kit: Any, stop: bool) -> None:
    async def script(world: Any) -> None:
        def refuse(context: Any) -> None:
            code = HResult.VSS_E_WRITERERROR_NONRETRYABLE
            context.set_component_failure(ComponentType.FILE_GROUP, "", "One", code, "it is dirty")

        await start(world, kit, components=TWO_COMPONENTS, behaviour={"on_prepare_backup": refuse})
        if stop:
            with pytest.raises(VssError, match="it is dirty"):
                await BackupRequestor().run(world, **world.options, stop_on_writer_error=True)
            return
        result = await BackupRequestor().run(world, **world.options)
        assert [(each.component, each.succeeded) for each in result.components] == [("One", False), ("Two", True)]
        assert "it is dirty" in result.components[0].reason
        assert [each.path for each in result.copied] == [TWO]

    kit.play(script)


# -- partial and differenced files, directed targets -------------------------------------------------------------------------

BIG = bytes(range(256)) * 40  # 10240 bytes


def partial_writer(kit: Any, world: Any, behaviour: dict[str, Any], **options: Any) -> Any:
    components = (Component(ComponentType.FILE_GROUP, "Big", files=(FileSpec("D:\\data", "*"), FileSpec("L:\\logs", "*"))),)
    return kit.StoreWriter(world.ports, calls=world.calls, components=components, behaviour=behaviour, **options)


@pytest.mark.parametrize("in_file", [False, True])
def test_only_the_ranges_of_a_partial_file_are_copied_and_written_back(kit: Any, in_file: bool) -> None:
    async def script(world: Any) -> None:
        text = "File=D:\\data\\ranges.bin" if in_file else "0x10:16, 10000:9999"
        files = (PartialFile("D:\\data", "big.dat", text), PartialFile("L:\\logs", "E0001.log", "999999:1"))
        writer = partial_writer(kit, world, {"on_post_snapshot": changing(partial_files=files)})
        await world.start([writer], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        await world.write("D:\\data\\ranges.bin", render_ranges_file([ByteRange(16, 16), ByteRange(10000, 9999)]))
        result = await back_up(world)
        copied = {each.path: each.size_bytes for each in result.copied}
        assert copied["D:\\data\\big.dat"] == 16 + 240
        assert "L:\\logs\\E0001.log" not in copied, "none of its bytes is wanted"
        assert copied["D:\\data\\ranges.bin"] == 40
        entries = (await open_set(world.ports, kit.TARGET / result.set_id)).manifest.files
        assert [each.ranges for each in entries if each.ranges] == ["16:16,10000:240"]
        await world.write("D:\\data\\big.dat", b"\xff" * 9000)
        restored = await restore(world, kit)
        assert restored.components[0].status == "ALL"
        expected = bytearray(b"\xff" * 9000 + bytes(1000) + BIG[10000:])
        expected[16:32] = BIG[16:32]
        assert await world.read("D:\\data\\big.dat") == bytes(expected)
        await world.files.remove("D:\\data\\big.dat")
        refused = await restore(world, kit)
        assert refused.components[0].status == "NONE"
        assert "is not there to take them" in refused.components[0].reason

    kit.play(script)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (PartialFile("D:\\data", "big.dat", "0:x"), "is no range"),
        (PartialFile("D:\\data", "none.dat", "0:1"), "is not on the shadow copy"),
        (PartialFile("E:\\data", "big.dat", "0:1"), "has no shadow copy in this set"),
        (PartialFile("D:\\data", "big.dat", "D:\\data\\bad.bin"), "expected 4088"),
        (PartialFile("D:\\data", "big.dat", "D:\\data\\huge.bin"), "more than 16777216"),
        (DifferencedFile("E:\\data", "*", False, 0), "has no shadow copy in this set"),
    ],
)
def test_what_a_writer_adds_and_cannot_mean_fails_its_component(kit: Any, file: Any, message: str) -> None:
    async def script(world: Any) -> None:
        changes = {"partial_files" if isinstance(file, PartialFile) else "differenced_files": (file,)}
        writer = partial_writer(kit, world, {"on_post_snapshot": changing(**changes)})
        await world.start([writer], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        await world.write("D:\\data\\bad.bin", (255).to_bytes(8, "little") + bytes(80))
        if "huge" in str(file):
            handle = await world.files.open("D:\\data\\huge.bin", write=True, create=True)
            await handle.truncate((16 << 20) + 1)
            await handle.close()
        result = await BackupRequestor().run(world, **world.options)
        assert not result.components[0].succeeded
        assert message in result.components[0].reason

    kit.play(script)


def test_a_file_named_as_both_is_differenced_and_new_files_come_along(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = partial_writer(
            kit,
            world,
            {
                "on_post_snapshot": changing(
                    partial_files=(PartialFile("D:\\data", "big.dat", "0:5"), PartialFile("D:\\fresh", "x.dat", "0:1")),
                    differenced_files=(DifferencedFile("D:\\data", "*", False, 0), DifferencedFile("D:\\fresh", "*", False, 0)),
                )
            },
        )
        await world.start([writer], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        await world.write("D:\\fresh\\x.dat", b"fresh")
        result = await back_up(world)
        sizes = {each.path: each.size_bytes for each in result.copied}
        assert (sizes["D:\\data\\big.dat"], sizes["D:\\fresh\\x.dat"]) == (len(BIG), 5)
        await world.files.remove("D:\\fresh\\x.dat")
        await restore(world, kit)
        assert await world.read("D:\\fresh\\x.dat") == b"fresh"

    kit.play(script)


def test_ranges_go_where_the_writer_directs_them_also_into_the_file_itself(kit: Any) -> None:
    async def script(world: Any) -> None:
        targets = (
            DirectedTarget("D:\\data", "big.dat", "0:100", "D:\\data", "big.dat", "5000:100"),
            DirectedTarget("D:\\data", "big.dat", "256:10", "L:\\new", "part.dat", "20:10"),
        )
        directing = changing(directed_targets=targets, restore_target=RestoreTarget.DIRECTED)
        writer = partial_writer(kit, world, {"on_pre_restore": directing})
        await world.start([writer], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        await back_up(world)
        await world.write("D:\\data\\big.dat", b"\xee" * 6000)
        assert (await restore(world, kit)).exit_code == ExitCode.OK
        assert await world.read("D:\\data\\big.dat") == b"\xee" * 5000 + BIG[:100] + b"\xee" * 900
        assert await world.read("L:\\new\\part.dat") == bytes(20) + BIG[256:266]

    kit.play(script)


def test_a_damaged_file_is_not_used_in_parts_either(kit: Any) -> None:
    async def script(world: Any) -> None:
        target = DirectedTarget("D:\\data", "big.dat", "0:10", "L:\\new", "part.dat", "0:10")
        directing = changing(directed_targets=(target,), restore_target=RestoreTarget.DIRECTED)
        await world.start([partial_writer(kit, world, {"on_pre_restore": directing})], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        result = await back_up(world)
        handle = world.ports.files.open(kit.TARGET / result.set_id / "files/D/data/big.dat", write=True)
        handle.pwrite(9000, b"\x00\x00")
        handle.close()
        restored = await restore(world, kit, verify=False)
        assert restored.components[0].status == "NONE"
        assert "changed while it was restored" in restored.components[0].reason

    kit.play(script)


def test_a_ranges_file_that_went_elsewhere_is_told_to_the_writer(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = Seen()
        files = (PartialFile("D:\\data", "big.dat", "D:\\data\\ranges.bin"),)
        behaviour = {"on_post_snapshot": changing(partial_files=files), "on_post_restore": seen}
        schema = BackupSchema.WRITER_SUPPORTS_NEW_TARGET
        await world.start([partial_writer(kit, world, behaviour, schema=schema)], with_verifier=False)
        await world.write("D:\\data\\big.dat", BIG)
        await world.write("D:\\data\\ranges.bin", render_ranges_file([ByteRange(0, 5)]))
        await back_up(world)
        await world.write("L:\\moved\\big.dat", b"\xff" * 10)
        await restore(world, kit, new_targets=(NewTarget("D:\\data", "*", False, "L:\\moved"),))
        assert await world.read("L:\\moved\\big.dat") == BIG[:5] + b"\xff" * 5
        assert seen.components[0].partial_files[0].ranges == "L:\\moved\\ranges.bin"

    kit.play(script)


# -- chains ------------------------------------------------------------------------------------------------------------------

SCHEMA = BackupSchema.INCREMENTAL | BackupSchema.TIMESTAMPED | BackupSchema.DIFFERENTIAL
FIRST, SECOND, THIRD = Path("/first"), Path("/second"), Path("/third")


async def chain(world: Any, kit: Any, **options: Any) -> Any:
    """A full backup and two increments of a growing log, each stamped."""
    stamps = [b"full", b"increment 1", b"increment 2"]
    seen: list[Any] = []

    def stamp(context: Any) -> None:
        changing(backup_stamp=stamps.pop(0))(context)

    def look(context: Any) -> None:
        seen.append(context.components.components[0].additional_restores)

    behaviour = {"on_post_snapshot": stamp, "on_post_restore": look, **options}
    await start(world, kit, schema=SCHEMA, behaviour=behaviour)
    previous = None
    for number, target in enumerate((FIRST, SECOND, THIRD)):
        await world.write(f"L:\\logs\\E001{number}.log", b"log %d" % number)
        kind = BackupType.FULL if number == 0 else BackupType.INCREMENTAL
        result = await back_up(world, target=target, backup_type=kind, previous=previous)
        previous = (await open_set(world.ports, target / result.set_id)).document
    return seen


def test_a_chain_comes_back_in_one_call_and_recovery_waits_for_its_last_set(kit: Any) -> None:
    async def script(world: Any) -> None:
        seen = await chain(world, kit)
        before = await world.tree()
        await world.destroy_originals()
        result = await restore(world, kit, source=FIRST, increments=(SECOND, THIRD))
        assert result.exit_code == ExitCode.OK
        assert await world.tree() == before
        assert seen == [True, True, False]
        assert len(result.earlier) == 2
        assert {each.set_id for each in (*result.earlier, result)} == {
            name for target in (FIRST, SECOND, THIRD) for name in world.ports.files.list_directory(target)
        }

    kit.play(script)


@pytest.mark.parametrize(
    ("source", "increments", "message"),
    [
        (FIRST, (THIRD,), "does not build on the sets before it"),
        (FIRST, (SECOND, FIRST), "are no chain"),
        (SECOND, (THIRD,), "no full backup"),
    ],
)
def test_sets_that_are_no_chain_are_refused_before_anything_is_touched(
    kit: Any, source: Path, increments: tuple[Path, ...], message: str
) -> None:
    async def script(world: Any) -> None:
        await chain(world, kit)
        before = await world.tree()
        world.calls.clear()
        with pytest.raises((BackupSetError, NotFoundError), match=message):
            await restore(world, kit, source=source, increments=increments)
        assert (await world.tree(), world.calls) == (before, [])

    kit.play(script)


def test_a_set_that_does_not_come_back_ends_the_chain(kit: Any) -> None:
    async def script(world: Any) -> None:
        failures = [VssError("log generation 7 is missing")]

        def fail(context: Any) -> None:
            raise failures[0]

        await chain(world, kit, on_post_restore=fail)
        result = await restore(world, kit, source=FIRST, increments=(SECOND, THIRD))
        assert result.earlier == ()
        assert [each.partition("' was not restored")[1] != "" for each in result.warnings] == [True, True]
        assert result.exit_code == ExitCode.WARNINGS

    kit.play(script)


# -- the base of an increment ------------------------------------------------------------------------------------------------


def test_a_previous_document_that_is_no_base_is_refused_or_named(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer = await start(world, kit, schema=SCHEMA)
        result = await back_up(world, backup_type=BackupType.FULL)
        full = (await open_set(world.ports, kit.TARGET / result.set_id)).document
        named = await BackupRequestor().run(
            world, **{**world.options, "target": SECOND}, backup_type=BackupType.INCREMENTAL, previous=full
        )
        assert named.warnings == ("the previous document has no stamp of component 'Store' of writer 'Store'",)
        writer.schema = SCHEMA | BackupSchema.EXCLUSIVE_INCREMENTAL_DIFFERENTIAL
        incremental = replace(full, backup_type=BackupType.INCREMENTAL)
        with pytest.raises(InvalidArgumentError, match="keeps incremental and differential backups apart"):
            await BackupRequestor().run(
                world, **{**world.options, "target": THIRD}, backup_type=BackupType.DIFFERENTIAL, previous=incremental
            )

    kit.play(script)


def test_a_writer_that_goes_by_times_gets_all_its_volumes(kit: Any) -> None:
    async def script(world: Any) -> None:
        specs = (FileSpec("D:\\data", "*", backup_type_mask=0x101), FileSpec("L:\\logs", "*"))
        since = DifferencedFile("D:\\data", "*", False, 0)
        components = (Component(ComponentType.FILE_GROUP, "Store", files=specs),)
        behaviour = {"on_post_snapshot": changing(differenced_files=(since,))}
        schema = BackupSchema.INCREMENTAL | BackupSchema.LAST_MODIFY
        await start(world, kit, components=components, behaviour=behaviour, schema=schema)
        result = await back_up(world, backup_type=BackupType.INCREMENTAL)
        assert ONE in [each.path for each in result.copied]

    kit.play(script)


# -- where verifiers read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verify_on", ["set", "shadow copy", "both"])
def test_verifiers_find_the_same_wherever_they_read(kit: Any, verify_on: str) -> None:
    async def script(world: Any) -> None:
        await start(world, kit)
        good = await BackupRequestor().run(world, **world.options, verify_on=verify_on)
        assert good.exit_code == ExitCode.OK
        assert {each.path: each.pages for each in good.verified}[ONE] == 5
        assert all(each.method == "XXH3, pages" for each in good.verified)
        await world.write(ONE, kit.page(0) + b"x" * kit.PAGE + kit.database(5)[2 * kit.PAGE :])
        bad = await BackupRequestor().run(world, **{**world.options, "target": SECOND}, verify_on=verify_on)
        (finding,) = bad.findings
        assert (finding.path, finding.page_number, finding.offset) == (ONE, 1, kit.PAGE)
        assert bad.exit_code == ExitCode.VERIFICATION_MISMATCH
        assert next(each.path for each in bad.verified if not each.is_good) == ONE

    kit.play(script)


def test_what_the_target_did_not_keep_is_found_though_verifiers_read_the_shadow_copy(kit: Any) -> None:
    async def faults(site: str, work: Any, **selectors: str) -> Any:
        if site == "requestor.verify" and selectors["file"] == ONE:
            (world_files,) = found
            name = world_files.list_directory(kit.TARGET)[0]
            handle = world_files.open(kit.TARGET / name / "files/D/data/one.edb", write=True)
            handle.pwrite(100, b"\x00")
            handle.close()
        return await work()

    found: list[Any] = []

    async def script(world: Any) -> None:
        found.append(world.ports.files)
        await start(world, kit)
        result = await BackupRequestor().run(world, **world.options, verify_on="shadow copy")
        assert [each.code for each in result.findings] == ["wrong digest"]

    kit.play(script, faults=faults)


def test_another_place_to_verify_on_is_refused(kit: Any) -> None:
    async def script(world: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="expected one of set, shadow copy, both"):
            await BackupRequestor().run(world, **world.options, verify_on="tape")

    kit.play(script)
