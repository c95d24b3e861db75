"""Shadow copy contexts and attributes: what a set is for, and what follows for writers and for its life.

Source of names and bits: the vendor's public header vss.h (VSS_SNAPSHOT_CONTEXT).
"""

from __future__ import annotations

from enum import IntEnum

from vss.errors import InvalidArgumentError
from vss.roles.attributes import SnapshotAttributes

__all__ = ["MODIFIERS", "SnapshotAttributes", "SnapshotContext", "check_attributes"]

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
