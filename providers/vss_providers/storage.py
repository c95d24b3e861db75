"""Shadow copy storage of the copy-on-write provider: where a volume's saved blocks go, and how much room they may take.

An association exists as soon as there is a diff area, made by the first shadow copy or by ``add_storage``; it stays when the
last shadow copy goes. The area lies behind its volume in the same image, in a file inside the volume, or behind another volume,
which may serve several and has no shadow copies itself (``storage_volume``). Other readers list what is stored on another
volume, and only dfir_ntfs can be given both images.

Source: Volume Shadow Copy Service documentation, IVssDifferentialSoftwareSnapshotMgmt.
"""

from __future__ import annotations

from vss.errors import BadStateError, NotFoundError, ProviderError, VolumeError, VolumeNotSupportedError
from vss.hresult import HResult
from vss.roles.provider import ShadowStorage
from vss.roles.volume import Volume
from vss.volumes.block_volume import BlockVolume
from vss_providers.attached_volume import AttachedVolume
from vss_providers.catalog_slots import CATALOG_BLOCKS
from vss_providers.finished_copies import FinishedCopies
from vss_providers.inside_volume import AREA_FILE, make_area_file
from vss_providers.on_disk.layout import BLOCK_SIZE
from vss_providers.repair import erase_diff_area
from vss_providers.snapshot_set import as_provider_error
from vss_providers.storage_volume import StorageVolume

MAXIMUM_BYTES_MIN = (CATALOG_BLOCKS + 16) * BLOCK_SIZE
"""Least maximum: the catalog, and a store with a little in it."""


