"""The error tree: one class per thing a caller can do something about, each with its HRESULT and exit code.

Branches say who must act: the caller (misuse), a writer, a provider, the clock (windows), storage, the backup set, a plugin.
Messages are lower-case without a full stop and name the object, what was expected and what was found; ``hint`` says what to
try. Our own mistakes are ``assert``ed, never raised as ``VssError``.
"""

from __future__ import annotations

from vss.exit_codes import ExitCode
from vss.hresult import HResult


class VssError(Exception):
    """Root of everything the framework raises on purpose.

    Attributes:
        hresult: the protocol's code for it.
        exit_code: what the commands exit with.
        hint: what the reader can try, or an empty string.
    """

    default_hresult: HResult = HResult.VSS_E_UNEXPECTED
    exit_code: ExitCode = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hresult: HResult | None = None, hint: str = "") -> None:
        """Say what went wrong with which object, what was expected and what was found."""
        super().__init__(message)
        self.message = message
        self.hresult = self.default_hresult if hresult is None else hresult
        self.hint = hint


class ConfigurationError(VssError):
    """A file a person wrote, or an option, does not say what it must; names the key."""

    default_hresult = HResult.E_INVALIDARG
    exit_code = ExitCode.USAGE


# -- misuse: the caller must change the call -----------------------------------------------------------------------------------


class InvalidArgumentError(VssError):
    """An argument cannot mean anything here."""

    default_hresult = HResult.E_INVALIDARG
    exit_code = ExitCode.USAGE


class UnknownVariableError(InvalidArgumentError):
    """A path holds an environment variable that the machine does not have.

    Attributes:
        variable: its name, without the percent signs.
    """

    def __init__(self, message: str, *, variable: str = "") -> None:
        """Name the path and the variable."""
        super().__init__(message, hint="define it among the machine's environment variables")
        self.variable = variable


class BadStateError(VssError):
    """A call out of sequence; nothing was changed."""

    default_hresult = HResult.VSS_E_BAD_STATE
    exit_code = ExitCode.USAGE


class NotFoundError(VssError):
    """The named object (lab, set, writer, component, shadow copy, file) does not exist."""

    default_hresult = HResult.VSS_E_OBJECT_NOT_FOUND
    exit_code = ExitCode.NOT_FOUND


class AlreadyExistsError(VssError):
    """The named object exists and would be overwritten."""

    default_hresult = HResult.VSS_E_OBJECT_ALREADY_EXISTS
    exit_code = ExitCode.USAGE


class SetInProgressError(VssError):
    """Another shadow copy set is being created; try again when it is done."""

    default_hresult = HResult.VSS_E_SNAPSHOT_SET_IN_PROGRESS
    exit_code = ExitCode.SET_IN_PROGRESS


class LabInUseError(VssError):
    """Another process is running the machine; try again when it is done."""

    default_hresult = HResult.VSS_E_BAD_STATE
    exit_code = ExitCode.SET_IN_PROGRESS


class DocumentError(VssError):
    """A document is malformed, hostile, or of the wrong schema; names line and reason."""

    default_hresult = HResult.VSS_E_INVALID_XML_DOCUMENT
    exit_code = ExitCode.USAGE


class UnsupportedError(VssError):
    """What was asked for cannot be done with these parts."""

    default_hresult = HResult.VSS_E_NOT_SUPPORTED
    exit_code = ExitCode.UNSUPPORTED


# -- writers -------------------------------------------------------------------------------------------------------------------


class WriterError(VssError):
    """A writer failed or refused. Raise it in a handler to veto; the code must be one of ``WRITER_FAILURES``."""

    default_hresult = HResult.VSS_E_WRITERERROR_NONRETRYABLE
    exit_code = ExitCode.UNSUPPORTED


class WriterRetryableError(WriterError):
    """The writer refused now and may agree when the whole backup is started again."""

    default_hresult = HResult.VSS_E_WRITERERROR_RETRYABLE


class WriterTimeoutError(WriterError):
    """The writer's time between freeze and thaw ran out, or it did not answer within its limit."""

    default_hresult = HResult.VSS_E_WRITERERROR_TIMEOUT
    exit_code = ExitCode.WINDOW_LOST


class InconsistentSnapshotError(WriterError):
    """The set lacks volumes that the writer needs."""

    default_hresult = HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT


# -- providers -----------------------------------------------------------------------------------------------------------------


