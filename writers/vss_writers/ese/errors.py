"""The engine's errors: one class, one code table.

Callers tell errors apart by ``code``, as users of the engine do; the code also decides what a backup program reports. The
object concerned (file, page, byte offset) travels as fields, never only inside the text.

Sources: JET error list of the published engine (jethdr.w); names without the ``JET_err`` prefix.
"""

from __future__ import annotations

from enum import IntEnum


class JetCode(IntEnum):
    """Error codes, named as the vendor names them."""

    BadPageLink = -327
    BadParentPageLink = -338
    SPAvailExtCorrupted = -341
    SPOwnExtCorrupted = -343
    DbTimeCorrupted = -344
    BadEmptyPage = -351
    BadLineCount = -354
    PageTagCorrupted = -357
    NodeCorrupted = -358
    KeyTooBig = -408
    InvalidLoggedOperation = -500
    LogFileCorrupt = -501
    NoBackupDirectory = -503
    BackupDirectoryNotEmpty = -504
    BackupInProgress = -505
    RestoreInProgress = -506
    MissingPreviousLogFile = -509
    LogWriteFail = -510
    LogDisabledDueToRecoveryFailure = -511
    CannotLogDuringRecoveryRedo = -512
    LogGenerationMismatch = -513
    BadLogVersion = -514
    InvalidLogSequence = -515
    LoggingDisabled = -516
    LogBufferTooSmall = -517
    LGNotSynchronous = -518
    LogSequenceEnd = -519
    NoBackup = -520
    InvalidBackupSequence = -521
    BackupNotAllowedYet = -523
    DeleteBackupFileFail = -524
    MakeBackupDirectoryFail = -525
    InvalidBackup = -526
    RecoveredWithErrors = -527
    MissingLogFile = -528
    LogDiskFull = -529
    BadLogSignature = -530
    BadDbSignature = -531
    BadCheckpointSignature = -532
    CheckpointCorrupt = -533
    MissingPatchPage = -534
    BadPatchPage = -535
    RedoAbruptEnded = -536
    PatchFileMissing = -538
    DatabaseLogSetMismatch = -539
    DatabaseStreamingFileMismatch = -540
    LogFileSizeMismatch = -541
    CheckpointFileNotFound = -542
    RequiredLogFilesMissing = -543
    SoftRecoveryOnBackupDatabase = -544
    LogFileSizeMismatchDatabasesConsistent = -545
    LogSectorSizeMismatch = -546
    LogSectorSizeMismatchDatabasesConsistent = -547
    LogSequenceEndDatabasesConsistent = -548
    StreamingDataNotLogged = -549
    DatabaseDirtyShutdown = -550
    ConsistentTimeMismatch = -551
    DatabasePatchFileMismatch = -552
    EndingRestoreLogTooLow = -553
    StartingRestoreLogTooHigh = -554
    GivenLogFileHasBadSignature = -555
    GivenLogFileIsNotContiguous = -556
    MissingRestoreLogFiles = -557
    MissingFullBackup = -560
    BadBackupDatabaseSize = -561
    DatabaseAlreadyUpgraded = -562
    DatabaseIncompleteUpgrade = -563
    MissingCurrentLogFiles = -565
    DbTimeTooOld = -566
    DbTimeTooNew = -567
    MissingFileToBackup = -569
    LogTornWriteDuringHardRestore = -570
    LogTornWriteDuringHardRecovery = -571
    LogCorruptDuringHardRestore = -573
    LogCorruptDuringHardRecovery = -574
    BadRestoreTargetInstance = -577
    RecoveredWithoutUndo = -579
    DatabasesNotFromSameSnapshot = -580
    SoftRecoveryOnSnapshot = -581
    CommittedLogFilesMissing = -582
    RecoveredWithoutUndoDatabasesConsistent = -584
    CommittedLogFileCorrupt = -586
    ExistingLogFileHasBadSignature = -610
    ExistingLogFileIsNotContiguous = -611
    LogReadVerifyFailure = -612
    CheckpointDepthTooDeep = -614
    RestoreOfNonBackupDatabase = -615
    LogFileNotCopied = -616
    SurrogateBackupInProgress = -617
    TransactionTooLong = -618
    BackupAbortByServer = -801
    InvalidParameter = -1003
    DatabaseFileReadOnly = -1008
    ReadVerifyFailure = -1018
    PageNotInitialized = -1019
    DiskReadVerificationFailure = -1021
    DiskIO = -1022
    RecordTooBig = -1026
    FileAccessDenied = -1032
    NullKeyDisallowed = -1053
    NotInTransaction = -1054
    InstanceUnavailable = -1090
    DatabaseUnavailable = -1091
    InstanceUnavailableDueToFatalLogDiskFull = -1092
    DatabaseDuplicate = -1201
    DatabaseInUse = -1202
    DatabaseNotFound = -1203
    DatabaseCorrupted = -1206
    DatabaseLocked = -1207
    InvalidDatabaseVersion = -1209
    PageSizeMismatch = -1213
    DatabaseSharingViolation = -1215
    AttachedDatabaseMismatch = -1216
    ForceDetachNotAllowed = -1219
    PartiallyAttachedDB = -1221
    DatabaseSignInUse = -1222
    DatabaseCorruptedNoRepair = -1224
    TableDuplicate = -1303
    ObjectNotFound = -1305
    IndexDuplicate = -1403
    IndexNotFound = -1404
    NullInvalid = -1504
    ColumnTooBig = -1506
    ColumnNotFound = -1507
    ColumnDuplicate = -1508
    InvalidColumnType = -1511
    RecordNotFound = -1601
    KeyDuplicate = -1605
    DiskFull = -1808
    FileNotFound = -1811
    OSSnapshotInvalidSequence = -2401
    OSSnapshotTimeOut = -2402
    OSSnapshotNotAllowed = -2403
    OSSnapshotInvalidSnapId = -2404


