"""The order in which a writer may be called, checked by the writer itself: the coordinator is under test, too.

The rows follow the reference ("Overview of processing a backup", "Aborting VSS operations", "CVssWriter::OnBackupShutdown") and
not the coordinator's table: exactly one of Thaw and Abort after Freeze, no Abort after PostSnapshot, Abort any number of
times, BackupShutdown last and never to a frozen writer. Identify may come at any time and is no part of a session.
"""

from __future__ import annotations

from vss.ids import Guid

_START = ""

_FOLLOWERS: dict[str, tuple[str, ...]] = {
    # Abort and BackupShutdown may be the first thing a writer hears: whoever was to call it before may have failed to.
    _START: ("PrepareForBackup", "Abort", "BackupShutdown", "PreRestore"),
    "PrepareForBackup": ("PrepareForSnapshot", "Abort", "BackupShutdown"),
    "PrepareForSnapshot": ("Freeze", "Abort", "BackupShutdown"),
    "Freeze": ("Thaw", "Abort"),
    "Thaw": ("PostSnapshot", "Abort", "BackupShutdown"),
    "PostSnapshot": ("BackupComplete", "BackupShutdown"),
    "BackupComplete": ("BackupShutdown",),
    "Abort": ("Abort", "BackupShutdown"),
    "BackupShutdown": (),
    "PreRestore": ("PostRestore",),
    "PostRestore": (),
}

_SESSIONS_MAX = 64
"""How many sessions are remembered; the oldest goes first."""


class CallOrder:
    """What each session called last."""

    def __init__(self) -> None:
        """Begin with no session."""
        self._last: dict[Guid, str] = {}

    def recall(self, session_id: Guid, event: str) -> None:
        """The last call of a session that was suspended with its machine."""
        self._last[session_id] = event

    def call(self, session_id: Guid, event: str) -> str:
        """Note a call; return what is wrong with it, as a sentence, or nothing."""
        last = self._last.pop(session_id, _START)
        self._last[session_id] = event
        if len(self._last) > _SESSIONS_MAX:
            del self._last[next(iter(self._last))]
        followers = _FOLLOWERS[last]
        if event in followers:
            return ""
        expected = f"expected {' or '.join(followers)}" if followers else "expected nothing more in this session"
        return f"called {event} {f'after {last}' if last else 'first in a session'}: {expected}"
