"""When pages are written behind the log: after a commit that leaves too much of it to replay, and in idle moments.

Neither happens while somebody is writing or the instance is frozen: both hold the writer's turn. A failing database disk does
not make a durable commit fail: it is reported as an event, and pages stay in memory.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from vss_writers.ese.errors import JetError

if TYPE_CHECKING:
    from vss_writers.ese.instance import Instance


async def write_behind_if_due(instance: Instance) -> None:
    """Move the checkpoint where it has fallen behind."""
    if not instance.checkpointer.is_due or instance.writer.locked():
        return
    async with instance.writer:
        with suppress(JetError):
            instance.check_running()
            await instance.checkpointer.write_behind()


async def write_idle(instance: Instance) -> int:
    """Write some changed pages that nobody presses for, and return how many.

    Whoever uses the instance calls this when it has nothing to do.
    """
    if not instance.is_open or instance.writer.locked():
        return 0
    async with instance.writer:
        with suppress(JetError):
            instance.check_running()
            return await instance.checkpointer.write_idle()
    return 0
