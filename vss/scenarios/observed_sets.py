"""What is taken down of backup sets, documents, restores and frozen files while a scenario runs.

A set is read off the host when the step that wrote it has ended, and again after a step that verifies it, so that what
somebody changed in between is known by comparing. What a backup must hold is looked up in the images of its shadow copies, what
a restore left in the images of the volumes. Lists of files come from the set's manifest, read with a JSON parser.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from vss.documents.xml_reader import parse_backup_components
from vss.documents.xml_writer import render_backup_components
from vss.errors import VssError
from vss.scenarios.declared_files import declared_files
from vss.scenarios.outcome import StepOutcome
from vss.scenarios.step import SETS, Step
from vss.scenarios.volume_files import Images, VolumeFiles
from vss.simulation.invariants import BackupSetFiles, Document, FrozenFiles, RestoreEvidence
from vss.simulation.invariants.image import Image

_COMPONENTS = "backup_components.xml"
_MANIFEST = "manifest.json"


class _Files(Protocol):
    def exists(self, path: Path) -> bool: ...
    def read_bytes(self, path: Path) -> bytes: ...
    def list_directory(self, path: Path) -> list[str]: ...
    def is_directory(self, path: Path) -> bool: ...


@dataclass
class _Taken:
    """A backup set as the step that wrote it left it."""

    step: str
    set_id: str
    files: dict[str, bytes]
    entries: list[dict[str, Any]]
    expected: dict[str, bytes] | None
    session_id: str
    shadows: tuple[str, ...]
    is_of_damaged: bool

    @property
    def directories(self) -> tuple[str, ...]:
        """Where on the machine its files are from."""
        return tuple(dict.fromkeys(str(each["machine_path"]).rpartition("\\")[0] for each in self.entries))


@dataclass
class _Restored:
    """Volumes around a restore, and what it reported."""

    before: Images
    after: Images | None = None
    is_success: bool = False
    step: StepOutcome | None = None
    files: list[dict[str, str]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    is_alone: bool = True
    is_redirected: bool = False


class ObservedSets:
    """The sets, restores and freezes of a run; what they show is given life by life.

    Attributes:
        shadows: images of finished shadow copies by id.
        has_faults: a fault struck or somebody damaged something, so that verification may find what it likes.
        has_media_faults: a fault struck bytes on their way to or from a medium.
        has_machine_rules: the machine leaves files out of backups, whatever writers say.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.shadows: dict[str, Image] = {}
        self.has_faults = False
        self.has_media_faults = False
        self.has_machine_rules = False
        self._taken: dict[str, _Taken] = {}
        self.begin_life()

    def begin_life(self) -> None:
        """The machine is switched on: freezes and restores of the last life are over."""
        self._judged: dict[str, BackupSetFiles] = {}
        self._documents: list[Document] = []
        self._frozen: dict[tuple[str, str], Images] = {}
        self._freezes: list[tuple[str, str, Images, Images]] = []
        self._restores: dict[str, _Restored] = {}

    # -- freezes ---------------------------------------------------------------------------------------------------------------

    def frozen(self, session_id: str, writer: str, images: Images) -> None:
        """A writer answered Freeze."""
        self._frozen[session_id, writer] = images

    def thawing(self, session_id: str, writer: str, images: Images) -> None:
        """It is about to be told to thaw, or to abort."""
        before = self._frozen.pop((session_id, writer), None)
        if before is not None:
            self._freezes.append((session_id, writer, before, images))

    def thawed(self, session_id: str, writer: str) -> None:
        """It thawed, whoever told it: nothing is known of the time since its answer."""
        self._frozen.pop((session_id, writer), None)

    # -- restores --------------------------------------------------------------------------------------------------------------

    def restore_began(self, session_id: str, images: Images) -> None:
        """A restore is about to write files."""
        self._restores[session_id] = _Restored(images)

    def restore_ended(self, session_id: str, images: Images, *, is_success: bool) -> None:
        """It wrote them, and the writers have not looked at them yet."""
        found = self._restores.get(session_id)
        if found is not None:
            found.after, found.is_success = images, is_success

    # -- steps -----------------------------------------------------------------------------------------------------------------

    def step_ended(
        self, step: Step, outcome: StepOutcome, files: _Files, images: Images, from_shadows: Collection[str]
    ) -> None:
        """Take down what a backup, a verification or a restore left; ``from_shadows`` are paths said to be of shadow copies."""
        data: Mapping[str, Any] = outcome.data if isinstance(outcome.data, Mapping) else {}
        if outcome.kind == "backup" and data.get("set_id"):
            self._take(outcome.step, str(data["set_id"]), data, files, from_shadows)
        elif outcome.kind == "verify" and "findings" in data and not getattr(step, "options", {}):
            self._verified(str(getattr(step, "of", "")), outcome, data, files)
        elif outcome.kind == "restore":
            self._restore_step_ended(step, outcome, data, images)

    def _restore_step_ended(self, step: Step, outcome: StepOutcome, data: Mapping[str, Any], images: Images) -> None:
        session_id = str(data.get("session_id", ""))
        open_ones = [each for each in self._restores.values() if each.step is None]
        found = self._restores.get(session_id) or (open_ones[0] if len(open_ones) == 1 and outcome.error else None)
        if found is None:
            return
        named = getattr(step, "of", [])
        found.sources = [named] if isinstance(named, str) else list(named)
        found.step = outcome
        found.files = list(data.get("files", ()))
        found.is_success = found.is_success and not outcome.error
        found.is_alone = not step.under_load
        found.is_redirected = bool(getattr(step, "options", {}))
        found.after = found.after or images
        if outcome.error and found.is_redirected:
            found.after = None  # where it should have written is not known

    def _take(self, step: str, set_id: str, data: Mapping[str, Any], files: _Files, from_shadows: Collection[str]) -> None:
        written = _files_below(SETS / set_id, files)
        if not written:
            return
        shadows = {str(each["volume"]): str(each["snapshot_id"]) for each in data.get("snapshots", ())}
        entries = _entries(written)
        images = {volume: self.shadows[each] for volume, each in shadows.items() if each in self.shadows}
        self._taken[step] = taken = _Taken(
            step,
            set_id,
            written,
            entries,
            _expected(entries, from_shadows, images) if images else None,
            str(data.get("session_id", "")),
            tuple(shadows.values()),
            self.has_faults,
        )
        is_plain = bool(images) and not (self.has_faults or self.has_machine_rules)
        declared = declared_files(written, images) if is_plain else None
        self._judged[set_id] = BackupSetFiles(
            written,
            taken.expected if declared is None else declared,
            has_faults=self.has_media_faults,
            is_exact=declared is not None,
        )
        text = written.get(_COMPONENTS)
        if text is not None and not self.has_media_faults:
            self._documents.append(Document(f"{set_id}/{_COMPONENTS}", text, _again(text)))

    def _verified(self, of: str, outcome: StepOutcome, data: Mapping[str, Any], files: _Files) -> None:
        taken = self._taken.get(of)
        if taken is None:
            return
        now = _files_below(SETS / taken.set_id, files)
        found = tuple((str(each.get("path", "")), int(each.get("offset", -1))) for each in data["findings"])
        self._judged[f"{taken.set_id} at {outcome.step}"] = BackupSetFiles(
            now,
            found_wrong=found,
            altered=_altered(taken.files, now),
            has_wrong_source=self.has_faults or taken.is_of_damaged,
            is_exact=False,
        )

    # -- evidence --------------------------------------------------------------------------------------------------------------

    def directories_of(self, snapshot_id: str) -> tuple[str, ...] | None:
        """Return where the files of the writers stand that took part in a shadow copy; None where nobody knows."""
        return next((each.directories for each in self._taken.values() if snapshot_id in each.shadows), None)

    def parts(self, faulty: Collection[str]) -> dict[str, Any]:
        """Return what this life showed, as fields of ``Evidence``; bytes on ``faulty`` volumes prove nothing."""
        return {
            "sets": dict(self._judged),
            "documents": tuple(self._documents),
            "frozen_files": tuple(each for freeze in self._freezes for each in self._frozen_files(*freeze)),
            "restores": tuple(each for restored in self._restores.values() for each in self._restored(restored, faulty)),
        }

    def _frozen_files(self, session_id: str, writer: str, before: Images, after: Images) -> list[FrozenFiles]:
        changed = {name for name, image in before.items() if name in after and image.different(after[name])}
        taken = next((each for each in self._taken.values() if each.session_id == session_id), None)
        digests: list[dict[str, str]] = [{}, {}]
        if changed and taken is not None:
            files = VolumeFiles(after)
            for path in _owned(taken, writer):
                digests[0][path] = _digest(files.read_as_it_was(path, before))
                digests[1][path] = _digest(files.read(path))
        elif changed:
            return []
        return [FrozenFiles(writer, session_id, *digests)]

    def _held(self, restored: _Restored) -> dict[str, tuple[bytes, str]]:
        """Return bytes and owner of every whole file in the sets that were restored, by machine path."""
        held: dict[str, tuple[bytes, str]] = {}
        for taken in [self._taken[each] for each in restored.sources if each in self._taken]:
            for entry in taken.entries:
                if not entry.get("ranges") and entry["path"] in taken.files:
                    owner = "/".join(str(each.get("component")) for each in entry.get("owners", ()))
                    held[str(entry["machine_path"])] = (taken.files[entry["path"]], owner)
        return held

    def _restored(self, restored: _Restored, faulty: Collection[str]) -> list[RestoreEvidence]:
        held = {path: each for path, each in self._held(restored).items() if path[:2].upper() not in faulty}
        if restored.step is None or restored.after is None:
            return []
        if restored.step.error:
            return self._failed(restored, held) if len(restored.sources) == 1 else []
        wanted = {
            each["destination"]: held[each["path"]][0]
            for each in restored.files
            if each["action"] == "restored" and each["path"] in held and each["destination"][:2].upper() not in faulty
        }
        before, after = VolumeFiles(restored.before), VolumeFiles(restored.after)
        granted = sorted(
            {_directory(each) for each in held}
            | {_directory(each["destination"]) for each in restored.files if restored.is_redirected}
        )
        others = after.changed_since(restored.before, granted) if restored.is_alone and not faulty else {}
        return [
            RestoreEvidence(
                restored.is_success,
                {**_present(before, wanted), **{path: old for path, (old, _) in others.items() if old is not None}},
                {**_present(after, wanted), **{path: new for path, (_, new) in others.items() if new is not None}},
                wanted,
                granted=tuple(granted),
            )
        ]

    def _failed(self, restored: _Restored, held: Mapping[str, tuple[bytes, str]]) -> list[RestoreEvidence]:
        """What a failed restore left, component by component; of one that was killed, file by file, for nobody could say."""
        assert restored.after is not None, "the caller asks"
        assert restored.step is not None, "the caller asks"
        groups: dict[str, dict[str, bytes]] = {}
        for path, (data, owner) in held.items():
            groups.setdefault(path if restored.step.error == "killed" else owner, {})[path] = data
        before, after = VolumeFiles(restored.before), VolumeFiles(restored.after)
        is_marked = restored.step.error == "PartlyRestoredError"
        return [
            RestoreEvidence(False, _present(before, group), _present(after, group), group, tuple(group), is_marked=is_marked)
            for group in groups.values()
        ]