TEXTS: dict[JetCode, str] = {
    JetCode.BadPageLink: "sibling link of a page is wrong",
    JetCode.BadParentPageLink: "parent does not point to the page",
    JetCode.SPAvailExtCorrupted: "tree of available extents is damaged",
    JetCode.SPOwnExtCorrupted: "tree of owned extents is damaged",
    JetCode.DbTimeCorrupted: "database time of a page is above the header's",
    JetCode.BadEmptyPage: "page is empty where it must not be",
    JetCode.BadLineCount: "page holds an impossible number of lines",
    JetCode.PageTagCorrupted: "tag array of a page is damaged",
    JetCode.NodeCorrupted: "node of a page is damaged",
    JetCode.KeyTooBig: "key is too long",
    JetCode.InvalidLoggedOperation: "log record cannot be redone",
    JetCode.LogFileCorrupt: "log file is damaged",
    JetCode.NoBackupDirectory: "no backup directory given",
    JetCode.BackupDirectoryNotEmpty: "backup directory is not empty",
    JetCode.BackupInProgress: "a backup is in progress",
    JetCode.RestoreInProgress: "a restore is in progress",
    JetCode.MissingPreviousLogFile: "log file of the checkpoint is missing",
    JetCode.LogWriteFail: "log file could not be written",
    JetCode.LogDisabledDueToRecoveryFailure: "logging is disabled since recovery failed",
    JetCode.CannotLogDuringRecoveryRedo: "nothing can be logged during redo",
    JetCode.LogGenerationMismatch: "log file's name and header disagree on the generation",
    JetCode.BadLogVersion: "log file has another format version",
    JetCode.InvalidLogSequence: "log files are not one sequence",
    JetCode.LoggingDisabled: "logging is disabled",
    JetCode.LogBufferTooSmall: "log record is larger than the log buffer",
    JetCode.LGNotSynchronous: "log record has to wait for a buffer",
    JetCode.LogSequenceEnd: "log generations are used up",
    JetCode.NoBackup: "no backup is in progress",
    JetCode.InvalidBackupSequence: "backup call is out of order",
    JetCode.BackupNotAllowedYet: "backup is not possible yet",
    JetCode.DeleteBackupFileFail: "backup file could not be deleted",
    JetCode.MakeBackupDirectoryFail: "backup directory could not be made",
    JetCode.InvalidBackup: "incremental backup needs logs that circular logging removes",
    JetCode.RecoveredWithErrors: "restored with errors",
    JetCode.MissingLogFile: "log file is missing",
    JetCode.LogDiskFull: "log disk is full",
    JetCode.BadLogSignature: "log file belongs to another log stream",
    JetCode.BadDbSignature: "database has another signature than the logs expect",
    JetCode.BadCheckpointSignature: "checkpoint belongs to another log stream",
    JetCode.CheckpointCorrupt: "checkpoint file is damaged",
    JetCode.MissingPatchPage: "patch page is missing",
    JetCode.BadPatchPage: "patch page is damaged",
    JetCode.RedoAbruptEnded: "log ends before redo expected it to",
    JetCode.PatchFileMissing: "patch file is missing",
    JetCode.DatabaseLogSetMismatch: "database does not belong to the log set",
    JetCode.DatabaseStreamingFileMismatch: "database and streaming file do not match",
    JetCode.LogFileSizeMismatch: "log file size differs from the configured one",
    JetCode.CheckpointFileNotFound: "checkpoint file is missing",
    JetCode.RequiredLogFilesMissing: "log files required for recovery are missing",
    JetCode.SoftRecoveryOnBackupDatabase: "database is a backup copy and needs hard recovery",
    JetCode.LogFileSizeMismatchDatabasesConsistent: "log file size differs from the configured one, databases are consistent",
    JetCode.LogSectorSizeMismatch: "log file has another sector size",
    JetCode.LogSectorSizeMismatchDatabasesConsistent: "log file has another sector size, databases are consistent",
    JetCode.LogSequenceEndDatabasesConsistent: "log generations are used up, databases are consistent",
    JetCode.StreamingDataNotLogged: "streaming data is not logged with circular logging",
    JetCode.DatabaseDirtyShutdown: "database was not shut down cleanly and needs recovery",
    JetCode.ConsistentTimeMismatch: "database is not at the position the logs expect",
    JetCode.DatabasePatchFileMismatch: "patch file belongs to another database",
    JetCode.EndingRestoreLogTooLow: "restored log range ends too low",
    JetCode.StartingRestoreLogTooHigh: "restored log range starts too high",
    JetCode.GivenLogFileHasBadSignature: "restored log file belongs to another log stream",
    JetCode.GivenLogFileIsNotContiguous: "restored log files have a gap",
    JetCode.MissingRestoreLogFiles: "restored log files are missing",
    JetCode.MissingFullBackup: "database has no full backup to build on",
    JetCode.BadBackupDatabaseSize: "backup copy's size is not a multiple of the page size",
    JetCode.DatabaseAlreadyUpgraded: "database is already upgraded",
    JetCode.DatabaseIncompleteUpgrade: "database upgrade did not finish",
    JetCode.MissingCurrentLogFiles: "current log files are missing",
    JetCode.DbTimeTooOld: "page is older than its log record expects: a write was lost",
    JetCode.DbTimeTooNew: "page is newer than its log record expects",
    JetCode.MissingFileToBackup: "log file needed for the backup is missing",
    JetCode.LogTornWriteDuringHardRestore: "torn write in a log file of the restore set",
    JetCode.LogTornWriteDuringHardRecovery: "torn write in a log file of the target instance",
    JetCode.LogCorruptDuringHardRestore: "damage in a log file of the restore set",
    JetCode.LogCorruptDuringHardRecovery: "damage in a log file of the target instance",
    JetCode.BadRestoreTargetInstance: "restore target is not the right instance",
    JetCode.RecoveredWithoutUndo: "recovery ended before undo",
    JetCode.DatabasesNotFromSameSnapshot: "databases are not from one snapshot",
    JetCode.SoftRecoveryOnSnapshot: "database is from a snapshot and needs hard recovery",
    JetCode.CommittedLogFilesMissing: "log files beyond the required range are missing",
    JetCode.RecoveredWithoutUndoDatabasesConsistent: "recovery ended before undo, databases are consistent",
    JetCode.CommittedLogFileCorrupt: "log file beyond the required range is damaged",
    JetCode.ExistingLogFileHasBadSignature: "existing log file belongs to another log stream",
    JetCode.ExistingLogFileIsNotContiguous: "existing log files do not follow on the restored ones",
    JetCode.LogReadVerifyFailure: "checksum error while copying a log file",
    JetCode.CheckpointDepthTooDeep: "too many log generations are outstanding",
    JetCode.RestoreOfNonBackupDatabase: "database is not a backup copy",
    JetCode.LogFileNotCopied: "not all log files were copied before truncation",
    JetCode.SurrogateBackupInProgress: "a surrogate backup is in progress",
    JetCode.TransactionTooLong: "transaction spans too many log generations",
    JetCode.BackupAbortByServer: "backup was ended by the instance",
    JetCode.InvalidParameter: "invalid parameter",
    JetCode.DatabaseFileReadOnly: "database file is read-only",
    JetCode.ReadVerifyFailure: "checksum or page number of a page is wrong",
    JetCode.PageNotInitialized: "page is blank where data is expected",
    JetCode.DiskReadVerificationFailure: "device reports a checksum error",
    JetCode.DiskIO: "device failed",
    JetCode.RecordTooBig: "record does not fit in a page",
    JetCode.FileAccessDenied: "file is locked or access is denied",
    JetCode.NullKeyDisallowed: "index does not take null keys",
    JetCode.NotInTransaction: "change outside a transaction",
    JetCode.InstanceUnavailable: "instance is down after a fatal error",
    JetCode.DatabaseUnavailable: "database is unavailable after a fatal error",
    JetCode.InstanceUnavailableDueToFatalLogDiskFull: "instance is down since the log disk is full",
    JetCode.DatabaseDuplicate: "database exists already",
    JetCode.DatabaseInUse: "database is in use",
    JetCode.DatabaseNotFound: "database is not known",
    JetCode.DatabaseCorrupted: "header is unusable or the file is not a database",
    JetCode.DatabaseLocked: "database is locked",
    JetCode.InvalidDatabaseVersion: "database has another format version",
    JetCode.PageSizeMismatch: "database has another page size",
    JetCode.DatabaseSharingViolation: "database is attached by another instance",
    JetCode.AttachedDatabaseMismatch: "database that the logs refer to is missing or another one",
    JetCode.ForceDetachNotAllowed: "forced detach is not allowed",
    JetCode.PartiallyAttachedDB: "database is partly attached",
    JetCode.DatabaseSignInUse: "a database with this signature is attached",
    JetCode.DatabaseCorruptedNoRepair: "database is damaged and cannot be repaired",
    JetCode.TableDuplicate: "table exists already",
    JetCode.ObjectNotFound: "no such table or object",
    JetCode.IndexDuplicate: "index exists already",
    JetCode.IndexNotFound: "no such index",
    JetCode.NullInvalid: "column does not take null",
    JetCode.ColumnTooBig: "value is too long for its column",
    JetCode.ColumnNotFound: "no such column",
    JetCode.ColumnDuplicate: "column exists already",
    JetCode.InvalidColumnType: "value does not suit the column's type",
    JetCode.RecordNotFound: "no such record",
    JetCode.KeyDuplicate: "key exists already",
    JetCode.DiskFull: "disk is full",
    JetCode.FileNotFound: "file is missing",
    JetCode.OSSnapshotInvalidSequence: "snapshot call is out of order",
    JetCode.OSSnapshotTimeOut: "freeze timed out, the snapshot must be discarded",
    JetCode.OSSnapshotNotAllowed: "a backup or recovery is running already",
    JetCode.OSSnapshotInvalidSnapId: "no such snapshot",
}


class JetError(Exception):
    """An error of the engine.

    ``code`` and ``name`` identify it; ``path``, ``page_number`` and ``offset`` (bytes from the start of the file) say where.
    ``detail`` adds what this case found, for example expected and found values.
    """

    def __init__(
        self,
        code: JetCode,
        detail: str = "",
        *,
        path: str | None = None,
        page_number: int | None = None,
        offset: int | None = None,
    ) -> None:
        self.code = JetCode(code)
        self.detail = detail
        self.path = path
        self.page_number = page_number
        self.offset = offset
        super().__init__(self._message())

    @property
    def name(self) -> str:
        """The vendor's name, for example ``JET_errReadVerifyFailure``."""
        return f"JET_err{self.code.name}"

    @property
    def text(self) -> str:
        """What the code means."""
        return TEXTS[self.code]

    def _message(self) -> str:
        place = [self.path] if self.path is not None else []
        if self.page_number is not None:
            place.append(f"page {self.page_number}")
        if self.offset is not None:
            place.append(f"offset {self.offset:#x}")
        parts = [self.text, self.detail, ", ".join(place)]
        return f"{': '.join(part for part in parts if part)} ({self.name}, {int(self.code)})"
