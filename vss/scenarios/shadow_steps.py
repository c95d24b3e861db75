"""Steps about shadow copies, and what somebody else sees who asks: status, read, delete, expose, revert, break, limit."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from vss.coordinator import SnapshotAttributes, SnapshotContext
from vss.errors import NotFoundError, UnsupportedError
from vss.lab.configuration import parse_size
from vss.roles.provider import ProviderType, SnapshotProperties
from vss.scenarios.step import Step, check_word

if TYPE_CHECKING:
    from vss.roles.provider import Provider
    from vss.scenarios.stage import Stage

_PIECE = 1 << 16
USES = ("delete", "expose", "unexpose", "revert", "break")


class Status(Step, frozen=True, kw_only=True, tag="status"):
    """Somebody asks how things stand: returns shadow copies, open sessions, and the writers with their states."""

    async def run(self, stage: Stage) -> Any:
        """Ask, as a process of its own."""
        coordinator = stage.lab.coordinator
        open_sessions, is_creating = coordinator.open_session_count, coordinator.is_creating
        async with stage.lab.open_session() as session:
            session.initialize_for_backup()
            declared = await session.gather_writer_metadata()
            statuses = await session.gather_writer_status()
        found = await coordinator.query_snapshots()
        return {
            "writers": {each.instance_name or each.friendly_name: len(each.components) for each in declared},
            "states": {each.name: each.state.name for each in statuses},
            "shadows": [{"volume": each.original_volume, "attributes": int(each.attributes)} for each in found],
            "open_sessions": open_sessions,
            "is_creating": is_creating,
        }


class ReadShadow(Step, frozen=True, kw_only=True, tag="read_shadow"):
    """Read every file of a volume's newest shadow copy that matches ``path`` (POSIX-like); returns their number and bytes."""

    volume: str
    path: str = "*"

    async def run(self, stage: Stage) -> Any:
        """Read them to the end."""
        found = (await _shadows_of(stage, self.volume))[-1]
        files = await stage.lab.coordinator.open_snapshot(found.snapshot_id)
        count = total = 0
        pending = ["/"]
        while pending:
            directory = pending.pop()
            for name in await files.list_directory(directory):
                path = f"{directory.rstrip('/')}/{name}"
                if (await files.stat(path)).is_directory:
                    pending.append(path)
                elif fnmatchcase(path.lower(), self.path.lower()):
                    file = await files.open(path)
                    try:
                        for offset in range(0, file.size_bytes, _PIECE):
                            total += len(await file.pread(offset, _PIECE))
                    finally:
                        await file.close()
                    count += 1
        return {"count": count, "size_bytes": total}


class DeleteShadows(Step, frozen=True, kw_only=True, tag="delete_shadows"):
    """Delete shadow copies: all, or those of one volume."""

    volume: str = ""

    async def run(self, stage: Stage) -> Any:
        """Delete them."""
        found = await _shadows_of(stage, self.volume)
        async with stage.lab.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            await session.delete_snapshots([each.snapshot_id for each in found])
        return {"deleted": len(found)}


class UseShadow(Step, frozen=True, kw_only=True, tag="use_shadow"):
    """Do something with a volume's shadow copy: delete, expose, unexpose, revert the volume to it, break its set.

    Attributes:
        use: which of these.
        volume: whose shadow copy.
        nth: which of them, oldest first; -1 the newest.
        where: of ``expose``: ``locally`` or ``remotely``.
        exposed_as: of ``expose``: the name.
    """

    use: str
    volume: str
    nth: int = -1
    where: str = "locally"
    exposed_as: str = "C:\\Shadow"

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown use."""
        check_word(self.use, USES, f"{where}: use")
        check_word(self.where, ("locally", "remotely"), f"{where}: where")

    async def run(self, stage: Stage) -> Any:
        """Do it."""
        found = await _shadows_of(stage, self.volume)
        shadow = found[self.nth]
        async with stage.lab.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.ALL)
            match self.use:
                case "delete":
                    await session.delete_snapshots([shadow.snapshot_id])
                case "expose":
                    attribute = SnapshotAttributes[f"EXPOSED_{'LOCALLY' if self.where == 'locally' else 'REMOTELY'}"]
                    await session.expose_snapshot(shadow.snapshot_id, attribute, self.exposed_as)
                case "unexpose":
                    await session.unexpose_snapshot(shadow.snapshot_id)
                case "revert":
                    await session.revert_to_snapshot(shadow.snapshot_id, force_dismount=True)
                case _:
                    await session.break_snapshot_set(shadow.snapshot_set_id)
        left = await stage.lab.coordinator.query_snapshots()
        return {"before": len(found), "left": sum(1 for each in left if each.original_volume == shadow.original_volume)}


class LimitShadows(Step, frozen=True, kw_only=True, tag="limit_shadows"):
    """Change how much room the saved blocks of a volume's shadow copies may take; with ``on``, set it aside on that volume."""

    volume: str
    maximum: str | int
    on: str = ""

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse what is no size."""
        parse_size(self.maximum, f"{where}: maximum")

    async def run(self, stage: Stage) -> Any:
        """Change it."""
        provider, volume, maximum = (
            _differential_provider(stage),
            stage.lab.volume(self.volume),
            parse_size(self.maximum, "maximum"),
        )
        if self.on:
            await provider.add_storage(volume, stage.lab.volume(self.on), maximum)
        else:
            await provider.resize_storage(volume, maximum)


async def _shadows_of(stage: Stage, volume: str) -> list[SnapshotProperties]:
    """Return the shadow copies of a volume, or all for ""; ``NotFoundError`` where there is none."""
    found = [each for each in await stage.lab.coordinator.query_snapshots() if volume in ("", each.original_volume)]
    if not found:
        raise NotFoundError(f"there is no shadow copy{f' of volume {volume}' if volume else ''}")
    return found


def _differential_provider(stage: Stage) -> Provider:
    for provider in stage.lab.coordinator.providers:
        if provider.capabilities.is_differential and provider.type is not ProviderType.HARDWARE:
            return provider
    raise UnsupportedError("no provider of the machine has shadow copy storage")
