"""The session a requestor drives (what IVssBackupComponents is in VSS): backup calls here, restore calls in ``restore_calls``.

The vendor's order, checked by ``vss.machines.session``:

    initialize_for_backup · set_context · set_backup_state · gather_writer_metadata · add_component … · start_snapshot_set ·
    add_to_snapshot_set … · prepare_for_backup · gather_writer_status · do_snapshot_set · gather_writer_status · copy files ·
    set_backup_succeeded … · backup_complete · gather_writer_status · release

Source: Volume Shadow Copy Service documentation, "Overview of processing a backup under VSS".
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vss.coordinator.components_editor import ComponentKey, add_components, change_component
from vss.coordinator.contexts import SnapshotAttributes, SnapshotContext, check_attributes
from vss.coordinator.creation import SnapshotInCreation, SnapshotSetCreation
from vss.coordinator.fault_points import passes
from vss.coordinator.handover_calls import HandoverCalls
from vss.coordinator.providers import choose_provider
from vss.coordinator.restore_calls import RestoreCalls
from vss.coordinator.service_log import KERNEL
from vss.coordinator.snapshot_calls import SnapshotCalls
from vss.documents import BackupComponents, BackupType, ComponentType, SelectedComponent, WriterComponents
from vss.documents.exclusions import FileExclusion, exclusions_of
from vss.errors import InvalidArgumentError, NotFoundError, ProviderError, VolumeNotSupportedError
from vss.events import BackupStateSet, ComponentAdded, ComponentReported, SessionStarted, SnapshotSetStarted, VolumeAddedToSet
from vss.hresult import HResult
from vss.ids import GUID_NULL, Guid
from vss.machines import SessionCall, SessionState, WriterEvent, WriterState
from vss.roles.provider import Provider
from vss.roles.volume import Volume

MAX_VOLUMES_IN_SET = 64
"""Volumes a set can have (vendor limit; the 65th is refused and the set stays usable)."""


class Session(SnapshotCalls, HandoverCalls, RestoreCalls):
    """One requestor's backup or restore (IVssBackupComponents). Every call out of sequence raises ``BadStateError`` and changes
    nothing. Names are the vendor's in snake case; the page of the method of that name is the source of each, its error list
    that of the codes raised."""

    def initialize_for_backup(self, document: BackupComponents | None = None) -> None:
        """Make this session a backup; with a stored ``document``, one that imports the transportable set or completes the
        waiting backup that it describes."""
        if document is None:
            self._machine.call(SessionCall.INITIALIZE_FOR_BACKUP)
        else:
            self._machine.call(SessionCall.INITIALIZE_WITH_DOCUMENT)
            self._document = document
        self._ports.emit(SessionStarted(session_id=self._id_text, kind="backup"))

    def set_context(self, context: SnapshotContext, attributes: SnapshotAttributes = SnapshotAttributes.NONE) -> None:
        """Say what the set is for; at most once. ALL is for looking at shadow copies and deleting them, never for making any.

        Raises:
            InvalidArgumentError: attributes that a requestor cannot add to this context.
        """
        check_attributes(context, attributes)
        if context is SnapshotContext.ALL:
            self._machine.call(SessionCall.SET_CONTEXT_ALL)
        else:
            self._machine.call(SessionCall.SET_CONTEXT if context.has_writers else SessionCall.SET_CONTEXT_WITHOUT_WRITERS)
        self._context = context
        self._attributes = attributes

    def set_backup_state(
        self,
        *,
        select_components: bool,
        bootable_system_state: bool,
        backup_type: BackupType,
        partial_file_support: bool = False,
    ) -> None:
        """Say what kind of backup this is; before PrepareForBackup."""
        self._machine.call(SessionCall.SET_BACKUP_STATE)
        self._document = replace(
            self._document,
            select_components=select_components,
            bootable_system_state=bootable_system_state,
            backup_type=backup_type,
            partial_file_support=partial_file_support,
        )
        self._ports.emit(BackupStateSet(session_id=self._id_text, backup_type=backup_type.name))

    def add_component(
        self, instance_id: Guid, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str
    ) -> None:
        """Include a component explicitly ("AddComponent"; "Working with selectability and logical paths").

        Raises:
            NotFoundError: the writer, or its component, does not exist.
            AlreadyExistsError: it was added already.
            InvalidArgumentError: the component is only included with another one (it is not selectable there).
        """
        metadata = next((each for each in self._metadata if each.instance_id == instance_id), None)
        if metadata is None or metadata.writer_id != writer_id:
            raise NotFoundError(f"no writer {writer_id} with instance {instance_id} answered Identify in this session")
        key = ComponentKey(writer_id, type, logical_path, component_name)
        declared = metadata.component(str(key))
        if declared is None or declared.type is not type:
            known = ", ".join(each.full_path for each in metadata.components) or "none"
            raise NotFoundError(f"writer '{metadata.friendly_name}' has no component '{key}': found {known}")
        self._machine.call(SessionCall.ADD_COMPONENT)
        component = SelectedComponent(type, declared.component_name, declared.logical_path)
        part = WriterComponents(writer_id, instance_id, metadata.instance_name, metadata.backup_schema, (component,))
        self._document = add_components(self._document, part)
        self._ports.emit(
            ComponentAdded(
                session_id=self._id_text,
                writer=metadata.friendly_name,
                component=component.full_path,
                instance_id=str(instance_id),
            )
        )

    def start_snapshot_set(self) -> Guid:
        """Begin a set and take the machine-wide creation lock; return the set's id ("StartSnapshotSet").

        Raises:
            SetInProgressError: another session holds the lock.
        """
        if self._machine.allows(SessionCall.START_SNAPSHOT_SET):  # a call out of sequence is told so, whoever holds the lock
            self._coordinator.require_no_set_in_creation()
        self._machine.call(SessionCall.START_SNAPSHOT_SET)
        set_id = self._ports.ids.guid()
        self._coordinator.creation_started(self)
        is_transacted = SnapshotAttributes.NOT_TRANSACTED not in self._attributes
        managers = self._coordinator.transaction_managers if is_transacted else ()
        self._creation = SnapshotSetCreation(
            self._ports,
            self._caller,
            self._limits,
            self._coordinator.registry,
            set_id,
            self.session_id,
            managers,
            self._kept_out(),
        )
        self._document = replace(self._document, snapshot_set_id=set_id)
        self._ports.emit(
            SnapshotSetStarted(
                session_id=self._id_text,
                snapshot_set_id=str(set_id),
                attributes=int(self._context) & 0xFF | int(self._attributes),
            )
        )
        return set_id

    async def is_volume_supported(self, volume: str, provider_id: Guid = GUID_NULL) -> bool:
        """Whether a provider (or the given one) can take ``volume`` into a set."""
        self._machine.call(SessionCall.IS_VOLUME_SUPPORTED)
        target = self._coordinator.volume(volume)
        try:
            await choose_provider(
                self._caller,
                self._coordinator.providers,
                target,
                provider_id,
                self._snapshot_attributes,
                self._limits.is_supported_s,
            )
        except VolumeNotSupportedError:
            return False
        return True

    def _kept_out(self) -> tuple[FileExclusion, ...]:
        """What FilesNotToSnapshot keeps out of this session's shadow copies.

        Raises:
            InvalidArgumentError: an entry means nothing on this machine.
        """
        is_optimized = self._context.has_writers and not self._context.is_client_accessible
        if not is_optimized or SnapshotAttributes.NO_AUTORECOVERY in self._attributes:
            return ()
        settings = self._coordinator.settings
        writers = [each.name for each in self._coordinator.writers]
        return exclusions_of(settings.files_not_to_snapshot, settings.environment, writers=writers)

    @property
    def _snapshot_attributes(self) -> int:
        return int(self._context) & 0xFF | int(self._attributes) | self._recovery_attribute

    @passes("coord.add_volume", tells="volume")
    async def add_to_snapshot_set(self, volume: str, provider_id: Guid = GUID_NULL) -> Guid:
        """Take ``volume`` into the set with the given provider, or the one the machine chooses; return the snapshot's id.

        Raises:
            NotFoundError: there is no such volume or provider.
            VolumeNotSupportedError: the provider, or none at all, supports it.
            InvalidArgumentError: the set has 64 volumes, or this one already.
            ProviderError: the provider refused, or the volume has as many shadow copies as it can.
        """
        self._machine.call(SessionCall.ADD_TO_SNAPSHOT_SET)
        creation = self._creation
        assert creation is not None, "the session machine lets no volume in before StartSnapshotSet"
        target = self._coordinator.volume(volume)
        if any(each is target for each in creation.volumes):
            self._caller.log.write(4002, f"volume {target.name}, set {creation.snapshot_set_id}")
            raise InvalidArgumentError(
                f"volume {target.name} is in the set already", hresult=HResult.VSS_E_OBJECT_ALREADY_EXISTS
            )
        if len(creation.snapshots) >= MAX_VOLUMES_IN_SET:
            raise InvalidArgumentError(
                f"the set has {MAX_VOLUMES_IN_SET} volumes: {target.name} cannot be added",
                hresult=HResult.VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED,
            )
        wanted = provider_id if provider_id != GUID_NULL else self._coordinator.preferred_provider(target, self._context)
        provider = await choose_provider(
            self._caller, self._coordinator.providers, target, wanted, self._snapshot_attributes, self._limits.is_supported_s
        )
        await self._require_room(provider, target)
        snapshot_id = self._ports.ids.guid()
        await creation.providers.begin(provider, snapshot_id, target, self._snapshot_attributes, self._limits.begin_prepare_s)
        creation.snapshots.append(SnapshotInCreation(snapshot_id, target, provider))
        self._ports.emit(
            VolumeAddedToSet(
                snapshot_set_id=str(creation.snapshot_set_id),
                snapshot_id=str(snapshot_id),
                volume=target.name,
                provider=provider.name,
            )
        )
        return snapshot_id

    async def _require_room(self, provider: Provider, volume: Volume) -> None:
        registry, most = self._coordinator.registry, provider.capabilities.max_snapshots_per_volume
        if len(registry.of_volume(provider, volume.volume_id)) < most:
            return
        await self._coordinator.refresh_snapshots()  # the provider may have given some up meanwhile
        if len(registry.of_volume(provider, volume.volume_id)) >= most:
            raise ProviderError(
                f"volume {volume.name} has {most} shadow copies of provider '{provider.name}', the most it can have",
                hresult=HResult.VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED,
                hint="delete one",
            )

    @passes("coord.prepare_backup")
    async def prepare_for_backup(self) -> None:
        """Send PrepareForBackup to the participating writers; who failed shows in the writer status. Without StartSnapshotSet
        before, the backup has no shadow copy set ("Overview of pre-backup tasks")."""
        async with self._long_call(SessionCall.PREPARE_FOR_BACKUP):
            writers = [each.writer for each in self._selected_participants()]
            await self._coordinator.waiting.end_those_of(writers, "its writers are backed up again")
            await self._send(WriterEvent.PREPARE_FOR_BACKUP, WriterState.STABLE, self._limits.prepare_backup_s)

    @passes("coord.create")
    async def do_snapshot_set(self) -> None:
        """Take the set, as ``vss.coordinator.creation`` tells. The creation lock is free afterwards, however it ended.

        Raises:
            ProviderError: a provider failed; nothing of the set is left.
            WindowError: the freeze, flush or hold window was lost; nothing of the set is left.
        """
        async with self._long_call(SessionCall.DO_SNAPSHOT_SET):
            creation = self._creation
            assert creation is not None, "the session machine lets no set be taken before StartSnapshotSet"
            try:
                await creation.create(self._selected_participants())
            finally:
                self._coordinator.creation_ended(self)
            for each in creation.snapshots:  # known before the next await: whatever happens there, release finds them
                if not self._attributes & SnapshotAttributes.TRANSPORTABLE:  # those go with whoever imports them
                    self._snapshot_ids.append(each.snapshot_id)
                self._coordinator.snapshot_made(each.snapshot_id, each.provider)
            await self._coordinator.refresh_snapshots()
            await self._describe_transportable(creation)
            await self._require_all_made(creation)
            await self._make_room_for_people(creation)

    async def _require_all_made(self, creation: SnapshotSetCreation) -> None:
        """All or nothing, also where a provider said that it had made what it has not."""
        registry = self._coordinator.registry
        travelling = [each.snapshot_id for each in self._document.snapshots]
        missing = [
            each
            for each in creation.snapshots
            if not registry.is_known(each.snapshot_id) and each.snapshot_id not in travelling
        ]
        if not missing:
            return
        found = len(creation.snapshots) - len(missing)
        expected, name = len(creation.snapshots), missing[0].provider.name
        text = f"provider '{name}', set {creation.snapshot_set_id}: expected {expected}, found {found}"
        self._caller.log.write(12299, text)
        for each in creation.snapshots:
            await registry.delete_if_there(each.snapshot_id, "its set is not whole")
        raise ProviderError(f"{text} shadow copies", hresult=HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR)

    async def _make_room_for_people(self, creation: SnapshotSetCreation) -> None:
        """Client-accessible shadow copies are few: the oldest of the volume goes when there is one too many."""
        if not self._context.is_client_accessible:
            return
        registry, most = self._coordinator.registry, self._limits.client_accessible_max
        for each in creation.snapshots:
            made = registry.of_volume(each.provider, each.volume.volume_id)
            accessible = [one for one in made if one.attributes & SnapshotAttributes.CLIENT_ACCESSIBLE]
            for oldest in accessible[: max(len(accessible) - most, 0)]:
                self._caller.log.write(58, f"volume {each.volume.name}, shadow copy {oldest.snapshot_id}", KERNEL)
                await registry.delete_if_there(oldest.snapshot_id, "the volume has as many as people may see")

    def set_backup_options(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, options: str
    ) -> None:
        """Give the writer options for a component; before PrepareForBackup."""
        self._change(
            SessionCall.SET_BACKUP_OPTIONS, ComponentKey(writer_id, type, logical_path, component_name), backup_options=options
        )

    def set_previous_backup_stamp(
        self, writer_id: Guid, type: ComponentType, logical_path: str, component_name: str, stamp: bytes
    ) -> None:
        """Tell the writer which backup this one builds on; before PrepareForBackup."""
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._change(SessionCall.SET_PREVIOUS_BACKUP_STAMP, key, previous_backup_stamp=stamp)

    def set_backup_succeeded(
        self,
        instance_id: Guid,
        writer_id: Guid,
        type: ComponentType,
        logical_path: str,
        component_name: str,
        succeeded: bool,
    ) -> None:
        """Report whether a component was backed up: true only for what was copied and verified. Writers truncate on it
        ("SetBackupSucceeded")."""
        self._machine.call(SessionCall.SET_BACKUP_SUCCEEDED)
        key = ComponentKey(writer_id, type, logical_path, component_name)
        self._document = change_component(self._document, key, instance_id, backup_succeeded=succeeded)
        self._ports.emit(
            ComponentReported(session_id=self._id_text, instance_id=str(instance_id), component=str(key), succeeded=succeeded)
        )

    @passes("coord.complete")
    async def backup_complete(self) -> None:
        """Send BackupComplete; the document is closed from here. Who failed shows in the writer status.

        Raises:
            BadStateError: with a stored document: no backup waits for it, or it was left with another document.
        """
        has_stored = self._machine.state is SessionState.DOCUMENT_DISCOVERED
        waiting = self._coordinator.waiting.find(self._document) if has_stored else None
        has_set = waiting is not None or self._creation is not None
        due = WriterState.WAITING_FOR_BACKUP_COMPLETE if has_set else WriterState.STABLE
        async with self._long_call(SessionCall.BACKUP_COMPLETE):
            if waiting is not None:
                self._take_over(waiting)
            await self._send(WriterEvent.BACKUP_COMPLETE, due, self._limits.backup_complete_s)

    @passes("coord.abort_backup")
    async def abort_backup(self) -> None:
        """Undo an unfinished set and tell the writers that prepared; those past PostSnapshot hear of it at release, by
        BackupShutdown ("Aborting VSS operations")."""
        self._machine.call(SessionCall.ABORT_BACKUP)
        await self._undo_unfinished()
        for participant in self._selected_participants():
            participant.interrupt()  # a PrepareForBackup that was given up has failed; with a set that is settled by now
            if participant.takes_abort:
                await participant.abort("aborted by the requestor")
        self._coordinator.creation_ended(self)

    def _change(self, call: SessionCall, key: ComponentKey, **changes: Any) -> None:
        changed = change_component(self._document, key, **changes)
        self._machine.call(call)
        self._document = changed
