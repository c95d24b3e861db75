"""What a machine adds to its writers' declarations: variables in paths, files kept out of backups and of shadow copies."""

from __future__ import annotations

from typing import Any

import pytest

from vss.coordinator import SnapshotContext
from vss.coordinator.contexts import SnapshotAttributes
from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentType,
    ExcludedFiles,
    FileSpec,
    FileSpecKind,
    NewTarget,
)
from vss.documents.xml import parse_writer_metadata
from vss.errors import InvalidArgumentError, UnknownVariableError
from vss.events import FileNotBackedUp
from vss.exit_codes import ExitCode
from vss.roles.machine_settings import MachineSettings, settings_of
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_report import backup_report
from vss_requestors.repository.set_reader import open_set
from vss_requestors.restore import RestoreRequestor
from vss_requestors.results import BackupResult, LeftOutFile

VARIABLES = {"DataDrive": "D:", "LOGS": "L:\\logs"}
SPECS = (
    FileSpec("%datadrive%\\data", "*.edb", kind=FileSpecKind.DATABASE_FILES),
    FileSpec("%LOGS%", "*.log", kind=FileSpecKind.DATABASE_LOG_FILES),
)


def set_up(world: Any, **settings: Any) -> None:
    world.settings = MachineSettings(**settings)
    world.coordinator.settings = world.settings


async def back_up(world: Any, **options: Any) -> BackupResult:
    result: BackupResult = await BackupRequestor().run(world, **{**world.options, **options})
    return result


def test_a_machine_without_settings_has_no_variables() -> None:
    assert settings_of(object()) == MachineSettings()


def test_variables_are_expanded_and_the_documents_stay_as_the_writer_made_them(kit: Any) -> None:
    async def script(world: Any) -> None:
        component = Component(ComponentType.DATABASE, "Store", files=SPECS)
        await world.start(
            [kit.StoreWriter(world.ports, components=(component,), excluded=(ExcludedFiles("%LOGS%", "E0002.log"),))]
        )
        set_up(world, environment=VARIABLES)
        result = await back_up(world)
        assert result.exit_code == ExitCode.OK
        assert [each.path for each in result.copied] == ["D:\\data\\one.edb", "L:\\logs\\E0001.log"]
        assert sorted(each.volume for each in result.snapshots) == ["D:", "L:"]
        stored = (await open_set(world.ports, kit.TARGET / result.set_id)).writers[0]
        assert [spec.path for spec in stored.components[0].files] == ["%datadrive%\\data", "%LOGS%"]

        before = await world.read("D:\\data\\one.edb")
        await world.write("D:\\data\\one.edb", b"lost")
        restored = await RestoreRequestor().run(world, source=kit.TARGET)
        assert [each.status for each in restored.components] == ["ALL"]
        assert await world.read("D:\\data\\one.edb") == before

    kit.play(script)


def test_a_new_target_is_found_by_the_expanded_path(kit: Any) -> None:
    async def script(world: Any) -> None:
        component = Component(ComponentType.DATABASE, "Store", files=SPECS)
        schema = BackupSchema.WRITER_SUPPORTS_NEW_TARGET
        await world.start([kit.StoreWriter(world.ports, components=(component,), schema=schema)])
        set_up(world, environment=VARIABLES)
        await back_up(world)
        target = NewTarget("D:\\data", "*.edb", False, "D:\\moved")
        restored = await RestoreRequestor().run(world, source=kit.TARGET, new_targets=(target,))
        assert [each.status for each in restored.components] == ["ALL"]
        assert await world.read("D:\\moved\\one.edb") == kit.STORE_FILES["D:\\data\\one.edb"]

    kit.play(script)


def test_an_unknown_variable_ends_the_backup_before_anything_is_made(kit: Any) -> None:
    async def script(world: Any) -> None:
        component = Component(ComponentType.DATABASE, "Store", files=SPECS)
        await world.start([kit.StoreWriter(world.ports, components=(component,), calls=world.calls)])
        set_up(world, environment={"LOGS": "L:\\logs"})
        with pytest.raises(UnknownVariableError, match=r"writer 'Store': component 'Store': .* 'datadrive'") as caught:
            await back_up(world)
        assert caught.value.variable == "datadrive"
        assert world.set_tree() == {}
        assert [each for each in world.calls if each.startswith("Store.on_")] == []

    kit.play(script)


def test_files_not_to_backup_are_left_out_and_shown(kit: Any) -> None:
    async def script(world: Any) -> None:
        spec = FileSpec("D:\\", "*", recursive=True)
        component = Component(ComponentType.FILE_GROUP, "All", files=(spec,))
        await world.start([kit.StoreWriter(world.ports, components=(component,))], with_verifier=False)
        await world.write("D:\\pagefile.sys", b"page")
        await world.write("D:\\temp\\deep\\x.tmp", b"scratch")
        set_up(
            world,
            environment={"TEMP": "D:\\temp"},
            files_not_to_backup={"Store": ("D:\\data\\* /s",), "Indexer": ("\\data\\deep\\*",)},
        )
        result = await back_up(world)
        assert [each.path for each in result.copied] == ["D:\\data\\one.edb"]
        assert result.left_out == (
            LeftOutFile(path="D:\\data\\deep\\two.edb", application="Indexer"),
            LeftOutFile(path="D:\\pagefile.sys", application="Memory Page File"),
            LeftOutFile(path="D:\\temp\\deep\\x.tmp", application="Temporary Files"),
        )
        assert [each.application for each in world.events(FileNotBackedUp)] == [each.application for each in result.left_out]
        assert "left out     D:\\pagefile.sys  not backed up: Memory Page File" in backup_report(result)

    kit.play(script)


def test_an_entry_that_means_nothing_ends_the_backup(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        set_up(world, files_not_to_backup={"App": ("nothing",)})
        with pytest.raises(InvalidArgumentError, match="'nothing' of 'App'"):
            await back_up(world)

    kit.play(script)


# -- files not to snapshot -----------------------------------------------------------------------------------------------------


async def kept_out(world: Any, context: SnapshotContext, attributes: SnapshotAttributes = SnapshotAttributes.NONE) -> int:
    """How many entries apply in a session of this context."""
    async with world.open_session() as session:
        session.initialize_for_backup()
        session.set_context(context, attributes)
        return len(session._kept_out())


def test_it_is_off_without_auto_recovery_without_writers_and_for_previous_versions(kit: Any) -> None:
    async def script(world: Any) -> None:
        await world.start()
        set_up(world, files_not_to_snapshot={"Temp": ("\\temp\\*",)})
        assert await kept_out(world, SnapshotContext.APP_ROLLBACK) == 1
        assert await kept_out(world, SnapshotContext.BACKUP, SnapshotAttributes.NO_AUTORECOVERY) == 0
        assert await kept_out(world, SnapshotContext.FILE_SHARE_BACKUP) == 0
        assert await kept_out(world, SnapshotContext.CLIENT_ACCESSIBLE_WRITERS) == 0

    kit.play(script)


def test_the_metadata_of_a_set_can_be_read_again_with_its_variables(kit: Any) -> None:
    async def script(world: Any) -> None:
        component = Component(ComponentType.DATABASE, "Store", files=SPECS)
        await world.start([kit.StoreWriter(world.ports, components=(component,))])
        set_up(world, environment=VARIABLES)
        result = await back_up(world, backup_type=BackupType.COPY)
        (path,) = [path for path in world.set_tree() if "metadata" in path or "writers/" in path]
        data = world.set_tree()[path]
        assert parse_writer_metadata(data).components[0].files[0].path == "%datadrive%\\data"
        assert result.is_success

    kit.play(script)
