"""Long values of a damaged table: which are whole, which rows refer to others, and which of them are still wanted.

Everything comes sorted and goes by once, so no more than one entry is in memory. A long value is whole where its first entry is
there, and chunks follow on one another from 0 to the size that this entry says.

Sources: published engine, repair.cxx; layout of long values as in ``long_value``.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator

from vss_writers.ese.external_sort import Entries

ID_SIZE = 4
_ROOT = struct.Struct("<II")


async def whole_ids(long_values: Entries) -> AsyncIterator[bytes]:
    """Ids of the long values that have their entry and every chunk, in order."""
    current = b""
    size, found = -1, 0
    async for key, data in long_values:
        if key[:ID_SIZE] != current:
            if found == size:
                yield current
            current, found = key[:ID_SIZE], 0
            size = _ROOT.unpack_from(data)[1] if key == current and len(data) >= _ROOT.size else -1
        elif int.from_bytes(key[ID_SIZE:], "big") == found:
            found += len(data)
        else:
            size = -1
    if found == size:
        yield current


async def broken_references(long_values: Entries, references: Entries) -> AsyncIterator[tuple[bytes, bytes]]:
    """Key of the row and id, for each of ``references`` (id, key of the row) whose long value is not whole."""
    whole = whole_ids(long_values)
    current = await anext(whole, None)
    async for wanted, row in references:
        while current is not None and current < wanted:
            current = await anext(whole, None)
        if current != wanted:
            yield row, wanted


async def only_used(long_values: Entries, used: Entries) -> AsyncIterator[tuple[bytes, bytes]]:
    """Entries of the long values whose ids are the keys of ``used``."""
    current = await anext(used, None)
    async for key, data in long_values:
        while current is not None and current[0] < key[:ID_SIZE]:
            current = await anext(used, None)
        if current is not None and current[0] == key[:ID_SIZE]:
            yield key, data
