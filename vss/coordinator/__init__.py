"""The coordinator and its sessions: who is called when, under which limit, and what happens when they fail."""

from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext
from vss.coordinator.coordinator import Coordinator
from vss.coordinator.limits import Limits, limits_of_profile
from vss.coordinator.session import Session
from vss.coordinator.session_core import WriterStatus

__all__ = [
    "Coordinator",
    "Limits",
    "Session",
    "SnapshotAttributes",
    "SnapshotContext",
    "WriterStatus",
    "limits_of_profile",
]
