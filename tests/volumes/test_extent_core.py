"""The extent file system: what operations mean, what full volumes and damaged structures say."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from vss.errors import (
    AlreadyExistsError,
    BadStateError,
    InvalidArgumentError,
    NotFoundError,
    VolumeDamagedError,
    VolumeError,
    VolumeFullError,
    VolumeWriteError,
)
from vss.ids import Guid
from vss.volumes import FaultyStore, MemoryStore, PowerLossState, StoreEffect, StoreFault
from vss.volumes.extent_core import ExtentCore
from vss.volumes.extent_layout import (
    SUPERBLOCK_OFFSETS,
    Body,
    Change,
    Create,
    Cut,
    Geometry,
    Map,
    Move,
    Remove,
    Resize,
    StoredNode,
    Superblock,
    checksum,
    decode_superblock,
    encode_record,
    encode_superblock,
)
from vss.volumes.file_tree import FileNode

MakeCore = Callable[..., ExtentCore]
CLUSTER = 4096


def put(core: ExtentCore, path: str, data: bytes, offset: int = 0) -> FileNode:
    node = core.create_file(path, exclusive=False)
    core.write(node, offset, data)
    return node


def get(core: ExtentCore, path: str) -> bytes:
    node = core.find_file(path)
    return core.read(node, 0, node.size_bytes)


def remounted(store: MemoryStore | FaultyStore) -> ExtentCore:
    return ExtentCore.mount(store, now_ns=lambda: 2)


# -- files ---------------------------------------------------------------------------------------------------------------------


def test_sparse_writes_read_as_zeros_between(make_core: MakeCore) -> None:
    core = make_core()
    node = put(core, "/f", b"end", 100_000)
    assert node.size_bytes == 100_003
    assert node.extents.cluster_count == 1
    assert get(core, "/f") == bytes(100_000) + b"end"
    core.write(node, 50_000, b"middle")
    assert core.read(node, 49_998, 10) == b"\0\0middle\0\0"
    assert core.read(node, 100_001, 50) == b"nd"
    assert core.read(node, 100_003, 1) == b""
    assert core.read(node, 0, 0) == b""


def test_a_write_over_runs_and_holes_is_one_content(make_core: MakeCore) -> None:
    core = make_core()
    node = put(core, "/f", b"a" * CLUSTER, 2 * CLUSTER)
    put(core, "/other", b"o" * CLUSTER)
    put(core, "/f", b"b" * CLUSTER, 6 * CLUSTER)
    core.write(node, 100, b"c" * (9 * CLUSTER))
    assert get(core, "/f") == bytes(100) + b"c" * (9 * CLUSTER)
    assert get(core, "/other") == b"o" * CLUSTER


def test_a_cut_file_does_not_show_its_old_bytes_when_it_grows(make_core: MakeCore) -> None:
    core = make_core()
    node = put(core, "/f", b"x" * 10_000)
    core.truncate(node, 5_000)
    assert get(core, "/f") == b"x" * 5_000
    core.truncate(node, 9_000)
    assert get(core, "/f") == b"x" * 5_000 + bytes(4_000)
    core.truncate(node, 100)
    core.write(node, 300, b"y")
    assert get(core, "/f") == b"x" * 100 + bytes(200) + b"y"
    core.truncate(node, 0)
    core.truncate(node, 50)
    assert get(core, "/f") == bytes(50)
    core.truncate(node, 50)


@pytest.mark.parametrize(("offset", "data"), [(-1, b"x"), (1 << 48, b"x")])
def test_impossible_places_are_refused(make_core: MakeCore, offset: int, data: bytes) -> None:
    core = make_core()
    node = put(core, "/f", b"")
    with pytest.raises(InvalidArgumentError):
        core.write(node, offset, data)
    with pytest.raises(InvalidArgumentError):
        core.read(node, -1, 1)
    with pytest.raises(InvalidArgumentError):
        core.truncate(node, offset * 2)
    assert node.size_bytes == 0


def test_files_that_grow_in_turns_stay_in_few_pieces(make_core: MakeCore) -> None:
    core = make_core(size_bytes=8 << 20)
    nodes = [put(core, f"/f{number}", b"") for number in range(3)]
    for step in range(100):
        for node in nodes:
            core.write(node, step * CLUSTER, bytes([step]) * CLUSTER)
    assert all(len(node.extents) <= 8 for node in nodes)
    assert all(core.read(nodes[0], step * CLUSTER, 1) == bytes([step]) for step in range(100))


def test_locate_finds_the_byte_on_the_volume(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    core = make_core(store)
    put(core, "/f", b"0123456789" * 1000, 8192)
    place = core.locate("/f", 8192 + 5003)
    assert store.read(place, 4) == b"3456"
    for offset in (0, 18192, -1):
        with pytest.raises(NotFoundError, match="hole or the end"):
            core.locate("/f", offset)


# -- names ---------------------------------------------------------------------------------------------------------------------


def test_directories_list_sorted_and_stat_tells_them_apart(make_core: MakeCore) -> None:
    core = make_core()
    core.make_directory("/b/c")
    core.make_directory("/b")
    core.make_directory("/")
    put(core, "/b/a", b"123")
    assert core.list_directory("/b") == ["a", "c"]
    assert core.stat("/b").is_directory
    stat = core.stat("/b/a")
    assert (stat.size_bytes, stat.is_directory, stat.modified_ns) == (3, False, 1)
    assert core.exists("/b/c")
    assert not core.exists("/b/a/below")
    assert core.stat("/").is_directory


def test_rename_replaces_the_target_and_keeps_the_bytes(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    core = make_core(store)
    core.make_directory("/d")
    put(core, "/new", b"new")
    put(core, "/d/name", b"old" * 5000)
    core.rename("/new", "/d/name")
    core.rename("/d/name", "/d/name")
    assert not core.exists("/new")
    assert get(remounted(store), "/d/name") == b"new"
    core.rename("/d", "/e")
    assert get(core, "/e/name") == b"new"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda core: core.find_file("/d"), InvalidArgumentError),
        (lambda core: core.find("/nothing"), NotFoundError),
        (lambda core: core.list_directory("/f"), InvalidArgumentError),
        (lambda core: core.create_file("/f", exclusive=True), AlreadyExistsError),
        (lambda core: core.create_file("/no/f", exclusive=False), NotFoundError),
        (lambda core: core.create_file("/f/below", exclusive=False), NotFoundError),
        (lambda core: core.make_directory("/f/below"), AlreadyExistsError),
        (lambda core: core.remove("/d"), BadStateError),
        (lambda core: core.remove("/"), InvalidArgumentError),
        (lambda core: core.remove("/nothing"), NotFoundError),
        (lambda core: core.rename("/nothing", "/x"), NotFoundError),
        (lambda core: core.rename("/f", "/no/x"), NotFoundError),
        (lambda core: core.rename("/f", "/d"), AlreadyExistsError),
        (lambda core: core.rename("/e", "/f"), AlreadyExistsError),
        (lambda core: core.rename("/d", "/d/inside"), InvalidArgumentError),
        (lambda core: core.rename("/f", "/"), InvalidArgumentError),
        (lambda core: core.rename("/", "/x"), InvalidArgumentError),
        (lambda core: core.find("relative"), InvalidArgumentError),
    ],
)
def test_refused_operations_change_nothing(
    make_core: MakeCore, call: Callable[[ExtentCore], object], error: type[Exception]
) -> None:
    core = make_core()
    core.make_directory("/d/sub")
    core.make_directory("/e")
    put(core, "/f", b"content")
    core.commit()
    with pytest.raises(error):
        call(core)
    assert not core.has_pending
    assert core.list_directory("/") == ["d", "e", "f"]
    assert get(core, "/f") == b"content"


def test_an_open_file_outlives_its_name(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    core = make_core(store)
    room = core.free_bytes
    node = put(core, "/f", b"a" * 20_000)
    node.open_count += 1
    core.remove("/f")
    core.write(node, 20_000, b"b" * 20_000)
    core.truncate(node, 30_000)
    core.commit()
    assert core.read(node, 19_999, 2) == b"ab"
    assert not remounted(store).exists("/f")
    core.close(node)
    core.commit()
    assert core.free_bytes == room
    replaced = put(core, "/g", b"old")
    replaced.open_count += 1
    put(core, "/h", b"new")
    core.rename("/h", "/g")
    assert core.read(replaced, 0, 3) == b"old"
    core.close(replaced)
    assert get(remounted(store), "/g") == b"new"


# -- room ----------------------------------------------------------------------------------------------------------------------


def test_a_full_volume_leaves_the_file_as_it_was(make_core: MakeCore) -> None:
    core = make_core(size_bytes=256 * 1024)
    node = put(core, "/f", b"keep" * 2000)
    with pytest.raises(VolumeFullError, match="expected room for"):
        core.write(node, 4000, b"x" * (1 << 20))
    assert get(core, "/f") == b"keep" * 2000
    room = core.free_bytes
    core.write(core.create_file("/rest", exclusive=True), 0, b"r" * room)
    assert core.free_bytes == 0
    with pytest.raises(VolumeFullError):
        core.write(node, 8000, b"x" * 1000)
    assert get(core, "/f") == b"keep" * 2000


def test_removed_files_make_room_even_before_a_sync(make_core: MakeCore) -> None:
    core = make_core(size_bytes=256 * 1024)
    for round_number in range(4):
        put(core, "/f", bytes([round_number]) * core.free_bytes)
        assert core.free_bytes == 0
        core.remove("/f")
    orphan = put(core, "/f", b"o" * core.free_bytes)
    orphan.open_count += 1
    core.remove("/f")
    core.commit()
    core.close(orphan)
    put(core, "/g", b"g" * core.free_bytes)


def test_reserves_give_way_before_the_volume_is_full(make_core: MakeCore) -> None:
    core = make_core(size_bytes=4 << 20)
    grower = put(core, "/grower", b"g" * CLUSTER)
    assert grower.reserve[1] > 0
    put(core, "/big", b"b" * core.free_bytes)
    assert grower.reserve == (0, 0)


def test_holes_filled_on_a_full_volume_fail_whole(make_core: MakeCore) -> None:
    core = make_core(size_bytes=256 * 1024)
    node = put(core, "/f", b"m", CLUSTER)
    put(core, "/rest", b"r" * (core.free_bytes - CLUSTER))
    with pytest.raises(VolumeFullError):
        core.write(node, 0, b"x" * (3 * CLUSTER))
    assert core.free_bytes == CLUSTER
    core.write(node, 0, b"x")
    assert get(core, "/f") == b"x" + bytes(CLUSTER - 1) + b"m"


def fill(step: Callable[[int], object]) -> None:
    for number in range(1000):
        step(number)


def test_too_many_names_or_extents_are_volume_full(make_core: MakeCore) -> None:
    core = make_core(size_bytes=2 << 20)
    for length in (200, 3):
        with pytest.raises(VolumeFullError, match="no room left on the volume for its name"):
            fill(lambda number, length=length: put(core, f"/{number:0{length}}", b""))  # type: ignore[misc]
    core.commit()
    node = core.find_file(f"/{0:0200}")
    with pytest.raises(VolumeFullError):
        core.rename(f"/{0:0200}", "/" + "n" * 255)
    core.rename(f"/{0:0200}", "/short")
    with pytest.raises(VolumeFullError, match="the places of its clusters"):
        fill(lambda number: core.write(node, number * 2 * CLUSTER, b"x"))
    core.commit()


def test_many_changes_commit_by_themselves(make_core: MakeCore) -> None:
    store = MemoryStore(8 << 20)
    core = make_core(store)
    for number in range(300):
        put(core, f"/f{number}", b"x")
    assert len(remounted(store).list_directory("/")) >= 100


def test_journal_and_checkpoints_survive_many_commits(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    core = make_core(store)
    node = put(core, "/f", b"")
    for number in range(200):
        core.write(node, number * 700, bytes([number]) * 700)
        core.commit()
        assert remounted(store).find_file("/f").size_bytes == (number + 1) * 700
    assert get(remounted(store), "/f") == get(core, "/f")


def test_reformatting_forgets_everything(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    core = make_core(store)
    for number in range(5):
        put(core, f"/f{number}", b"x")
        core.commit()
    again = make_core(store)
    assert again.list_directory("/") == []
    assert remounted(store).list_directory("/") == []


# -- read-only, refused --------------------------------------------------------------------------------------------------------


def test_read_only_never_writes(make_core: MakeCore) -> None:
    store = MemoryStore(1 << 20)
    put(make_core(store), "/f", b"content")
    core = remounted(store)
    put(core, "/f", b"content")
    core.commit()
    image = store.read(0, store.size_bytes)
    reader = ExtentCore.mount_read_only(store)
    assert reader.is_read_only
    assert get(reader, "/f") == b"content"
    for call in (
        lambda: reader.write(reader.find_file("/f"), 0, b"x"),
        lambda: reader.create_file("/g", exclusive=False),
        lambda: reader.remove("/f"),
        lambda: reader.make_directory("/d"),
        lambda: reader.truncate(reader.find_file("/f"), 0),
    ):
        with pytest.raises(VolumeWriteError, match="read-only"):
            call()
    reader.commit()
    reader.flush()
    assert store.read(0, store.size_bytes) == image


def test_a_refused_core_answers_with_the_reason(make_core: MakeCore) -> None:
    core = make_core()
    node = put(core, "/f", b"x")
    core.refuse(VolumeError("volume D: the volume is lost", hint="restore it"))
    for call in (
        lambda: core.read(node, 0, 1),
        lambda: core.write(node, 0, b"x"),
        lambda: core.exists("/f"),
        lambda: core.stat("/f"),
        core.commit,
    ):
        with pytest.raises(VolumeError, match="is lost") as caught:
            call()
        assert caught.value.hint == "restore it"


# -- device faults -------------------------------------------------------------------------------------------------------------


def test_a_failed_write_of_new_bytes_leaves_the_file_and_the_room(make_core: MakeCore) -> None:
    store = FaultyStore(MemoryStore(1 << 20))
    core = make_core(store)
    node = put(core, "/f", b"keep")
    room = core.free_bytes
    store.arm(StoreFault(StoreEffect.WRITE_ERROR, skip=1))
    with pytest.raises(VolumeWriteError):
        core.write(node, 10_000, b"x" * 20_000)
    assert get(core, "/f") == b"keep"
    assert core.free_bytes == room
    core.write(node, 10_000, b"x" * 20_000)
    assert get(core, "/f") == b"keep" + bytes(9_996) + b"x" * 20_000


def test_commits_that_fail_are_made_good_by_the_next_one(make_core: MakeCore) -> None:
    """Wherever the device fails during a commit, the next commit leaves a volume that mounts with everything on it."""
    for skip in range(12):
        for effect in (StoreEffect.WRITE_ERROR, StoreEffect.FLUSH_ERROR):
            store = FaultyStore(MemoryStore(256 * 1024))
            core = make_core(store)
            put(core, "/first", b"1")
            core.commit()
            put(core, "/second", b"2")
            store.arm(StoreFault(effect, skip=skip))
            for attempt in range(4):
                try:
                    put(core, f"/more{attempt}", b"m")
                    core.commit()
                except VolumeWriteError:
                    durable = remounted(store.after_power_loss(PowerLossState(())))
                    assert durable.exists("/first")
            store.disarm()
            core.commit()
            durable = remounted(store.after_power_loss(PowerLossState(())))
            assert durable.list_directory("/") == ["first", *(f"more{attempt}" for attempt in range(4)), "second"]


def test_power_loss_after_a_checkpoint_failed_twice_is_survived(make_core: MakeCore) -> None:
    """A superblock whose flush failed may be on the volume; the next attempt must not spoil the body it names."""
    store = FaultyStore(MemoryStore(256 * 1024))
    core = make_core(store)
    put(core, "/first", b"1")
    core.commit()
    core.flush()
    put(core, "/second", b"2")
    states: list[PowerLossState] = []

    def check() -> None:
        for state in store.power_loss_states():
            states.append(state)
            assert remounted(store.after_power_loss(state)).exists("/first")

    watched = FaultyStore(store, records_writes=False, before_flush=check)
    core = remounted_on(watched)
    put(core, "/second", b"2")
    for number in range(3):
        watched.arm(StoreFault(StoreEffect.FLUSH_ERROR, skip=2))
        put(core, f"/more{number}", b"m" * 600)
        with pytest.raises(VolumeWriteError):
            core.commit()
    core.commit()
    assert len(states) > 20
    assert len(remounted(store.after_power_loss(PowerLossState(()))).list_directory("/")) == 5


def remounted_on(store: FaultyStore) -> ExtentCore:
    return ExtentCore.mount(store, now_ns=lambda: 3)


# -- damage --------------------------------------------------------------------------------------------------------------------


def damaged_volume() -> MemoryStore:
    """Return a volume with a checkpoint and three journal records after it."""
    store = MemoryStore(256 * 1024)
    ExtentCore.format(store, volume_id=Guid(int=7))
    core = ExtentCore.mount(store, now_ns=lambda: 1)
    for number in range(4):
        put(core, f"/f{number}", bytes([number]) * 5000)
        core.commit()
    return store


def newest(store: MemoryStore) -> tuple[Superblock, int]:
    both = [decode_superblock(store.read(offset, 512), offset) for offset in SUPERBLOCK_OFFSETS]
    which = 0 if both[0].epoch > both[1].epoch else 1
    return both[which], which


def flip(store: MemoryStore, offset: int) -> None:
    store.write(offset, bytes([store.read(offset, 1)[0] ^ 1]))


@pytest.mark.parametrize("offset", [*SUPERBLOCK_OFFSETS, SUPERBLOCK_OFFSETS[0] + 100, SUPERBLOCK_OFFSETS[1] + 511])
def test_a_damaged_superblock_is_named(offset: int) -> None:
    store = damaged_volume()
    flip(store, offset)
    with pytest.raises(VolumeDamagedError, match=f"superblock at offset {offset // 512 * 512}"):
        remounted(store)


def test_a_damaged_body_is_named() -> None:
    store = damaged_volume()
    superblock, which = newest(store)
    offset = superblock.geometry.body_offset(which)
    flip(store, offset + 3)
    with pytest.raises(VolumeDamagedError, match=f"checkpoint body at offset {offset}: expected checksum"):
        remounted(store)


@pytest.mark.parametrize("at", [0, 8, 16, 24, 32, 45])
def test_a_damaged_record_before_a_whole_one_is_named(at: int) -> None:
    store = damaged_volume()
    start = newest(store)[0].geometry.journal_offset
    flip(store, start + 512 + at)
    with pytest.raises(VolumeDamagedError, match=f"journal record 2 at offset {start + 512}"):
        remounted(store)


@pytest.mark.slow
def test_every_bit_of_the_metadata_in_use_is_checked() -> None:
    """A flipped bit in use is an error or, in the last record, the same as power loss; never another content."""
    store = damaged_volume()
    superblock, which = newest(store)
    geometry = superblock.geometry
    body = geometry.body_offset(which)
    used = [*range(body, body + superblock.body_length), *range(geometry.journal_offset, geometry.journal_offset + 3 * 512)]
    for offset in used:
        flip(store, offset)
        try:
            names = remounted(store).list_directory("/")
        except VolumeDamagedError:
            names = []
        assert names in ([], ["f0", "f1", "f2"], ["f0", "f1", "f2", "f3"])
        flip(store, offset)


def test_blank_and_tiny_devices_are_no_file_systems() -> None:
    with pytest.raises(VolumeDamagedError, match="superblock at offset"):
        remounted(MemoryStore(1 << 20))
    with pytest.raises(VolumeDamagedError, match="at least"):
        remounted(MemoryStore(4096))
    for size in (64 * 1024, 200_001):
        with pytest.raises(InvalidArgumentError, match="whole sectors"):
            ExtentCore.format(MemoryStore(size), volume_id=Guid(int=1))


def forge(store: MemoryStore, **changes: object) -> None:
    superblock, which = newest(store)
    forged = Superblock(
        **{
            "geometry": superblock.geometry,
            "volume_id": superblock.volume_id,
            "epoch": superblock.epoch,
            "body_length": superblock.body_length,
            "body_checksum": superblock.body_checksum,
            **changes,
        }  # type: ignore[arg-type]
    )
    store.write(SUPERBLOCK_OFFSETS[which], encode_superblock(forged))


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 99},
        {"body_length": 1 << 40},
        {"geometry": Geometry(256 * 1024, 1 << 20, 16384)},
        {"geometry": Geometry.for_volume(512 * 1024)},
        {"geometry": Geometry(1000, 16384, 16384)},
    ],
)
def test_forged_superblocks_are_refused(changes: dict[str, object]) -> None:
    store = damaged_volume()
    forge(store, **changes)
    with pytest.raises(VolumeDamagedError, match="superblock at offset"):
        remounted(store)


def test_other_versions_are_refused() -> None:
    store = damaged_volume()
    superblock, which = newest(store)
    sector = bytearray(encode_superblock(superblock))
    sector[8] = 2
    sector[504:] = checksum(bytes(sector[:504])).to_bytes(8, "little")
    store.write(SUPERBLOCK_OFFSETS[which], sector)
    with pytest.raises(VolumeDamagedError, match="found version 2"):
        remounted(store)


def forge_body(body: bytes) -> MemoryStore:
    store = MemoryStore(256 * 1024)
    ExtentCore.format(store, volume_id=Guid(int=7))
    superblock, which = newest(store)
    store.write(superblock.geometry.body_offset(which), body)
    forge(store, body_length=len(body), body_checksum=checksum(body))
    return store


def file_body(*nodes: StoredNode) -> bytes:
    return msgspec.msgpack.encode(Body(100, list(nodes)))


A_FILE = StoredNode(2, 1, "f", False, 10, 0, [(0, 30, 1)])


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        file_body(A_FILE, A_FILE),
        file_body(StoredNode(2, 9, "orphan", False, 0, 0, [])),
        file_body(StoredNode(1, 1, "root", False, 0, 0, [])),
        file_body(StoredNode(1 << 63, 1, "huge", False, 0, 0, [])),
        file_body(StoredNode(2, 1, "../../etc/passwd", False, 0, 0, [])),
        file_body(StoredNode(2, 1, "f", False, -1, 0, [])),
        file_body(StoredNode(2, 1, "f", False, 1, 0, [(0, 30, 1), (0, 31, 1)])),
        file_body(StoredNode(2, 1, "d", True, 1, 0, [(0, 30, 1)])),
        file_body(StoredNode(2, 1, "f", False, 1, 0, [(0, 1, 1)])),
        file_body(StoredNode(2, 1, "f", False, 1, 0, [(0, 1 << 40, 1)])),
        file_body(A_FILE, StoredNode(3, 1, "g", False, 10, 0, [(0, 30, 1)])),
    ],
)
def test_bodies_with_right_checksums_and_impossible_trees_are_refused(body: bytes) -> None:
    with pytest.raises(VolumeDamagedError, match=r"checkpoint body at offset|extent of file"):
        remounted(forge_body(body))


@pytest.mark.parametrize(
    "changes",
    [
        [Remove(1)],
        [Remove(77)],
        [Remove(3)],
        [Move(77, 1, "x")],
        [Move(1, 1, "x")],
        [Move(3, 4, "inside itself")],
        [Move(2, 2, "below a file")],
        [Move(2, 1, "d")],
        [Move(2, 1, "a/b")],
        [Map(3, 0, 30, 1)],
        [Map(2, 0, 30, 1)],
        [Cut(3, 0)],
        [Resize(77, 0, 0)],
        [Resize(2, 1 << 60, 0)],
        [Create(2, 1, "again", False, 0)],
        [Create(9, 1, "f", False, 0)],
    ],
)
def test_records_with_right_checksums_and_impossible_changes_are_refused(changes: list[Change]) -> None:
    store = forge_body(file_body(A_FILE, StoredNode(3, 1, "d", True, 0, 0, []), StoredNode(4, 3, "e", True, 0, 0, [])))
    superblock, _ = newest(store)
    store.write(superblock.geometry.journal_offset, encode_record(superblock.epoch, 1, changes))
    with pytest.raises(VolumeDamagedError, match=f"journal record 1 at offset {superblock.geometry.journal_offset}"):
        remounted(store)


def test_a_record_that_is_no_list_of_changes_is_refused() -> None:
    store = forge_body(file_body())
    superblock, _ = newest(store)
    record = encode_record(superblock.epoch, 1, [[99, 1]])  # type: ignore[list-item]
    store.write(superblock.geometry.journal_offset, record)
    with pytest.raises(VolumeDamagedError, match="journal record at offset"):
        remounted(store)
