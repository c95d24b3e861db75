"""FilesNotToSnapshot: what the service deletes from a shadow copy while it can be changed, and what is logged of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.protocol.kit import logged
from vss.coordinator.optimization import Optimization
from vss.coordinator.service_log import ServiceLog
from vss.documents.exclusions import exclusions_of
from vss.errors import NotFoundError, VolumeError
from vss.events import Event, FileNotInSnapshot
from vss.ports import Ports
from vss.simulation import run

Entries = Mapping[str, tuple[str, ...]]


class Snapshot:
    """The files of one shadow copy, as a dictionary; what is named in ``broken`` cannot be deleted."""

    def __init__(self, broken: tuple[str, ...] = ()) -> None:
        self.paths = dict.fromkeys(("/pagefile.sys", "/temp/a.tmp", "/temp/deep/b.tmp", "/data/one"), b"")
        self.broken = broken

    async def list_directory(self, path: str) -> list[str]:
        below = path.rstrip("/") + "/"
        return sorted({each[len(below) :].split("/")[0] for each in self.paths if each.startswith(below)})

    async def stat(self, path: str) -> Any:
        return type("Stat", (), {"is_directory": path not in self.paths})

    async def remove(self, path: str) -> None:
        if path in self.broken:
            raise VolumeError(f"{path} is in use")
        del self.paths[path]


def optimize(entries: Entries, opened: Callable[[Ports], Awaitable[Any]], *, limit_s: float = 60.0) -> tuple[list[Event], int]:
    """Look through the shadow copy of D:; return what was recorded, and how long it took."""
    events: list[Event] = []

    async def main(ports: Ports) -> int:
        async def open_writable(volume: str) -> Any:
            return await opened(ports)

        optimization = Optimization(ports, ServiceLog(ports.emit), exclusions_of(entries, {}), limit_s)
        await optimization.run(["D:"], open_writable)
        return ports.clock.now_ns()

    return events, run(main, emit=events.append)


def showing(snapshot: Snapshot) -> Callable[[Ports], Awaitable[Any]]:
    async def opened(ports: Ports) -> Any:
        return snapshot

    return opened


async def never(ports: Ports) -> Any:
    raise AssertionError("the shadow copy was opened")


def test_what_is_named_is_deleted_from_the_shadow_copy_and_told() -> None:
    snapshot = Snapshot()
    entries = {"Page file": ("\\pagefile.sys",), "Temp": ("D:\\temp\\*.tmp /s",), "Other": ("L:\\data\\*",)}
    events, _ = optimize(entries, showing(snapshot))
    assert list(snapshot.paths) == ["/data/one"]
    assert [(each.path, each.application) for each in events if isinstance(each, FileNotInSnapshot)] == [
        ("D:\\pagefile.sys", "Page file"),
        ("D:\\temp\\a.tmp", "Temp"),
        ("D:\\temp\\deep\\b.tmp", "Temp"),
    ]


def test_what_cannot_be_deleted_stays_and_is_logged() -> None:
    snapshot = Snapshot(broken=("/temp/a.tmp",))
    events, _ = optimize({"Temp": ("\\temp\\* /s",)}, showing(snapshot))
    assert sorted(snapshot.paths) == ["/data/one", "/pagefile.sys", "/temp/a.tmp"]
    assert logged(events) == [("VSS", 8226)]


def test_a_shadow_copy_that_cannot_be_opened_is_logged() -> None:
    async def refused(ports: Ports) -> Any:
        raise NotFoundError("no such volume")

    assert logged(optimize({"Temp": ("\\temp\\* /s",)}, refused)[0]) == [("VSS", 8219)]


def test_the_time_for_it_is_limited() -> None:
    async def forever(ports: Ports) -> Any:
        await ports.clock.sleep(3600)

    events, took_ns = optimize({"Temp": ("\\temp\\* /s",)}, forever, limit_s=5.0)
    assert logged(events) == [("VSS", 8220)]
    assert took_ns == 5 * 10**9


def test_without_entries_for_a_volume_its_shadow_copy_is_not_opened() -> None:
    assert optimize({"Temp": ("L:\\temp\\* /s",)}, never) == ([], 0)
    assert optimize({}, never) == ([], 0)
