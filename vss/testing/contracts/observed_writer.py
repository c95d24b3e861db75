"""A writer seen from outside: the coordinator calls this one, which calls the author's and notes when and how it answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from vss.documents import WriterMetadata
from vss.errors import VssError, WriterError
from vss.hresult import WRITER_FAILURES
from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.writer import ApplicationLevel, Writer, WriterContext

T = TypeVar("T")


@dataclass(slots=True)
class HandlerCall:
    """One call of a handler. ``ended_ns`` is -1 while it is under way; ``error`` is what it raised."""

    handler: str
    session_id: Guid
    started_ns: int
    ended_ns: int = -1
    error: BaseException | None = None

    @property
    def answered(self) -> bool:
        """Whether it returned without raising."""
        return self.ended_ns >= 0 and self.error is None


def is_legal_failure(error: BaseException) -> bool:
    """Whether a handler may raise this: a ``WriterError`` with a code of ``WRITER_FAILURES``, or another error of the
    framework, which counts as non-retryable; never a plain Python exception."""
    if isinstance(error, WriterError):
        return error.hresult in WRITER_FAILURES
    return isinstance(error, VssError)


class ObservedWriter(Writer):
    """Stands for ``inner`` at the coordinator."""

    def __init__(self, inner: Writer, ports: Ports) -> None:
        """Observe ``inner``."""
        self.inner = inner
        self.calls: list[HandlerCall] = []
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._ports = ports
        self.writer_class_id = inner.writer_class_id
        self.name = inner.name
        self.instance_name = inner.instance_name
        self.application_level = ApplicationLevel(inner.application_level)
        self.freeze_timeout_s = inner.freeze_timeout_s

    # It is read and set like the field that the base class declares.
    @property
    def instance_id(self) -> Guid:
        """The author's writer has it."""
        return self.inner.instance_id

    @instance_id.setter
    def instance_id(self, instance_id: Guid) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.inner.instance_id = instance_id

    async def _observe(self, handler: str, session_id: Guid, answer: Awaitable[T]) -> T:
        call = HandlerCall(handler, session_id, self._ports.clock.now_ns())
        self.calls.append(call)
        for name, waiter in self._waiting:
            if name == handler and not waiter.done():
                waiter.set_result(None)
        try:
            return await answer
        except (Exception, asyncio.CancelledError) as error:
            call.error = error
            raise
        finally:
            call.ended_ns = self._ports.clock.now_ns()

    async def wait_called(self, handler: str) -> None:
        """Return when ``handler`` is called next."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((handler, waiter))
        await waiter

    def last(self, handler: str) -> HandlerCall | None:
        """Return the newest call of a handler."""
        return next((call for call in reversed(self.calls) if call.handler == handler), None)

    async def identify(self) -> WriterMetadata:
        """Pass on."""
        return await self._observe("identify", GUID_NULL, self.inner.identify())

    async def on_prepare_backup(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_prepare_backup", context.session_id, self.inner.on_prepare_backup(context))

    async def on_prepare_snapshot(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_prepare_snapshot", context.session_id, self.inner.on_prepare_snapshot(context))

    async def on_freeze(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_freeze", context.session_id, self.inner.on_freeze(context))

    async def on_thaw(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_thaw", context.session_id, self.inner.on_thaw(context))

    async def on_post_snapshot(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_post_snapshot", context.session_id, self.inner.on_post_snapshot(context))

    async def on_abort(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_abort", context.session_id, self.inner.on_abort(context))

    async def on_backup_complete(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_backup_complete", context.session_id, self.inner.on_backup_complete(context))

    async def on_backup_shutdown(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_backup_shutdown", context.session_id, self.inner.on_backup_shutdown(context))

    async def on_pre_restore(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_pre_restore", context.session_id, self.inner.on_pre_restore(context))

    async def on_post_restore(self, context: WriterContext) -> None:
        """Pass on."""
        await self._observe("on_post_restore", context.session_id, self.inner.on_post_restore(context))