class ProviderError(VssError):
    """A provider failed; the set is aborted as a whole."""

    default_hresult = HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
    exit_code = ExitCode.SNAPSHOT_FAILED


class ProviderVetoError(ProviderError):
    """The provider refused and says why."""

    default_hresult = HResult.VSS_E_PROVIDER_VETO


class VolumeNotSupportedError(ProviderError):
    """No provider, or not the chosen one, supports the volume."""

    default_hresult = HResult.VSS_E_VOLUME_NOT_SUPPORTED
    exit_code = ExitCode.UNSUPPORTED


class InsufficientStorageError(ProviderError):
    """No room for the shadow copy."""

    default_hresult = HResult.VSS_E_INSUFFICIENT_STORAGE


# -- windows -------------------------------------------------------------------------------------------------------------------


class WindowError(VssError):
    """A time window was lost; the set failed and everybody was released."""

    default_hresult = HResult.VSS_E_HOLD_WRITES_TIMEOUT
    exit_code = ExitCode.WINDOW_LOST


class HoldWritesTimeoutError(WindowError):
    """The volume let its writes go by itself before the commit was over."""


class FlushWritesTimeoutError(WindowError):
    """Flushing the volume took longer than the hold-writes window."""

    default_hresult = HResult.VSS_E_FLUSH_WRITES_TIMEOUT


class TransactionFreezeError(WindowError):
    """A transaction manager of the system did not freeze in time; a set with NOT_TRANSACTED does not ask it."""

    default_hresult = HResult.VSS_E_TRANSACTION_FREEZE_TIMEOUT


class TransactionThawError(WindowError):
    """A transaction manager of the system did not thaw in time."""

    default_hresult = HResult.VSS_E_TRANSACTION_THAW_TIMEOUT


class FreezeWindowError(WindowError):
    """From the first Freeze to the last Thaw took longer than the freeze window."""

    default_hresult = HResult.VSS_E_WRITERERROR_TIMEOUT


# -- storage -------------------------------------------------------------------------------------------------------------------


class VolumeError(VssError):
    """A volume or a file on it cannot do what was asked; names volume, path and offset."""

    default_hresult = HResult.VSS_E_UNEXPECTED


class VolumeReadError(VolumeError):
    """Reading failed (EIO)."""


class VolumeWriteError(VolumeError):
    """Writing failed (EIO) or the volume is read-only."""


class VolumeFullError(VolumeError):
    """No space left on the volume."""

    default_hresult = HResult.VSS_E_INSUFFICIENT_STORAGE


class VolumeDamagedError(VolumeError):
    """A structure on the volume does not hold what it must; names structure and offset."""


# -- backup sets ---------------------------------------------------------------------------------------------------------------


class BackupSetError(VssError):
    """The backup set on disk is incomplete or damaged; nothing was restored from it."""

    exit_code = ExitCode.VERIFICATION_MISMATCH


class VerificationError(VssError):
    """Verification found wrong bytes."""

    exit_code = ExitCode.VERIFICATION_MISMATCH


class RestoreRefusedError(VssError):
    """Restoring now would destroy data (mounted database, not overwritable, foreign set); nothing was changed."""

    default_hresult = HResult.VSS_E_WRITERERROR_NONRETRYABLE
    exit_code = ExitCode.UNSUPPORTED


class PartialError(VssError):
    """Finished, with some components or files left out; the message names them."""

    default_hresult = HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE
    exit_code = ExitCode.WARNINGS


# -- plugins and runs ----------------------------------------------------------------------------------------------------------


class PluginError(VssError):
    """A plugin that is needed could not be loaded or registered."""

    exit_code = ExitCode.PLUGIN_FAILED


class InvariantError(VssError):
    """A run broke an invariant or an expectation; the evidence is in the message."""

    exit_code = ExitCode.INVARIANT


class Interrupted(VssError):
    """A signal asked the run to end; everybody was released and cleaned up before this was raised.

    Attributes:
        signum: the signal, 2 (Ctrl-C) or 15 (SIGTERM).
    """

    def __init__(self, signum: int) -> None:
        """Choose the exit code a shell expects: 128 + ``signum``."""
        super().__init__(f"interrupted by signal {signum}, everything was released")
        self.signum = signum
        self.exit_code = ExitCode.TERMINATED if signum == 15 else ExitCode.INTERRUPTED
