"""Backup sets on the host: names, records, and every way in which a set can be not what it should be."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.documents import BackupComponents
from vss.errors import AlreadyExistsError, BackupSetError, InvalidArgumentError, NotFoundError
from vss.ids import Guid
from vss.ports import Ports
from vss.real import RealFiles, run_real
from vss.simulation import run
from vss.simulation.memory_files import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.errors import TargetError, TargetFullError, TargetRefusedError, target_error
from vss_requestors.repository import SetFileSource, SetWriter, find_set, open_set
from vss_requestors.repository.file_source import MAX_OPEN_FILES
from vss_requestors.repository.layout import MAX_DEPTH, relative_path, split_machine_path, sums_line
from vss_requestors.repository.records import (
    Manifest,
    ManifestDocument,
    ManifestFile,
    Owner,
    SessionRecord,
    decode,
    encode,
    sha256_of,
)
from vss_requestors.repository.set_reader import BackupSet

SET_ID = Guid(int=5)


# -- names -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("D:\\Exchange\\SG1\\DB1.edb", "files/D/Exchange/SG1/DB1.edb"),
        ("d:\\a", "files/D/a"),
        ("data:\\-rf *", "files/DATA/-rf *"),
        ("L:\\ü\\日本", "files/L/ü/日本"),
    ],
)
def test_a_machine_path_stands_below_its_volume(path: str, expected: str) -> None:
    assert relative_path(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        *["", "D:", "D:\\", "D:\\..\\x", "D:\\a\\.\\b", "D:\\a\\\\b", "\\a", "/etc/passwd", "D:\\a/b", "D:\\a:b", "..:\\a"],
        *["D:\\a\0b", "D:a", "D:\\" + "x" * 256, "D:\\\ud800", "/:\\a", ":\\a", "D:" + "\\a" * (MAX_DEPTH + 1)],
    ],
)
def test_a_path_that_could_mean_something_else_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError):
        relative_path(path)


@given(st.text(max_size=40))
def test_no_text_leads_out_of_the_files_directory(text: str) -> None:
    try:
        path = relative_path(text)
    except InvalidArgumentError:
        return
    parts = path.split("/")
    assert parts[0] == "files"
    assert not {"", ".", ".."} & set(parts)
    assert "\0" not in path


def test_a_trailing_backslash_of_a_directory_means_nothing() -> None:
    assert split_machine_path("D:\\data\\") == split_machine_path("d:\\data") == ("D:", "/data")


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_coreutils_checks_the_sums(tmp_path: Path) -> None:
    names = ["plain", "with blank", "back\\slash", "line\nfeed", "-c"]
    lines = []
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
        lines.append(sums_line(sha256_of(name.encode()), name))
    (tmp_path / "SHA256SUMS").write_text("".join(lines))
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "line\nfeed").write_bytes(b"changed")
    assert subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, check=False).returncode == 1


# -- records -----------------------------------------------------------------------------------------------------------------


def record(**fields: Any) -> SessionRecord:
    defaults: dict[str, Any] = {
        "state": "complete",
        "set_id": str(SET_ID),
        "session_id": "s",
        "machine": "m",
        "backup_type": "FULL",
        "started_ns": 1,
    }
    return SessionRecord(**{**defaults, **fields})


def test_records_survive_and_have_one_spelling() -> None:
    sealed = record().sealed()
    data = encode(sealed)
    assert decode(data, SessionRecord) == sealed
    assert data == encode(decode(data, SessionRecord))
    with pytest.raises(ValueError, match="form in which sets are written"):
        decode(data + b" ", SessionRecord)


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"state": 1}', b"\xff", b'{"unknown": 1}'])
def test_bad_records_are_value_errors(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode(data, SessionRecord)


def test_the_seal_belongs_to_the_content() -> None:
    sealed = record().sealed()
    assert sealed.is_seal_good
    assert not msgspec.structs.replace(sealed, machine="other").is_seal_good
    assert not record().is_seal_good


# -- writing -----------------------------------------------------------------------------------------------------------------


def a_file(machine_path: str, data: bytes) -> ManifestFile:
    from vss_requestors.copying import PIECE_BYTES, quick_digest

    pieces = [data[at : at + PIECE_BYTES] for at in range(0, len(data), PIECE_BYTES)]
    return ManifestFile(
        machine_path=machine_path,
        path=relative_path(machine_path),
        size_bytes=len(data),
        sha256=sha256_of(data),
        quick_digests="".join(map(quick_digest, pieces)),
        modified_ns=0,
        kind="file",
        owners=(Owner("w", "c"),),
    )


FILES = {"D:\\a\\one": b"one" * 100, "D:\\two": b""}


async def write_set(ports: Ports, target: Path) -> SetWriter:
    """A small set without any session."""
    from vss.documents.xml import render_backup_components

    writer = SetWriter(ports, target, record(state="writing"))
    await writer.begin()
    for path, data in FILES.items():
        handle = writer.open_file(path)
        handle.pwrite(0, data)
        handle.sync()
        handle.close()
        writer.add_file(a_file(path, data))
    await writer.write_components(render_backup_components(BackupComponents(snapshot_set_id=SET_ID)))
    await writer.finish(record(), b"first event\n")
    return writer


def test_a_set_written_is_a_set_read(tmp_path: Path) -> None:
    async def main(ports: Ports) -> None:
        written = await write_set(ports, tmp_path / "deep" / "target")
        found = await find_set(ports, tmp_path / "deep" / "target")
        assert found == written.root
        opened = await open_set(ports, found)
        assert opened.manifest == written.manifest()
        assert opened.document.snapshot_set_id == SET_ID
        assert [entry.path for entry in opened.manifest.files] == ["files/D/a/one", "files/D/two"]
        with pytest.raises(AlreadyExistsError):
            await SetWriter(ports, tmp_path / "deep" / "target", record()).begin()

    run_real(main)


def test_until_it_is_finished_a_set_says_writing() -> None:
    async def main(ports: Ports) -> None:
        writer = SetWriter(ports, Path("/t"), record(state="writing"))
        await writer.begin()
        writer.open_file("D:\\a").close()
        with pytest.raises(BackupSetError, match="state 'writing', expected 'complete'"):
            await open_set(ports, writer.root)

    run(main)


def test_events_that_come_after_the_seal_do_no_harm() -> None:
    async def main(ports: Ports) -> None:
        writer = await write_set(ports, Path("/t"))
        ports.files.write_atomically(writer.root / "events.jsonl", b"first event\nsecond event\n")
        assert (await open_set(ports, writer.root)).record.events_size_bytes == 12
        await writer.reseal(writer.record, b"first event\nsecond event\n")
        assert (await open_set(ports, writer.root)).record.events_size_bytes == 25

    run(main)


# -- finding -----------------------------------------------------------------------------------------------------------------


def test_finding_a_set_says_what_is_there_instead() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(NotFoundError, match="no backup set at '/t'"):
            await find_set(ports, Path("/t"))
        ports.files.make_directory(Path("/t/empty"))
        with pytest.raises(NotFoundError, match=r"no 'session\.json' there"):
            await find_set(ports, Path("/t"))
        ports.files.write_atomically(Path("/file"), b"")
        with pytest.raises(NotFoundError, match="is a file"):
            await find_set(ports, Path("/file"))
        writer = await write_set(ports, Path("/t"))
        assert await find_set(ports, Path("/t")) == await find_set(ports, writer.root) == writer.root
        with pytest.raises(NotFoundError):
            await open_set(ports, Path("/nowhere"))

    run(main)


# -- damage ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["session.json", "manifest.json", "SHA256SUMS", "events.jsonl", "backup_components.xml"])
def test_any_changed_byte_of_a_document_is_found(name: str) -> None:
    async def main(ports: Ports) -> None:
        writer = await write_set(ports, Path("/t"))
        data = ports.files.read_bytes(writer.root / name)
        for offset in range(0, len(data), max(1, len(data) // 40)):
            damaged = bytearray(data)
            damaged[offset] ^= 0x01
            ports.files.write_atomically(writer.root / name, bytes(damaged))
            with pytest.raises(BackupSetError, match=f"'{name}'"):
                await open_set(ports, writer.root)
        ports.files.write_atomically(writer.root / name, data[:-1])
        with pytest.raises(BackupSetError):
            await open_set(ports, writer.root)
        ports.files.remove(writer.root / name)
        with pytest.raises(BackupSetError, match=f"lacks '{name}'"):
            await open_set(ports, writer.root)

    run(main)


def test_a_huge_document_is_refused_unread() -> None:
    async def main(ports: Ports) -> None:
        writer = await write_set(ports, Path("/t"))
        handle = ports.files.open(writer.root / "session.json", write=True)
        handle.truncate(17 << 20)
        handle.close()
        with pytest.raises(BackupSetError, match="expected at most"):
            await open_set(ports, writer.root)

    run(main)


def forge(ports: Ports, root: Path, manifest: Manifest | None = None, **fields: Any) -> None:
    """Replace the manifest by one of an attacker who can compute every digest."""
    old = decode(ports.files.read_bytes(root / "session.json"), SessionRecord)
    if manifest is not None:
        data = encode(manifest)
        ports.files.write_atomically(root / "manifest.json", data)
        fields["manifest_sha256"] = sha256_of(data)
    ports.files.write_atomically(root / "session.json", encode(msgspec.structs.replace(old, **fields).sealed()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "files/../../../etc/passwd"}, "expected 'files/D/a'"),
        ({"path": "/etc/passwd"}, "at '/etc/passwd'"),
        ({"machine_path": "D:\\..\\..\\x"}, "no set may hold"),
        ({"machine_path": "D:\\a\0"}, "no set may hold"),
        ({"size_bytes": -1}, "-1 bytes"),
        ({"ranges": "0:x"}, "ranges that are none"),
        ({"ranges": "0:5,3:5"}, "overlap"),
        ({"ranges": "5:5,0:5"}, "not in order"),
        ({"ranges": "99999999999999:5"}, "too far"),
        ({"ranges": "0:5", "size_bytes": 4}, "4 bytes, its ranges have 5"),
    ],
)
def test_a_hostile_manifest_is_refused(change: dict[str, Any], message: str) -> None:
    async def main(ports: Ports) -> None:
        writer = await write_set(ports, Path("/t"))
        entry = msgspec.structs.replace(a_file("D:\\a", b""), **change)
        forge(ports, writer.root, msgspec.structs.replace(writer.manifest(), files=(entry,)))
        with pytest.raises(BackupSetError, match=message):
            await open_set(ports, writer.root)

    run(main)


def test_other_hostile_manifests_are_refused() -> None:
    async def main(ports: Ports) -> None:
        writer = await write_set(ports, Path("/t"))
        manifest, root = writer.manifest(), writer.root
        twice = msgspec.structs.replace(manifest, files=(manifest.files[0], manifest.files[0]))
        outside = ManifestDocument(path="../session.json", size_bytes=0, sha256="")
        wrong = ManifestDocument(path="writer_metadata/x.xml", size_bytes=3, sha256=sha256_of(b"abc"))
        ports.files.make_directory(root / "writer_metadata")
        ports.files.write_atomically(root / "writer_metadata/x.xml", b"abc")
        cases = [
            (msgspec.structs.replace(manifest, schema="vss.manifest/9"), "schema"),
            (msgspec.structs.replace(manifest, set_id="other"), "belongs to set 'other'"),
            (twice, "twice"),
            (msgspec.structs.replace(manifest, documents=(outside,)), "which no set has"),
            (msgspec.structs.replace(manifest, documents=()), "lacks 'backup_components.xml'"),
            (msgspec.structs.replace(manifest, documents=(wrong,)), "cannot be read"),
        ]
        for hostile, message in cases:
            forge(ports, root, hostile)
            with pytest.raises(BackupSetError, match=message):
                await open_set(ports, root)
        forge(ports, root, manifest, schema="vss.set/9")
        with pytest.raises(BackupSetError, match=r"schema 'vss\.set/9'"):
            await open_set(ports, root)

    run(main)


def test_a_complete_set_passes_and_a_failed_one_says_why() -> None:
    parts: Any = (Path("/t"), Manifest(set_id="x"), BackupComponents(), ())
    BackupSet(parts[0], record(), *parts[1:]).require_complete()
    failed = BackupSet(parts[0], record(state="failed", error="the disk was full"), *parts[1:])
    with pytest.raises(BackupSetError, match="state 'failed', expected 'complete': the disk was full"):
        failed.require_complete()


# -- the files as verifiers see them -----------------------------------------------------------------------------------------


def test_a_file_source_reads_by_machine_path_and_keeps_few_files_open() -> None:
    files = MemoryFiles()

    async def main(ports: Ports) -> None:
        entries = [a_file(f"D:\\{number}", b"x" * number) for number in range(MAX_OPEN_FILES + 3)]
        files.make_directory(Path("/s/files/D"))
        for number in range(MAX_OPEN_FILES + 3):
            files.write_atomically(Path(f"/s/files/D/{number}"), b"x" * number)
        source = SetFileSource(ports, Path("/s"), entries)
        assert list(source.paths()) == [entry.machine_path for entry in entries]
        for number in range(MAX_OPEN_FILES + 3):
            assert await source.size(f"D:\\{number}") == number
            assert await source.read(f"D:\\{number}", 0, 100) == b"x" * number
        assert len(files.open_paths()) == MAX_OPEN_FILES
        with pytest.raises(NotFoundError, match="is not in the backup set"):
            await source.size("D:\\other")
        files.remove(Path("/s/files/D/1"))
        source.close()
        with pytest.raises(NotFoundError, match="is missing"):
            await source.read("D:\\1", 0, 1)
        assert files.open_paths() == []

    run(main, files=files)


def test_a_partial_file_is_shown_as_the_machine_had_it() -> None:
    async def main(ports: Ports) -> None:
        entry = msgspec.structs.replace(a_file("D:\\p", b"abcdefgh"), ranges="2:3,10:5")
        ports.files.make_directory(Path("/s/files/D"))
        ports.files.write_atomically(Path("/s/files/D/p"), b"abcdefgh")
        source = SetFileSource(ports, Path("/s"), [entry])
        whole = b"\0\0abc\0\0\0\0\0defgh"
        assert await source.size("D:\\p") == len(whole)
        for offset in range(len(whole) + 2):
            for length in range(len(whole) + 2):
                assert await source.read("D:\\p", offset, length) == whole[offset : offset + length]
        source.close()

    run(main)


# -- host errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [(28, TargetFullError), (122, TargetFullError), (13, TargetRefusedError), (30, TargetRefusedError), (5, TargetError)],
)
def test_host_errors_become_typed_ones_with_their_symbol(code: int, kind: type[TargetError]) -> None:
    error = target_error(OSError(code, "text"), "files/D/a", "write")
    assert type(error) is kind
    assert "cannot write 'files/D/a' on the backup target: text (E" in error.message
    assert "unknown error" in target_error(OSError("odd"), "x", "read").message


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs coreutils")
def test_coreutils_checks_a_whole_set_on_the_real_host(kit: Any, tmp_path: Path) -> None:
    async def script(world: Any) -> str:
        await world.start()
        result = await BackupRequestor().run(world, **{**world.options, "target": tmp_path / "sets"})
        return str(result.set_id)

    class HostWithLab(RealFiles):
        def make_directory(self, path: Path) -> None:
            if path != kit.LAB:
                super().make_directory(path)

    set_id = kit.play(script, files=HostWithLab())
    root = tmp_path / "sets" / set_id
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=root, check=True, capture_output=True)
