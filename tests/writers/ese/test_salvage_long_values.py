"""Which long values of a damaged table are whole, who refers to others, which are wanted: against the same on dictionaries."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vss_writers.ese.external_sort import entries_of
from vss_writers.ese.salvage_long_values import broken_references, only_used, whole_ids

IDS = st.integers(1, 6).map(lambda number: number.to_bytes(4, "big"))
CHUNKS = st.lists(st.tuples(st.sampled_from([0, 3, 5, 8]), st.binary(min_size=1, max_size=5)), max_size=4)


@st.composite
def long_values(draw: Any) -> dict[bytes, bytes]:
    """Entries of a damaged tree: values with and without a first entry, with chunks that fit and others that do not."""
    found: dict[bytes, bytes] = {}
    for number in draw(st.lists(IDS, unique=True)):
        if draw(st.booleans()):
            data = bytes(draw(st.sampled_from([0, 3, 6, 9])))
            found[number] = struct.pack("<II", 1, len(data))
            for offset in range(0, len(data), 3):
                found[number + offset.to_bytes(4, "big")] = data[offset : offset + 3]
        else:
            if draw(st.booleans()):
                found[number] = draw(st.binary(max_size=9))
            for offset, data in draw(CHUNKS):
                found[number + offset.to_bytes(4, "big")] = data
    if found and draw(st.booleans()):
        del found[draw(st.sampled_from(sorted(found)))]
    return found


def is_whole(found: dict[bytes, bytes], number: bytes) -> bool:
    root = found.get(number, b"")
    if len(root) < 8:
        return False
    expected = 0
    for key in sorted(each for each in found if each[:4] == number and each != number):
        if int.from_bytes(key[4:], "big") != expected:
            return False
        expected += len(found[key])
    return expected == int(struct.unpack_from("<II", root)[1])


@given(long_values())
def test_a_long_value_is_whole_with_its_entry_and_every_chunk(found: dict[bytes, bytes]) -> None:
    async def main() -> list[bytes]:
        return [each async for each in whole_ids(entries_of(sorted(found.items())))]

    assert asyncio.run(main()) == [each for each in sorted({key[:4] for key in found}) if is_whole(found, each)]


@given(long_values(), st.lists(st.tuples(IDS, st.binary(max_size=2))))
def test_a_reference_is_broken_where_its_long_value_is_not_whole(
    found: dict[bytes, bytes], references: list[tuple[bytes, bytes]]
) -> None:
    async def main() -> list[tuple[bytes, bytes]]:
        return [each async for each in broken_references(entries_of(sorted(found.items())), entries_of(sorted(references)))]

    assert asyncio.run(main()) == [(row, number) for number, row in sorted(references) if not is_whole(found, number)]


@given(long_values(), st.lists(IDS))
def test_only_entries_of_wanted_long_values_are_written(found: dict[bytes, bytes], used: list[bytes]) -> None:
    async def main() -> list[tuple[bytes, bytes]]:
        wanted = entries_of((each, b"") for each in sorted(used))
        return [each async for each in only_used(entries_of(sorted(found.items())), wanted)]

    assert asyncio.run(main()) == [(key, found[key]) for key in sorted(found) if key[:4] in used]
