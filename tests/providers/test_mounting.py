"""A shadow copy through FUSE: the operations against the file system, and a real mount where the host allows one."""

from __future__ import annotations

import errno
import importlib
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.providers.world import Machine, on_machine, put
from vss.errors import AlreadyExistsError, UnsupportedError
from vss.real import RealFiles
from vss.simulation import MemoryFiles
from vss_providers.mounting import ShadowTree, at_once, mount

TARGET = Path("/mounted")

LAB = """
[machine]
name = "EX1"

[[volumes]]
name = "D:"
size = "4 MiB"

[[providers]]
kind = "copy-on-write"
"""


# -- the operations ------------------------------------------------------------------------------------------------------------


def test_the_tree_shows_names_sizes_and_bytes_and_nothing_to_write() -> None:
    async def story(machine: Machine) -> None:
        (volume,) = machine.volumes
        await volume.files.make_directory("/a/b")
        await put(volume, "/a/b/deep", b"0123456789" * 5000)
        (snapshot_id,) = await machine.create()
        await put(volume, "/a/b/deep", b"after")
        tree = ShadowTree(await machine.provider.open_snapshot(snapshot_id))

        assert tree.readdir("/", 0) == [".", "..", "a", "file"]
        assert tree.readdir("/a", 0) == [".", "..", "b"]
        assert stat.S_ISDIR(tree.getattr("/")["st_mode"])
        assert tree.getattr("/a")["st_mode"] == stat.S_IFDIR | 0o555
        found = tree.getattr("/a/b/deep")
        assert (found["st_mode"], found["st_size"]) == (stat.S_IFREG | 0o444, 50_000)
        handle = tree.open("/a/b/deep", os.O_RDONLY)
        assert tree.read("/a/b/deep", 15, 5, handle) == b"567890123456789"
        assert tree.read("/a/b/deep", 100, 49_995, handle) == b"56789"
        assert tree.release("/a/b/deep", handle) == 0
        assert tree.statfs("/")["f_bavail"] == 0
        assert not [name for name in ("write", "create", "unlink", "mkdir", "truncate", "rename") if hasattr(tree, name)]
        for call in (tree.getattr, lambda path: tree.open(path, os.O_RDONLY)):
            with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is asserted
                call("/missing")
            assert caught.value.errno == errno.ENOENT

    on_machine(story)


def test_a_shadow_copy_that_is_lost_is_an_input_output_error() -> None:
    async def story(machine: Machine) -> None:
        (snapshot_id,) = await machine.create()
        tree = ShadowTree(await machine.provider.open_snapshot(snapshot_id))
        handle = tree.open("/file", os.O_RDONLY)
        await machine.provider.delete_snapshot(snapshot_id)
        with pytest.raises(OSError, match="deleted") as caught:
            tree.read("/file", 10, 0, handle)
        assert caught.value.errno == errno.EIO

    on_machine(story)


def test_what_waits_is_no_shadow_copy() -> None:
    async def waits() -> None:
        await _Suspends()

    with pytest.raises(AssertionError, match="without waiting"):
        at_once(waits())


class _Suspends:
    def __await__(self) -> Generator[None, None, None]:
        yield


def fake_fuse(monkeypatch: pytest.MonkeyPatch, main: Callable[..., object]) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda name: SimpleNamespace(FUSE=main))


def test_the_mount_point_is_made_and_removed_and_signals_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    host, seen = MemoryFiles(), list[object]()

    def main(tree: ShadowTree, target: str, **options: object) -> None:
        seen.append((target, host.is_directory(TARGET), options["ro"], signal.getsignal(signal.SIGTERM)))
        tree.init("/")

    fake_fuse(monkeypatch, main)
    before = signal.getsignal(signal.SIGTERM)

    mount(None, TARGET, host, lambda: seen.append("mounted"))  # type: ignore[arg-type]

    assert seen == [(str(TARGET), True, True, signal.SIG_DFL), "mounted"]
    assert not host.exists(TARGET)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_host_that_refuses_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    host = MemoryFiles()

    def main(*arguments: object, **options: object) -> None:
        raise RuntimeError(1)

    fake_fuse(monkeypatch, main)
    with pytest.raises(UnsupportedError, match="refuses to mount"):
        mount(None, TARGET, host)  # type: ignore[arg-type]
    assert not host.exists(TARGET)
    host.make_directory(TARGET)
    with pytest.raises(UnsupportedError):
        mount(None, TARGET, host)  # type: ignore[arg-type]
    assert host.exists(TARGET)
    host.write_atomically(TARGET / "x", b"")
    with pytest.raises(AlreadyExistsError):
        mount(None, TARGET, host)  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ImportError("no mfusepy"), OSError("no libfuse")])
