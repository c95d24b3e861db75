"""What the service and the kernel below it write to the event log, with the vendor's ids.

An entry is an ``ApplicationLogged`` event with source ``VSS`` or ``volsnap``. Nothing is written while writes are held: entries
wait in memory until the last hold is over ("Required behaviors for shadow copy providers": no logging while volumes are
frozen). Source of ids and severities: message tables of VSSVC.EXE and volsnap.sys; the sentences are our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vss.events import ApplicationLogged, Event

SERVICE = "VSS"
KERNEL = "volsnap"

ENTRIES: Mapping[tuple[str, int], tuple[str, str]] = {
    (SERVICE, 4002): ("error", "several shadow copies of one volume were asked for in one set"),
    (SERVICE, 4003): ("warning", "Freeze was received more than two minutes ago, and neither Thaw nor Abort followed"),
    (SERVICE, 8217): ("error", "a second instance of a writer class has no instance name"),
    (SERVICE, 8218): ("error", "two instances of a writer class have the same instance name"),
    (SERVICE, 8219): ("warning", "files that are to be kept out of a shadow copy could not be looked for"),
    (SERVICE, 8220): ("warning", "there was no time to delete all files that are to be kept out of the shadow copies"),
    (SERVICE, 8221): ("error", "a components document was rejected: it is not of a transportable set"),
    (SERVICE, 8226): ("warning", "a file that is to be kept out of a shadow copy could not be deleted from it"),
    (SERVICE, 8229): ("warning", "a writer rejected an event; its changes of the document are dropped"),
    (SERVICE, 12293): ("error", "a routine of a provider failed"),
    (SERVICE, 12294): ("error", "a routine of a provider returned E_INVALIDARG"),
    (SERVICE, 12297): ("error", "writes could not be flushed"),
    (SERVICE, 12298): ("error", "writes could not be held"),
    (SERVICE, 12299): ("error", "a provider committed a wrong number of shadow copies"),
    (SERVICE, 12301): ("error", "a writer did not answer GatherWriterStatus"),
    (SERVICE, 12308): ("error", "a volume was invalid or dismounted while its shadow copy was created"),
    (SERVICE, 12310): ("error", "the shadow copies could not be committed in time"),
    (SERVICE, 12323): ("warning", "the kernel transaction manager did not freeze in time"),
    (SERVICE, 12324): ("warning", "the kernel transaction manager did not thaw in time"),
    (SERVICE, 12325): ("warning", "the distributed transaction coordinator did not freeze in time"),
    (SERVICE, 12326): ("warning", "the distributed transaction coordinator did not thaw in time"),
    (SERVICE, 12349): ("warning", "a writer spent too long in Freeze"),
    (SERVICE, 12366): ("error", "an exception escaped a writer's handler"),
    (KERNEL, 8): ("error", "flush-and-hold timed out waiting for the release"),
    (KERNEL, 9): ("error", "flush-and-hold timed out waiting for the file system"),
    (KERNEL, 23): ("error", "there is no space to create a shadow copy"),
    (KERNEL, 58): ("information", "the oldest shadow copy was deleted: the volume has as many as it may"),
}
"""(source, id) → (severity, meaning) of every entry that is written here."""


class ServiceLog:
    """The event log as one machine's service writes it."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        """Write to ``emit``."""
        self._emit = emit
        self._held_count = 0
        self._waiting: list[ApplicationLogged] = []

    def write(self, event_id: int, detail: str, source: str = SERVICE) -> None:
        """Write one entry of the table, now or when the last hold is over."""
        severity, meaning = ENTRIES[source, event_id]
        entry = ApplicationLogged(source=source, event_id=event_id, severity=severity, message=f"{meaning}: {detail}")
        if self._held_count:
            self._waiting.append(entry)
        else:
            self._emit(entry)

    def hold(self) -> None:
        """Writes are held from now: entries wait."""
        self._held_count += 1

    def resume(self) -> None:
        """One hold is over; after the last one what waited is written."""
        self._held_count -= 1
        if self._held_count == 0 and self._waiting:
            waiting, self._waiting = self._waiting, []
            for entry in waiting:
                self._emit(entry)
