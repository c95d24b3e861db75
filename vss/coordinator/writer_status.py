"""What GatherWriterStatus knows: a writer's state in a session, whose session that is, and when it can be trusted.

Each session that sends a writer an event has a slot of its own at that writer. Slots are few; one becomes free with the
GatherWriterStatus after BackupComplete, or with the release. A session that found no slot free reads UNKNOWN with
VSS_E_WRITER_STATUS_NOT_AVAILABLE. A session that sent a writer nothing (a status reader such as vssadmin) sees what the most
recent session left, with its age. Source: Volume Shadow Copy Service documentation, "Determining writer status" and
"IVssBackupComponents::GetWriterStatus"; the number of slots is not documented.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vss.documents import ComponentType
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import WriterState
from vss.ports import Ports

if TYPE_CHECKING:
    from vss.coordinator.participant import Participant


@dataclass(frozen=True, slots=True)
class ComponentFailure:
    """Why one component failed though its writer went on (IVssComponentEx2::SetFailure)."""

    type: ComponentType
    logical_path: str
    component_name: str
    failure: HResult
    application_failure: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class WriterStatus:
    """What GatherWriterStatus knows of one writer (GetWriterStatusEx).

    Attributes:
        writer_id: the writer class.
        instance_id: the running instance.
        name: the writer's name.
        state: where the writer stands; UNKNOWN where it does not answer or has no slot.
        failure: S_OK, one of ``WRITER_FAILURES``, VSS_E_WRITER_NOT_RESPONDING or VSS_E_WRITER_STATUS_NOT_AVAILABLE.
        message: why, in the writer's words.
        application_failure: the application's own code beside ``failure``; 0 where it gave none.
        session_id: the session that brought the writer into this state; GUID_NULL where none ever did.
        age_ns: how long ago.
        is_meaningful: whether this is the answer to the asking session's own last step; otherwise it may be old news.
        component_failures: with VSS_E_WRITERERROR_PARTIAL_FAILURE, the components that failed.
    """

    writer_id: Guid
    instance_id: Guid
    name: str
    state: WriterState
    failure: HResult
    message: str
    application_failure: int = 0
    session_id: Guid = GUID_NULL
    age_ns: int = 0
    is_meaningful: bool = False
    component_failures: tuple[ComponentFailure, ...] = ()


class StatusBoard:
    """The slots of all writers of one machine."""

    def __init__(self, ports: Ports, slot_count: int) -> None:
        """Begin with free slots only; each writer has ``slot_count``."""
        self._ports = ports
        self._slot_count = slot_count
        self._taken: dict[Guid, int] = {}
        self._latest: dict[Guid, Participant] = {}

    def take(self, participant: Participant) -> bool:
        """The session of ``participant`` sends its first event, which makes it the most recent one: give it a slot.

        Returns:
            Whether one was free.
        """
        instance_id = participant.instance_id
        taken = self._taken.get(instance_id, 0)
        if taken >= self._slot_count:
            return False
        self._taken[instance_id] = taken + 1
        self._latest[instance_id] = participant
        return True

    def free(self, participant: Participant) -> None:
        """The session of ``participant`` needs its slot no longer; what it left stays visible until another begins."""
        self._taken[participant.instance_id] -= 1

    def status_of(self, participant: Participant, *, is_meaningful: bool) -> WriterStatus:
        """Return what the session of ``participant`` reads of its writer."""
        if participant.is_forgotten:
            return self._read(participant, is_meaningful)
        if participant.is_involved and not participant.has_slot:
            return WriterStatus(
                participant.writer.writer_class_id,
                participant.instance_id,
                participant.writer.name,
                WriterState.UNKNOWN,
                HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE,
                f"all {self._slot_count} status slots of the writer are taken by other sessions",
                session_id=participant.session_id,
            )
        if participant.is_involved:
            return self._read(participant, is_meaningful)
        latest = self._latest.get(participant.instance_id)
        return participant.status() if latest is None else self._read(latest, is_meaningful=False)

    def _read(self, participant: Participant, is_meaningful: bool) -> WriterStatus:
        age_ns = self._ports.clock.now_ns() - participant.changed_ns
        return participant.status(participant.session_id, age_ns, is_meaningful)
