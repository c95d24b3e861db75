"""What power loss may leave of host files: every state that is legal is shown, none that is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss.ports import HostFiles
from vss.simulation import FaultPlan, MemoryFiles, RecordedFiles, run
from vss.simulation.faulty_files import FaultyFiles
from vss.simulation.host_log import HostState

ROOT = Path("/")
DATA = bytes([1]) * 512 + bytes([2]) * 512 + bytes([3]) * 100


def recorded(work: Callable[[RecordedFiles], object]) -> RecordedFiles:
    inner = MemoryFiles()
    inner.make_directory(Path("/set"))
    inner.write_atomically(Path("/set/old"), b"old")
    files = RecordedFiles(inner, ROOT)
    work(files)
    return files


def shown(files: RecordedFiles, name: str = "/set/a", **limits: int) -> set[bytes | None]:
    return {{str(path): data for path, data in state.contents}.get(name) for state in files.states(**limits)}


def _write(files: HostFiles, path: str, data: bytes, *, sync: bool = False, sync_name: bool = False) -> None:
    file = files.open(Path(path), create=True)
    file.pwrite(0, data)
    if sync:
        file.sync()
    file.close()
    if sync_name:
        files.sync_directory(Path(path).parent)


def _write_all(files: HostFiles, names: str) -> None:
    for name in names:
        _write(files, f"/set/{name}", b"x")


def test_what_stood_there_before_stays() -> None:
    files = recorded(lambda files: None)
    (state,) = files.states()
    assert state.files().read_bytes(Path("/set/old")) == b"old"
    assert state.acknowledged == ()


def test_bytes_without_sync_may_be_there_or_not_or_torn_at_a_sector() -> None:
    files = recorded(lambda files: _write(files, "/set/a", DATA, sync_name=True))
    at_the_end = shown(files, first_event=files.event_count)
    a, b, c = DATA[:512], DATA[512:1024], DATA[1024:]
    assert at_the_end == {b"", DATA, a, a + b, bytes(512) + b + c, bytes(1024) + c, a + bytes(512) + c}
    assert None in shown(files)


def test_synced_bytes_without_a_synced_name_may_be_out_of_reach() -> None:
    files = recorded(lambda files: _write(files, "/set/a", DATA, sync=True))
    assert shown(files, first_event=files.event_count) == {None, DATA}
    files = recorded(lambda files: _write(files, "/set/a", DATA, sync=True, sync_name=True))
    assert shown(files, first_event=files.event_count) == {DATA}


def test_a_document_written_atomically_is_old_or_new_at_every_instant() -> None:
    files = recorded(lambda files: files.write_atomically(Path("/set/old"), b"new" * 400))
    assert shown(files, "/set/old") == {b"old", b"new" * 400}
    assert shown(files, "/set/old", first_event=files.event_count) == {b"new" * 400}


@pytest.mark.parametrize("missing", ["set.sync", "set.sync_directory"])
def test_a_lie_about_durability_shows(missing: str) -> None:
    inner = MemoryFiles()
    inner.make_directory(Path("/set"))
    inner.write_atomically(Path("/set/old"), b"old")
    log = RecordedFiles(inner, ROOT)

    async def main(ports: object) -> None:
        faulty = FaultyFiles(log, plan.at)
        faulty.write_atomically(Path("/set/old"), DATA)

    plan = FaultPlan.parse(f"{missing} lie")
    run(main, faults=plan)
    found = shown(log, "/set/old", first_event=log.event_count)
    assert DATA in found
    assert (b"" if missing == "set.sync" else b"old") in found


def test_renames_removals_and_directories_are_durable_with_the_directory() -> None:
    def work(files: RecordedFiles) -> None:
        files.rename(Path("/set/old"), Path("/set/a"))
        files.rename(Path("/set/a"), Path("/set/a"))
        files.make_directory(Path("/set/deep/er"))
        files.make_directory(Path("/set/deep"))
        _write(files, "/set/deep/er/b", b"b", sync=True, sync_name=True)
        files.remove_tree(Path("/set/none"))

    files = recorded(work)
    assert shown(files) == {None, b"old"}
    assert shown(files, "/set/deep/er/b") == {None, b"", b"b"}
    files.sync_directory(Path("/set"))
    files.sync_directory(Path("/set/deep"))
    assert shown(files, first_event=files.event_count) == {b"old"}
    assert shown(files, "/set/deep/er/b", first_event=files.event_count) == {b"b"}
    files.remove(Path("/set/a"))
    files.remove_tree(Path("/set/deep"))
    assert shown(files, first_event=files.event_count) == {None, b"old"}
    files.sync_directory(Path("/set"))
    assert shown(files, first_event=files.event_count) == {None}


def test_cutting_and_extending_are_effects_too() -> None:
    def work(files: RecordedFiles) -> None:
        file = files.open(Path("/set/old"), write=True)
        file.truncate(5)
        file.truncate(1)
        file.close()

    assert shown(recorded(work), "/set/old") == {b"old", b"old\0\0", b"o"}


def test_acknowledgements_tell_states_apart() -> None:
    def work(files: RecordedFiles) -> None:
        _write(files, "/set/a", b"x", sync=True, sync_name=True)
        files.mark("a is durable")

    states = list(recorded(work).states())
    told = [state for state in states if state.acknowledged]
    assert [dict(state.contents)[path] for state in told for path, _ in state.contents if path.name == "a"] == [b"x"]


def test_every_content_comes_once_and_can_be_used() -> None:
    files = recorded(lambda files: _write_all(files, "abc"))
    states: list[HostState] = list(files.states())
    assert len({state.digest for state in states}) == len(states)
    assert len({state.contents for state in states}) == len(states)
    for state in states:
        found = state.files()
        assert [(str(path), data) for path, data in state.contents if data is not None] == [
            (f"/set/{name}", found.read_bytes(Path(f"/set/{name}"))) for name in found.list_directory(Path("/set"))
        ]


def test_many_effects_are_sampled() -> None:
    files = recorded(lambda files: _write_all(files, "12345678"))
    states = list(files.states(first_event=files.event_count))
    assert 16 < len(states) < 120


def test_the_files_below_are_used_and_a_lock_is_taken_there() -> None:
    files = recorded(lambda files: None)
    files.lock(Path("/set/lock")).close()
    assert files.exists(Path("/set/lock"))
    assert files.is_shut is False
    assert shown(files, "/set/lock") == {None, b""}
    assert RecordedFiles(MemoryFiles(), Path("/missing")).event_count == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["write", "sync", "name", "rename", "atomic"]), max_size=6))
def test_the_live_content_is_always_among_the_states_and_durable_content_is_in_all(steps: list[str]) -> None:
    def work(files: RecordedFiles) -> None:
        for number, step in enumerate(steps):
            match step:
                case "write":
                    _write(files, "/set/a", bytes([number]))
                case "sync":
                    _write(files, "/set/a", bytes([number]), sync=True)
                case "name":
                    files.sync_directory(Path("/set"))
                case "rename" if files.exists(Path("/set/a")):
                    files.rename(Path("/set/a"), Path("/set/b"))
                case "atomic":
                    files.write_atomically(Path("/set/c"), bytes([number]))

    files = recorded(work)
    states = list(files.states(first_event=files.event_count))
    live = {f"/set/{name}": files.read_bytes(Path("/set") / name) for name in files.list_directory(Path("/set"))}
    found = [{str(path): data for path, data in state.contents if data is not None} for state in states]
    assert live in found
    if "atomic" in steps:
        assert all("/set/c" in each for each in found)


def test_what_is_unsynced_now_is_told_in_order_and_can_be_lost_one_by_one() -> None:
    def work(files: RecordedFiles) -> None:
        _write(files, "/set/a", DATA, sync=True)
        file = files.open(Path("/set/old"), write=True)
        file.pwrite(0, b"new")
        file.truncate(2)
        file.close()
        files.rename(Path("/set/a"), Path("/set/b"))
        files.remove(Path("/set/b"))
        files.make_directory(Path("/set/deep"))

    files = recorded(work)
    told = files.unsynced()
    assert [(each.medium, each.text, each.sectors) for each in told] == [
        ("host", "name /set/a comes", 0),
        ("host", "3 bytes at 0 of /set/old", 1),
        ("host", "/set/old has 2 bytes", 0),
        ("host", "name a becomes /set/b", 0),
        ("host", "name /set/b goes", 0),
        ("host", "name /set/deep comes", 0),
    ]
    numbers = [each.number for each in told]
    assert numbers == sorted(set(numbers))

    left = files.after_power_loss({numbers[0], numbers[2]}, {})
    assert left.list_directory(Path("/set")) == ["a", "old"]
    assert left.read_bytes(Path("/set/a")) == DATA
    assert left.read_bytes(Path("/set/old")) == b"ol"
    assert files.after_power_loss((), {}).list_directory(Path("/set")) == ["old"]
    assert files.read_bytes(Path("/set/old")) == b"ne", "those who ask change nothing"


def test_a_write_may_be_torn_and_bytes_of_a_removed_file_are_told_too() -> None:
    def work(files: RecordedFiles) -> None:
        _write(files, "/set/a", DATA, sync_name=True)
        files.remove(Path("/set/a"))

    files = recorded(work)
    write, removal = files.unsynced()
    assert write.text == f"{len(DATA)} bytes at 0 of a removed file"
    assert write.sectors == 3
    assert removal.text == "name /set/a goes"
    left = files.after_power_loss({write.number}, {write.number: (0, 2)})
    assert left.read_bytes(Path("/set/a")) == DATA[:512] + bytes(512) + DATA[1024:]


def test_numbers_come_from_whoever_counts_over_several_media() -> None:
    numbers = iter(range(7, 100, 7))
    inner = MemoryFiles()
    inner.make_directory(Path("/set"))
    files = RecordedFiles(inner, ROOT, lambda: next(numbers))
    _write(files, "/set/a", b"a")
    assert [each.number for each in files.unsynced()] == [7, 14]
