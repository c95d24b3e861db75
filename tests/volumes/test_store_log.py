"""What power loss may leave of a store at any instant of a run; and that it finds a store that forgets to sync."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from vss.volumes import BlockStore, MemoryStore, RecordedStore

SECTOR = 512


def sectors(*numbers: int) -> bytes:
    return b"".join(bytes([number]) * SECTOR for number in numbers)


def recorded(work: Callable[[RecordedStore], object], size: int = 8 * SECTOR) -> RecordedStore:
    store = RecordedStore(MemoryStore(size, name="image", content=b"first"))
    work(store)
    return store


def contents(store: RecordedStore, first_event: int = 0) -> set[bytes]:
    return {state.store().read(0, store.size_bytes) for state in store.states(first_event=first_event)}


def test_it_is_the_store_below() -> None:
    def work(store: RecordedStore) -> None:
        store.write(5, b" and more")
        buffer = bytearray(5)
        store.read_into(0, buffer)
        assert (bytes(buffer), store.read(5, 4), store.name, store.size_bytes) == (b"first", b" and", "image", 8 * SECTOR)
        store.grow(9 * SECTOR)
        store.write(8 * SECTOR, b"behind")
        store.flush()
        store.close()

    store = recorded(work)
    assert store.event_count == 4
    assert {content[8 * SECTOR :][:6] for content in contents(store, 4)} == {b"behind"}
    assert {content[8 * SECTOR :][:6] for content in contents(store)} == {bytes(6), b"behind"}


def test_every_subset_of_unsynced_writes_and_every_tear_is_shown() -> None:
    def work(store: RecordedStore) -> None:
        store.write(0, sectors(1, 2))
        store.write(2 * SECTOR, sectors(3))

    found = {content[: 3 * SECTOR] for content in contents(recorded(work))}
    old = b"first".ljust(SECTOR, b"\0")
    blank = bytes(SECTOR)
    assert found == {
        a + b + c for a, b, c in itertools.product((old, sectors(1)), (blank, sectors(2)), (blank, sectors(3)))
    } - {old + sectors(2) + sectors(3), sectors(1) + blank + sectors(3)}  # a torn write is the newest that survived


def test_a_flush_makes_what_was_written_sure() -> None:
    def work(store: RecordedStore) -> None:
        store.write(0, sectors(1))
        store.flush()
        store.mark("one")
        store.write(0, sectors(2))

    store = recorded(work)
    assert {content[:1] for content in contents(store)} == {b"f", b"\x01", b"\x02"}
    assert {state.store().read(0, 1) for state in store.states() if state.acknowledged == ("one",)} == {b"\x01", b"\x02"}
    assert {content[:1] for content in contents(store, 3)} == {b"\x01", b"\x02"}


def test_writes_inside_a_sector_leave_the_rest_of_it() -> None:
    def work(store: RecordedStore) -> None:
        store.write(2, b"XX")
        store.write(3, b"YYY")

    assert {content[:6] for content in contents(recorded(work))} == {b"first\0", b"fiXXt\0", b"firYYY", b"fiXYYY"}


def test_equal_states_come_once_even_when_a_write_restores_what_was_there() -> None:
    def work(store: RecordedStore) -> None:
        store.write(0, b"other")
        store.flush()
        store.write(0, b"first")

    states = list(recorded(work).states())
    assert sorted(state.store().read(0, 5) for state in states) == [b"first", b"other"]


class _Log:
    """A store of one number, kept twice in turn: correct when it syncs before it says that a number is kept."""

    def __init__(self, store: BlockStore, *, syncs: bool) -> None:
        self._store = store
        self._syncs = syncs

    def keep(self, number: int) -> None:
        self._store.write((1 + number % 2) * SECTOR, number.to_bytes(2, "big") * 256)
        if self._syncs:
            self._store.flush()

    @staticmethod
    def last(store: BlockStore) -> int:
        return max(int.from_bytes(store.read(place * SECTOR, 2), "big") for place in (1, 2))


@pytest.mark.parametrize("syncs", [True, False])
def test_what_was_acknowledged_survives_only_where_it_was_synced(syncs: bool) -> None:
    store = RecordedStore(MemoryStore(8 * SECTOR))
    log = _Log(store, syncs=syncs)
    for number in range(1, 6):
        log.keep(number)
        store.mark(str(number))
    lost = [state for state in store.states() if state.acknowledged and log.last(state.store()) < int(state.acknowledged[-1])]
    assert bool(lost) is not syncs
