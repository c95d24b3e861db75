"""Executors of other processes: worker processes of this machine, or the workers of a Dask cluster.

The one place of exploration that uses ``concurrent.futures``. Processes are spawned, not forked: a fork would inherit a running
loop, locks and the recorder of whoever asks. At most two batches per worker are under way, so that an interrupt ends soon and
memory stays small. Dask: "Client.get_executor" of the distributed scheduler's documentation gives the same face.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vss.errors import ConfigurationError, UnsupportedError


class PoolExecutor:
    """Sends batches to an executor of ``concurrent.futures``; a context manager that ends it."""

    def __init__(self, pool: concurrent.futures.Executor, workers: int) -> None:
        """Use ``pool``, which has about ``workers`` workers."""
        self._pool = pool
        self._workers = workers

    def __enter__(self) -> PoolExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[bytes], bytes], batches: Iterable[bytes]) -> Iterator[bytes]:
        """Yield ``work(batch)`` of each, in order."""
        waiting: deque[concurrent.futures.Future[bytes]] = deque()
        for batch in batches:
            waiting.append(self._pool.submit(work, batch))
            if len(waiting) >= 2 * self._workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def local_processes(jobs: int) -> PoolExecutor:
    """Return an executor of ``jobs`` processes of this machine.

    Raises:
        ConfigurationError: fewer than one.
    """
    if jobs < 1:
        raise ConfigurationError(f"jobs: expected at least 1, found {jobs}")
    context = multiprocessing.get_context("spawn")
    return PoolExecutor(concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context), jobs)


def dask_cluster(address: str) -> PoolExecutor:
    """Return an executor of the Dask cluster whose scheduler listens at ``address``.

    Raises:
        UnsupportedError: the package ``distributed`` is not installed.
    """
    try:
        import distributed  # type: ignore[import-not-found, unused-ignore]  # an extra, perhaps not there
    except ImportError:
        raise UnsupportedError(
            f"cannot use the Dask scheduler at {address}: the package 'distributed' is not installed",
            hint="pip install 'vss-lab[dask]', with the same version of vss-lab on every worker; or use --jobs",
        ) from None
    client: Any = distributed.Client(address)
    return PoolExecutor(client.get_executor(), max(1, sum(client.nthreads().values())))
