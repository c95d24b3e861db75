"""The table of fault sites: every named point of a run that a fault can strike, and which effects make sense there.

A name says role and step, never a place in the source and never a number, so that it stays when the path of a run changes;
which instance is meant (writer, volume, file, generation) the site tells by selectors. A sweep enumerates
``applicable_effects`` of each site that a clean run visits. How a site can be passed is in ``vss.simulation.fault_site_kinds``.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from vss.hresult import HResult
from vss.simulation.fault_site_kinds import (
    DATA,
    OPEN_CODES,
    READ_CODES,
    REMOVE_CODES,
    WRITE_CODES,
    Answer,
    FaultSite,
    Passage,
    awaited_site,
    coord_site,
    io_site,
    managed_site,
    provider_site,
    step_site,
    undoing_site,
    writer_site,
)
from vss.simulation.fault_words import EFFECT_WORDS, Visibility


@dataclass(frozen=True, slots=True)
class EffectForm:
    """One effect as a sweep tries it.

    Attributes:
        text: as written in a plan: ``fail code=F3``.
        visibility: who can notice.
        is_legal: False for codes that the role must not use.
    """

    text: str
    visibility: Visibility
    is_legal: bool = True

    @property
    def effect(self) -> str:
        """The effect's word."""
        return self.text.partition(" ")[0].partition("=")[0]

    def __str__(self) -> str:
        return self.text


PERSISTENCES = ("once", "always")
"""How often a sweep lets a fault strike: at the first visit only, or at every one (``times=always``)."""

EPSILON_S = 0.001
"""What "just before" and "just after" a limit mean, in seconds."""

