"""Lives of a lab on the host: state, lock, events, plugins, signals."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from vss.errors import (
    AlreadyExistsError,
    ConfigurationError,
    Interrupted,
    InvalidArgumentError,
    LabInUseError,
    NotFoundError,
    PluginError,
    VolumeWriteError,
)
from vss.events import PluginProblem, Record
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.lab.life import KILLED
from vss.lab.state import image_path, read_state, workload_path, write_state
from vss.lab.world import create_lab, run_in_lab
from vss.plugins import Candidate, hookimpl, load
from vss.real import RealFiles
from vss.simulation import MemoryFiles


async def nothing(lab: Lab) -> None:
    """Only boot and shut down."""


def events_of(stage: Any) -> list[str]:
    return list(stage.files.read_bytes(stage.root / "events.jsonl").decode().splitlines())


# -- state --------------------------------------------------------------------------------------------------------------------


def test_each_start_goes_on_where_the_last_one_ended(stage: Any) -> None:
    before = read_state(stage.files, stage.root)

    async def wait(lab: Lab) -> int:
        await asyncio.sleep(5)
        return lab.ports.clock.now_ns()

    stage.run(wait)

    after = read_state(stage.files, stage.root)
    assert (after.starts, after.now_ns >= before.now_ns + 5_000_000_000) == (before.starts + 1, True)
    assert len(events_of(stage)) == after.events
    assert after.events_bytes == len(stage.files.read_bytes(stage.root / "events.jsonl"))


def test_events_of_a_run_whose_state_was_not_kept_are_cut_off(stage: Any) -> None:
    log = stage.files.open(stage.root / "events.jsonl", write=True)
    log.pwrite(log.size(), b'{"half of a rec')
    log.close()

    stage.run(nothing)

    numbers = [msgspec.json.decode(line)["seq"] for line in events_of(stage)]
    assert numbers == list(range(1, len(numbers) + 1))


def test_an_event_log_that_was_thrown_away_begins_again(stage: Any) -> None:
    stage.files.remove(stage.root / "events.jsonl")

    stage.run(nothing)

    assert all(line.startswith("{") for line in events_of(stage))


def test_the_same_seed_gives_the_same_bytes(plugins: Any, make_stage: Callable[..., Any]) -> None:
    def history() -> bytes:
        stage = make_stage()
        stage.create()
        stage.run(lambda lab: lab.run_for(60))
        return b"".join(stage.files.read_bytes(stage.root / name) for name in ("events.jsonl", "state.json", "volumes/D.img"))

    assert history() == history()


def test_what_main_raises_comes_through_after_the_state_was_kept(stage: Any) -> None:
    async def fail(lab: Lab) -> None:
        await asyncio.sleep(1)
        raise InvalidArgumentError("no")

    before = read_state(stage.files, stage.root)
    with pytest.raises(InvalidArgumentError, match="no"):
        stage.run(fail)
    assert read_state(stage.files, stage.root).starts == before.starts + 1
    stage.assert_at_rest()


def test_a_full_host_is_a_named_error_and_the_old_clock_stays(stage: Any) -> None:
    before = read_state(stage.files, stage.root)

    async def fill(lab: Lab) -> None:
        await asyncio.sleep(1)
        stage.files.capacity_bytes = stage.files.used_bytes

    with pytest.raises(VolumeWriteError, match="cannot be kept"):
        stage.run(fill)
    after = read_state(stage.files, stage.root)
    assert (after.starts, after.now_ns, after.events) == (before.starts + 1, before.now_ns, before.events)
    stage.files.capacity_bytes = 1 << 40

    async def fill_and_fail(lab: Lab) -> None:
        await fill(lab)
        raise InvalidArgumentError("first")

    with pytest.raises(InvalidArgumentError, match="first") as caught:
        stage.run(fill_and_fail)
    assert "cannot be kept" in " ".join(caught.value.__notes__)
    with pytest.raises(VolumeWriteError, match="the state of lab /host/lab cannot be kept"):
        stage.run(nothing)  # not even started
    stage.files.capacity_bytes = 1 << 40
    stage.assert_at_rest()


def test_the_run_after_a_killed_one_draws_other_numbers_and_says_so(stage: Any) -> None:
    async def ids(lab: Lab) -> str:
        return str(lab.ports.ids.guid())

    state = read_state(stage.files, stage.root)
    first = stage.run(ids)
    write_state(stage.files, stage.root, msgspec.structs.replace(state, starts=state.starts + 1, is_running=True))

    second = stage.run(ids)

    assert second.result != first.result
    assert second.warnings == [KILLED]
    assert stage.run(ids).warnings == []


# -- making -------------------------------------------------------------------------------------------------------------------


def test_a_lab_is_never_made_over_other_files(stage: Any) -> None:
    with pytest.raises(AlreadyExistsError, match=r"/host/lab exists and is not an empty directory"):
        stage.create()


@pytest.mark.parametrize("was_there", [False, True], ids=["new", "empty"])
def test_a_lab_that_cannot_be_made_leaves_nothing(make_stage: Callable[..., Any], small: str, was_there: bool) -> None:
    stage = make_stage()
    if was_there:
        stage.files.make_directory(stage.root)

    with pytest.raises(NotFoundError, match="no writer is named 'exchnage'") as caught:
        stage.create(small.replace('"exchange"', '"exchnage"'))

    assert "asked for by writers[0] in lab.toml" in caught.value.__notes__
    assert "exchange" in caught.value.hint
    assert stage.files.exists(stage.root) == was_there
    assert not was_there or stage.files.list_directory(stage.root) == []
    assert stage.files.open_paths() == []


def test_a_dangling_name_in_a_workload_names_the_workload(make_stage: Callable[..., Any], small: str) -> None:
    with pytest.raises(NotFoundError, match="no writer 'SG9': found SG1") as caught:
        make_stage().create(small.replace('writer = "SG1"', 'writer = "SG9"'))
    assert caught.value.__notes__ == ["asked for by workloads[0] in lab.toml"]


@pytest.mark.parametrize("capacity_kib", [0, 200])
def test_a_host_without_room_for_the_lab_is_left_as_it_was(make_stage: Callable[..., Any], capacity_kib: int) -> None:
    stage = make_stage(MemoryFiles(capacity_bytes=capacity_kib << 10))

    with pytest.raises(VolumeWriteError):
        stage.create()
    assert not stage.files.exists(stage.root)


def test_a_read_only_host_is_a_named_error(plugins: Any) -> None:
    files = MemoryFiles(read_only=("/",))
    with pytest.raises(VolumeWriteError, match="/lab: a lab cannot be made there"):
        create_lab(files, Path("/lab"), '[[volumes]]\nname="D:"\nsize="1 MiB"', plugins.registry)


# -- broken files --------------------------------------------------------------------------------------------------------------


def test_no_lab(make_stage: Callable[..., Any]) -> None:
    stage = make_stage()
    with pytest.raises(NotFoundError, match=r"/host/lab is not a lab: expected lab.toml there"):
        stage.run(nothing)
    assert not stage.files.exists(stage.root)


@pytest.mark.parametrize(
    ("name", "content", "error", "said"),
    [
        ("lab.toml", b"\xff\xfe", ConfigurationError, "lab.toml cannot be read"),
        ("lab.toml", b"[machine", ConfigurationError, "lab.toml: not valid TOML"),
        ("state.json", b"{", ConfigurationError, "state.json is damaged"),
        ("state.json", b'{"starts": "many"}', ConfigurationError, "state.json is damaged"),
        ("state.json", b'{"schema": "vss.lab-state/2"}', ConfigurationError, "expected schema 'vss.lab-state/1', found"),
        ("state.json", None, NotFoundError, "expected lab.toml and state.json there"),
        ("workloads/users.json", b"[]", ConfigurationError, "the record of workload 'users' is damaged"),
        ("volumes/D.img", None, NotFoundError, "the image of volume D:, /host/lab/volumes/D.img, is gone"),
        ("volumes/D.img", b"", ConfigurationError, "the image of volume D:, /host/lab/volumes/D.img, cannot be used: expected"),
        ("volumes/D.img", bytes(8 << 20), ConfigurationError, "D.img, cannot be used"),
    ],
)
def test_a_broken_file_is_named_and_nothing_is_lost(
    stage: Any, name: str, content: bytes | None, error: type[Exception], said: str
) -> None:
    path = stage.root / name
    good = stage.files.read_bytes(path)
    stage.files.remove(path)
    if content is not None:
        stage.files.write_atomically(path, content)

    with pytest.raises(error) as caught:
        stage.run(nothing)

    assert said in str(caught.value)
    if content is not None:
        assert stage.files.read_bytes(path) == content
    stage.files.write_atomically(path, good)
    stage.assert_at_rest()


def test_files_that_cannot_be_opened_are_named(stage: Any) -> None:
    for name, said in (("state.json", "cannot be read"), ("workloads/users.json", "'users'"), ("volumes/D.img", "volume D:")):
        path = stage.root / name
        good = stage.files.read_bytes(path)
        stage.files.remove(path)
        stage.files.make_directory(path)
        with pytest.raises(ConfigurationError, match=said):
            stage.run(nothing)
        stage.files.remove(path)
        stage.files.write_atomically(path, good)
    stage.assert_at_rest()


def test_an_expendable_volume_comes_up_as_lost(stage: Any) -> None:
    stage.files.remove(image_path(stage.root, "D:"))

    async def lose(lab: Lab) -> bool:
        was_lost = lab.volume("D:").is_lost
        await lab.lose_volume("D:")
        return was_lost

    assert stage.run(lose, expendable=["d:\\"]).result is True
    assert read_state(stage.files, stage.root).lost_volumes == ["D:"]


def test_a_record_that_cannot_be_written_is_a_named_error(stage: Any) -> None:
    stage.files.remove(workload_path(stage.root, "users"))

    async def block(lab: Lab) -> None:
        stage.files.make_directory(workload_path(stage.root, "users") / "x")

    with pytest.raises(VolumeWriteError, match="workloads' records"):
        stage.run(block)


# -- the lock ------------------------------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_while_the_first_is_on(stage: Any, tmp_path: Path) -> None:
    lock = stage.files.lock(stage.root / ".lock")

    with pytest.raises(LabInUseError, match=r"lab /host/lab is in use") as caught:
        stage.run(nothing)

    assert caught.value.exit_code == ExitCode.SET_IN_PROGRESS
    lock.close()
    stage.assert_at_rest()


def test_a_lab_that_cannot_be_locked_is_not_run(stage: Any) -> None:
    stage.files.make_read_only(stage.root)
    with pytest.raises(ConfigurationError, match="cannot be locked"):
        stage.run(nothing)


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from vss.real import RealFiles\n"
        "lock = RealFiles().lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()\n"
    )
    path = tmp_path / ".lock"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError):
            RealFiles().lock(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        RealFiles().lock(path).close()


# -- plugins -------------------------------------------------------------------------------------------------------------------


class Observer:
    VSS_API = "1.0"

    def __init__(self) -> None:
        self.seen: list[Record] = []

    @hookimpl
    def vss_event_recorded(self, record: Record) -> None:
        self.seen.append(record)


class FailingObserver:
    VSS_API = "1.0"

    @hookimpl
    def vss_event_recorded(self, record: Record) -> None:
        raise ValueError("not today")


class Chooser:
    VSS_API = "1.0"

    def __init__(self, choice: str | None) -> None:
        self.choice = choice
        self.asked: list[tuple[str, int]] = []

    @hookimpl
    def vss_choose_provider(self, volume: str, context: int) -> str | None:
        self.asked.append((volume, context))
        return self.choice


class Broken:
    VSS_API = "9.0"


def test_observers_of_plugins_see_every_record_once(stage: Any) -> None:
    observer = Observer()
    stage.plugins = load(extra=[Candidate.of("observer", observer)], environment={})

    run = stage.run(lambda lab: lab.run_for(30))

    assert observer.seen == run.records
    assert run.warnings == []


def test_an_observer_that_raises_is_dropped_and_becomes_an_event(stage: Any) -> None:
    stage.plugins = load(extra=[Candidate.of("failing", FailingObserver())], environment={})

    run = stage.run(nothing)

    (problem,) = [each.event for each in run.records if isinstance(each.event, PluginProblem)]
    assert (problem.plugin, problem.stage, problem.message) == ("failing", "observe", "ValueError: not today")
    assert b"not today" in stage.files.read_bytes(stage.root / "events.jsonl")


def test_plugins_that_failed_to_load_are_recorded_at_every_start(stage: Any) -> None:
    stage.plugins = load(extra=[Candidate.of("broken", Broken())], environment={})

    problems = [each.event for each in stage.run(nothing).records if isinstance(each.event, PluginProblem)]

    assert [(each.plugin, each.stage) for each in problems] == [("broken", "api-version")]


def test_a_watcher_that_raises_is_a_warning(stage: Any) -> None:
    def watch(record: Record) -> None:
        raise OSError("pipe closed")

    assert stage.run(nothing, watch=watch).warnings == ["an observer of events was dropped: OSError: pipe closed"]


@pytest.mark.parametrize("choice", [None, "copy-on-write"])
def test_plugins_are_asked_for_the_provider_of_each_volume(stage: Any, choice: str | None) -> None:
    chooser = Chooser(choice)
    stage.plugins = load(extra=[Candidate.of("chooser", chooser)], environment={})

    assert stage.back_up().exit_code == ExitCode.OK
    assert [volume for volume, _ in chooser.asked] == ["D:", "L:"]


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        ("clone", NotFoundError, "the machine has no provider 'clone': found copy-on-write"),
        ("tape", PluginError, "plugin chooser chose provider 'tape' for volume 'D:'"),
    ],
)
def test_a_choice_that_the_machine_does_not_have_fails_the_backup(
    stage: Any, choice: str, error: type[Exception], said: str
) -> None:
    stage.plugins = load(extra=[Candidate.of("chooser", Chooser(choice))], environment={})

    with pytest.raises(error, match=said):
        stage.back_up()

    assert stage.files.list_directory(stage.target) == []
    stage.assert_at_rest()


# -- signals -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_work_and_keeps_the_state(stage: Any, number: signal.Signals) -> None:
    starts = read_state(stage.files, stage.root).starts

    async def work(lab: Lab) -> None:
        asyncio.get_running_loop().call_later(30, signal.raise_signal, number)
        await lab.run_for(3600)

    with pytest.raises(Interrupted) as caught:
        stage.run(work)

    assert caught.value.signum == number
    assert caught.value.exit_code == 128 + number
    assert read_state(stage.files, stage.root).starts == starts + 1
    stage.assert_at_rest()


def test_a_signal_during_the_boot_is_no_different(stage: Any) -> None:
    class Early:
        VSS_API = "1.0"
        is_on = True

        @hookimpl
        def vss_event_recorded(self, record: Record) -> None:
            if self.is_on:
                self.is_on = False
                signal.raise_signal(signal.SIGINT)

    stage.plugins = load(extra=[Candidate.of("early", Early())], environment={})
    with pytest.raises(Interrupted):
        stage.run(lambda lab: lab.run_for(3600))
    stage.assert_at_rest()


def test_a_signal_before_the_first_step_keeps_the_machine_off(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = read_state(stage.files, stage.root)
    from vss.lab.life import Life

    live = Life.live

    def signalled(self: Life, *arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return live(self, *arguments)

    monkeypatch.setattr(Life, "live", signalled)
    with pytest.raises(Interrupted):
        stage.run(nothing)
    monkeypatch.undo()
    assert read_state(stage.files, stage.root).now_ns == read.now_ns
    stage.assert_at_rest()


def test_a_signal_while_the_state_is_being_kept_waits_for_it(stage: Any) -> None:
    async def work(lab: Lab) -> None:
        await asyncio.sleep(1)

    class LateSignal(MemoryFiles):
        """Raises the signal in the middle of keeping the state."""

        def write_atomically(self, path: Path, data: bytes) -> None:
            if path.name == "state.json":
                signal.raise_signal(signal.SIGTERM)
            super().write_atomically(path, data)

    files = LateSignal()
    files.__dict__.update(stage.files.__dict__)
    starts = read_state(files, stage.root).starts
    with pytest.raises(Interrupted):
        run_in_lab(files, stage.root, work, stage.plugins.registry)
    assert read_state(files, stage.root).starts == starts + 1


def test_a_lab_whose_making_is_interrupted_is_gone(make_stage: Callable[..., Any]) -> None:
    class Signalling(MemoryFiles):
        def write_atomically(self, path: Path, data: bytes) -> None:
            super().write_atomically(path, data)
            if path.name == "lab.toml":
                signal.raise_signal(signal.SIGINT)

    stage = make_stage(Signalling())
    with pytest.raises(Interrupted):
        stage.create()
    assert not stage.files.exists(stage.root)


def test_what_cannot_be_removed_after_a_failed_making_is_said(make_stage: Callable[..., Any], small: str) -> None:
    class Sticky(MemoryFiles):
        def remove(self, path: Path) -> None:
            raise PermissionError(1, "no", str(path))

    stage = make_stage(Sticky())
    with pytest.raises(NotFoundError) as caught:
        stage.create(small.replace('"exchange"', '"exchnage"'))
    assert "could not be removed" in " ".join(caught.value.__notes__)
