"""Invariants: what must hold after every run, judged from the event log and from bytes, never by the code that is judged."""

from __future__ import annotations

from vss.simulation.invariants.checker import Verdict, assert_invariants, check, report
from vss.simulation.invariants.evidence import (
    ApplicationWrite,
    BackupSetFiles,
    Catalogue,
    Document,
    EndState,
    Evidence,
    FrozenFiles,
    Outcome,
    RegionCopy,
    RestoreEvidence,
    SnapshotRead,
    StoreEvidence,
    StoreFlush,
    StoreWrite,
    Trial,
    VolumeEvidence,
)
from vss.simulation.invariants.judging import INVARIANTS, Invariant, Kind, Need, Violation

__all__ = [
    "INVARIANTS",
    "ApplicationWrite",
    "BackupSetFiles",
    "Catalogue",
    "Document",
    "EndState",
    "Evidence",
    "FrozenFiles",
    "Invariant",
    "Kind",
    "Need",
    "Outcome",
    "RegionCopy",
    "RestoreEvidence",
    "SnapshotRead",
    "StoreEvidence",
    "StoreFlush",
    "StoreWrite",
    "Trial",
    "Verdict",
    "Violation",
    "VolumeEvidence",
    "assert_invariants",
    "check",
    "report",
]
