"""Writing and reading give back the same document, and real documents keep their canonical form."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from vss.documents import (
    AlternateLocationMapping,
    BackupComponents,
    BackupSchema,
    BackupType,
    Component,
    ComponentDependency,
    ComponentFlags,
    ComponentType,
    DifferencedFile,
    DirectedTarget,
    DocumentLayout,
    ExcludedFiles,
    FileRestoreStatus,
    FileSpec,
    FileSpecKind,
    NewTarget,
    PartialFile,
    RestoreMethod,
    RestoreMethodKind,
    RestoreSubcomponent,
    RestoreTarget,
    RollForwardType,
    SelectedComponent,
    SnapshotDescription,
    SourceType,
    UsageType,
    WriterComponents,
    WriterMetadata,
    WriterRestore,
)
from vss.documents.xml import (
    parse_backup_components,
    parse_writer_metadata,
    render_backup_components,
    render_writer_metadata,
)
from vss.errors import DocumentError
from vss.ids import GUID_NULL

GOLDEN = Path(os.environ.get("VSS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "xml"

TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=[chr(each) for each in (*range(32), 0xFFFE, 0xFFFF)])
)
LINES = st.text(st.sampled_from(list("ab <>&\"'=\t\n\r\\é€")))
NAME = TEXT.filter(lambda text: bool(text) and "\\" not in text)
BYTES = st.binary(max_size=40)
GUIDS = st.uuids()


def few(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, max_size=3).map(tuple)


def unique_components(strategy: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(strategy, max_size=3, unique_by=lambda each: each.full_path.lower()).map(tuple)


DEPENDENCIES = few(st.builds(ComponentDependency, GUIDS, TEXT, TEXT))
MASK = st.integers(0, (1 << 32) - 1)
FILE_GROUPS = st.builds(
    Component,
    type=st.just(ComponentType.FILE_GROUP),
    component_name=NAME,
    logical_path=TEXT,
    caption=LINES,
    files=few(st.builds(FileSpec, TEXT, TEXT, st.booleans(), st.just(FileSpecKind.FILE_LIST), TEXT, MASK)),
    restore_metadata=st.booleans(),
    notify_on_backup_complete=st.booleans(),
    selectable=st.booleans(),
    selectable_for_restore=st.booleans(),
    flags=st.sampled_from([ComponentFlags.NONE, ComponentFlags.BACKUP_RECOVERY | ComponentFlags.NOT_SYSTEM_STATE]),
    dependencies=DEPENDENCIES,
)
DATABASE_KINDS = st.sampled_from([FileSpecKind.DATABASE_FILES, FileSpecKind.DATABASE_LOG_FILES])
DATABASES = st.builds(
    Component,
    type=st.just(ComponentType.DATABASE),
    component_name=NAME,
    logical_path=TEXT,
    files=few(st.builds(FileSpec, TEXT, TEXT, kind=DATABASE_KINDS, backup_type_mask=MASK)),
)
MAPPINGS = few(st.builds(AlternateLocationMapping, TEXT, TEXT, st.booleans(), TEXT))
METADATA = st.builds(
    WriterMetadata,
    writer_id=GUIDS,
    instance_id=GUIDS,
    friendly_name=LINES,
    usage=st.sampled_from(UsageType),
    source=st.sampled_from(SourceType),
    instance_name=TEXT,
    major_version=MASK,
    minor_version=MASK,
    backup_schema=st.integers(0, 0xFFFF).map(BackupSchema),
    restore_method=st.none()
    | st.builds(
        RestoreMethod, st.sampled_from(RestoreMethodKind), st.sampled_from(WriterRestore), st.booleans(), TEXT, TEXT, MAPPINGS
    ),
    components=unique_components(FILE_GROUPS | DATABASES),
    excluded=few(st.builds(ExcludedFiles, TEXT, TEXT, st.booleans(), st.booleans())),
    layout=st.builds(
        DocumentLayout, st.text(st.sampled_from("ce"), max_size=8), st.booleans(), st.just(("caption", "recursive"))
    ),
)
SELECTED = st.builds(
    SelectedComponent,
    type=st.sampled_from([ComponentType.DATABASE, ComponentType.FILE_GROUP]),
    component_name=NAME,
    logical_path=TEXT,
    backup_succeeded=st.none() | st.booleans(),
    backup_stamp=BYTES,
    previous_backup_stamp=BYTES,
    backup_metadata=BYTES,
    restore_metadata=BYTES,
    backup_options=LINES,
    restore_options=TEXT,
    partial_files=few(st.builds(PartialFile, TEXT, TEXT, TEXT, TEXT)),
    differenced_files=few(st.builds(DifferencedFile, TEXT, TEXT, st.booleans(), st.integers(0, (1 << 64) - 1))),
    selected_for_restore=st.booleans(),
    additional_restores=st.booleans(),
    authoritative_restore=st.booleans(),
    roll_forward=st.sampled_from(RollForwardType),
    roll_forward_point=TEXT,
    restore_name=TEXT,
    restore_target=st.sampled_from(RestoreTarget),
    file_restore_status=st.sampled_from(FileRestoreStatus),
    new_targets=few(st.builds(NewTarget, TEXT, TEXT, st.booleans(), TEXT)),
    directed_targets=few(st.builds(DirectedTarget, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)),
    restore_subcomponents=few(st.builds(RestoreSubcomponent, TEXT, TEXT, st.booleans())),
    mappings_used=MAPPINGS,
    prepare_for_backup_failure=TEXT,
    post_snapshot_failure=TEXT,
    pre_restore_failure=TEXT,
    post_restore_failure=TEXT,
)
DOCUMENTS = st.builds(
    BackupComponents,
    backup_type=st.sampled_from(BackupType),
    select_components=st.booleans(),
    bootable_system_state=st.booleans(),
    partial_file_support=st.booleans(),
    snapshot_set_id=GUIDS | st.just(GUID_NULL),
    snapshots=st.lists(
        st.builds(
            SnapshotDescription,
            snapshot_id=GUIDS,
            provider_id=GUIDS,
            original_volume=TEXT,
            original_volume_id=GUIDS,
            snapshots_in_set=MASK,
            created_ns=st.integers(0, (1 << 64) - 1),
            attributes=MASK,
            context=MASK,
            size_bytes=st.integers(0, (1 << 64) - 1),
            originating_machine=TEXT,
            lun_id=TEXT,
        ),
        max_size=2,
        unique_by=lambda each: each.snapshot_id,
    ).map(tuple),
    writers=st.lists(
        st.builds(WriterComponents, GUIDS, GUIDS, TEXT, st.integers(0, 0xFFFF).map(BackupSchema), unique_components(SELECTED)),
        max_size=2,
        unique_by=lambda each: each.instance_id,
    ).map(tuple),
)


def metadata_with(*components: Component, **changes: object) -> WriterMetadata:
    plain = WriterMetadata(GUID_NULL, GUID_NULL, "Demo", UsageType.OTHER, SourceType.OTHER, components=components)
    return replace(plain, **changes)  # type: ignore[arg-type]


def document_with(*components: SelectedComponent) -> BackupComponents:
    return BackupComponents(writers=(WriterComponents(GUID_NULL, GUID_NULL, components=components),))


def canonical(data: bytes) -> bytes:
    """Canonical XML without the white space between elements and with GUIDs in lower case."""
    root = etree.fromstring(data, etree.XMLParser(remove_blank_text=True))
    for element in root.iter():
        for attribute in ("writerId", "instanceId"):
            if element.get(attribute):
                element.set(attribute, element.get(attribute).lower())
    return etree.tostring(root, method="c14n")


# -- what is written can be read -----------------------------------------------------------------------------------------------


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(METADATA)
def test_writer_metadata_survives_the_round_trip(metadata: WriterMetadata) -> None:
    data = render_writer_metadata(metadata)
    again = parse_writer_metadata(data)
    assert again == metadata
    assert canonical(render_writer_metadata(again)) == canonical(data)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(DOCUMENTS)
def test_backup_components_survive_the_round_trip(document: BackupComponents) -> None:
    assert parse_backup_components(render_backup_components(document)) == document


def test_order_and_stated_defaults_are_kept_but_do_not_count_for_equality() -> None:
    first = Component(ComponentType.FILE_GROUP, "a", files=(FileSpec("D:\\a", "*"),))
    excluded = ExcludedFiles("D:\\a", "*.tmp")
    layout = DocumentLayout("ec", True, ("backupSchema", "caption", "instanceName", "logicalPath", "recursive"))
    metadata = metadata_with(
        first,
        excluded=(excluded,),
        restore_method=RestoreMethod(RestoreMethodKind.CUSTOM, WriterRestore.NEVER),
        layout=layout,
    )
    data = render_writer_metadata(metadata)
    text = data.decode()
    assert text.index("EXCLUDE_FILES") < text.index("FILE_GROUP") < text.index("RESTORE_METHOD")
    assert text.count('caption=""') == text.count('logicalPath=""') == text.count('instanceName=""') == 1
    assert 'backupSchema="0"' in text
    assert '<FILE_LIST path="D:\\a" filespec="*" recursive="no" filespecBackupType="3855"/>' in text
    again = parse_writer_metadata(data)
    assert again.layout == layout
    assert again == replace(metadata, layout=DocumentLayout())


def test_backup_metadata_is_in_no_namespace() -> None:
    component = SelectedComponent(ComponentType.FILE_GROUP, "a", backup_metadata=b"demo")
    text = render_backup_components(document_with(component)).decode()
    assert '<BACKUP_METADATA xmlns="" metadata="ZGVtbw=="/>' in text


def test_a_document_may_be_utf_16_with_or_without_byte_order_mark() -> None:
    metadata = metadata_with(Component(ComponentType.FILE_GROUP, "é"))
    text = render_writer_metadata(metadata).decode().replace("utf-8", "utf-16")
    for encoding in ("utf-16", "utf-16-le", "utf-8-sig"):
        assert parse_writer_metadata(text.encode(encoding)) == metadata


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (metadata_with(Component(ComponentType.UNDEFINED, "a")), "component 'a' has no type"),
        (metadata_with(Component(ComponentType.DATABASE, "")), "component name '' is empty"),
        (metadata_with(Component(ComponentType.DATABASE, "a\\b")), "holds a backslash"),
        (
            metadata_with(Component(ComponentType.DATABASE, "a", files=(FileSpec("D:\\", "*"),))),
            "component 'a' is a DATABASE, which has no FILE_LIST",
        ),
        (
            metadata_with(
                Component(ComponentType.FILE_GROUP, "a", files=(FileSpec("D:\\", "*", kind=FileSpecKind.DATABASE_FILES),))
            ),
            "component 'a' is a FILE_GROUP, which has no DATABASE_FILES",
        ),
        (
            metadata_with(
                Component(
                    ComponentType.DATABASE, "a", files=(FileSpec("D:\\", "*", True, kind=FileSpecKind.DATABASE_LOG_FILES),)
                )
            ),
            "is recursive or has an alternate location",
        ),
        (metadata_with(major_version=-1), "majorVersion is -1, expected a number of 32 bits"),
        (metadata_with(friendly_name="x" * 65537), "friendlyName of IDENTIFICATION has 65537 characters"),
        (metadata_with(friendly_name="a\0b"), "holds U\\+0000"),
        (metadata_with(friendly_name="\ud800"), "holds U\\+D800"),
    ],
)
def test_what_the_vocabulary_cannot_express_is_refused(metadata: WriterMetadata, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        render_writer_metadata(metadata)


def test_a_selected_component_needs_a_type() -> None:
    with pytest.raises(DocumentError, match="component 'a' has no type"):
        render_backup_components(document_with(SelectedComponent(ComponentType.UNDEFINED, "a")))


def test_a_document_that_no_reader_would_take_is_not_written() -> None:
    long = '"' * 65536
    component = SelectedComponent(
        ComponentType.FILE_GROUP, "a", backup_options=long, restore_options=long, pre_restore_failure=long
    )
    with pytest.raises(DocumentError, match="a tag of"):
        render_backup_components(document_with(component))


# -- documents written by Windows ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no reference documents on this machine")
def test_documents_of_windows_keep_their_canonical_form() -> None:
    paths = sorted(GOLDEN.glob("WM*.xml"))
    assert paths
    for path in paths:
        data = path.read_bytes()
        metadata = parse_writer_metadata(data, path.name)
        assert canonical(render_writer_metadata(metadata)) == canonical(data), path.name


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no reference documents on this machine")
def test_the_backup_components_document_of_windows_keeps_its_canonical_form() -> None:
    data = (GOLDEN / "BCDocument.xml").read_bytes()
    document = parse_backup_components(data)
    assert canonical(render_backup_components(document)) == canonical(data)
    assert document.backup_type is BackupType.FULL
    assert [writer.components[0].component_name for writer in document.writers][:2] == ["TasksStore", "WriterMetadataStore"]


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="no reference documents on this machine")
def test_what_the_sql_server_writer_declares() -> None:
    metadata = parse_writer_metadata((GOLDEN / "WM5.xml").read_bytes())
    assert metadata.instance_name == "Microsoft SQL Server 2017:SQLWriter"
    assert int(metadata.backup_schema) == 881
    assert metadata.restore_method == RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)
    master = metadata.component("win2012-sql17-2\\MASTER")
    assert master is not None
    assert master.flags == ComponentFlags.APP_ROLLBACK_RECOVERY
    assert [spec.filespec for spec in master.files] == ["master.mdf", "mastlog.ldf"]
