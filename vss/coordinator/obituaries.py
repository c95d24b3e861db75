"""Requestors that end without releasing their session: the service notices, and releases it for them.

A requestor is the task that opened the session. The vendor's service learns of a dead process from its proxy and does the same
("Handling BackupShutdown events"). A task that a simulated crash killed tells nobody; for it there is
``Coordinator.requestor_died``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vss.errors import VssError
from vss.events import PluginProblem

if TYPE_CHECKING:
    from vss.coordinator.session_core import SessionCore

Watch = tuple["asyncio.Task[Any]", Callable[["asyncio.Task[Any]"], None]]


class Obituaries:
    """The requestors of the open sessions."""

    def __init__(self) -> None:
        """Watch nobody."""
        self._watched: dict[int, Watch] = {}
        self._releasing: dict[int, asyncio.Task[None]] = {}

    def watch(self, session: SessionCore) -> None:
        """Release ``session`` when the current task ends before it was released. Outside a task nobody is watched."""
        try:
            requestor = asyncio.current_task()
        except RuntimeError:  # no loop is running: the machine is being put together
            requestor = None
        if requestor is None:
            return

        def died(requestor: asyncio.Task[Any]) -> None:
            if not requestor.done():
                session.call_under_way.forget(requestor)
            self._watched.pop(id(session), None)
            self._releasing[id(session)] = asyncio.get_running_loop().create_task(self._release(session))

        requestor.add_done_callback(died)
        self._watched[id(session)] = (requestor, died)

    def forget(self, session: SessionCore) -> None:
        """``session`` was released."""
        watch = self._watched.pop(id(session), None)
        if watch is not None:
            requestor, died = watch
            requestor.remove_done_callback(died)

    def note_killed(self, requestor: asyncio.Task[Any]) -> None:
        """A simulated crash killed a requestor's task: release what it had open."""
        for task, died in [watch for watch in self._watched.values() if watch[0] is requestor]:
            task.remove_done_callback(died)
            died(task)

    def note_dead(self, session: SessionCore) -> None:
        """The requestor of ``session`` is dead, whether or not its task could tell."""
        if id(session) in self._watched:
            session.call_under_way.forget(self._watched[id(session)][0])

    async def _release(self, session: SessionCore) -> None:
        try:
            await session.release()
        except VssError as error:
            session.report(PluginProblem(plugin="requestor", stage="release", message=error.message))
        finally:
            del self._releasing[id(session)]

    async def wait(self) -> None:
        """Wait until every session of a dead requestor is released."""
        while self._releasing:
            await asyncio.wait(list(self._releasing.values()))
