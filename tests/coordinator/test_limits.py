"""The time limits: each number said a second time, with the profile that drops one."""

from __future__ import annotations

import math
from dataclasses import asdict

from vss.coordinator.limits import Limits, limits_of_profile

MINUTE_S = 60.0
HOUR_S = 3600.0
STRICT = {
    "hold_window_s": 10.0,
    "release_s": 10.0,
    "freeze_window_s": 10.0,
    "identify_s": MINUTE_S,
    "prepare_backup_s": 10 * MINUTE_S,
    "prepare_snapshot_s": 10 * MINUTE_S,
    "thaw_s": MINUTE_S,
    "post_snapshot_s": 10 * MINUTE_S,
    "optimization_s": MINUTE_S,
    "backup_complete_s": 10 * MINUTE_S,
    "backup_shutdown_s": MINUTE_S,
    "abort_s": MINUTE_S,
    "pre_restore_s": 10 * MINUTE_S,
    "post_restore_s": HOUR_S,
    "is_supported_s": MINUTE_S,
    "begin_prepare_s": MINUTE_S,
    "end_prepare_s": HOUR_S / 2,
    "pre_commit_s": MINUTE_S,
    "post_commit_s": MINUTE_S,
    "final_commit_s": MINUTE_S,
    "query_s": MINUTE_S,
    "delete_s": 10 * MINUTE_S,
    "revert_s": HOUR_S,
    "import_s": 10 * MINUTE_S,
    "close_s": MINUTE_S,
    "transaction_s": MINUTE_S / 2,
    "writer_status_slots": 64,
    "client_accessible_max": 64,
}


def test_the_strict_limits() -> None:
    assert asdict(Limits()) == STRICT
    assert limits_of_profile("strict") == Limits()


def test_the_profile_of_the_vendor_differs_in_the_freeze_window_alone() -> None:
    assert asdict(limits_of_profile("windows")) == {**STRICT, "freeze_window_s": math.inf}
