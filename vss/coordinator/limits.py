"""Every time limit of the protocol, in seconds, named. No call to a plugin waits without one of these.

The hold-writes window is the vendor's 10 s and is kept by the volume itself; a release is waited for as long, so that a volume
that does not answer has let its writes go before it is given up. The freeze window, from the first Freeze to the
last Thaw of a set, is 10 s in the ``strict`` profile; the ``windows`` profile drops it and leaves each writer its own freeze
timeout (60 s by default), as the vendor does. Preparation limits have no documented number; ours are generous.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vss.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds each step may take, and two counts: how many sessions a writer remembers at once (the vendor's number is not
    documented), and how many client-accessible shadow copies a volume keeps (the vendor's MaxShadowCopies)."""

    hold_window_s: float = 10.0
    release_s: float = 10.0
    freeze_window_s: float = 10.0
    identify_s: float = 60.0
    prepare_backup_s: float = 600.0
    prepare_snapshot_s: float = 600.0
    thaw_s: float = 60.0
    post_snapshot_s: float = 600.0
    optimization_s: float = 60.0
    backup_complete_s: float = 600.0
    backup_shutdown_s: float = 60.0
    abort_s: float = 60.0
    pre_restore_s: float = 600.0
    post_restore_s: float = 3600.0
    is_supported_s: float = 60.0
    begin_prepare_s: float = 60.0
    end_prepare_s: float = 1800.0
    pre_commit_s: float = 60.0
    post_commit_s: float = 60.0
    final_commit_s: float = 60.0
    query_s: float = 60.0
    delete_s: float = 600.0
    revert_s: float = 3600.0
    import_s: float = 600.0
    close_s: float = 60.0
    transaction_s: float = 30.0
    writer_status_slots: int = 64
    client_accessible_max: int = 64


def limits_of_profile(profile: str) -> Limits:
    """Return the limits called ``strict`` (the default) or ``windows``.

    Raises:
        ConfigurationError: there is no such profile.
    """
    if profile == "strict":
        return Limits()
    if profile == "windows":
        return Limits(freeze_window_s=math.inf)
    raise ConfigurationError(f"unknown limits profile '{profile}': expected 'strict' or 'windows'")
