"""What is taken down while a scenario runs, for the checker: volumes, shadow copies, backup sets, restores, frozen files.

Decides when it is looked. Volumes are copied when their writes are held; shadow copies are read at the commit, when their set
is finished, when the backup set is written and after every step; files are compared while a writer is frozen and around a
restore. Invariants: looking takes no time, passes no fault site, emits nothing, and changes no byte, so a run is the same
whether it is looked at or not; nothing is asked of the code that is judged but the bytes of its shadow copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

from vss.errors import VssError
from vss.events import (
    BackupSetWritten,
    Event,
    FaultFired,
    FileCopied,
    PhaseEntered,
    PhaseLeft,
    Record,
    SnapshotCommitted,
    SnapshotDeleted,
    SnapshotSetAborted,
    SnapshotSetCreated,
    SnapshotSetStarted,
    VolumeAddedToSet,
    VolumeLost,
    VolumeReplaced,
    WriterAborted,
    WriterAnswered,
    WriterCalled,
    WriterThawed,
    WritesHeld,
)
from vss.ids import Guid
from vss.lab import Lab
from vss.scenarios.existing import digest_of, existing_shadows
from vss.scenarios.faults import ScenarioFaults
from vss.scenarios.keeper import ScenarioKeeper
from vss.scenarios.observed_sets import ObservedSets
from vss.scenarios.observed_shadow import ObservedShadow
from vss.scenarios.observed_stores import ObservedStores
from vss.scenarios.observed_writes import ObservedWrites
from vss.scenarios.outcome import StepOutcome
from vss.scenarios.refusals import Refusals
from vss.scenarios.step import Step
from vss.scenarios.volume_files import Images, VolumeFiles
from vss.simulation.fault_site_kinds import Passage
from vss.simulation.fault_sites import SITE_BY_NAME
from vss.simulation.invariants import Catalogue, SnapshotRead, VolumeEvidence
from vss.simulation.invariants.image import Image
from vss.volumes.block_store import BLOCK_BYTES

EvidenceLevel = Literal["full", "light"]
"""Whether stores, shadow copies, backup sets and restores are looked at, or the records and what was reported only."""

_CHANGING = ("write_file", "truncate_file", "copy_file", "rename_file", "operate")
"""Steps after which a verification may find damage that is no false alarm."""

_TAMPERING = ("write_file", "truncate_file", "copy_file", "rename_file", "delete_file", "flip_bit", "lose")
"""Steps after which the files of a store are what somebody made of them."""

WHOLE_BYTES = 8 << 20
"""The first shadow copy of a volume up to this size is read whole; of others, and later, only blocks that were ever written."""


class Observation:
    """Watches the lives of one scenario's machine; ``parts`` gives what one life showed, as fields of ``Evidence``.

    Attributes:
        sets: what is seen of backup sets.
        refusals: what failed restores left.
        stores: what is seen of applications' stores in this life.
        writes: what applications tell of their writes in this life.
    """

    def __init__(
        self,
        records: Callable[[], Sequence[Record]],
        now_ns: Callable[[], int],
        faults: ScenarioFaults,
        level: EvidenceLevel = "full",
    ) -> None:
        """Take from where records, time and faults come, and whether there is anything to do at all."""
        self._is_full = level == "full"
        self._records = records
        self._now_ns = now_ns
        self._faults = faults
        self._shadows: dict[str, ObservedShadow] = {}
        self._set_attributes: dict[str, int] = {}
        self._read_whole: set[str] = set()
        self.sets = ObservedSets()
        self.refusals = Refusals()
        self.stores = ObservedStores()
        self.writes = ObservedWrites(lambda: self.moment()[0])
        self._is_looking = False
        self._is_tampered = False
        self._keeper: ScenarioKeeper | None = None
        self._begin(0)

    def _begin(self, first_record: int) -> None:
        self._at_commit: dict[str, Image] = {}
        self._first_record = first_record
        self._lab: Lab | None = None
        self._reads: list[SnapshotRead] = []
        self._faulty: set[str] = set()
        self._before: dict[str, tuple[str, Image]] = {}
        self._after: dict[str, Image] = {}
        self._real: tuple[str, ...] | None = None
        self._is_stored_elsewhere = False
        self._has_lost = False
        self._volumes: dict[str, VolumeEvidence] = {}

    # -- lives -----------------------------------------------------------------------------------------------------------------

    def watch(self, keeper: ScenarioKeeper) -> None:
        """Look at the stores of ``keeper``."""
        self._keeper = keeper

    def begin_life(self) -> None:
        """The machine is about to be switched on."""
        self._begin(len(self._records()))
        self._before = {
            each.snapshot_id: (each.volume, each.image)
            for each in self._shadows.values()
            if each.is_persistent and each.is_created and each.image is not None
        }
        for name, each in list(self._shadows.items()):
            each.seen = -1
            if not (each.is_persistent and each.is_created):
                del self._shadows[name]
        self.sets.begin_life()
        self.stores = ObservedStores()
        self.writes = ObservedWrites(lambda: self.moment()[0])

    def booted(self, lab: Lab) -> None:
        """The machine is on."""
        if not self._is_full:
            return
        self._lab = lab
        self.writes.watch(lab.workloads)
        rules = lab.configuration
        self.sets.has_machine_rules = bool(rules.files_not_to_backup or rules.files_not_to_snapshot)
        self._has_lost = any(each.is_lost for each in lab.volumes.values())
        self.look()
        self._after = {each.snapshot_id: Image.of(each.data) for each in self._reads if each.data is not None}

    def ended(self) -> None:
        """The method is over, the machine still on; what its shutdown does to shadow copies that end with it is told nobody."""
        if not self._is_full:
            return
        self.look()
        self._volumes = {name: self._volume(name) for name in self._watched}
        self._real = None if self._has_lost else self._existing()

    def power_failed(self) -> None:
        """The machine is off in the middle of whatever it did: what its memory says now nobody can read."""
        self._lab = None

    def moment(self) -> tuple[int, int]:
        """How many records this life has, and the instant."""
        return len(self._records()) - self._first_record, self._now_ns()

    # -- while it runs ---------------------------------------------------------------------------------------------------------

    def noticed(self, event: Event) -> None:
        """Look at what ``event`` is the occasion for."""
        if not self._is_full:
            return
        notice = _NOTICES.get(type(event))
        if notice is not None and not self._is_looking:
            notice(self, event)
        self.stores.noticed(event, self.images)

    def _held(self, event: WritesHeld) -> None:
        watched = self._watched.get(event.volume)
        if watched is not None:
            watched.take_copy("WritesHeld")

    def _set_started(self, event: SnapshotSetStarted) -> None:
        self._set_attributes[event.snapshot_set_id] = event.attributes

    def _volume_added(self, event: VolumeAddedToSet) -> None:
        self._shadows[event.snapshot_id] = ObservedShadow(event, self._set_attributes.get(event.snapshot_set_id, -1))

    def _committed(self, event: SnapshotCommitted) -> None:
        self.writes.committed()
        self.look(event.snapshot_set_id)

    def _created(self, event: SnapshotSetCreated) -> None:
        for each in self._of_set(event.snapshot_set_id):
            each.is_created = True
            each.seen = -1
        self.look(event.snapshot_set_id)
        self.sets.shadows |= {each.snapshot_id: each.image for each in self._of_set(event.snapshot_set_id) if each.image}

    def _written(self, event: BackupSetWritten) -> None:
        self.look(event.snapshot_set_id)

    def _aborted(self, event: SnapshotSetAborted) -> None:
        for each in self._of_set(event.snapshot_set_id):
            del self._shadows[each.snapshot_id]

    def _deleted(self, event: SnapshotDeleted) -> None:
        self._shadows.pop(event.snapshot_id, None)
        self._before.pop(event.snapshot_id, None)

    def _fault_fired(self, event: FaultFired) -> None:
        self.sets.has_faults = True
        site = SITE_BY_NAME.get(event.site)
        if site is None or site.passage in (Passage.AWAITED_IO, Passage.IO, Passage.WORLD):
            self.sets.has_media_faults = True
        if event.site.startswith("store."):
            named = [name for name in self._watched if f"volume={name}" in event.selectors]
            self._faulty.update(named or self._watched)

    def _disk_changed(self, event: VolumeLost | VolumeReplaced) -> None:
        self._faulty.add(event.volume)
        self._has_lost = True

    def _answered(self, event: WriterAnswered) -> None:
        if event.step == "Freeze":
            self.sets.frozen(event.session_id, event.writer, self.images())

    def _called(self, event: WriterCalled) -> None:
        if event.step == "Thaw":
            self.sets.thawing(event.session_id, event.writer, self.images())

    def _thawed(self, event: WriterThawed | WriterAborted) -> None:
        self.sets.thawed(event.session_id, event.writer)

    def _phase_entered(self, event: PhaseEntered) -> None:
        if event.phase == "restore":
            self.sets.restore_began(event.session_id, self.images())

    def _phase_left(self, event: PhaseLeft) -> None:
        if event.phase == "restore":
            self.sets.restore_ended(event.session_id, self.images(), is_success=event.outcome == "ok")

    def _of_set(self, set_id: str) -> list[ObservedShadow]:
        return [each for each in self._shadows.values() if each.set_id == set_id]

    def step_began(self, step: Step, *, is_alone: bool) -> None:
        """Look at what a step finds."""
        if self._is_full:
            self.refusals.step_began(step, self.images, is_alone=is_alone)

    def step_ended(self, step: Step, outcome: StepOutcome, files: Any) -> None:
        """Look at what a step left."""
        if not self._is_full:
            return
        self.refusals.step_ended(outcome, self.images)
        self.look()
        if outcome.kind == "flip_bit" and isinstance(outcome.data, Mapping) and not getattr(step, "set", ""):
            self._faulty.add(str(outcome.data.get("path", ""))[:2].upper())
            self.sets.has_faults = True
        self._is_stored_elsewhere |= outcome.kind == "limit_shadows"
        if outcome.kind in _CHANGING and not getattr(step, "set", ""):
            self.sets.has_faults = True
        copied = [each.event for each in self._records()[outcome.first_record : outcome.end_record]]
        from_shadows = {each.path for each in copied if isinstance(each, FileCopied) and each.source == "shadow copy"}
        self._is_tampered |= outcome.kind in _TAMPERING and not getattr(step, "set", "")
        self.sets.step_ended(step, outcome, files, self.images(), from_shadows)

    # -- looking ---------------------------------------------------------------------------------------------------------------

    @property
    def _watched(self) -> Mapping[str, Any]:
        return {} if self._keeper is None else self._keeper.watched

    def images(self) -> Images:
        """Return the volumes as they are now."""
        return {name: each.image() for name, each in self._watched.items()}

    def look(self, set_id: str = "") -> None:
        """Read every shadow copy that is there, or those of one set, where anything was written since the last time."""
        if self._lab is None or self._is_looking or self._has_lost:
            return  # of a disk that is gone a provider learns when it reads: it shall not learn it from us
        writes = sum(len(each.writes) for each in self._watched.values())
        with self._looking():
            for each in self._of_set(set_id) if set_id else list(self._shadows.values()):
                if each.seen != writes:
                    each.seen = writes
                    self._read(each)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        with self._faults.unseen():
            self._is_looking = True
            try:
                yield
            finally:
                self._is_looking = False

    def _read(self, shadow: ObservedShadow) -> None:
        assert self._lab is not None
        provider = next((each for each in self._lab.coordinator.providers if each.name == shadow.provider), None)
        open_device = getattr(provider, "open_device", None)
        watched = self._watched.get(shadow.volume)
        if open_device is None or watched is None:
            return
        image, error = None, ""
        try:
            device = open_device(Guid(shadow.snapshot_id))
            is_first = shadow.volume not in self._read_whole and device.size_bytes <= WHOLE_BYTES
            self._read_whole.add(shadow.volume)
            image = Image.of_device(device, device.size_bytes, None if is_first else sorted(watched.image().blocks))
        except VssError as raised:
            error = type(raised).__name__
        except Exception as raised:  # noqa: BLE001 - that it is no typed error is the finding
            error = f"!{type(raised).__name__}"
        is_recovered = False
        if image is not None:
            if not shadow.is_created:
                shadow.at_commit = self._at_commit[shadow.snapshot_id] = image
            shadow.image = shadow.image if shadow.image is not None and shadow.is_created and shadow.image == image else image
            is_recovered = shadow.is_created and shadow.at_commit is not None and bool(shadow.at_commit.different(image))
        elif not shadow.is_created:
            return  # nobody has promised it yet
        sequence = self.moment()[0]
        self._reads.append(
            SnapshotRead(
                shadow.snapshot_id, shadow.volume, sequence, shadow.image if image is not None else None, error, is_recovered
            )
        )

    def _existing(self) -> tuple[str, ...] | None:
        assert self._lab is not None
        with self._looking():
            return existing_shadows(self._lab.coordinator.providers)

    # -- evidence --------------------------------------------------------------------------------------------------------------

    def parts(self) -> dict[str, Any]:
        """Return what the life that is over showed, as fields of ``Evidence``."""
        if not self._is_full:
            return {}
        is_spoilt = self.sets.has_media_faults
        at_cut = None if self._volumes else self.images()
        return {
            "volumes": self._volumes or {name: replace(self._volume(name), last=None) for name in self._watched},
            "snapshots": tuple(self._with_ranges(each) for each in self._reads),
            "catalogue": None if self._real is None else self._catalogue(self._real),
            "applications": None if is_spoilt else self.writes.evidence(),
            "stores": None if is_spoilt or self._is_tampered else self.stores.evidence(at_cut) or None,
            **self.sets.parts(sorted(self._faulty)),
        }

    def _volume(self, name: str) -> VolumeEvidence:
        evidence: VolumeEvidence = self._watched[name].evidence(
            has_faults=name in self._faulty, block_bytes=0 if self._is_stored_elsewhere else BLOCK_BYTES
        )
        return evidence

    def _with_ranges(self, read: SnapshotRead) -> SnapshotRead:
        """Where the writers that took part have their files, and free room and the file system's own, recovery may write."""
        if not read.is_recovered:
            return read
        directories = self.sets.directories_of(read.snapshot_id)
        image = self._at_commit.get(read.snapshot_id)
        if directories is None or image is None:
            return replace(read, recovered=((0, 1 << 62),))
        return replace(read, recovered=VolumeFiles({read.volume: image}).beside(read.volume, directories))

    def _catalogue(self, real: tuple[str, ...]) -> Catalogue:
        before = {name: digest_of(image) for name, (volume, image) in self._before.items() if volume not in self._faulty}
        return Catalogue(None, real, before, {name: digest_of(image) for name, image in self._after.items()})


_NOTICES: dict[type[Event], Callable[[Observation, Any], None]] = {
    WritesHeld: Observation._held,
    SnapshotSetStarted: Observation._set_started,
    VolumeAddedToSet: Observation._volume_added,
    SnapshotCommitted: Observation._committed,
    SnapshotSetCreated: Observation._created,
    BackupSetWritten: Observation._written,
    SnapshotSetAborted: Observation._aborted,
    SnapshotDeleted: Observation._deleted,
    FaultFired: Observation._fault_fired,
    VolumeLost: Observation._disk_changed,
    VolumeReplaced: Observation._disk_changed,
    WriterAnswered: Observation._answered,
    WriterCalled: Observation._called,
    WriterThawed: Observation._thawed,
    WriterAborted: Observation._thawed,
    PhaseEntered: Observation._phase_entered,
    PhaseLeft: Observation._phase_left,
}
