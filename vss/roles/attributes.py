"""The attributes of shadow copies: what is asked for when a set is made, and what a shadow copy is.

Source of names and bits: the vendor's public header vss.h (VSS_VOLUME_SNAPSHOT_ATTRIBUTES).
"""

from __future__ import annotations

from enum import IntFlag


class SnapshotAttributes(IntFlag):
    """VSS_VOLSNAP_ATTR_* bits."""

    NONE = 0
    PERSISTENT = 0x1
    NO_AUTORECOVERY = 0x2
    CLIENT_ACCESSIBLE = 0x4
    NO_AUTO_RELEASE = 0x8
    NO_WRITERS = 0x10
    TRANSPORTABLE = 0x20
    NOT_SURFACED = 0x40
    NOT_TRANSACTED = 0x80
    HARDWARE_ASSISTED = 0x10000
    DIFFERENTIAL = 0x20000
    PLEX = 0x40000
    IMPORTED = 0x80000
    EXPOSED_LOCALLY = 0x100000
    EXPOSED_REMOTELY = 0x200000
    AUTORECOVER = 0x400000
    ROLLBACK_RECOVERY = 0x800000
    DELAYED_POSTSNAPSHOT = 0x1000000
    TXF_RECOVERY = 0x2000000
    FILE_SHARE = 0x4000000


CONTEXT_BITS = 0x1D
"""Those that make up a context (VSS_SNAPSHOT_CONTEXT): persistent, client accessible, no auto release, no writers."""

NOT_FOR_VOLATILE_FULL_COPIES = int(
    SnapshotAttributes.PERSISTENT
    | SnapshotAttributes.CLIENT_ACCESSIBLE
    | SnapshotAttributes.NO_AUTO_RELEASE
    | SnapshotAttributes.TRANSPORTABLE
    | SnapshotAttributes.HARDWARE_ASSISTED
    | SnapshotAttributes.DIFFERENTIAL
)
"""What a provider refuses whose shadow copies are whole and live as long as it does."""