EPSILON_S = 0.001
_WRITERS = (
    writer_site("identify", "a writer declares what it has", 60.0, Answer.METADATA),
    writer_site("prepare_backup", "PrepareForBackup", 600.0),
    writer_site("prepare_snapshot", "PrepareForSnapshot", 600.0),
    writer_site("freeze", "Freeze", 10.0),
    writer_site("thaw", "Thaw", 10.0),
    writer_site("post_snapshot", "PostSnapshot", 600.0),
    writer_site("abort", "Abort", 60.0),
    writer_site("backup_complete", "BackupComplete", 600.0),
    writer_site("backup_shutdown", "BackupShutdown", 60.0),
    writer_site("pre_restore", "PreRestore", 600.0),
    writer_site("post_restore", "PostRestore", 3600.0),
)
_PROVIDERS = (
    provider_site(
        "is_volume_supported", "IsVolumeSupported", 60.0, Answer.YES_OR_NO, HResult.VSS_E_NESTED_VOLUME_LIMIT,
        selectors=("volume",),
    ),
    provider_site(
        "begin_prepare", "BeginPrepareSnapshot", 60.0, Answer.NOTHING, HResult.VSS_E_UNSUPPORTED_CONTEXT,
        HResult.VSS_E_NESTED_VOLUME_LIMIT, selectors=("volume",),
    ),
    provider_site("end_prepare", "EndPrepareSnapshots", 1800.0),
    provider_site("pre_commit", "PreCommitSnapshots", 10.0),
    provider_site("commit", "CommitSnapshots", 10.0),
    provider_site("post_commit", "PostCommitSnapshots", 10.0),
    provider_site("pre_final", "PreFinalCommitSnapshots", 60.0),
    provider_site("post_final", "PostFinalCommitSnapshots", 60.0, Answer.NOTHING, HResult.VSS_E_AUTORECOVERY_FAILED),
    provider_site("abort", "AbortSnapshots", 60.0),
    provider_site("query", "which shadow copies there are", 60.0, Answer.ITEMS),
    provider_site("open", "the files of a shadow copy", 60.0, Answer.OTHER),
    provider_site("delete", "DeleteSnapshots, one", 600.0),
    provider_site(
        "revert", "RevertToSnapshot", 3600.0, Answer.NOTHING, HResult.E_NOTIMPL, HResult.VSS_E_VOLUME_IN_USE,
        HResult.VSS_E_REVERT_IN_PROGRESS,
    ),
    provider_site("query_revert", "QueryRevertStatus", 60.0, Answer.OTHER, HResult.VSS_E_REVERT_VOLUME_LOST),
    provider_site("expose", "the name a shadow copy is exposed by", 60.0, Answer.NOTHING, HResult.VSS_E_NOT_SUPPORTED),
    provider_site("unexpose", "the exposure is taken back", 60.0, Answer.NOTHING, HResult.VSS_E_NOT_SUPPORTED),
    provider_site("break", "BreakSnapshotSet", 600.0, Answer.ITEMS, HResult.VSS_E_BREAK_REVERT_ID_FAILED),
    provider_site("import", "ImportSnapshots", 600.0, Answer.ITEMS),
    provider_site("locate_luns", "LocateLuns", 600.0, Answer.ITEMS),
)  # fmt: skip
_COORDINATOR = (
    coord_site("gather", "GatherWriterMetadata"),
    coord_site("add_volume", "AddToSnapshotSet", "volume"),
    coord_site("prepare_backup", "PrepareForBackup is sent"),
    coord_site("create", "DoSnapshotSet, the whole of it"),
    coord_site("end_prepare", "the providers end their preparation"),
    coord_site("prepare_snapshot", "PrepareForSnapshot is sent"),
    coord_site("freeze", "the freeze window opens: Freeze is sent, level by level"),
    managed_site("freeze_transactions", "a transaction manager freezes", 30.0),
    coord_site("pre_commit", "PreCommitSnapshots is sent"),
    managed_site("flush_and_hold", "a volume flushes and holds its writes", 10.0, "volume", is_awaited_for_ever=True),
    coord_site("commit", "CommitSnapshots is sent"),
    undoing_site("release", "the writes of the volumes are released"),
    coord_site("post_commit", "PostCommitSnapshots is sent"),
    managed_site("thaw_transactions", "a transaction manager thaws", 30.0),
    undoing_site("thaw", "the freeze window closes: Thaw is sent, level by level"),
    coord_site("pre_final", "PreFinalCommitSnapshots is sent"),
    coord_site("post_snapshot", "PostSnapshot is sent"),
    managed_site("sync_recovered", "what writers recovered in a shadow copy is kept", 60.0),
    coord_site("post_final", "PostFinalCommitSnapshots is sent"),
    undoing_site("abort", "an unfinished set is undone"),
    coord_site("status", "GatherWriterStatus"),
    coord_site("query", "Query"),
    coord_site("open", "a shadow copy is opened"),
    coord_site("delete", "DeleteSnapshots"),
    coord_site("break", "BreakSnapshotSet"),
    coord_site("expose", "ExposeSnapshot"),
    coord_site("unexpose", "UnexposeSnapshot"),
    coord_site("revert", "RevertToSnapshot"),
    coord_site("complete", "BackupComplete is sent"),
    undoing_site("abort_backup", "AbortBackup"),
    coord_site("pre_restore", "PreRestore is sent"),
    coord_site("post_restore", "PostRestore is sent"),
    undoing_site("release_session", "the session is released"),
)
_REQUESTORS = (
    step_site("requestor", "gather", "the requestor asks for the writers' metadata"),
    step_site("requestor", "select", "components are chosen", answer=Answer.ITEMS),
    step_site("requestor", "volumes", "the volumes of the set are chosen", answer=Answer.ITEMS),
    step_site("requestor", "add_volume", "a volume is added to the set", "volume"),
    step_site("requestor", "prepare", "PrepareForBackup is asked for"),
    step_site("requestor", "after_prepare", "nothing: the moment after PrepareForBackup"),
    step_site("requestor", "snapshot", "DoSnapshotSet is asked for"),
    step_site("requestor", "after_snapshot", "nothing: the moment after DoSnapshotSet"),
    step_site("requestor", "status", "the writers' status is asked for", answer=Answer.ITEMS),
    step_site("requestor", "open", "a shadow copy is opened for copying", "volume"),
    step_site("requestor", "copy", "one file is copied from a shadow copy into the set", "file", "percent", left_out=True),
    step_site("requestor", "verify", "one file of the set is compared", "file", answer=Answer.ITEMS, left_out=True),
    step_site("requestor", "seal", "the set's documents are written"),
    step_site("requestor", "complete", "BackupComplete is asked for", left_out=True),
    step_site("requestor", "release", "the session is released", left_out=True),
    step_site("requestor", "reseal", "how the session ended is written into the set", left_out=True),
    undoing_site("undo", "a failed backup is undone", "requestor"),
    step_site("restore", "open", "the set is opened"),
    step_site("restore", "verify", "the set is verified before anything is changed"),
    step_site("restore", "gather", "the restore asks for the writers' metadata"),
    step_site("restore", "pre_restore", "PreRestore is asked for"),
    step_site("restore", "write", "one file is written back", "file", "percent", left_out=True),
    step_site("restore", "stop_service", "a service is stopped before its files are replaced", "service"),
    step_site("restore", "start_service", "it is started again", "service"),
    step_site("restore", "post_restore", "PostRestore is asked for", left_out=True),
)
_VOLUMES = (
    awaited_site("volume.read", "a read of a file", READ_CODES, "volume", answer=Answer.BYTES),
    awaited_site(
        "volume.write", "a change of a volume", WRITE_CODES, "volume", more=("fail-after", "lie", "reorder", "duplicate")
    ),
    awaited_site("volume.flush", "a flush of a volume", ("EIO", "ENOSPC"), "volume", more=("fail-after", "lie")),
    awaited_site("volume.hold", "a volume reaches its hold", ("EIO",), "volume", more=("fail-after",)),
    awaited_site("volume.release", "a volume lets its writes go", ("EIO",), "volume", more=("fail-after",)),
    awaited_site(
        "diffarea.alloc", "a block of the diff area is taken", ("ENOSPC", "EIO"), "volume", "snapshot", more=("full",)
    ),
    awaited_site("diffarea.grow", "the diff area is made larger", ("ENOSPC", "EIO"), "volume", "snapshot", more=("full",)),
    awaited_site(
        "diffarea.cow", "a block is copied before it is overwritten", WRITE_CODES, "volume", "snapshot", more=("full",)
    ),
)
_USERS = (
    FaultSite(
        "mail.request", "a user asks the store for something", Passage.STEP, ("fail", "delay", "stall", "crash", "jump"),
        ("writer",), codes=("E_ACCESSDENIED", "VSS_E_UNEXPECTED"),
    ),
)  # fmt: skip
_LOGS = (
    awaited_site("log.write", "records reach a log file", WRITE_CODES, "file", "gen", more=DATA),
    awaited_site("log.rotate", "the current log becomes an archived one", REMOVE_CODES, "file", "gen", more=("fail-after",)),
    awaited_site("log.delete", "a log is truncated away", REMOVE_CODES, "file", "gen", more=("fail-after", "lie")),
    awaited_site("log.open", "a log is opened", OPEN_CODES, "file", "gen"),
    awaited_site("log.read", "a log is read", READ_CODES, "file", "gen", answer=Answer.BYTES),
    awaited_site("page.read", "a page of a database is read", READ_CODES, "file", "page", answer=Answer.BYTES),
    awaited_site("page.write", "a page of a database is written", WRITE_CODES, "file", "page", more=DATA),
    awaited_site("checkpoint.write", "the checkpoint file is written", WRITE_CODES, "file", more=("fail-after", "lie", "full")),
)
_READS = ("flip", "corrupt", "short", "stale")
_SYNCS = ("fail-after", "lie", "fsyncgate")
_STORES = (
    io_site("store.read", "bytes are read from a volume's image", READ_CODES, "volume", "offset", more=_READS),
    io_site("store.write", "bytes are written to a volume's image", ("EIO", "ENOSPC"), "volume", "offset", more=DATA),
    io_site("store.flush", "a volume's image is made durable", ("EIO",), "volume", more=("fail-after", "lie", "fsyncgate")),
    io_site("store.grow", "a volume's image is made longer", ("ENOSPC",), "volume", more=("full",)),
    io_site("set.open", "a file of the host is opened", OPEN_CODES, "path", "name"),
    io_site("set.read", "a file of the host is read", READ_CODES, "path", "name", more=("flip", "corrupt", "short")),
    io_site("set.write", "a file, document or catalogue is written", WRITE_CODES, "path", "name", more=DATA),
    io_site("set.sync", "its bytes are made durable", ("EIO", "ENOSPC"), "path", "name", more=_SYNCS),
    io_site("set.rename", "it gets its final name", REMOVE_CODES, "path", "name", more=("fail-after", "lie")),
    io_site("set.sync_directory", "its name is made durable", ("EIO",), "path", "name", more=("lie",)),
    io_site("set.delete", "a file of the host is removed", REMOVE_CODES, "path", "name", more=("fail-after", "lie")),
    io_site("set.make_directory", "a directory of the host is made", WRITE_CODES, "path", "name"),
)  # fmt: skip
_WORLD = (
    FaultSite("clock", "the wall clock of the machine", Passage.WORLD, ("jump",)),
    FaultSite("service.coord", "the service in the middle", Passage.WORLD, ("crash",)),
    FaultSite("service.writer_host", "the process of a writer, or of all", Passage.WORLD, ("crash",)),
    FaultSite("service.provider_host", "the process of a provider, or of all", Passage.WORLD, ("crash",)),
    FaultSite("service.requestor", "the process of the requestor", Passage.WORLD, ("crash",)),
)

