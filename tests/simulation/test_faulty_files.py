"""The host's files under a plan: every step of every document can fail, and what it leaves is what a host may leave."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vss.errors import VssError
from vss.ports import Ports
from vss.real import RealFiles, run_real
from vss.simulation import FaultPlan, MemoryFiles, run
from vss.simulation.faulty_files import FaultyFiles

SET = Path("/set")
DOCUMENT = SET / "manifest.json"


def under(plan: str, main: Callable[[Ports], Any], files: MemoryFiles | None = None) -> Any:
    async def run_main(ports: Ports) -> Any:
        return main(ports)

    if files is None:
        files = MemoryFiles()
        files.make_directory(SET)
        files.write_atomically(DOCUMENT, b"old")
    return run(run_main, files=files, faults=FaultPlan.parse(plan))


def _document(ports: Ports) -> tuple[bytes, list[str]]:
    return ports.files.read_bytes(DOCUMENT), ports.files.list_directory(SET)


def test_without_a_fault_files_are_as_they_are(tmp_path: Path) -> None:
    def main(ports: Ports) -> None:
        files, root = ports.files, Path("/new")
        files.make_directory(root)
        with pytest.raises(IsADirectoryError):
            files.write_atomically(root, b"")
        files.write_atomically(root / "a", b"data")
        file = files.open(root / "b", exclusive=True)
        file.pwrite(2, memoryview(b"xy"))
        file.truncate(3)
        file.sync()
        assert (file.pread(0, 9), file.size()) == (b"\0\0x", 3)
        file.close()
        files.rename(root / "b", root / "c")
        files.sync_directory(root)
        files.lock(root / "lock").close()
        assert files.list_directory(root) == ["a", "c", "lock"]
        files.remove(root / "c")
        assert files.read_bytes(root / "a") == b"data"
        files.remove_tree(root)
        assert not files.exists(root)
        assert files.free_bytes(Path("/")) > 0
        assert files.used_bytes == 3  # type: ignore[attr-defined] # what the files below have besides is reachable

    under("writer.freeze fail", main)


def test_the_real_world_has_the_same_sites(tmp_path: Path) -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(OSError, match="No space left") as caught:
            ports.files.write_atomically(tmp_path / "a", b"data")
        assert caught.value.filename == str(tmp_path / "a")
        assert ports.files.list_directory(tmp_path) == []
        ports.files.write_atomically(tmp_path / "a", b"data")
        assert RealFiles().read_bytes(tmp_path / "a") == b"data"

    run_real(main, faults=FaultPlan.parse("set.sync when=name:a fail code=ENOSPC"))


@pytest.mark.parametrize("step", ["open", "write", "sync", "rename"])
@pytest.mark.parametrize("code", ["EIO", "ENOSPC", "EROFS"])
def test_a_document_that_fails_on_its_way_leaves_the_old_one_and_nothing_else(step: str, code: str) -> None:
    def main(ports: Ports) -> None:
        with pytest.raises(OSError, match="manifest") as caught:
            ports.files.write_atomically(DOCUMENT, b"new")
        assert caught.value.errno == getattr(errno, code)
        assert _document(ports) == (b"old", ["manifest.json"])

    under(f"set.{step} fail code={code}", main)


def test_a_failure_that_comes_after_the_rename_leaves_the_new_document() -> None:
    def main(ports: Ports) -> None:
        with pytest.raises(OSError, match="Input/output"):
            ports.files.write_atomically(DOCUMENT, b"new")
        assert _document(ports) == (b"new", ["manifest.json"])

    under("set.sync_directory fail", main)


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        ("set.write lose", b""),
        ("set.write torn", b"n" * 512),
        ("set.write torn keep=suffix", bytes(512) + b"n" * 88),
        ("set.write flip", b"o" + b"n" * 599),
        ("set.write corrupt kind=zeros", bytes(600)),
        ("set.write partial=1/2", b"n" * 300),
        ("set.write misdirect by=512B", bytes(512) + b"n" * 600),
        ("set.sync lie", b"n" * 600),
        ("set.rename lie", b"old"),
        ("set.sync_directory lie", b"n" * 600),
    ],
)
def test_a_silent_fault_leaves_a_document_that_only_its_reader_can_find_wrong(fault: str, content: bytes) -> None:
    def main(ports: Ports) -> None:
        ports.files.write_atomically(DOCUMENT, b"n" * 600)
        assert _document(ports) == (content, ["manifest.json"])

    under(fault, main)


def test_reads_are_damaged_or_fail() -> None:
    def main(ports: Ports) -> bytes:
        return ports.files.read_bytes(DOCUMENT)

    assert under("set.read flip", main) == b"nld"
    assert under("set.read short", main) == b"o"
    with pytest.raises(OSError, match="Input/output"):
        under("set.read fail", main)

    def part(ports: Ports) -> bytes:
        file = ports.files.open(DOCUMENT)
        try:
            return file.pread(1, 2)
        finally:
            file.close()

    assert under("set.read corrupt kind=zeros", part) == b"\0\0"


def test_a_short_write_is_an_error_after_half_of_it() -> None:
    def main(ports: Ports) -> None:
        file = ports.files.open(SET / "a", exclusive=True)
        with pytest.raises(OSError, match="/set/a"):
            file.pwrite(0, b"abcd")
        assert file.pread(0, 9) == b"ab"
        file.close()

    under("set.write short", main)


def test_a_failed_sync_can_lose_what_was_written_since_the_last_one() -> None:
    def main(ports: Ports) -> None:
        file = ports.files.open(DOCUMENT, write=True)
        file.pwrite(0, b"new")
        file.sync()
        file.pwrite(1, b"EWER")
        with pytest.raises(OSError, match="Input/output"):
            file.sync()
        assert file.pread(0, 9) == b"new"
        file.sync()
        file.close()

    under("set.sync when=nth:2 fsyncgate", main)


def test_effects_on_names_fail_lie_or_are_done_and_denied() -> None:
    def denied(ports: Ports) -> None:
        with pytest.raises(OSError, match="Permission denied"):
            ports.files.remove(DOCUMENT)
        assert not ports.files.exists(DOCUMENT)

    under("set.delete fail-after code=EACCES", denied)

    def lied(ports: Ports) -> None:
        ports.files.remove_tree(SET)
        assert ports.files.exists(DOCUMENT)

    under("set.delete lie", lied)

    def refused(ports: Ports) -> None:
        with pytest.raises(OSError, match="Read-only"):
            ports.files.make_directory(SET / "more")

    under("set.make_directory fail code=EROFS", refused)


def test_a_code_of_the_service_is_raised_as_its_error() -> None:
    def main(ports: Ports) -> None:
        with pytest.raises(VssError, match=r"failed at set\.open"):
            ports.files.open(DOCUMENT)

    under("set.open fail code=80070005", main)


def test_only_what_a_plan_is_about_is_remembered() -> None:
    files = FaultyFiles(MemoryFiles(), lambda site, size=0, **selectors: None)
    file = files.open(Path("/a"), exclusive=True)
    file.pwrite(0, b"x")
    file.sync()
    file.close()
    assert files.open_paths() == []
