"""Express writers: what their documents may hold, and the writer, its factory and its registry."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vss.coordinator import Coordinator
from vss.documents import (
    BackupSchema,
    BackupType,
    Component,
    ComponentFlags,
    ComponentType,
    FileSpec,
    RestoreMethod,
    RestoreMethodKind,
    SourceType,
    UsageType,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.express import check_express_metadata, load_express_metadata
from vss.documents.xml import render_writer_metadata
from vss.errors import AlreadyExistsError, ConfigurationError, DocumentError, NotFoundError, UnsupportedError
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.express import ExpressWriter, ExpressWriters, express_writer
from vss.simulation import run
from vss.simulation.memory_files import MemoryFiles

GOLDEN = Path(os.environ.get("VSS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "xml"

SPEC = FileSpec("C:\\tasks", "*", recursive=True)
GROUP = Component(ComponentType.FILE_GROUP, "tasks", files=(SPEC,))
METHOD = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.NEVER)
EXPRESS = WriterMetadata(
    writer_id=Guid(int=7),
    instance_id=Guid(int=8),
    friendly_name="Tasks",
    usage=UsageType.SYSTEM_SERVICE,
    source=SourceType.OTHER,
    backup_schema=BackupSchema.COPY,
    restore_method=METHOD,
    components=(GROUP,),
)


def with_spec(**changes: Any) -> WriterMetadata:
    return replace(EXPRESS, components=(replace(GROUP, files=(replace(SPEC, **changes),)),))


@pytest.mark.parametrize("name", ["WM0.xml", "WM1.xml", "WM2.xml"])
def test_express_writers_of_windows_are_accepted(name: str) -> None:
    if not (GOLDEN / name).exists():
        pytest.skip("needs the golden documents")
    assert load_express_metadata((GOLDEN / name).read_bytes(), name).components


@pytest.mark.parametrize(
    "metadata",
    [EXPRESS, replace(EXPRESS, restore_method=None), with_spec(backup_type_mask=0x101), replace(EXPRESS, components=())],
)
def test_a_document_without_needs_is_accepted(metadata: WriterMetadata) -> None:
    assert load_express_metadata(render_writer_metadata(metadata)) == metadata


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (replace(EXPRESS, restore_method=replace(METHOD, writer_restore=WriterRestore.ALWAYS)), "expected NEVER"),
        (replace(EXPRESS, backup_schema=BackupSchema.COPY | BackupSchema.LOG), "backup schema has"),
        (replace(EXPRESS, components=(Component(ComponentType.DATABASE, "db"),)), "expected FILE_GROUP"),
        (replace(EXPRESS, components=(replace(GROUP, flags=ComponentFlags.BACKUP_RECOVERY),)), "none of recovery"),
        (with_spec(alternate_location="C:\\spit"), "alternate path"),
        (with_spec(backup_type_mask=0x103), "backup type mask 0x103"),
    ],
)
def test_what_needs_a_running_writer_is_not_supported(metadata: WriterMetadata, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message) as caught:
        check_express_metadata(metadata)
    assert caught.value.hresult is HResult.VSS_E_NOT_SUPPORTED
    with pytest.raises(UnsupportedError):
        ExpressWriter(metadata)


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = replace(EXPRESS, components=(Component(ComponentType.DATABASE, "one"), Component(ComponentType.DATABASE, "two")))
    with pytest.raises(UnsupportedError, match=r"'one' is a DATABASE.*; component 'two'"):
        check_express_metadata(wrong)


def test_an_express_writer_sleeps_through_a_backup() -> None:
    async def main(ports: Ports) -> None:
        coordinator = Coordinator(ports)
        writer = ExpressWriter(EXPRESS)
        coordinator.add_writer(writer)
        async with coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
            (found,) = await session.gather_writer_metadata()
            assert found == replace(EXPRESS, instance_id=writer.instance_id)
            session.start_snapshot_set()
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            (status,) = await session.gather_writer_status()
            assert status.failure is HResult.S_OK
        async with coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.prepare_for_backup()
            await session.abort_backup()
        await coordinator.close()

    run(main)


class Host:
    """A machine whose lab is ``/lab``, or one in memory."""

    def __init__(self, root: Path | None = Path("/lab")) -> None:
        self.root = root
        self.ports: Any = SimpleNamespace(files=MemoryFiles())
        self.ports.files.make_directory(Path("/lab"))
        self.ports.files.write_atomically(Path("/lab/tasks.xml"), render_writer_metadata(EXPRESS))


@pytest.mark.parametrize(("root", "path"), [(Path("/lab"), "tasks.xml"), (None, "/lab/tasks.xml")])
def test_the_factory_reads_the_document_that_the_configuration_names(root: Path | None, path: str) -> None:
    writer = express_writer(Host(root), {"document": path})
    assert (writer.writer_class_id, writer.name, writer.instance_name) == (EXPRESS.writer_id, "Tasks", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "expected the path"),
        ({"document": 5}, "expected the path"),
        ({"document": "tasks.xml", "delay": 1}, r"options\.delay"),
        ({"document": "none.xml"}, "cannot be read"),
    ],
)
def test_an_option_that_cannot_mean_anything_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        express_writer(Host(), options)


def test_registering_twice_and_taking_out_what_is_not_there() -> None:
    writers = ExpressWriters()
    document = render_writer_metadata(EXPRESS)
    registered = writers.register(document)
    assert writers.writers == (registered,)
    with pytest.raises(AlreadyExistsError) as twice:
        writers.register(document)
    assert twice.value.hresult is HResult.VSS_E_OBJECT_ALREADY_EXISTS
    assert writers.unregister(EXPRESS.writer_id) is registered
    with pytest.raises(NotFoundError) as unknown:
        writers.unregister(EXPRESS.writer_id)
    assert unknown.value.hresult is HResult.VSS_E_OBJECT_NOT_FOUND
    with pytest.raises(DocumentError) as hostile:
        writers.register(b"<nothing/>")
    assert hostile.value.hresult is HResult.VSS_E_INVALID_XML_DOCUMENT
    assert writers.writers == ()
