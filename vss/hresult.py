"""Every code the protocol speaks: symbol, number, meaning, whether a retry can help.

Source of names and numbers: the vendor's public header vsserror.h; meanings in our own words. A member is an ``int``, so it
compares and formats as the number; ``meaning`` and ``is_retryable`` hang on it. This module imports nothing local.
"""

from __future__ import annotations

from enum import Enum


class HResult(int, Enum):
    """A result code. Success codes have the top bit clear (``is_failure`` is false)."""

    meaning: str
    is_retryable: bool

    def __new__(cls, value: int, meaning: str, is_retryable: bool = False) -> HResult:
        """Attach meaning and retryability to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        member.is_retryable = is_retryable
        return member

    @property
    def is_failure(self) -> bool:
        """Whether the code means failure (the vendor's FAILED() macro)."""
        return bool(self.value & 0x80000000)

    def __str__(self) -> str:
        """``VSS_E_BAD_STATE (0x80042301)``: the form people search for."""
        return f"{self.name} (0x{self.value:08X})"

    S_OK = 0x00000000, "done"
    S_FALSE = 0x00000001, "done, with nothing to report"
    E_NOTIMPL = 0x80004001, "not implemented"
    E_POINTER = 0x80004003, "a pointer is not valid"
    E_FAIL = 0x80004005, "unspecified failure"
    E_ACCESSDENIED = 0x80070005, "the caller lacks the rights"
    E_OUTOFMEMORY = 0x8007000E, "out of memory", True
    E_INVALIDARG = 0x80070057, "an argument is not valid"

    VSS_S_ASYNC_PENDING = 0x00042309, "the asynchronous operation is still running"
    VSS_S_ASYNC_FINISHED = 0x0004230A, "the asynchronous operation is done"
    VSS_S_ASYNC_CANCELLED = 0x0004230B, "the asynchronous operation was cancelled"
    VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED = 0x00042321, "only some of the shadow copies arrived"

    VSS_E_BAD_STATE = 0x80042301, "the call is out of sequence or of the wrong kind for this object"
    VSS_E_UNEXPECTED = 0x80042302, "unexpected error"
    VSS_E_PROVIDER_ALREADY_REGISTERED = 0x80042303, "a provider with this id is registered already"
    VSS_E_PROVIDER_NOT_REGISTERED = 0x80042304, "no provider with this id is registered"
    VSS_E_PROVIDER_VETO = 0x80042306, "the provider refused"
    VSS_E_PROVIDER_IN_USE = 0x80042307, "the provider is in use"
    VSS_E_OBJECT_NOT_FOUND = 0x80042308, "the object does not exist"
    VSS_E_VOLUME_NOT_SUPPORTED = 0x8004230C, "no provider supports the volume with these attributes"
    VSS_E_OBJECT_ALREADY_EXISTS = 0x8004230D, "the object exists already"
    VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER = 0x8004230E, "the chosen provider does not support the volume"
    VSS_E_UNEXPECTED_PROVIDER_ERROR = 0x8004230F, "the provider crashed or returned something it must not"
    VSS_E_CORRUPT_XML_DOCUMENT = 0x80042310, "the document is corrupt (no longer returned)"
    VSS_E_INVALID_XML_DOCUMENT = 0x80042311, "the document is malformed or of the wrong schema"
    VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED = 0x80042312, "the set has 64 volumes already"
    VSS_E_FLUSH_WRITES_TIMEOUT = 0x80042313, "flushing the volume took too long", True
    VSS_E_HOLD_WRITES_TIMEOUT = 0x80042314, "the volume let its writes go before the commit was over", True
    VSS_E_UNEXPECTED_WRITER_ERROR = 0x80042315, "communication with a writer failed unexpectedly"
    VSS_E_SNAPSHOT_SET_IN_PROGRESS = 0x80042316, "another shadow copy set is being created", True
    VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED = 0x80042317, "the volume has as many shadow copies as it can"
    VSS_E_WRITER_INFRASTRUCTURE = 0x80042318, "the writer infrastructure is not working"
    VSS_E_WRITER_NOT_RESPONDING = 0x80042319, "the writer does not answer", True
    VSS_E_WRITER_ALREADY_SUBSCRIBED = 0x8004231A, "the writer has subscribed already"
    VSS_E_UNSUPPORTED_CONTEXT = 0x8004231B, "the shadow copy context is not supported"
    VSS_E_VOLUME_IN_USE = 0x8004231D, "the volume is in use"
    VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED = 0x8004231E, "the volume has its diff area association already"
    VSS_E_INSUFFICIENT_STORAGE = 0x8004231F, "no room for the shadow copy", True
    VSS_E_NO_SNAPSHOTS_IMPORTED = 0x80042320, "no shadow copy arrived"
    VSS_E_SOME_SNAPSHOTS_NOT_IMPORTED = 0x80042321, "some shadow copies did not arrive"
    VSS_E_MAXIMUM_NUMBER_OF_REMOTE_MACHINES_REACHED = 0x80042322, "too many remote machines in the set"
    VSS_E_REMOTE_SERVER_UNAVAILABLE = 0x80042323, "the remote server is not available", True
    VSS_E_REMOTE_SERVER_UNSUPPORTED = 0x80042324, "the remote server does not support shadow copies"
    VSS_E_REVERT_IN_PROGRESS = 0x80042325, "the volume is being reverted", True
    VSS_E_REVERT_VOLUME_LOST = 0x80042326, "the volume being reverted is gone"
    VSS_E_REBOOT_REQUIRED = 0x80042327, "a restart is needed first"
    VSS_E_TRANSACTION_FREEZE_TIMEOUT = 0x80042328, "the transaction managers did not freeze in time", True
    VSS_E_TRANSACTION_THAW_TIMEOUT = 0x80042329, "the transaction managers did not thaw in time", True
    VSS_E_UNSELECTED_VOLUME = 0x8004232A, "the disk holds volumes that were not selected"
    VSS_E_SNAPSHOT_NOT_IN_SET = 0x8004232B, "the shadow copy is not part of the set"
    VSS_E_NESTED_VOLUME_LIMIT = 0x8004232C, "the volume is nested too deeply"
    VSS_E_VOLUME_NOT_LOCAL = 0x8004232D, "the volume is owned by another node"
    VSS_E_CLUSTER_TIMEOUT = 0x8004232E, "the cluster did not answer in time", True
    VSS_E_NOT_SUPPORTED = 0x8004232F, "not supported here"
    VSS_E_WRITERERROR_PARTIAL_FAILURE = 0x80042336, "some components of the writer failed"

    VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT = 0x800423F0, "the set lacks volumes that the writer needs"
    VSS_E_WRITERERROR_OUTOFRESOURCES = 0x800423F1, "the writer ran out of resources", True
    VSS_E_WRITERERROR_TIMEOUT = 0x800423F2, "the writer's time between freeze and thaw ran out", True
    VSS_E_WRITERERROR_RETRYABLE = 0x800423F3, "the writer failed; a new attempt may succeed", True
    VSS_E_WRITERERROR_NONRETRYABLE = 0x800423F4, "the writer failed and will fail again"
    VSS_E_WRITERERROR_RECOVERY_FAILED = 0x800423F5, "the writer could not recover its files in the shadow copy"
    VSS_E_BREAK_REVERT_ID_FAILED = 0x800423F6, "the disk signature could not be reverted"
    VSS_E_LEGACY_PROVIDER = 0x800423F7, "the provider lacks the interface for this"
    VSS_E_MISSING_DISK = 0x800423F8, "a disk did not arrive"
    VSS_E_MISSING_HIDDEN_VOLUME = 0x800423F9, "a hidden volume did not arrive"
    VSS_E_MISSING_VOLUME = 0x800423FA, "a volume did not arrive"
    VSS_E_AUTORECOVERY_FAILED = 0x800423FB, "recovery inside the shadow copy failed"
    VSS_E_DYNAMIC_DISK_ERROR = 0x800423FC, "a dynamic disk could not be brought in"
    VSS_E_NONTRANSPORTABLE_BCD = 0x800423FD, "the document does not describe a transportable set"
    VSS_E_CANNOT_REVERT_DISKID = 0x800423FE, "the disk id cannot be reverted"
    VSS_E_RESYNC_IN_PROGRESS = 0x800423FF, "a resynchronisation is running", True
    VSS_E_CLUSTER_ERROR = 0x80042400, "the cluster reported an error"
    VSS_E_ASRERROR_DISK_ASSIGNMENT_FAILED = 0x80042401, "system recovery: disks could not be assigned"
    VSS_E_ASRERROR_DISK_RECREATION_FAILED = 0x80042402, "system recovery: a disk could not be recreated"
    VSS_E_ASRERROR_NO_ARCPATH = 0x80042403, "system recovery: no boot path"
    VSS_E_ASRERROR_MISSING_DYNDISK = 0x80042404, "system recovery: a dynamic disk is missing"
    VSS_E_ASRERROR_SHARED_CRIDISK = 0x80042405, "system recovery: a critical disk is shared"
    VSS_E_ASRERROR_DATADISK_RDISK0 = 0x80042406, "system recovery: a data disk stands where the system disk must"
    VSS_E_ASRERROR_RDISK0_TOOSMALL = 0x80042407, "system recovery: the first disk is too small"
    VSS_E_ASRERROR_CRITICAL_DISKS_TOO_SMALL = 0x80042408, "system recovery: the critical disks are too small"
    VSS_E_WRITER_STATUS_NOT_AVAILABLE = 0x80042409, "the writer's status slot is gone"
    VSS_E_ASRERROR_DYNAMIC_VHD_NOT_SUPPORTED = 0x8004240A, "system recovery: dynamic virtual disks are not supported"
    VSS_E_CRITICAL_VOLUME_ON_INVALID_DISK = 0x80042411, "system recovery: a critical volume is on an unsuitable disk"
    VSS_E_ASRERROR_RDISK_FOR_SYSTEM_DISK_NOT_FOUND = 0x80042412, "system recovery: no disk for the system disk"
    VSS_E_ASRERROR_NO_PHYSICAL_DISK_AVAILABLE = 0x80042413, "system recovery: no physical disk is available"
    VSS_E_ASRERROR_FIXED_PHYSICAL_DISK_AVAILABLE_AFTER_DISK_EXCLUSION = (
        0x80042414,
        "system recovery: only excluded fixed disks are left",
    )
    VSS_E_ASRERROR_CRITICAL_DISK_CANNOT_BE_EXCLUDED = 0x80042415, "system recovery: a critical disk cannot be excluded"
    VSS_E_ASRERROR_SYSTEM_PARTITION_HIDDEN = 0x80042416, "system recovery: the system partition is hidden"
    VSS_E_FSS_TIMEOUT = 0x80042417, "the file share shadow copy timed out", True
    FSRVP_E_SHADOWCOPYSET_ID_MISMATCH = 0x80042501, "file share protocol: the set is not the one being made"


WRITER_FAILURES: frozenset[HResult] = frozenset(
    {
        HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT,
        HResult.VSS_E_WRITERERROR_OUTOFRESOURCES,
        HResult.VSS_E_WRITERERROR_TIMEOUT,
        HResult.VSS_E_WRITERERROR_RETRYABLE,
        HResult.VSS_E_WRITERERROR_NONRETRYABLE,
        HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE,
    }
)
"""What a writer may report (CVssWriterEx2::SetWriterFailureEx); anything else becomes NONRETRYABLE."""

PROVIDER_FAILURES: frozenset[HResult] = frozenset(
    {
        HResult.E_OUTOFMEMORY,
        HResult.E_INVALIDARG,
        HResult.E_ACCESSDENIED,
        HResult.VSS_E_BAD_STATE,
        HResult.VSS_E_OBJECT_NOT_FOUND,
        HResult.VSS_E_INSUFFICIENT_STORAGE,
        HResult.VSS_E_VOLUME_NOT_SUPPORTED,
        HResult.VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER,
        HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED,
        HResult.VSS_E_PROVIDER_VETO,
        HResult.VSS_E_CANNOT_REVERT_DISKID,
    }
)
"""What a provider may return ("Error handling in shadow copy providers"); anything else is translated to
VSS_E_UNEXPECTED_PROVIDER_ERROR."""


def parse_hresult(text: str) -> HResult:
    """Return the code that ``text`` names, by symbol or by number (``0x80042301``).

    Raises:
        ValueError: no code of the table has this name or number.
    """
    name = text.strip()
    if name in HResult.__members__:
        return HResult[name]
    number = int(name, 0)
    for code in HResult:
        if code == number:
            return code
    raise ValueError(f"no result code has the number 0x{number:08X}")
