"""A volume's image under a plan of faults: every access can fail or lie, below the gate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from vss.errors import VolumeFullError, VolumeReadError, VolumeWriteError
from vss.ports import Ports
from vss.simulation import FaultPlan, run
from vss.volumes import BlockVolume, MemoryStore, planned_store
from vss.volumes.planned_store import PlannedStore


def under(plan: str, main: Callable[[Any, MemoryStore], Any]) -> Any:
    async def run_main(ports: Ports) -> Any:
        inner = MemoryStore(64 * 1024, name="image", content=b"old" * 200)
        return main(planned_store(ports, "D:", inner), inner)

    return run(run_main, faults=FaultPlan.parse(plan))


def test_without_a_fault_it_is_the_store_below() -> None:
    def main(store: PlannedStore, inner: MemoryStore) -> None:
        assert (store.name, store.size_bytes) == ("image", 65536)
        store.write(3, b"new")
        store.flush()
        buffer = bytearray(6)
        store.read_into(0, buffer)
        assert bytes(buffer) == b"oldnew"
        store.grow(70000)
        assert inner.size_bytes == 70000
        store.close()

    under("writer.freeze fail", main)


def test_a_world_without_a_plan_has_the_store_itself() -> None:
    async def main(ports: Ports) -> bool:
        store = MemoryStore(512)
        return planned_store(ports, "D:", store) is store

    assert run(main)


def test_a_store_is_wrapped_once() -> None:
    async def main(ports: Ports) -> bool:
        store = planned_store(ports, "D:", MemoryStore(512))
        return planned_store(ports, "D:", store) is store

    assert run(main, faults=FaultPlan())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("flip", b"nldold"),
        ("corrupt kind=zeros", bytes(6)),
        ("corrupt kind=checksum", b"\x90\x93\x9b\x90ld"),
    ],
)
def test_reads_are_damaged(fault: str, expected: bytes) -> None:
    assert under(f"store.read {fault}", lambda store, inner: store.read(0, 6)) == expected


def test_a_stale_read_shows_what_the_last_write_replaced() -> None:
    def main(store: PlannedStore, inner: MemoryStore) -> bytes:
        assert store.read(0, 6) == b"oldold"
        store.write(1, b"XX")
        store.write(4, b"YY")
        store.write(30000, b"elsewhere")
        return store.read(0, 6)

    assert under("store.read when=nth:2 stale", main) == b"oXXold"
    assert under("store.read stale", lambda store, inner: store.read(0, 3)) == b"old"


def test_reads_fail() -> None:
    for fault in ("fail code=EIO", "short"):
        with pytest.raises(VolumeReadError):
            under(f"store.read {fault}", lambda store, inner: store.read(0, 6))


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("lose", b"oldold"),
        ("flip", b"zewold"),
        ("misdirect by=3B", b"oldxew"),
        ("misdirect by=1GiB", b"oldold"),
        ("torn", b"oldold"),
    ],
)
def test_writes_go_astray(fault: str, expected: bytes) -> None:
    def main(store: PlannedStore, inner: MemoryStore) -> bytes:
        store.write(0, b"xew" if "flip" not in fault else b"{ew")
        return inner.read(0, 6)

    assert under(f"store.write {fault}", main) == expected


@pytest.mark.parametrize(
    ("fault", "kind", "expected"),
    [
        ("fail code=EIO", VolumeWriteError, b"oldold"),
        ("fail code=ENOSPC", VolumeFullError, b"oldold"),
        ("full", VolumeFullError, b"oldold"),
        ("short", VolumeWriteError, b"newold"),
    ],
)
def test_writes_fail(fault: str, kind: type[Exception], expected: bytes) -> None:
    def main(store: PlannedStore, inner: MemoryStore) -> None:
        with pytest.raises(kind):
            store.write(0, b"newnew")
        assert inner.read(0, 6) == expected

    under(f"store.write {fault}", main)


def test_a_failed_flush_can_lose_what_was_written_since_the_last_one() -> None:
    def main(store: PlannedStore, inner: MemoryStore) -> None:
        store.write(0, b"AAA")
        store.flush()
        store.write(0, b"BBB")
        store.write(1, b"CCC")
        with pytest.raises(VolumeWriteError):
            store.flush()
        assert inner.read(0, 6) == b"AAAold"
        store.flush()

    under("store.flush when=nth:2 fsyncgate", main)


def test_flushes_and_growing_fail_or_lie() -> None:
    for fault in ("store.flush fail", "store.flush fsyncgate"):
        with pytest.raises(VolumeWriteError):
            under(fault, lambda store, inner: store.flush())
    with pytest.raises(VolumeWriteError):
        under("store.flush fail-after", lambda store, inner: store.flush())
    under("store.flush lie", lambda store, inner: store.flush())
    with pytest.raises(VolumeFullError):
        under("store.grow full", lambda store, inner: store.grow(1 << 20))


def test_a_volume_stands_on_it_and_so_does_its_replacement() -> None:
    async def main(ports: Ports) -> None:
        volume = BlockVolume.format(ports, "D:", MemoryStore(1 << 20), volume_id=ports.ids.guid())
        assert isinstance(volume.raw_store, PlannedStore)
        volume.lose()
        volume.replace_with_blank()
        assert isinstance(volume.raw_store, PlannedStore)

    checked: Callable[[Ports], Awaitable[None]] = main
    run(checked, faults=FaultPlan())