FAULT_SITES: tuple[FaultSite, ...] = (
    *_WRITERS, *_PROVIDERS, *_COORDINATOR, *_REQUESTORS, *_VOLUMES, *_USERS, *_LOGS, *_STORES, *_WORLD,
)  # fmt: skip
"""Every site, role by role in the order of a run."""

SITE_BY_NAME = {site.name: site for site in FAULT_SITES}

KNOWN_SITES: tuple[str, ...] = tuple(SITE_BY_NAME)
"""The points that a fault may name; plugins add theirs by ``extra_sites``."""


def sites_named(pattern: str) -> list[FaultSite]:
    """Return the sites of the table that ``pattern``, which may hold ``*``, names."""
    return [site for site in FAULT_SITES if fnmatchcase(site.name, pattern)]


def effects_at(pattern: str) -> tuple[str, ...]:
    """Return the words of the effects that make sense at some site that ``pattern`` names, in the order of the words."""
    found = {effect for site in sites_named(pattern) for effect in site.effects}
    return tuple(word for word in EFFECT_WORDS if word in found)


def applicable_effects(site: FaultSite | str) -> tuple[EffectForm, ...]:
    """Return what a sweep tries at ``site``: every effect that makes sense, with every parameter worth trying.

    Delays lie just below, on and behind the caller's limit; codes are all legal ones and some illegal. Raises ``KeyError`` for
    a name that is not in the table.
    """
    known = SITE_BY_NAME[site] if isinstance(site, str) else site
    return tuple(form for effect in known.effects if not _is_endless(known, effect) for form in _forms(known, effect))


