"""Each storage fault does what it says, once or for good, and power loss leaves only legal states."""

from __future__ import annotations

from itertools import chain

import pytest

from vss.errors import BadStateError, InvalidArgumentError, VolumeFullError, VolumeReadError, VolumeWriteError
from vss.volumes import FaultyStore, MemoryStore, PowerLossState, StoreEffect, StoreFault, UnsyncedWrite, power_loss_states

SIZE = 8192
S = 512


def faulty(*faults: StoreFault) -> FaultyStore:
    store = FaultyStore(MemoryStore(SIZE, name="disk"))
    for fault in faults:
        store.arm(fault)
    return store


def test_without_faults_it_is_the_store_below() -> None:
    store = faulty()
    store.write(10, b"abc")
    store.flush()
    store.grow(SIZE * 2)
    buffer = bytearray(5)
    store.read_into(9, buffer)
    assert (store.name, store.size_bytes, bytes(buffer)) == ("disk", SIZE * 2, b"\0abc\0")
    assert store.fired == []
    store.close()


@pytest.mark.parametrize("effect", [StoreEffect.READ_ERROR, StoreEffect.SHORT_READ])
def test_read_faults_strike_once_in_their_range_only(effect: StoreEffect) -> None:
    store = faulty(StoreFault(effect, offset=S, length=S))
    store.read(0, S)
    store.read(2 * S, S)
    with pytest.raises(VolumeReadError, match="disk"):
        store.read(0, SIZE)
    assert store.read(0, SIZE) == bytes(SIZE)
    assert [fault.effect for fault in store.fired] == [effect]


def test_sticky_faults_stay_until_disarmed() -> None:
    store = faulty(StoreFault(StoreEffect.WRITE_ERROR, is_sticky=True))
    for _ in range(2):
        with pytest.raises(VolumeWriteError):
            store.write(0, b"x")
    store.disarm()
    store.write(0, b"x")
    assert store.read(0, 1) == b"x"


def test_skip_lets_matching_operations_pass() -> None:
    told: list[StoreFault] = []
    fault = StoreFault(StoreEffect.WRITE_ERROR, skip=2)
    store = FaultyStore(MemoryStore(SIZE), on_fault=told.append)
    store.arm(fault)
    store.write(0, b"a")
    store.write(1, b"b")
    with pytest.raises(VolumeWriteError):
        store.write(2, b"c")
    assert told == [fault]


def test_flipped_read_is_wrong_in_transit_only() -> None:
    store = faulty(StoreFault(StoreEffect.FLIPPED_READ, offset=7, length=1, mask=0x80))
    assert store.read(4, 8) == b"\0\0\0\x80\0\0\0\0"
    assert store.read(4, 8) == bytes(8)


def test_flipped_bits_at_rest_are_durable() -> None:
    store = faulty()
    store.write(3, b"\x01")
    store.flush()
    store.flip_bits(3, 0x03)
    assert store.read(3, 1) == b"\x02"
    assert store.after_power_loss(PowerLossState(())).read(3, 1) == b"\x02"
    with pytest.raises(InvalidArgumentError):
        store.flip_bits(3, 0)
    bare = FaultyStore(MemoryStore(SIZE), records_writes=False)
    bare.flip_bits(0)
    assert bare.read(0, 1) == b"\x01"


def test_full_store_refuses_writes_and_growth() -> None:
    store = faulty(StoreFault(StoreEffect.FULL, is_sticky=True))
    with pytest.raises(VolumeFullError):
        store.write(0, b"x")
    with pytest.raises(VolumeFullError):
        store.grow(SIZE * 2)
    store.disarm()
    store.arm(StoreFault(StoreEffect.READ_ERROR))
    store.grow(SIZE * 2)


def test_lost_write_says_nothing() -> None:
    store = faulty(StoreFault(StoreEffect.LOST_WRITE))
    store.write(0, b"gone")
    assert store.read(0, 4) == bytes(4)


