"""The one table of exit codes of both commands (``vss`` and ``betest``). Imports nothing local."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script can act on; ``docs/exit-codes.md`` is generated from the comments of this table."""

    OK = 0  # done
    UNEXPECTED = 1  # unexpected failure
    USAGE = 2  # usage or configuration
    WARNINGS = 3  # finished with warnings, or partly
    SNAPSHOT_FAILED = 4  # snapshot failed, writers released
    WINDOW_LOST = 5  # freeze, flush or hold window lost
    VERIFICATION_MISMATCH = 6  # verification found wrong bytes
    UNSUPPORTED = 7  # unsupported or vetoed
    SET_IN_PROGRESS = 8  # another set is being created
    PLUGIN_FAILED = 9  # a needed plugin failed to load
    NOT_FOUND = 10  # lab, set, writer, component … not found
    INVARIANT = 11  # an invariant or expectation was violated
    INTERRUPTED = 130  # Ctrl-C, after thaw and release
    TERMINATED = 143  # SIGTERM, after thaw and release
