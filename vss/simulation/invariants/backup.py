"""B1 … B11: what is in a backup set, what verification says of it, and what a restore leaves.

Sets are read with a JSON parser and a hash function and nothing else: the manifest names every file with size and SHA-256. The
statements that need a restore, or a second one, are put to the proof beside the run and come as trials (``relations``).
Sources: Volume Shadow Copy Service documentation, "Overview of backup termination", "SetBackupSucceeded", "Backup components
document life cycle"; PostgreSQL documentation, "pg_verifybackup" (what a verification has to look at).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from vss.events import ComponentSucceeded, FileCopied
from vss.simulation.invariants.evidence import BackupSetFiles
from vss.simulation.invariants.judging import Case, Found, Kind, LacksEvidenceError, Need, by_trial, invariant

_MANIFEST = "manifest.json"
_SEAL = "session.json"
_COMPONENTS = "backup_components.xml"


@invariant("B1", Kind.SAFETY)
def bytes_come_from_the_shadow_copy(case: Case) -> Iterator[Found]:
    """Every byte of a backup was read from the shadow copy, or from a place that the writer declared, never from the live
    volume: what happens to the originals after Thaw changes nothing."""
    for record in case.history.of(FileCopied):
        event = record.event
        assert isinstance(event, FileCopied)
        if "live" in event.source:
            yield f"{event.path} was copied from {event.source}", (record.sequence,)
    for name, written in (case.evidence.sets or {}).items():
        if written.expected is None or written.is_altered or written.has_faults:
            continue
        held = _files_of(written)
        for path, data in written.expected.items():
            found = held.get(place_of(path))
            if found is not None and found != data:
                yield f"set {name}: {path} is not as it was at the commit (first difference at {_first(found, data):#x})", ()


@invariant("B2", Kind.SAFETY, Need.SETS)
def success_means_copied_and_read_back(case: Case) -> Iterator[Found]:
    """A component is reported as backed up if and only if all of its files, ranges and metadata were copied and their digests,
    read again from the target, match."""
    for name, written in (case.evidence.sets or {}).items():
        if written.is_altered:
            continue
        manifest, seal = _json(written, _MANIFEST), _json(written, _SEAL)
        if manifest is None or seal is None:
            continue
        for component in seal.get("components", ()):
            if component.get("succeeded") is not True:
                continue
            for entry in _owned(manifest, component):
                problem = _problem(written, entry)
                if problem:
                    yield f"set {name}: {component['component']} counts as backed up, and {entry['path']} {problem}", ()
        yield from _events_agree(case, seal, name)


@invariant("B3", Kind.SAFETY, Need.DOCUMENTS)
def documents_survive_reading(case: Case) -> Iterator[Found]:
    """Reading the components document and writing it again gives the same bytes; its digest is in the manifest."""
    for document in case.evidence.documents or ():
        if document.again != document.text:
            at = _first(document.again, document.text)
            yield f"document {document.name} reads back differently from byte {at:#x} on", ()
    for name, written in (case.evidence.sets or {}).items():
        manifest = _json(written, _MANIFEST)
        if manifest is None or written.is_altered or written.has_faults or _COMPONENTS not in written.files:
            continue
        listed = {each["path"]: each["sha256"] for each in manifest.get("documents", ())}
        if listed.get(_COMPONENTS) != hashlib.sha256(written.files[_COMPONENTS]).hexdigest():
            yield f"set {name}: the digest of {_COMPONENTS} is not in the manifest", ()


@invariant("B4", Kind.SAFETY, Need.SETS)
def verification_finds_every_change(case: Case) -> Iterator[Found]:
    """Any change to any byte that a restore would use makes verification fail, and it names file and offset."""
    for name, written in (case.evidence.sets or {}).items():
        if not written.altered or written.found_wrong is None:
            continue
        for path, offset in written.altered:
            named = [at for file, at in written.found_wrong if _same_file(file, path)]
            if not named:
                yield f"set {name}: {path} was changed at {offset:#x}, and verification did not name it", ()
            elif offset >= 0 and all(at >= 0 and not at <= offset < at + (1 << 20) for at in named):
                yield f"set {name}: {path} was changed at {offset:#x}, verification named {named[0]:#x}", ()


@invariant("B5", Kind.SAFETY, Need.SETS)
def verification_raises_no_false_alarm(case: Case) -> Iterator[Found]:
    """An unaltered, complete backup never fails verification."""
    for name, written in (case.evidence.sets or {}).items():
        if written.is_altered or not written.found_wrong or written.has_wrong_source:
            continue
        seal = _json(written, _SEAL)
        if seal is not None and seal.get("state") == "complete":
            path, offset = written.found_wrong[0]
            yield f"set {name} is whole and unchanged, and verification found {path} wrong at {offset:#x}", ()


@invariant("B6", Kind.SAFETY, Need.RESTORES)
def restores_give_back_the_commit(case: Case) -> Iterator[Found]:
    """A verified backup, restored to an empty place, gives the state of the commit: the same bytes, every page sum good, and a
    store that opens clean after its recovery."""
    for restored in case.evidence.restores or ():
        if not restored.is_success:
            continue
        for path, data in restored.wanted.items():
            found = restored.after.get(path)
            if found is None:
                yield f"the restore was reported as successful, and {path} is missing", ()
            elif found != data:
                yield f"the restore was reported as successful, and {path} differs from {_first(found, data):#x} on", ()


@invariant("B7", Kind.SAFETY)
def roll_forward_reaches_the_last_commit(case: Case) -> Iterator[Found]:
    """Full backup, increments and the logs that survived give the state of the last committed transaction whose log survived;
    each stop point gives exactly the model's prefix."""
    yield from by_trial(case, "B7")


