"""The verifier on a shadow copy, on a backup set, and without a record; requestors that copy the live volume."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from vss.documents import BackupComponents, BackupType, ComponentType, SelectedComponent, WriterComponents
from vss.errors import NotFoundError, VssError, WriterError
from vss.exit_codes import ExitCode
from vss.hresult import HResult
from vss.ids import GUID_NULL
from vss.roles.verifier import VerificationReport
from vss.simulation import run
from vss_requestors.repository.file_source import SetFileSource
from vss_requestors.repository.set_reader import find_set, open_set
from vss_requestors.verify import verify_set
from vss_writers.scripted.content import find_files, made_bytes
from vss_writers.scripted.declaration import WRITER_CLASS_ID
from vss_writers.scripted.records import FileRecord, encode_record
from vss_writers.scripted.verifier import BY_READING, BY_RECORD, RecordedSource, ScriptedVerifier

A = "D:\\Data\\a.txt"


class Files:
    """A source in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def paths(self) -> Sequence[str]:
        return list(self.files)

    async def size(self, path: str) -> int:
        return len(self.files[path])

    async def read(self, path: str, offset: int, length: int) -> bytes:
        return self.files[path][offset : offset + length]


class ShadowCopy:
    """The files of a shadow copy under the paths of their volume."""

    def __init__(self, files: Any, paths: Sequence[str]) -> None:
        self._files = files
        self._paths = paths

    @staticmethod
    def inside(path: str) -> str:
        return path.removeprefix("D:").replace("\\", "/")

    def paths(self) -> Sequence[str]:
        return self._paths

    async def size(self, path: str) -> int:
        return int((await self._files.stat(self.inside(path))).size_bytes)

    async def read(self, path: str, offset: int, length: int) -> bytes:
        handle = await self._files.open(self.inside(path))
        try:
            return bytes(await handle.pread(offset, length))
        finally:
            await handle.close()


def document(*records: FileRecord, **changes: Any) -> BackupComponents:
    component = SelectedComponent(ComponentType.FILE_GROUP, "Data", backup_metadata=encode_record(records))
    return BackupComponents(
        writers=(
            WriterComponents(WRITER_CLASS_ID, GUID_NULL, components=(replace(component, **changes),)),
            WriterComponents(GUID_NULL, GUID_NULL, components=(replace(component, component_name="of another writer"),)),
        )
    )


def record_of(path: str, data: bytes, ranges: str = "") -> FileRecord:
    return FileRecord(path, "Data", len(data), hashlib.sha256(data).hexdigest(), ranges)


def judged(source: Any, **options: Any) -> VerificationReport:
    return run(lambda ports: ScriptedVerifier().verify(source, **options))


# -- judging -------------------------------------------------------------------------------------------------------------------


def test_the_right_bytes_are_good() -> None:
    progress: list[tuple[str, int, int]] = []
    source = RecordedSource(Files({A: b"abc"}), document(record_of(A, b"abc")))
    report = judged(source, throttle_bytes_per_s=1.0, progress=lambda *each: progress.append(each))

    assert report.is_good
    assert [(each.path, each.method, each.is_good) for each in report.files] == [(A, BY_RECORD, True)]
    assert progress == [(A, 3, 3)]


@pytest.mark.parametrize(
    ("data", "code", "expected", "found"),
    [(b"abx", "wrong digest", None, None), (b"ab", "wrong size", "3", "2"), (None, "missing file", "", "")],
)
def test_wrong_bytes_are_findings(data: bytes | None, code: str, expected: str | None, found: str | None) -> None:
    source = RecordedSource(Files({} if data is None else {A: data}), document(record_of(A, b"abc")))
    report = judged(source)

    assert not report.is_good
    (finding,) = report.findings
    assert (finding.path, finding.code) == (A, code)
    if expected is not None:
        assert (finding.expected, finding.found) == (expected, found)


def test_of_a_partial_file_the_ranges_are_judged() -> None:
    source = RecordedSource(Files({A: b"a?c"}), document(record_of(A, b"ac", "0:1,2:9")))

    assert judged(source).is_good