def _directory(path: str) -> str:
    return path.rpartition("\\")[0] + "\\"


def _present(files: VolumeFiles, paths: Iterable[str]) -> dict[str, bytes]:
    found = {path: files.read(path) for path in paths}
    return {path: data for path, data in found.items() if data is not None}


def _digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _files_below(root: Path, files: _Files) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    pending = [root] if files.exists(root) else []
    while pending:
        directory = pending.pop()
        for name in files.list_directory(directory):
            path = directory / name
            if files.is_directory(path):
                pending.append(path)
            else:
                found[path.relative_to(root).as_posix()] = files.read_bytes(path)
    return found


def _entries(written: Mapping[str, bytes]) -> list[dict[str, Any]]:
    try:
        return list(json.loads(written[_MANIFEST])["files"])
    except (KeyError, ValueError):
        return []


def _owned(taken: _Taken, writer: str) -> list[str]:
    """Paths of the files that belong to the writer of this name; nothing where two are called the same."""
    try:
        components = json.loads(taken.files["session.json"])["components"]
    except (KeyError, ValueError):
        return []
    instances = {each["instance_id"] for each in components if each.get("writer_name") == writer}
    if len(instances) != 1:
        return []
    return [
        str(entry["machine_path"])
        for entry in taken.entries
        if any(each.get("writer") in instances for each in entry.get("owners", ()))
    ]


def _expected(entries: list[dict[str, Any]], from_shadows: Collection[str], images: Images) -> dict[str, bytes]:
    """Bytes in the shadow copies of the files that were copied whole from there; none where there is no such file."""
    files = VolumeFiles(images)
    found: dict[str, bytes] = {}
    for entry in entries:
        path = str(entry["machine_path"])
        if path in from_shadows and path[:2].upper() in images and not entry.get("ranges"):
            found[path] = files.read(path) or b""
    return found


def _again(text: bytes) -> bytes:
    try:
        return render_backup_components(parse_backup_components(text))
    except VssError as error:
        return error.message.encode()


def _altered(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> tuple[tuple[str, int], ...]:
    found = []
    for path in sorted(before):
        data = now.get(path)
        if data is None:
            found.append((path, -1))
        elif data != before[path]:
            first = next((at for at, (one, other) in enumerate(zip(before[path], data, strict=False)) if one != other), -1)
            found.append((path, first))
    return tuple(found)
