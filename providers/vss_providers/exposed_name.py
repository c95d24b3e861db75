"""The name under which a shadow copy is exposed on the host, kept beside its store so that it outlives a restart.

The format has no place for it. It stands in a block of our own, which the first block of the side-car points at; readers of the
format know of neither. The pointer is written when the block is durable, and never crosses a sector.

Source: Volume Shadow Copy Service documentation, "Exposing and surfacing shadow copied volumes" (it survives restarts).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from uuid import UUID

from vss.volumes.block_store import BlockStore
from vss_providers.on_disk.layout import BLOCK_SIZE, ReadableDevice

POINTER_AT = 48
"""Where in the first side-car block the offset of the name's block stands; 0: none."""

_NAME_ID = UUID("5f0b9c1e-7d4a-4f7b-8f10-6a2c94d3e002").bytes_le
_HEADER = struct.Struct("<16s16sQI")
"""Identifier, store id, own absolute offset, bytes of the name."""
NAME_BYTES_MAX = BLOCK_SIZE - _HEADER.size


class ExposedName:
    """The name of one shadow copy.

    Attributes:
        name: what it is called, or an empty string.
        blocks: the absolute offset of the name's block, where there is one.
    """

    def __init__(self) -> None:
        """Begin without a name."""
        self.name = ""
        self.blocks: list[int] = []

    def load(self, device: ReadableDevice, store_id: UUID, side_car_blocks: Sequence[int]) -> None:
        """Take up the name that stands there; one that is damaged is none."""
        if not side_car_blocks:
            return
        at = int.from_bytes(device.read(side_car_blocks[0] + POINTER_AT, 8), "little")
        if not at or at % BLOCK_SIZE or at + BLOCK_SIZE > device.size_bytes:
            return
        data = device.read(at, BLOCK_SIZE)
        identifier, owner, own_offset, length = _HEADER.unpack_from(data)
        if identifier == _NAME_ID and owner == store_id.bytes_le and own_offset == at and length <= NAME_BYTES_MAX:
            self.blocks, self.name = [at], data[_HEADER.size : _HEADER.size + length].decode(errors="replace")

    def write(
        self, device: BlockStore, store_id: UUID, side_car_blocks: Sequence[int], name: str, take_block: Callable[[], int]
    ) -> None:
        """Put ``name`` into a block and point at it, durably; an empty name takes the pointer away.

        A store without a side-car keeps the name in memory only. ``VolumeError``: no room, or the device failed.
        """
        if side_car_blocks:
            if name:
                at = self.blocks[0] if self.blocks else take_block()
                encoded = name.encode()[:NAME_BYTES_MAX]
                self.blocks = [at]
                device.write(
                    at, (_HEADER.pack(_NAME_ID, store_id.bytes_le, at, len(encoded)) + encoded).ljust(BLOCK_SIZE, b"\0")
                )
                device.flush()
            pointer = self.blocks[0] if name else 0
            device.write(side_car_blocks[0] + POINTER_AT, pointer.to_bytes(8, "little"))
            device.flush()
        self.name = name