class StorageManagement(FinishedCopies):
    """The storage calls."""

    async def query_storage(self) -> list[ShadowStorage]:
        """Return the association of every volume that has one, in the order of attaching."""
        self._forget_absent()
        return [
            ShadowStorage(
                volume=attached.volume.name,
                volume_id=attached.volume.volume_id,
                storage_volume=attached.storage_volume.name,
                storage_volume_id=attached.storage_volume.volume_id,
                volume_bytes=attached.volume.size_bytes,
                used_bytes=attached.area.used_bytes,
                allocated_bytes=attached.area.allocated_bytes,
                maximum_bytes=attached.area.maximum_size,
            )
            for attached in self._attached.values()
            if attached.is_current and attached.area.has_catalog
        ]

    async def add_storage(self, volume: Volume, storage_volume: Volume, maximum_bytes: int, *, is_inside: bool = False) -> None:
        """Put an empty diff area in place.

        Args:
            volume: whose saved blocks it takes.
            storage_volume: where: the same volume, or another block volume.
            maximum_bytes: most it may take; 0 is no bound.
            is_inside: set the room aside in a file inside the volume, at once and for good, instead of behind it.

        Raises:
            VolumeNotSupportedError: the other volume is no block volume, or has or had shadow copies of its own.
            ProviderError: there is an association already, the size is too small, or the device failed.
        """
        attached = self._attached_volume(volume)
        if attached.area.has_catalog:
            raise ProviderError(
                f"volume {volume.name} has a shadow copy storage association already",
                hresult=HResult.VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED,
                hint="resize it, or delete it first",
            )
        _check_maximum(volume, maximum_bytes, is_bound_needed=is_inside)
        try:
            if storage_volume.volume_id != volume.volume_id:
                attached = await self._associate(attached, storage_volume)
            elif is_inside:
                await make_area_file(attached.volume.files, maximum_bytes)
                del self._attached[volume.volume_id]
                attached = await self._attach(attached.volume)
            attached.area.create(maximum_bytes)
        except VolumeError as error:
            raise as_provider_error(error, f"adding shadow copy storage to volume {volume.name}") from error

    async def _associate(self, attached: AttachedVolume, storage_volume: Volume) -> AttachedVolume:
        """Have ``storage_volume`` serve a volume that has no area; ``VolumeError`` when it fails or has no room."""
        volume = attached.volume
        if not isinstance(storage_volume, BlockVolume) or storage_volume.is_lost or self._is_in_the_making(attached):
            raise VolumeNotSupportedError(
                f"shadow copies of volume {volume.name} cannot be stored on {storage_volume.name} now: expected a block volume "
                "that is there, and no set in the making"
            )
        own = await self._find_area(storage_volume)
        if own is not None and (own.area.has_catalog or self._is_in_the_making(own)):
            raise VolumeNotSupportedError(
                f"shadow copies of volume {volume.name} cannot be stored on {storage_volume.name}: it has shadow copy storage "
                "of its own",
                hint="delete that first: no reader of the format can tell the two apart",
            )
        storage = self._storage_volumes.get(storage_volume.volume_id)
        if storage is None or not storage.is_current:
            storage = self._storage_volumes[storage_volume.volume_id] = StorageVolume.make(storage_volume)
            self._attached.pop(storage_volume.volume_id, None)
        storage.associate(volume.volume_id, volume.size_bytes)
        return await self._take_up(volume, storage)

    async def resize_storage(self, volume: Volume, maximum_bytes: int) -> None:
        """Change the maximum, making the association where there is none; the oldest shadow copies go if they must.

        Raises:
            ProviderError: the size is too small, the area is inside the volume, or the device failed.
        """
        attached = self._attached_volume(volume)
        _check_maximum(volume, maximum_bytes)
        if attached.area.is_inside_volume:
            raise ProviderError(
                f"volume {volume.name}: its diff area lies inside it and has the size it was made with",
                hresult=HResult.VSS_E_NOT_SUPPORTED,
                hint="delete the storage and add it again",
            )
        try:
            if attached.area.has_catalog:
                attached.area.set_maximum_size(maximum_bytes)
                attached.set_filter()
            else:
                attached.area.create(maximum_bytes)
        except VolumeError as error:
            raise as_provider_error(error, f"resizing the shadow copy storage of volume {volume.name}") from error

    async def delete_storage(self, volume: Volume) -> None:
        """Take the association away.

        Raises:
            NotFoundError: there is none.
            ProviderError: there are shadow copies, or the device failed.
        """
        attached = self._attached_volume(volume)
        self._settle()
        if not attached.area.has_catalog:
            raise NotFoundError(f"volume {volume.name} has no shadow copy storage association")
        if attached.area.stack or self._is_in_the_making(attached):
            raise ProviderError(
                f"volume {volume.name} has {len(attached.area.stack)} shadow copies or is in a set in the making",
                hresult=HResult.VSS_E_BAD_STATE,
                hint="delete the shadow copies first",
            )
        try:
            erase_diff_area(attached.area.device)
            attached.growth.abandon_bitmaps()
            storage = attached.area.storage
            if storage is not None and storage.is_current:
                await self._dissociate(storage, volume.volume_id)
            if attached.area.is_inside_volume:
                await attached.volume.files.remove(AREA_FILE)
                await attached.volume.files.sync()
        except (VolumeError, BadStateError) as error:
            raise ProviderError(f"deleting the shadow copy storage of volume {volume.name}: {error.message}") from error
        del self._attached[volume.volume_id]
        await self._attach(attached.volume)

    def _is_in_the_making(self, attached: AttachedVolume) -> bool:
        return self._set is not None and any(member.attached is attached for member in self._set.members)


def _check_maximum(volume: Volume, maximum_bytes: int, *, is_bound_needed: bool = False) -> None:
    if maximum_bytes == 0 and not is_bound_needed:
        return
    if maximum_bytes < MAXIMUM_BYTES_MIN:
        raise ProviderError(
            f"volume {volume.name}: expected a maximum of at least {MAXIMUM_BYTES_MIN} bytes, found {maximum_bytes}",
            hresult=HResult.VSS_E_INSUFFICIENT_STORAGE,
        )
