"""Damaged on-disk structures, by the million: ``python -m tests.providers.fuzz_parsers [COUNT] [SEED]``.

Every parser is fed valid structures with bytes flipped, overwritten, cut off or moved, and plain noise. It must answer or raise
a typed error that names an offset; anything else (another exception, a loop) is a defect and is printed with its seed.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable

from tests.providers.kit import BLOCK, PERSISTENT, DiffAreaScene
from vss.errors import UnsupportedError, VolumeDamagedError
from vss_providers.digests import read_digests
from vss_providers.exposed_name import ExposedName
from vss_providers.images import find_copy, verify
from vss_providers.on_disk.catalog import read_catalog, read_pending
from vss_providers.on_disk.reader import ShadowVolume
from vss_providers.on_disk.store_blocks import parse_ranges, read_bitmap, read_descriptors, read_store_header
from vss_providers.on_disk.volume_header import read_volume_header
from vss_providers.shared_bitmaps import SharedBitmaps

PLACE = re.compile(r"offset 0x[0-9a-f]+")


class Bytes:
    """Bytes as a device; reading beyond the end is a defect of the parser."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.content = content
        self.size_bytes = len(content)

    def read(self, offset: int, length: int) -> bytes:
        assert 0 <= offset <= offset + length <= self.size_bytes, f"read of {length} bytes at {offset:#x}"
        return bytes(self.content[offset : offset + length])


def sample() -> tuple[bytes, DiffAreaScene]:
    """Return an image with three shadow copies, overlays and a side-car, and what made it."""
    scene = DiffAreaScene(12 * BLOCK, seed=3, growth_bytes=4 * BLOCK)
    for _ in range(3):
        store = scene.snapshot(PERSISTENT)
        scene.write_randomly(2, longest=2 * BLOCK)
        store.set_exposed_name("/srv/exposed")
        scene.write_into(store, 5 * BLOCK + 100, b"overlay" * 50)
    scene.area.settle()
    return scene.image(), scene


class Fuzzer:
    """Seeds to inputs to parsers."""

    def __init__(self) -> None:
        self.image, scene = sample()
        self.size = scene.size_bytes
        self.image_view = bytearray(self.image)
        stores = scene.area.stack
        entry = stores[-1].entry
        catalog = scene.area._header.catalog_offset
        self.store_id = stores[-1].entry.store_id
        self.places = [catalog, *[each for store in stores for each in store._metadata], *stores[-1].side_car.blocks]
        first_side_car = stores[-1].side_car.blocks[0]
        size = self.size
        self.parsers: list[tuple[str, int, Callable[[Bytes], object]]] = [
            ("volume header", 0x1E00, lambda device: read_volume_header(device)),
            ("catalog", catalog, lambda device: read_catalog(device, catalog)),
            ("pending", catalog, lambda device: read_pending(device, catalog)),
            ("store header", entry.header_offset, lambda device: read_store_header(device, entry.header_offset)),
            (
                "block list",
                entry.block_list_offset,
                lambda device: list(read_descriptors(device, entry.block_list_offset, size)),
            ),
            (
                "range list",
                entry.range_list_offset,
                lambda device: list(parse_ranges(device.read(entry.range_list_offset, BLOCK))),
            ),
            ("bitmap", entry.bitmap_offset, lambda device: read_bitmap(device, entry.bitmap_offset, 12)),
            ("shared bitmaps", catalog, lambda device: SharedBitmaps.load(device, catalog + 128)),  # type: ignore[arg-type]
            ("exposed name", first_side_car, lambda device: ExposedName().load(device, self.store_id, [first_side_car])),
            ("side-car", first_side_car, lambda device: read_digests(device, self.store_id, first_side_car)),
        ]

    def mutate(self, source: random.Random, at: int) -> list[tuple[int, bytes]]:
        """Change bytes around ``at`` in the shared image; return what stood there."""
        undo = []
        for _ in range(source.choice((1, 1, 2, 4))):
            start = at + (source.randrange(192) if source.random() < 0.7 else source.randrange(512))
            kind = source.randrange(4)
            if kind == 0:
                new = bytes([self.image_view[start] ^ 1 << source.randrange(8)])
            elif kind == 1:
                new = source.randbytes(source.choice((1, 4, 8, 16)))
            elif kind == 2:
                # A pointer to another structure, at the places where pointers stand.
                start = at + source.choice((24, 32, 40, 48, 128, 136, 144, 264, 296, 304, 312, 384, 392, 424))
                new = source.choice([*self.places, 0, 1, 1 << 40, (1 << 64) - 1]).to_bytes(8, "little")
            else:
                new = source.choice((b"\0", b"\xff")) * source.choice((4, 16, 64))
            new = new[: len(self.image_view) - start]
            undo.append((start, bytes(self.image_view[start : start + len(new)])))
            self.image_view[start : start + len(new)] = new
        return undo

    def one(self, seed: int) -> str:
        """Run one input; return what was wrong, or nothing."""
        source = random.Random(seed)
        name, at, parse = self.parsers[seed % len(self.parsers)]
        undo = self.mutate(source, at)
        try:
            if source.random() < 0.05:
                device = Bytes(self.image_view[: source.randrange(len(self.image_view))])
            else:
                device = Bytes(self.image_view)
            if name in ("range list", "shared bitmaps", "exposed name") and device.size_bytes < at + BLOCK:
                return ""
            return self.attempt(name, lambda: parse(device))
        finally:
            for start, old in reversed(undo):
                self.image_view[start : start + len(old)] = old

    def whole(self, seed: int) -> str:
        """Damage the image anywhere in its metadata and read every shadow copy; return what was wrong, or nothing."""
        source = random.Random(seed)
        undo = [each for _ in range(2) for each in self.mutate(source, source.choice([0x1E00, *self.places]))]

        def work() -> None:
            volume = ShadowVolume(Bytes(self.image_view))
            for number, copy in enumerate(volume.shadow_copies, 1):
                copy.read(0, self.size)
                verify(volume, find_copy(volume, str(number)))

        try:
            return self.attempt("image", work)
        finally:
            for start, old in reversed(undo):
                self.image_view[start : start + len(old)] = old

    def attempt(self, name: str, work: Callable[[], object]) -> str:
        try:
            work()
        except UnsupportedError:
            return ""
        except VolumeDamagedError as error:
            return "" if PLACE.search(error.message) else f"{name}: no offset in '{error.message}'"
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            return f"{name}: {type(error).__name__}: {error}"
        return ""


def main(arguments: list[str]) -> int:
    """Run COUNT inputs; print the seeds that went wrong."""
    count = int(arguments[0]) if arguments else 100_000
    first = int(arguments[1]) if len(arguments) > 1 else 0
    fuzzer, wrong, begun = Fuzzer(), 0, time.perf_counter()
    for seed in range(first, first + count):
        found = fuzzer.one(seed) or (fuzzer.whole(seed) if seed % 200 == 0 else "")
        if found:
            wrong += 1
            if wrong < 20:
                print(f"seed {seed}: {found}")
    print(f"{count} inputs, {wrong} defects, {time.perf_counter() - begun:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