def test_a_file_without_record_is_a_warning() -> None:
    report = judged(RecordedSource(Files({A: b""}), document()))

    assert report.is_good
    assert [(each.code, each.is_warning) for each in report.findings] == [("file without record", True)]
    assert [each.method for each in report.files] == [BY_READING]


def test_a_damaged_record_is_a_finding() -> None:
    report = judged(RecordedSource(Files({A: b""}), document(backup_metadata=b"nonsense")))

    assert not report.is_good
    assert report.findings[0].code == "damaged record"


@pytest.mark.parametrize("changes", [{"backup_metadata": b""}, {"backup_succeeded": False}])
def test_without_a_record_files_are_read_and_the_method_says_so(changes: dict[str, Any]) -> None:
    source = RecordedSource(Files({A: b"abc"}), document(record_of(A, b"xyz"), **changes))
    report = judged(source)

    assert report.is_good
    assert [each.method for each in report.files] == [BY_READING]


def test_a_source_without_document_is_read_to_its_end() -> None:
    assert [each.method for each in judged(Files({A: b"abc"})).files] == [BY_READING]


def test_an_unreadable_file_is_an_error_as_for_every_verifier() -> None:
    class Broken(Files):
        async def read(self, path: str, offset: int, length: int) -> bytes:
            raise NotFoundError("gone")

    with pytest.raises(NotFoundError):
        judged(Broken({A: b"abc"}))


# -- where the framework runs it -----------------------------------------------------------------------------------------------


def test_it_judges_a_shadow_copy_without_the_writer(kit: Any) -> None:
    async def script(bench: Any) -> VerificationReport:
        async with bench.lab.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
            for metadata in await session.gather_writer_metadata():
                for each in metadata.components:
                    session.add_component(
                        metadata.instance_id, metadata.writer_id, each.type, each.logical_path, each.component_name
                    )
            session.start_snapshot_set()
            snapshot_id = await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await kit.write(bench.lab.files, A, b"changed on the live volume")
            paths = [f"D:\\Data\\{each}" for each in ("a.txt", "b.txt", "deep\\c.txt")]
            copy = ShadowCopy(await session.open_snapshot(snapshot_id), paths)
            report = await ScriptedVerifier().verify(RecordedSource(copy, session.document))
            live = ShadowCopy(bench.lab.volumes["D:"].files, paths)
            wrong = await ScriptedVerifier().verify(RecordedSource(live, session.document))
            assert [each.path for each in wrong.findings] == [A]
            await session.abort_backup()
            return report

    report = kit.bench(script)

    assert report.is_good
    assert len(report.files) == 3


async def set_of(bench: Any, kit: Any) -> Any:
    return await open_set(bench.lab.ports, await find_set(bench.lab.ports, kit.TARGET))


def test_it_judges_a_backup_set_with_its_document(kit: Any) -> None:
    async def script(bench: Any) -> VerificationReport:
        await bench.backup()
        found = await set_of(bench, kit)
        source = SetFileSource(bench.lab.ports, found.root, found.manifest.files)
        try:
            return await ScriptedVerifier().verify(RecordedSource(source, found.document))
        finally:
            source.close()

    report = kit.bench(script)

    assert report.is_good
    assert {each.method for each in report.files} == {BY_RECORD}


