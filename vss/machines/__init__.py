"""Writer, session and provider state as tables: what is legal now, and where it leads. Nothing here does anything."""

from vss.machines.provider import ProviderMachine, ProviderPhase, ProviderState
from vss.machines.session import SessionCall, SessionMachine, SessionState
from vss.machines.snapshot import SnapshotState, snapshot_state
from vss.machines.writer import WriterEvent, WriterMachine, WriterState

__all__ = [
    "ProviderMachine",
    "ProviderPhase",
    "ProviderState",
    "SessionCall",
    "SessionMachine",
    "SessionState",
    "SnapshotState",
    "WriterEvent",
    "WriterMachine",
    "WriterState",
    "snapshot_state",
]
