"""The system's own transaction managers, frozen after the last writer and thawed before the first.

A machine without any (the default) skips the step, and so does a set with NOT_TRANSACTED. A manager that does not freeze or
thaw in time fails the set. Source: Volume Shadow Copy Service documentation, "Shadow copy creation for providers" (diagram),
"VSS_VOLUME_SNAPSHOT_ATTRIBUTES" (NOT_TRANSACTED), error list of DoSnapshotSet.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from functools import partial
from typing import Any, Protocol

from vss.coordinator.calls import Call, Caller, Outcome
from vss.errors import TransactionFreezeError, TransactionThawError
from vss.ids import Guid


class TransactionSystem(Enum):
    """Which of the two managers of the system: the value are the log entries for a freeze and a thaw that came too late."""

    KERNEL = (12323, 12324)
    DISTRIBUTED = (12325, 12326)


class TransactionManager(Protocol):
    """A manager of transactions that span applications. Transactions may not commit between freeze and thaw."""

    @property
    def name(self) -> str:
        """For messages."""
        ...

    @property
    def system(self) -> TransactionSystem:
        """Which one it is."""
        ...

    async def freeze(self, snapshot_set_id: Guid) -> None:
        """Let no transaction commit from now."""
        ...

    async def thaw(self, snapshot_set_id: Guid) -> None:
        """Let transactions commit again; harmless where nothing is frozen."""
        ...


class TransactionFreeze:
    """The managers of one set: those that were asked to freeze are thawed, whatever happens."""

    def __init__(self, caller: Caller, managers: Sequence[TransactionManager], snapshot_set_id: Guid, limit_s: float) -> None:
        """Prepare; nobody is frozen yet."""
        self._caller = caller
        self._managers = managers
        self._set_id = snapshot_set_id
        self._limit_s = limit_s
        self._frozen: list[TransactionManager] = []

    async def freeze(self) -> None:
        """Freeze one after the other.

        Raises:
            TransactionFreezeError: one did not freeze in time, or failed.
        """
        for manager in self._managers:
            self._frozen.append(manager)
            outcome = await self._ask(manager, "coord.freeze_transactions", manager.freeze)
            if outcome.error is not None:
                text = f"transaction manager '{manager.name}' did not freeze: {outcome.error}"
                self._caller.log.write(manager.system.value[0], text)
                raise TransactionFreezeError(text) from outcome.error

    async def thaw(self) -> None:
        """Thaw all that were asked to freeze, in reverse.

        Raises:
            TransactionThawError: one did not thaw in time, or failed; the others were thawed all the same.
        """
        first: TransactionThawError | None = None
        while self._frozen:
            manager = self._frozen.pop()
            outcome = await self._ask(manager, "coord.thaw_transactions", manager.thaw)
            if outcome.error is not None:
                text = f"transaction manager '{manager.name}' did not thaw: {outcome.error}"
                self._caller.log.write(manager.system.value[1], text)
                first = first or TransactionThawError(text)
        if first is not None:
            raise first

    async def _ask(
        self, manager: TransactionManager, site: str, method: Callable[[Guid], Coroutine[Any, Any, None]]
    ) -> Outcome:
        call = Call(f"transactions:{manager.name}", site, partial(method, self._set_id))
        return await self._caller.call(call, self._limit_s)
