"""Reading through a stack of stores: the two pure steps, saved blocks and overlays.

Rules of the format (libyal/libvshadow format document): a block is read from the first store, from the shadow copy's own up,
that has it saved, else from the live volume; sectors of the shadow copy's own overlays win over that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vss_providers.on_disk.layout import BLOCK_SHIFT, BLOCK_SIZE, SECTOR_SIZE, SECTORS_PER_BLOCK, ReadableDevice


def read_through(
    volume: ReadableDevice, area: ReadableDevice, maps: Sequence[Mapping[int, int]], offset: int, length: int
) -> bytes:
    """Return ``length`` bytes from ``offset``, each block from the first of ``maps`` that has it in ``area``, else ``volume``.

    What are neighbours on one of the two is read in one piece; they may be the same.
    """
    pieces, end = [], offset + length
    run_start = run_end = offset
    source = volume
    while offset < end:
        block, start = offset >> BLOCK_SHIFT, offset % BLOCK_SIZE
        size = min(BLOCK_SIZE - start, end - offset)
        saved_at = next((saved[block] for saved in maps if block in saved), None)
        found, at = (volume, offset) if saved_at is None else (area, saved_at + start)
        if at != run_end or found is not source:
            if run_end > run_start:
                pieces.append(source.read(run_start, run_end - run_start))
            run_start, source = at, found
        run_end = at + size
        offset += size
    pieces.append(source.read(run_start, run_end - run_start))
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def apply_overlays(device: ReadableDevice, overlays: Mapping[int, tuple[int, int]], offset: int, data: bytes) -> bytes:
    """Return ``data``, which were read at ``offset``, with the valid sectors of the overlays put over them."""
    merged, end = bytearray(data), offset + len(data)
    for sector in range(offset // SECTOR_SIZE, -(-end // SECTOR_SIZE)):
        at, bitmap = overlays.get(sector // SECTORS_PER_BLOCK, (0, 0))
        if bitmap >> sector % SECTORS_PER_BLOCK & 1:
            start, stop = max(offset, sector * SECTOR_SIZE), min(end, (sector + 1) * SECTOR_SIZE)
            merged[start - offset : stop - offset] = device.read(at + start % BLOCK_SIZE, stop - start)
    return bytes(merged)
