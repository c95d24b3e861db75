"""What a writer tells the coordinator of what its store and engine raised."""

from __future__ import annotations

import pytest

from vss.errors import VolumeFullError, WriterError, WriterRetryableError, WriterTimeoutError
from vss.hresult import HResult
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.exchange.refusals import as_refusal
from vss_writers.exchange.storage_group import StoreError


@pytest.mark.parametrize("code", [JetCode.LogDiskFull, JetCode.InstanceUnavailableDueToFatalLogDiskFull, JetCode.DiskFull])
def test_a_full_disk_is_out_of_resources_at_once_and_ever_after(code: JetCode) -> None:
    for error in (JetError(code), StoreError("storage group 'SG1': full", code)):
        assert as_refusal(error).hresult == HResult.VSS_E_WRITERERROR_OUTOFRESOURCES
    assert as_refusal(VolumeFullError("volume L: is full")).hresult == HResult.VSS_E_WRITERERROR_OUTOFRESOURCES


def test_only_another_backup_is_worth_another_attempt() -> None:
    assert isinstance(as_refusal(JetError(JetCode.BackupInProgress)), WriterRetryableError)
    assert isinstance(as_refusal(JetError(JetCode.OSSnapshotTimeOut)), WriterTimeoutError)
    assert isinstance(as_refusal(TimeoutError()), WriterTimeoutError)
    refusal = as_refusal(JetError(JetCode.MissingFullBackup))
    assert not isinstance(refusal, WriterRetryableError)
    assert as_refusal(refusal) is refusal
    assert type(as_refusal(StoreError("storage group 'SG1': a volume failed"))) is WriterError
