"""Every effect on the backup target fails once, or the process stops there: what must hold afterwards holds."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from vss.errors import BackupSetError, NotFoundError, VssError
from vss.simulation.memory_files import MemoryFiles
from vss_requestors.backup import BackupRequestor
from vss_requestors.errors import TargetError
from vss_requestors.repository import open_set
from vss_requestors.results import BackupResult

EFFECTS = ("write_atomically", "make_directory", "remove", "sync_directory")


class Stopped(BaseException):
    """The process is gone: nothing handles it."""


class FaultyFiles(MemoryFiles):
    """The n-th effect below the target fails, or stops the process before it happens; afterwards nothing happens any more."""

    def __init__(self, number: int, error: BaseException | None) -> None:
        super().__init__()
        self.effects = 0
        self.number = number
        self.error = error
        self.is_stopped = False

    def _effect(self, path: Path) -> None:
        if not path.is_relative_to("/backups"):
            return
        if self.is_stopped:
            raise Stopped
        self.effects += 1
        if self.effects == self.number and self.error is not None:
            self.is_stopped = isinstance(self.error, Stopped)
            raise self.error

    def open(self, path: Path, **options: bool) -> Any:
        if options.get("exclusive"):
            self._effect(path)
        handle = super().open(path, **options)
        for name in ("pwrite", "sync"):
            self._guard(handle, name, path)
        return handle

    def _guard(self, handle: Any, name: str, path: Path) -> None:
        honest = getattr(handle, name)

        def guarded(*arguments: Any) -> Any:
            self._effect(path)
            return honest(*arguments)

        setattr(handle, name, guarded)

    def write_atomically(self, path: Path, data: bytes) -> None:
        self._effect(path)
        super().write_atomically(path, data)

    def make_directory(self, path: Path) -> None:
        self._effect(path)
        super().make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self._effect(path)
        super().sync_directory(path)


def count_effects(kit: Any) -> int:
    files = FaultyFiles(0, None)

    async def script(world: Any) -> None:
        await world.start()
        await BackupRequestor().run(world, **world.options)

    kit.play(script, files=files)
    return files.effects


async def outcome(world: Any, kit: Any) -> tuple[Any, Any]:
    """The error or result, and the set as a reader sees it (None where it is refused)."""
    error: Any
    try:
        error = await BackupRequestor().run(world, **world.options)
    except (VssError, Stopped) as caught:
        error = caught
    world.ports.files.number = 0
    names = world.ports.files.list_directory(kit.TARGET) if world.ports.files.exists(kit.TARGET) else []
    if not names:
        return error, None
    try:
        return error, await open_set(world.ports, kit.TARGET / names[0])
    except (BackupSetError, NotFoundError):
        return error, None


@pytest.mark.slow
def test_a_fault_at_any_effect_never_truncates_without_a_complete_set(kit: Any) -> None:
    total = count_effects(kit)
    assert total > 30
    for number in range(1, total + 1):
        for code in (errno.EIO, errno.ENOSPC):

            async def script(world: Any, number: int = number) -> None:
                writer = await world.start()
                error, found = await outcome(world, kit)
                is_complete = found is not None and found.record.state == "complete"
                if isinstance(error, BackupResult):
                    assert error.warnings, f"effect {number} failed in silence"
                    assert is_complete, f"effect {number}: a result without a complete set"
                else:
                    assert isinstance(error, TargetError)
                if writer.truncations:
                    assert is_complete, f"effect {number}: logs went without a complete set"
                assert not world.provider.finished

            kit.play(script, files=FaultyFiles(number, OSError(code, "injected")))


@pytest.mark.slow
def test_stopped_at_any_effect_never_truncates_without_a_complete_set(kit: Any) -> None:
    for number in range(1, count_effects(kit) + 1):

        async def script(world: Any, number: int = number) -> None:
            writer = await world.start()
            error, found = await outcome(world, kit)
            is_complete = found is not None and found.record.state == "complete"
            assert isinstance(error, Stopped)
            if writer.truncations:
                assert is_complete, f"stopped at effect {number}: logs went without a complete set"

        kit.play(script, files=FaultyFiles(number, Stopped()))
