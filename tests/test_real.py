"""The real world's ports: clocks, files, programs, threads, signals."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from vss.errors import Interrupted
from vss.events import Event, VolumeFlushed
from vss.exit_codes import ExitCode
from vss.ports import Ports
from vss.real import RealFiles, real_ports, run_real


def test_a_coroutine_runs_on_the_stock_loop_with_real_ports() -> None:
    seen: list[Event] = []

    async def main(ports: Ports) -> str:
        begun_ns = ports.clock.now_ns()
        await ports.clock.sleep(0.001)
        assert ports.clock.now_ns() - begun_ns >= 1_000_000
        assert ports.clock.wall_ns() > 1_700_000_000 * 10**9
        assert not ports.is_simulated
        assert await ports.blocking(threading.get_ident, cost_s=99) != threading.get_ident()
        ports.emit(VolumeFlushed(volume="D:"))
        return "done"

    assert run_real(main, emit=seen.append) == "done"
    assert run_real(main) == "done"
    assert seen == [VolumeFlushed(volume="D:")]


def test_ids_and_streams_come_from_the_seed_or_the_system() -> None:
    def drawn(seed: int | None) -> tuple[str, float]:
        ports = real_ports(seed=seed)
        return str(ports.ids.guid()), ports.random.stream("workload").random()

    assert drawn(1) == drawn(1)
    assert len({drawn(None), drawn(None), drawn(1), drawn(2)}) == 4


# -- files (the contract is in tests/simulation/test_host_files.py) ------------------------------------------------------------


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    files = RealFiles()
    outside = tmp_path / "outside"
    files.make_directory(outside)
    files.write_atomically(outside / "precious", b"kept")
    tree = tmp_path / "tree"
    files.make_directory(tree)
    (tree / "link").symlink_to(outside)
    (tmp_path / "top").symlink_to(outside)
    files.remove_tree(tree)
    with pytest.raises(NotADirectoryError):
        files.remove_tree(tmp_path / "top")
    assert files.read_bytes(outside / "precious") == b"kept"
    files.remove(tmp_path / "top")
    assert files.list_directory(tmp_path) == ["outside"]


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert RealFiles().exists(tmp_path / "link")


def test_short_reads_and_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda descriptor, length, offset: pread(descriptor, min(length, 3), offset))
    monkeypatch.setattr(os, "pwrite", lambda descriptor, data, offset: pwrite(descriptor, data[:2], offset))
    file = RealFiles().open(tmp_path / "a", create=True)
    file.pwrite(1, b"0123456789")
    assert file.pread(0, 100) == b"\x000123456789"
    assert file.pread(2, 4) == b"1234"
    file.close()


def test_a_failed_atomic_write_leaves_the_old_content_and_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = RealFiles()
    files.write_atomically(tmp_path / "a", b"old")

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(tmp_path / "a", b"new")
    assert files.read_bytes(tmp_path / "a") == b"old"
    assert files.list_directory(tmp_path) == ["a"]


# -- programs ------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_programs_run_with_input_and_output() -> None:
    async def main(ports: Ports) -> None:
        code = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.stderr.write('!'); sys.exit(3)"
        result = await ports.processes.run([sys.executable, "-c", code], timeout_s=60, stdin=b"abc")
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"ABC", b"!")
        with pytest.raises(FileNotFoundError):
            await ports.processes.run(["/nonexistent/program"], timeout_s=1)

    run_real(main)


def test_a_program_that_takes_too_long_is_killed() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(TimeoutError):
            await ports.processes.run(["sleep", "600"], timeout_s=0.01)

    run_real(main)


def test_a_program_whose_caller_is_cancelled_is_killed_with_its_children(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def main(ports: Ports) -> None:
        script = f"exec 3>{pipe}; sleep 600 & echo started >&3; wait"
        task = asyncio.create_task(ports.processes.run(["sh", "-c", script], timeout_s=1000))
        reader = await ports.blocking(pipe.open)
        assert await ports.blocking(reader.readline) == "started\n"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        assert await ports.blocking(reader.read) == ""  # nobody is left who holds the other end
        reader.close()

    run_real(main)


# -- signals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "exit_code"), [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, ExitCode.TERMINATED)]
)
def test_a_signal_cancels_main_which_cleans_up(number: signal.Signals, exit_code: ExitCode) -> None:
    cleaned: list[str] = []
    before = signal.getsignal(number)

    async def main(ports: Ports) -> None:
        asyncio.get_running_loop().call_later(0.01, os.kill, os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), number)
            await ports.clock.sleep(0.01)
            cleaned.append("thawed")

    with pytest.raises(Interrupted) as caught:
        run_real(main)
    assert (caught.value.signum, caught.value.exit_code) == (number, exit_code)
    assert cleaned == ["thawed"]
    assert signal.getsignal(number) == before


def test_an_error_without_a_signal_passes_through() -> None:
    async def main(ports: Ports) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_real(main)
