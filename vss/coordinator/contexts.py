"""Shadow copy contexts and attributes: what a set is for, and what follows for writers and for its life.

Source of names and bits: the vendor's public header vss.h (VSS_SNAPSHOT_CONTEXT, VSS_VOLUME_SNAPSHOT_ATTRIBUTES).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


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


class SnapshotContext(IntEnum):
    """VSS_CTX_*: a fixed combination of the low attribute bits."""

    BACKUP = 0x00
    FILE_SHARE_BACKUP = 0x10
    APP_ROLLBACK = 0x09
    NAS_ROLLBACK = 0x19
    CLIENT_ACCESSIBLE_WRITERS = 0x0D
    CLIENT_ACCESSIBLE = 0x1D
    ALL = 0xFFFFFFFF

    @property
    def has_writers(self) -> bool:
        """Whether writers take part in making the set."""
        return not self & SnapshotAttributes.NO_WRITERS

    @property
    def is_auto_release(self) -> bool:
        """Whether the shadow copies go when the session is released."""
        return not self & SnapshotAttributes.NO_AUTO_RELEASE

    @property
    def attributes(self) -> SnapshotAttributes:
        """The attribute bits that a shadow copy of this context carries."""
        return SnapshotAttributes(self.value & 0xFF)