def _is_endless(site: FaultSite, effect: str) -> bool:
    """Whether nobody would end it: I/O has no limit, so a disk that hangs for ever hangs whoever uses it."""
    return effect == "hang" and site.passage is Passage.AWAITED_IO


def _forms(site: FaultSite, effect: str) -> list[EffectForm]:
    visibility = EFFECT_WORDS[effect].visibility
    if effect == "fail":
        legal = [EffectForm(f"fail code={code}", visibility) for code in site.codes]
        return legal + [EffectForm(f"fail code={code}", visibility, is_legal=False) for code in site.illegal_codes]
    return [EffectForm(text, visibility) for text in _texts(site, effect)]


def _texts(site: FaultSite, effect: str) -> list[str]:
    match effect:
        case "fail-after":
            return [f"fail-after code={site.codes[0]}"]
        case "raise":
            kinds = ("RuntimeError", "MemoryError", "CancelledError") if site.passage is Passage.CALL else ("RuntimeError",)
            return [f"raise={kind}" for kind in kinds]
        case "delay":
            limit_s = site.limit_s
            lengths = (
                [EPSILON_S, limit_s - EPSILON_S, limit_s, limit_s + EPSILON_S, 2 * limit_s] if limit_s else [EPSILON_S, 11.0]
            )
            return [f"delay={_seconds(length)}" for length in lengths]
        case "stall":
            return [f"stall={_seconds(site.limit_s + EPSILON_S if site.limit_s else 11.0)}"]
        case "hang":
            return ["hang", "hang=during", "hang=after"] if site.passage is Passage.CALL else ["hang"]
        case "late":
            return ["late", "late=90s"]
        case "drop":
            return ["drop", "drop=reply"] if site.passage is Passage.CALL else ["drop"]
        case "partial":
            return ["partial=0/1", "partial=1/2"] if site.answer is Answer.ITEMS else ["partial=1/2"]
        case "corrupt":
            return [f"corrupt kind={kind}" for kind in kinds_of_damage(site)]
        case "omit":
            return ["omit=*"]
        case "crash":
            return _crashes(site)
        case "cancel":
            return ["cancel", "cancel=during", "cancel=after"]
        case "jump":
            return ["jump=+2h", "jump=-2h"]
        case "torn":
            return ["torn keep=prefix", "torn keep=suffix", "torn keep=checkerboard", "torn keep=none"]
        case "flip":
            return ["flip", "flip bits=3"]
        case _:
            return [effect]


def _seconds(length: float) -> str:
    return f"{length:.3f}".rstrip("0").rstrip(".") + "s"


def _crashes(site: FaultSite) -> list[str]:
    if site.passage is Passage.WORLD:
        return ["crash", "crash restart=0s"]
    points = ("before", "after") if site.passage is Passage.IO else ("before", "during", "after")
    crashes = [f"crash={point}" for point in points]
    if site.passage is not Passage.CALL:
        return crashes
    return [
        *crashes,
        "crash=after restart=0s",
        f"crash=after restart={_seconds(EPSILON_S)}",
        f"crash=after restart={_seconds(site.limit_s)}",
    ]


def kinds_of_damage(site: FaultSite) -> tuple[str, ...]:
    """Return the kinds of ``corrupt`` that make sense at ``site``."""
    match site.answer:
        case Answer.YES_OR_NO | Answer.OTHER:
            return ("wrong_type",)
        case Answer.METADATA:
            return (
                "oversize", "bad_xml", "wrong_path", "duplicate_id", "unknown_enum", "foreign_id", "wrong_type", "nan", "empty",
            )  # fmt: skip
        case Answer.ITEMS:
            own = ("duplicate_id", "empty")
            return own if site.passage is Passage.STEP else (*own, "wrong_type")
        case _:
            return ("bitflip", "zeros", "checksum", "header")