@invariant("B8", Kind.SAFETY, Need.RESTORES)
def restores_stay_in_their_place(case: Case) -> Iterator[Found]:
    """A restore never writes outside the places granted to it, and never through a link that it did not make."""
    for restored in case.evidence.restores or ():
        for path in sorted({*restored.before, *restored.after}):
            inside = any(path.casefold().startswith(root.casefold()) for root in restored.granted)
            if not inside and restored.before.get(path) != restored.after.get(path):
                yield f"a restore changed {path}, which lies outside what was granted", ()


@invariant("B9", Kind.SAFETY, Need.RESTORES)
def failed_restores_leave_old_or_new(case: Case) -> Iterator[Found]:
    """A failed or aborted restore leaves the old state or the new one (marked), never a mixture that opens; running it again
    completes it."""
    for restored in case.evidence.restores or ():
        if restored.is_success or restored.is_marked:
            continue
        old = [path for path, data in restored.wanted.items() if restored.after.get(path) == restored.before.get(path) != data]
        new = [path for path, data in restored.wanted.items() if restored.after.get(path) == data != restored.before.get(path)]
        torn = [
            path
            for path, data in restored.wanted.items()
            if restored.after.get(path) not in (data, restored.before.get(path), None)
        ]
        for path in torn:
            yield f"a failed restore left {path} half written, and nothing says so", ()
        if old and new:
            yield f"a failed restore left {new[0]} new and {old[0]} old, and nothing says so", ()


@invariant("B10", Kind.SAFETY)
def mistakes_are_refused(case: Case) -> Iterator[Found]:
    """Each mistake of an operator (wrong order, wrong place, missing set, store in use …) is refused by name, or harmless."""
    yield from by_trial(case, "B10")


@invariant("B11", Kind.SAFETY, Need.SETS)
def the_right_files_are_in_the_set(case: Case) -> Iterator[Found]:
    """Exclusions, partial ranges, differenced files, alternate and new targets give exactly the files that the rules of the
    writers' documents say."""
    judged = False
    for name, written in (case.evidence.sets or {}).items():
        manifest = _json(written, _MANIFEST)
        if written.expected is None or not written.is_exact or manifest is None:
            continue
        judged = True
        wanted = {place_of(path) for path in written.expected}
        listed = {place_of(entry["machine_path"]) for entry in manifest.get("files", ())}
        for missing in sorted(wanted - listed):
            yield f"set {name}: {missing} belongs into the set and is not in it", ()
        for other in sorted(listed - wanted):
            yield f"set {name}: {other} is in the set and belongs to no component", ()
    if not judged:
        raise LacksEvidenceError("needs sets with what they should hold")


# -- reading a set -------------------------------------------------------------------------------------------------------------


def place_of(machine_path: str) -> str:
    """Return where a file of the machine stands below ``files/``, without case: ``D:\\a`` gives ``d/a``."""
    return machine_path.replace(":", "").replace("\\", "/").casefold()


def _files_of(written: BackupSetFiles) -> dict[str, bytes]:
    prefix = "files/"
    return {path[len(prefix) :].casefold(): data for path, data in written.files.items() if path.startswith(prefix)}


def _json(written: BackupSetFiles, name: str) -> dict[str, Any] | None:
    try:
        data = json.loads(written.files[name])
    except (KeyError, ValueError):
        return None
    return data if isinstance(data, dict) else None


def _owned(manifest: Mapping[str, Any], component: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    owner = (component.get("instance_id"), component.get("component"))
    for entry in manifest.get("files", ()):
        if any((each.get("writer"), each.get("component")) == owner for each in entry.get("owners", ())):
            yield entry


def _problem(written: BackupSetFiles, entry: Mapping[str, Any]) -> str:
    data = written.files.get(entry["path"])
    if data is None:
        return "is missing"
    if len(data) != entry["size_bytes"]:
        return f"has {len(data)} bytes, listed are {entry['size_bytes']}"
    return "" if hashlib.sha256(data).hexdigest() == entry["sha256"] else "has another digest than listed"


def _events_agree(case: Case, seal: Mapping[str, Any], name: str) -> Iterator[Found]:
    """What was announced as backed up is sealed as backed up."""
    sealed = {each.get("component") for each in seal.get("components", ()) if each.get("succeeded") is True}
    for record in case.history.of(ComponentSucceeded):
        event = record.event
        assert isinstance(event, ComponentSucceeded)
        if event.session_id == seal.get("session_id") and event.component not in sealed:
            yield f"set {name}: {event.component} was announced as backed up, and the seal does not say so", (record.sequence,)


def _same_file(found: str, path: str) -> bool:
    return found == path or place_of(found) == path.removeprefix("files/").casefold()


def _first(found: bytes, expected: bytes) -> int:
    """Offset of the first difference."""
    for at, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return at
    return min(len(found), len(expected))
