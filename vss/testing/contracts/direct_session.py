"""A session without a coordinator: the handlers of a writer called one by one, in orders that no coordinator would send.

The context is the coordinator's own, over a document that the check holds. Every call has a limit; what a handler raises is
returned, and judged: a refusal must be one that a writer may make.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vss.coordinator.contexts import SnapshotContext
from vss.coordinator.writer_context import ActiveContext
from vss.documents import BackupComponents, BackupType, RestoreType, SelectedComponent, WriterComponents, WriterMetadata
from vss.documents.selection import explicit_when_everything_is_chosen
from vss.errors import NotFoundError
from vss.ids import Guid
from vss.machines import WriterEvent
from vss.roles.volume import FileSystem
from vss.testing.contracts.observed_writer import HandlerCall, is_legal_failure
from vss.testing.contracts.verdict import broken, page

if TYPE_CHECKING:
    from vss.testing.contracts.writer_bench import WriterBench

HANDLERS = {
    "prepare_backup": WriterEvent.PREPARE_FOR_BACKUP,
    "prepare_snapshot": WriterEvent.PREPARE_FOR_SNAPSHOT,
    "freeze": WriterEvent.FREEZE,
    "thaw": WriterEvent.THAW,
    "post_snapshot": WriterEvent.POST_SNAPSHOT,
    "abort": WriterEvent.ABORT,
    "backup_complete": WriterEvent.BACKUP_COMPLETE,
    "backup_shutdown": WriterEvent.BACKUP_SHUTDOWN,
    "pre_restore": WriterEvent.PRE_RESTORE,
    "post_restore": WriterEvent.POST_RESTORE,
}
WHOLE_BACKUP = ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot", "backup_complete", "backup_shutdown")
_LIMIT_S = 3600.0


class DirectSession:
    """One session's document, and the calls made in it."""

    def __init__(self, bench: WriterBench, metadata: WriterMetadata, session_id: Guid) -> None:
        """Begin a session with every component of the writer."""
        self.bench = bench
        self.metadata = metadata
        self.session_id = session_id
        self.snapshot_set_id = bench.ports.ids.guid()
        self.backup_type = BackupType.FULL
        self.part: WriterComponents | None = WriterComponents(
            writer_id=metadata.writer_id,
            instance_id=metadata.instance_id,
            instance_name=metadata.instance_name,
            backup_schema=metadata.backup_schema,
            components=tuple(
                SelectedComponent(each.type, each.component_name, each.logical_path)
                for each in explicit_when_everything_is_chosen(metadata)
            ),
        )

    @classmethod
    async def begin(cls, bench: WriterBench) -> DirectSession:
        """Begin a session at the writer of ``bench``."""
        return cls(bench, await bench.observed.identify(), bench.ports.ids.guid())

    # -- what the context asks (DocumentAccess) --------------------------------------------------------------------------------

    @property
    def set_volumes(self) -> Sequence[str]:
        """Every volume of the machine."""
        return list(self.bench.checks.volumes)

    @property
    def environment(self) -> Mapping[str, str]:
        """No variables."""
        return {}

    @property
    def document(self) -> BackupComponents:
        """A document with this writer's part alone."""
        return BackupComponents(
            backup_type=self.backup_type,
            snapshot_set_id=self.snapshot_set_id,
            writers=() if self.part is None else (self.part,),
        )

    @property
    def snapshot_context(self) -> SnapshotContext:
        """A backup."""
        return SnapshotContext.BACKUP

    @property
    def restore_type(self) -> RestoreType:
        """By copying."""
        return RestoreType.BY_COPY

    def components_of(self, instance_id: Guid) -> WriterComponents | None:
        """The writer's part."""
        return self.part if instance_id == self.bench.writer.instance_id else None

    def replace_components(self, components: WriterComponents) -> None:
        """Keep what the writer changed."""
        self.part = components

    async def writable_snapshot(self, volume: str) -> FileSystem:
        """There is no shadow copy here."""
        raise NotFoundError(f"volume {volume} is not in a shadow copy set")

    # -- calls -----------------------------------------------------------------------------------------------------------------

    def another(self) -> DirectSession:
        """Return another requestor's session at the same writer."""
        return DirectSession(self.bench, self.metadata, self.bench.ports.ids.guid())

    async def call_unjudged(self, step: str) -> None:
        """Call one handler and let through what it raises."""
        context = ActiveContext(self, self.bench.writer, HANDLERS[step])
        try:
            await getattr(self.bench.observed, f"on_{step}")(context)
            context.keep_changes()
        finally:
            context.close()

    async def call(self, step: str) -> BaseException | None:
        """Call one handler; return its refusal, None where it succeeded. Fails where it hangs or raises what it may not."""
        name = self.bench.name
        try:
            async with asyncio.timeout(_LIMIT_S):
                await self.call_unjudged(step)
        except TimeoutError:
            broken(
                f"{name} does not come back from on_{step}",
                expected="an answer",
                found=f"none after {_LIMIT_S:g} s; calls so far: {', '.join(self.history())}",
                mend="wait for nothing that only a later event would bring, and give every wait a limit",
                source=page("CVssWriter::OnAbort"),
            )
        except Exception as error:  # noqa: BLE001 - any exception of a plugin is what is judged here
            if not is_legal_failure(error):
                self.bench.refuse_escape(self._last(step), f"calls so far: {', '.join(self.history())}")
            return error
        return None

    async def calls(self, *steps: str) -> list[BaseException | None]:
        """Call handlers one after another."""
        return [await self.call(step) for step in steps]

    async def demand(self, *steps: str) -> None:
        """Call handlers and fail where one refuses, as in an order that is always legal."""
        for step in steps:
            refusal = await self.call(step)
            if refusal is not None:
                broken(
                    f"{self.bench.name} refuses on_{step} in a legal order",
                    expected=f"success after {', '.join(self.history()[:-1]) or 'nothing'}",
                    found=repr(refusal),
                    mend="see the order of events in vss.roles.writer",
                    source=page("Overview of processing a backup under VSS"),
                )

    def history(self) -> list[str]:
        """Return the handlers called so far in this world."""
        return [each.handler for each in self.bench.observed.calls]

    def _last(self, step: str) -> HandlerCall:
        call = self.bench.observed.last(f"on_{step}")
        assert call is not None, "the handler was just called"
        return call
