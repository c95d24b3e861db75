"""The coordinator and its sessions: who is called when, under which limit, and what happens when they fail."""

from vss.coordinator.async_operation import AsyncOperation
from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext
from vss.coordinator.coordinator import Coordinator
from vss.coordinator.limits import Limits, limits_of_profile
from vss.coordinator.session import Session
from vss.coordinator.snapshots import Deletion
from vss.coordinator.transactions import TransactionManager, TransactionSystem
from vss.coordinator.writer_status import ComponentFailure, WriterStatus

__all__ = [
    "AsyncOperation",
    "ComponentFailure",
    "Coordinator",
    "Deletion",
    "Limits",
    "Session",
    "SnapshotAttributes",
    "SnapshotContext",
    "TransactionManager",
    "TransactionSystem",
    "WriterStatus",
    "limits_of_profile",
]
