"""What the writer declares."""

from __future__ import annotations

from typing import Any

from vss.documents import (
    BackupSchema,
    BackupType,
    ComponentType,
    FileSpecKind,
    RestoreMethodKind,
    SourceType,
    UsageType,
    WriterRestore,
)
from vss.documents.file_sets import is_backed_up
from vss_writers.exchange.metadata import components_of, directories_needed
from vss_writers.exchange.options import StorageGroupOptions
from vss_writers.exchange.writer import WRITER_CLASS_ID

OPTIONS = StorageGroupOptions(databases=["One", "Two"])
GROUP, FIRST, SECOND, LOGS = components_of("SERVER", OPTIONS)


def test_only_the_storage_group_can_be_selected() -> None:
    assert GROUP.full_path == "Microsoft Exchange Server\\Microsoft Information Store\\SERVER\\First Storage Group"
    assert [each.selectable for each in (GROUP, FIRST, SECOND, LOGS)] == [True, False, False, False]
    assert (GROUP.type, GROUP.files, GROUP.selectable_for_restore) == (ComponentType.FILE_GROUP, (), True)


def test_databases_and_logs_are_components_below_it() -> None:
    assert [each.full_path for each in (FIRST, SECOND, LOGS)] == [
        f"{GROUP.full_path}\\{name}" for name in ("One", "Two", "Logs")
    ]
    assert [(each.path, each.filespec, each.kind) for each in FIRST.files] == [
        ("D:\\Exchange\\SG1", "One.edb", FileSpecKind.DATABASE_FILES)
    ]
    assert [(each.path, each.filespec, each.kind) for each in LOGS.files] == [
        ("L:\\Exchange\\SG1", "E00*.log", FileSpecKind.DATABASE_LOG_FILES),
        ("L:\\Exchange\\SG1", "E00.chk", FileSpecKind.DATABASE_LOG_FILES),
    ]


def test_database_files_belong_to_full_and_copy_backups_only() -> None:
    types = (BackupType.FULL, BackupType.COPY, BackupType.INCREMENTAL, BackupType.DIFFERENTIAL)

    assert [is_backed_up(FIRST.files[0], each) for each in types] == [True, True, False, False]
    assert all(is_backed_up(spec, each) for each in types for spec in LOGS.files)


def test_backups_of_logs_do_not_need_the_databases_volume() -> None:
    assert directories_needed(OPTIONS, BackupType.FULL) == ("D:\\Exchange\\SG1", "L:\\Exchange\\SG1")
    assert directories_needed(OPTIONS, BackupType.INCREMENTAL) == ("L:\\Exchange\\SG1",)


def test_the_document_says_what_the_store_can_do(kit: Any) -> None:
    async def script(bench: Any) -> None:
        document = await bench.writer.identify()

        assert document == await bench.writer.identify()
        assert (document.writer_id, document.friendly_name) == (WRITER_CLASS_ID, "Microsoft Exchange Writer")
        assert (document.instance_id, document.instance_name) == (bench.writer.instance_id, "First Storage Group")
        assert (document.usage, document.source) == (UsageType.USER_DATA, SourceType.TRANSACTION_DB)
        assert document.backup_schema == BackupSchema.DIFFERENTIAL | BackupSchema.INCREMENTAL | BackupSchema.COPY
        assert document.restore_method.method is RestoreMethodKind.RESTORE_IF_CAN_REPLACE
        assert document.restore_method.writer_restore is WriterRestore.ALWAYS
        assert document.components == components_of("MAIL", bench.group.options)

    kit.play(script)


def test_a_dismounted_group_is_declared_too(kit: Any) -> None:
    async def script(bench: Any) -> None:
        mounted = await bench.writer.identify()
        await bench.dismount()

        assert await bench.writer.identify() == mounted

    kit.play(script)