def test_the_requestors_run_it_on_their_sets(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        await bench.backup()
        path = await find_set(bench.lab.ports, kit.TARGET)
        return await verify_set(bench.lab.ports, path, bench.lab.verifiers)

    found = kit.bench(script)

    assert found.is_good
    assert found.writers_without_verifier == ()
    assert {each.method for each in found.files} == {f"SHA-256, {BY_RECORD}"}


def test_metadata_that_lies_is_found(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        return await bench.backup()

    result = kit.bench(script, kit.options(on=[{"event": "PostSnapshot", "lie": "metadata"}]))

    assert [each.code for each in result.findings] == ["missing file"]
    assert result.exit_code == ExitCode.VERIFICATION_MISMATCH
    assert [each.succeeded for each in result.components] == [False]


@pytest.mark.parametrize("verify_on", ["set", "shadow copy", "both"])
def test_requestors_judge_by_the_record_wherever_they_read(kit: Any, verify_on: str) -> None:
    async def script(bench: Any) -> Any:
        return await bench.backup(verify_on=verify_on)

    result = kit.bench(script)

    assert result.exit_code == ExitCode.OK
    assert {each.method for each in result.verified} == {f"XXH3, {BY_RECORD}"}


# -- requestors that copy the live volume --------------------------------------------------------------------------------------


class LiveMachine:
    """A machine whose sessions give out the live volume for the shadow copy: what is run on it copies the originals."""

    def __init__(self, lab: Any) -> None:
        self._lab = lab

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lab, name)

    def open_session(self) -> Any:
        session = self._lab.open_session()

        async def open_snapshot(snapshot_id: Any) -> Any:
            return self._lab.volume(session.get_snapshot_properties(snapshot_id).original_volume).files

        session.open_snapshot = open_snapshot
        return session


def test_a_requestor_that_copies_live_files_by_wildcard_is_caught_at_the_restore(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        try:
            backup = await bench.backup(LiveMachine(bench.lab), verify=False)
        except VssError as error:
            return "refused", str(error)
        assert [each.path for each in backup.copied] == []
        restore = await bench.restore()
        return restore.exit_code, restore.components[0].reason

    exit_code, reason = kit.bench(script, kit.options(delete_files=True))

    assert exit_code is not ExitCode.OK
    assert "component 'Data': 'D:\\Data\\a.txt' is missing" in reason


def test_a_requestor_that_copies_a_live_file_by_name_finds_none(kit: Any) -> None:
    component = {"name": "Data", "file_sets": [{"path": "D:\\Data", "filespec": "a.txt"}]}

    async def script(bench: Any) -> Any:
        backup = await bench.backup(LiveMachine(bench.lab))
        return backup.exit_code, backup.components[0].reason

    exit_code, reason = kit.bench(script, kit.options(delete_files=True, components=[component]))

    assert exit_code is not ExitCode.OK
    assert "D:\\Data\\a.txt" in reason


def test_a_requestor_that_copies_the_shadow_copy_is_not_caught(kit: Any) -> None:
    async def script(bench: Any) -> Any:
        backup = await bench.backup()
        return backup.exit_code, [each.path for each in backup.copied], await bench.lab.files.exists(A)

    exit_code, copied, is_there = kit.bench(script, kit.options(delete_files=True))

    assert (exit_code, len(copied), is_there) == (ExitCode.OK, 3, False)


def test_a_writer_that_vetoes_ends_the_requestors_backup(kit: Any) -> None:
    async def script(bench: Any) -> HResult:
        with pytest.raises(WriterError) as caught:
            await bench.backup()
        return caught.value.hresult

    found = kit.bench(script, kit.options(on=[{"event": "Freeze", "fail": {"code": "F2"}}]))

    assert found is HResult.VSS_E_WRITERERROR_TIMEOUT


# -- made files ----------------------------------------------------------------------------------------------------------------


def test_made_bytes_follow_from_seed_and_path() -> None:
    assert made_bytes(A, 10, 1) == made_bytes(A.upper(), 10, 1)
    assert len({made_bytes(A, 10, 1), made_bytes(A, 10, 2), made_bytes("D:\\b", 10, 1)}) == 3
    assert made_bytes(A, 0, 1) == b""


def test_files_are_found_in_order_and_a_missing_directory_is_empty(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        return [
            await find_files(stage.files, *each)
            for each in (("D:", "*.txt", True), ("D:\\Data", "*.txt", False), ("D:\\None", "*", True))
        ]

    deep, flat, none = kit.play(script)

    assert deep == ["D:\\Data\\a.txt", "D:\\Data\\b.txt", "D:\\Data\\deep\\c.txt"]
    assert flat == deep[:2]
    assert none == []