def test_without_fuse_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def missing(name: str) -> object:
        raise error

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(UnsupportedError, match="mounting needs") as caught:
        mount(None, TARGET, MemoryFiles())  # type: ignore[arg-type]
    assert "vss-lab[fuse]" in (caught.value.hint or "")


def test_outside_the_main_thread_signals_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(number: int, handler: object) -> None:
        raise ValueError("not the main thread")

    monkeypatch.setattr(signal, "signal", refuse)
    fake_fuse(monkeypatch, lambda *arguments, **options: None)

    mount(None, TARGET, MemoryFiles())  # type: ignore[arg-type]


# -- a real mount --------------------------------------------------------------------------------------------------------------


@contextmanager
def mounted_lab(lab: Path, target: Path, shadow: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command; whatever happens in the block, the mount is gone after it."""
    words = [sys.executable, "-m", "vss", "shadow", "expose", str(lab), str(target), "--shadow", shadow, "--mount"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        if os.path.ismount(target):
            subprocess.run(["fusermount3", "-u", "-z", str(target)], check=False)


def make_lab(lab: Path) -> str:
    """A lab with a file, and a persistent shadow copy of it as it was before; return the id of that."""
    from vss.cli.lab import in_lab
    from vss.cli.loading import loaded_registry
    from vss.ids import Guid
    from vss.lab import Lab
    from vss.lab.world import create_lab

    create_lab(RealFiles(), lab, LAB, loaded_registry())

    async def work(machine: Lab) -> str:
        volume, provider = machine.volume("D:"), machine.coordinator.providers[0]
        await volume.files.make_directory("/inner")
        await put(volume, "/inner/file", b"before" * 40_000)
        set_id, snapshot_id = Guid(int=5), Guid(int=6)
        await provider.begin_prepare_snapshot(set_id, snapshot_id, volume, 0x9)
        await provider.end_prepare_snapshots(set_id)
        await provider.pre_commit_snapshots(set_id)
        await volume.files.sync()
        await provider.commit_snapshots(set_id)
        await provider.post_commit_snapshots(set_id, 1)
        await provider.pre_final_commit_snapshots(set_id)
        await provider.post_final_commit_snapshots(set_id)
        await put(volume, "/inner/file", b"after")
        return str(snapshot_id)

    return in_lab(lab, work)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT", "fusermount"])
def test_a_mounted_shadow_copy_reads_like_the_volume_before_and_goes_away(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("mfusepy", reason="mfusepy (extra 'fuse') is not installed", exc_type=(ImportError, OSError))  # type: ignore[arg-type]
    if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount3") is None:
        pytest.skip("this machine has no FUSE: /dev/fuse cannot be opened, or fusermount3 is missing")
    target = tmp_path / "mounted"
    shadow = make_lab(tmp_path / "lab")

    with mounted_lab(tmp_path / "lab", target, shadow) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        if "is mounted at" not in said:
            pytest.skip(f"this machine refuses mounts: {process.communicate()[1].strip()}")
        assert (target / "inner" / "file").read_bytes() == b"before" * 40_000
        assert sorted(each.name for each in target.iterdir()) == ["inner"]
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is asserted
            (target / "new").write_bytes(b"x")
        assert caught.value.errno == errno.EROFS
        if ending == "fusermount":
            subprocess.run(["fusermount3", "-u", str(target)], check=True)
        else:
            process.send_signal(getattr(signal, ending))
        output, errors = process.communicate(timeout=20)
        assert (process.returncode, errors) == (0, "")
        assert "not mounted any more" in output

    assert not os.path.ismount(target)
    assert not target.exists()