def test_torn_write_keeps_the_named_sectors() -> None:
    store = faulty(StoreFault(StoreEffect.TORN_WRITE, kept_sectors=(0, 2, 9)))
    store.write(S // 2, b"a" * (2 * S))
    assert store.read(0, 3 * S) == bytes(S // 2) + b"a" * (S // 2) + bytes(S) + b"a" * (S // 2) + bytes(S // 2)


def test_misdirected_write_lands_elsewhere() -> None:
    store = faulty(StoreFault(StoreEffect.MISDIRECTED_WRITE, target_offset=2 * S))
    store.write(0, b"data")
    assert (store.read(0, 4), store.read(2 * S, 4)) == (bytes(4), b"data")


def test_failed_flush_drops_the_writes_for_good() -> None:
    store = faulty(StoreFault(StoreEffect.FLUSH_ERROR))
    store.write(0, b"lost")
    with pytest.raises(VolumeWriteError, match="flushing"):
        store.flush()
    store.flush()
    assert store.read(0, 4) == b"lost"
    assert store.unsynced == ()
    assert store.after_power_loss(PowerLossState(())).read(0, 4) == bytes(4)


def test_lying_flush_leaves_the_writes_unsynced() -> None:
    store = faulty(StoreFault(StoreEffect.FLUSH_LIE))
    store.write(0, b"data")
    store.flush()
    assert len(store.unsynced) == 1
    store.flush()
    assert store.unsynced == ()


def test_power_loss_needs_a_record_of_writes() -> None:
    store = FaultyStore(MemoryStore(SIZE), records_writes=False)
    store.write(0, b"x")
    store.flush()
    store.grow(SIZE * 2)
    with pytest.raises(BadStateError):
        store.after_power_loss(PowerLossState(()))


def test_losing_power_leaves_the_chosen_state_as_durable() -> None:
    store = faulty()
    store.write(0, b"old!")
    store.flush()
    store.write(0, b"new!")
    store.write(S, b"b" * (2 * S))
    store.lose_power(PowerLossState((1,), torn_sectors=(0,)))
    assert store.read(0, 4) == b"old!"
    assert store.read(S, 2 * S) == b"b" * S + bytes(S)
    assert store.unsynced == ()
    assert store.after_power_loss(PowerLossState(())).read(0, SIZE) == store.read(0, SIZE)


def test_before_flush_sees_everything_unsynced() -> None:
    seen: list[int] = []
    store = FaultyStore(MemoryStore(SIZE), before_flush=lambda: seen.append(len(store.unsynced)))
    store.write(0, b"a")
    store.write(1, b"b")
    store.flush()
    store.flush()
    assert seen == [2, 0]


# -- enumeration ---------------------------------------------------------------------------------------------------------------


def test_few_writes_give_every_subset_once_prefixes_first() -> None:
    writes = [UnsyncedWrite(number * S, b"x") for number in range(3)]
    states = list(power_loss_states(writes))
    assert [state.kept for state in states[:4]] == [(), (0,), (0, 1), (0, 1, 2)]
    assert sorted(state.kept for state in states) == [(), (0,), (0, 1), (0, 1, 2), (0, 2), (1,), (1, 2), (2,)]


def test_many_writes_give_the_lost_and_the_lone_one() -> None:
    writes = [UnsyncedWrite(number * S, b"x") for number in range(8)]
    kept = {state.kept for state in power_loss_states(writes, subset_max=4)}
    assert (3,) in kept
    assert tuple(number for number in range(8) if number != 3) in kept
    assert len(kept) == 9 + 8 + 8 - 2  # the first alone and all but the last are prefixes


def test_the_newest_write_tears_between_sectors() -> None:
    states = list(power_loss_states([UnsyncedWrite(256, b"x" * (3 * S))]))
    torn = [state.torn_sectors for state in states if state.torn_sectors is not None]
    assert (0,) in torn
    assert (1, 2, 3) in torn
    assert (0, 2) in torn
    assert all(max(chain((0,), each)) <= 3 for each in torn)


def test_tears_are_bounded() -> None:
    states = list(power_loss_states([UnsyncedWrite(0, b"x" * (400 * S))], torn_max=4))
    assert len(states) <= 2 + 2 * 4 + 1 + 4


def test_a_write_of_one_sector_never_tears() -> None:
    assert all(state.torn_sectors is None for state in power_loss_states([UnsyncedWrite(0, b"x" * S)]))
