"""From what the store and its engine raise to what a writer may tell the coordinator.

Worth another attempt is only what passes by itself: another backup under way. A full disk is "out of resources"; a freeze that
was given up is "timeout"; all else (no full backup to build on, circular logging, a failed disk) fails again in the same way.
"""

from __future__ import annotations

from vss.errors import VolumeFullError, VssError, WriterError, WriterRetryableError, WriterTimeoutError
from vss.hresult import HResult
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.exchange.storage_group import StoreError

_PASSING = (JetCode.OSSnapshotNotAllowed, JetCode.BackupInProgress)
_FULL = (JetCode.LogDiskFull, JetCode.InstanceUnavailableDueToFatalLogDiskFull, JetCode.DiskFull)


def as_refusal(error: JetError | VssError | TimeoutError) -> WriterError:
    """Return the refusal that ``error`` amounts to; a ``WriterError`` is one already."""
    if isinstance(error, WriterError):
        return error
    if isinstance(error, TimeoutError):
        return WriterTimeoutError("the engine did not stop writing in time")
    code = error.code if isinstance(error, JetError | StoreError) else None
    text = error.message if isinstance(error, VssError) else str(error)
    if code is JetCode.OSSnapshotTimeOut:
        return WriterTimeoutError(text)
    if code in _PASSING:
        return WriterRetryableError(text)
    if code in _FULL or isinstance(error, VolumeFullError):
        return WriterError(text, hresult=HResult.VSS_E_WRITERERROR_OUTOFRESOURCES)
    return WriterError(text)
