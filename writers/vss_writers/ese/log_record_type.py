"""Numbers of the log record types this engine writes.

Sources: published engine, logapi.hxx.
"""

from __future__ import annotations

from enum import IntEnum


class RecordType(IntEnum):
    """Types this engine writes."""

    NOP = 0
    END = 4
    ROLLBACK = 7
    BEGIN0 = 8
    COMMIT0 = 9
    MACRO_BEGIN = 11
    MACRO_COMMIT = 12
    CREATE_DATABASE = 14
    ATTACH_DATABASE = 15
    DETACH_DATABASE = 16
    INSERT = 29
    REPLACE = 33
    DELETE = 35
    SET_EXTERNAL_HEADER = 38
    CHECKSUM = 42
    INIT2 = 49
    TERM2 = 50
    RECOVERY_UNDO2 = 51
    RECOVERY_QUIT2 = 52
    BACKUP2 = 60
    SPLIT2 = 62
    MERGE2 = 63
    SCRUB = 64
    EXTEND_DATABASE = 68
    NOP2 = 71
    NEW_PAGE = 95
