"""Shadow copy contexts and attributes: what a set is for, and what follows for writers and for its life.

Source of names and bits: the vendor's public header vss.h (VSS_SNAPSHOT_CONTEXT, VSS_VOLUME_SNAPSHOT_ATTRIBUTES).
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from vss.errors import InvalidArgumentError


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


MODIFIERS = (
    SnapshotAttributes.NO_AUTORECOVERY
    | SnapshotAttributes.TRANSPORTABLE
    | SnapshotAttributes.NOT_TRANSACTED
    | SnapshotAttributes.DIFFERENTIAL
    | SnapshotAttributes.PLEX
    | SnapshotAttributes.ROLLBACK_RECOVERY
    | SnapshotAttributes.TXF_RECOVERY
)
"""What a requestor may add to a context. (The vendor's overview names three; the page of the bits says so of these seven.)"""

_EXCLUSIVE = (
    (SnapshotAttributes.DIFFERENTIAL, SnapshotAttributes.PLEX),
    (SnapshotAttributes.NO_AUTORECOVERY, SnapshotAttributes.ROLLBACK_RECOVERY),
    (SnapshotAttributes.NO_AUTORECOVERY, SnapshotAttributes.TXF_RECOVERY),
)


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
    def is_persistent(self) -> bool:
        """Whether the shadow copies survive a restart."""
        return bool(self & SnapshotAttributes.PERSISTENT)

    @property
    def is_client_accessible(self) -> bool:
        """Whether the shadow copies are those that people see as previous versions."""
        return self is not SnapshotContext.ALL and bool(self & SnapshotAttributes.CLIENT_ACCESSIBLE)


def check_attributes(context: SnapshotContext, attributes: SnapshotAttributes) -> None:
    """Check what a requestor adds to a context.

    Raises:
        InvalidArgumentError: a bit that is not the requestor's to set, a pair that excludes each other, or any addition to a
            client-accessible context or to ALL.
    """
    if not attributes:
        return
    if context is SnapshotContext.ALL or context.is_client_accessible:
        raise InvalidArgumentError(f"context {context.name} cannot be modified: found {attributes!r}")
    if attributes & ~MODIFIERS:
        raise InvalidArgumentError(f"expected attributes of {MODIFIERS!r}, found {attributes & ~MODIFIERS!r}")
    for one, other in _EXCLUSIVE:
        if one in attributes and other in attributes:
            raise InvalidArgumentError(f"attributes {one.name} and {other.name} exclude each other")
