"""Page checksums: batches in numpy against the memory's own limit, and one page at a time.

Rates are GB/s of 8 KB pages with valid checksums; ``of_xor_reduce`` compares with reading and XORing the same bytes once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from vss_writers.ese.checksum import seal_page, verify_page
from vss_writers.ese.checksum_batch import BatchVerifier
from vss_writers.ese.layout import OFFSET_FLAGS, PageFlag

PAGE_SIZE = 8192
PAGES = 8192
RUNS = 5


def sealed_pages() -> bytes:
    """64 MiB of pages: distinct content, each sealed at its number."""
    block = np.random.default_rng(1).integers(0, 256, (256, PAGE_SIZE), np.uint8)
    block[:, OFFSET_FLAGS + 1] |= PageFlag.NEW_CHECKSUM_FORMAT >> 8
    data = bytearray(block.tobytes() * (PAGES // 256))
    for index in range(PAGES):
        page = bytearray(data[index * PAGE_SIZE : (index + 1) * PAGE_SIZE])
        seal_page(page, index + 1)
        data[index * PAGE_SIZE : index * PAGE_SIZE + 8] = page[:8]
    return bytes(data)


def median_seconds(work: Callable[[], object]) -> float:
    """Median time of several runs."""
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return sorted(times)[RUNS // 2]


def measure() -> dict[str, float | int | str]:
    """Verify 64 MiB in batches of several sizes."""
    data = sealed_pages()
    view = memoryview(data)
    words = np.frombuffer(data, np.uint64).reshape(PAGES, PAGE_SIZE // 8)
    limit = len(data) / median_seconds(lambda: np.bitwise_xor.reduce(words, axis=1)) / 1e9
    target = np.empty_like(words)
    copied = len(data) / median_seconds(lambda: np.copyto(target, words)) / 1e9
    measured: dict[str, float | int | str] = {"xor_reduce_gb_s": limit, "copy_gb_s": copied}
    for batch in (16, 64, 128, 256, 512):
        verifier = BatchVerifier(PAGE_SIZE, batch)

        def run(batch: int = batch, verifier: BatchVerifier = verifier) -> None:
            for first in range(0, PAGES, batch):
                result = verifier.verify(view[first * PAGE_SIZE : (first + batch) * PAGE_SIZE], first + 1)
                assert not result.findings

        rate = len(data) / median_seconds(run) / 1e9
        measured[f"batch_{batch}_gb_s"] = rate
        measured[f"batch_{batch}_of_copy"] = rate / copied
    page = data[:PAGE_SIZE]
    measured["single_page_us"] = 1e6 * median_seconds(lambda: [verify_page(page, 1) for _ in range(200)]) / 200
    return measured


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:24} {value:.3f}")
