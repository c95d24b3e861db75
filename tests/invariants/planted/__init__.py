"""The planted bugs, by family."""

from __future__ import annotations

from tests.invariants.planted import backup_bugs, content_bugs, freeze_bugs, run_bugs, session_bugs, store_bugs

ALL = [
    *freeze_bugs.BUGS,
    *content_bugs.BUGS,
    *session_bugs.BUGS,
    *backup_bugs.BUGS,
    *store_bugs.BUGS,
    *run_bugs.BUGS,
]
