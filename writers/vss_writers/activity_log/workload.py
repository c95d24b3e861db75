"""The activity-log workload: one line at a fixed interval, appended to one file. Only the volume can hold it.

Invariant: a line counts as written only when its write has returned. ``check`` compares the file with what was acknowledged: no
line lost, none doubled, all in order.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from vss.errors import ConfigurationError, NotFoundError, VssError
from vss.plugins.hosts import WorkloadHost
from vss.ports import NANOSECONDS
from vss.roles.volume import File

LINE_BYTES = 64


class ActivityLogOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ``[workloads.options]`` table.

    Attributes:
        path: machine path of the file.
        interval_s: seconds between lines.
        lines_at_once: after how many lines of one stretch of work, written or tried in vain, it rests until the next; 0 means
            never.
    """

    path: str
    interval_s: float = 1.0
    lines_at_once: int = 0


class ActivityLogState(msgspec.Struct):
    """What the application was told: lines written, and at most one whose write was cut off."""

    lines: int = 0
    in_doubt: bool = False


class ActivityLog:
    """The application.

    Attributes:
        when_written: told of every line before it is written and when it was: path, number, bytes, whether it was.
    """

    def __init__(self, host: WorkloadHost, options: ActivityLogOptions) -> None:
        """Prepare; it begins in ``run_until``."""
        self.name = host.name
        self._host = host
        self._options = options
        self._record = ActivityLogState()
        self._failures = 0
        self._stop = asyncio.Event()
        self.when_written: Callable[[str, int, bytes, bool], object] | None = None

    async def run_until(self, now_ns: int) -> None:
        """Append lines until the clock shows ``now_ns``; a failing disk is tried again at the next interval."""
        self._stop = asyncio.Event()
        clock = self._host.ports.clock
        interval_ns = round(self._options.interval_s * NANOSECONDS)
        left = self._options.lines_at_once or math.inf
        while clock.now_ns() + interval_ns < now_ns and left > 0:
            try:
                async with asyncio.timeout(self._options.interval_s):
                    await self._stop.wait()
                return
            except TimeoutError:
                left -= 1
                await self._append()

    async def stop(self) -> None:
        """Finish the line under way, then let ``run_until`` return."""
        self._stop.set()

    async def _append(self) -> None:
        try:
            file = await self._open()
            try:
                self._record.in_doubt = True
                number = self._record.lines + 1
                self._tell(number, is_over=False)
                await file.pwrite((number - 1) * LINE_BYTES, _line(number))
                self._tell(number, is_over=True)
                self._record.lines = number
                self._record.in_doubt = False
            finally:
                await file.close()
        except VssError:
            self._failures += 1

    def _tell(self, number: int, *, is_over: bool) -> None:
        if self.when_written is not None:
            self.when_written(self._options.path, number, _line(number), is_over)

    async def _open(self) -> File:
        files = self._host.files
        try:
            return await files.open(self._options.path, write=True)
        except NotFoundError:
            await files.make_directory(self._options.path.rpartition("\\")[0])
            return await files.open(self._options.path, write=True, create=True)

    def report(self) -> dict[str, Any]:
        """Return lines acknowledged, failures met, and a digest of the record."""
        digest = hashlib.sha256(self.state()).hexdigest()
        return {"operations": self._record.lines, "failures": self._failures, "digest": digest}

    async def check(self) -> list[str]:
        """Compare the file with the record; a file that cannot be read is one sentence."""
        if self._record.lines == 0:
            return []
        try:
            data = await self._read()
        except VssError as error:
            return [f"{self._options.path}: cannot be compared: {error.message}"]
        expected = b"".join(_line(number + 1) for number in range(self._record.lines))
        if data == expected or (self._record.in_doubt and data.startswith(expected)):
            return []
        pairs = enumerate(zip(data, expected, strict=False))
        first = next((at for at, pair in pairs if pair[0] != pair[1]), min(len(data), len(expected)))
        return [
            f"{self._options.path}: expected {self._record.lines} lines as acknowledged, found {len(data) // LINE_BYTES} lines,"
            f" the first difference in line {first // LINE_BYTES + 1}"
        ]

    async def _read(self) -> bytes:
        file = await self._host.files.open(self._options.path)
        try:
            return await file.pread(0, file.size_bytes)
        finally:
            await file.close()

    def state(self) -> bytes:
        """Return the record as JSON."""
        return msgspec.json.encode(self._record)

    def load_state(self, state: bytes) -> None:
        """Take up an earlier record; ``ConfigurationError`` when it is damaged."""
        try:
            self._record = msgspec.json.decode(state, type=ActivityLogState)
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"the record of workload '{self.name}' is damaged: {error}") from error


def _line(number: int) -> bytes:
    return f"{number:010d} request served".ljust(LINE_BYTES - 1).encode() + b"\n"


def make_activity_log(host: WorkloadHost, options: Mapping[str, Any]) -> ActivityLog:
    """Make the workload that ``lab.toml`` describes (the factory registered by the plugin).

    Raises:
        ConfigurationError: an option means nothing.
    """
    try:
        parsed = msgspec.convert(dict(options), ActivityLogOptions)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"options of workload '{host.name}': {error}") from error
    if parsed.interval_s <= 0:
        raise ConfigurationError(
            f"options of workload '{host.name}': interval_s: expected more than 0, found {parsed.interval_s}"
        )
    return ActivityLog(host, parsed)
