"""A shadow copy as a device: what a file system is mounted on."""

from __future__ import annotations

from vss.errors import VolumeReadError, VolumeWriteError
from vss.volumes.block_store import Buffer
from vss_providers.attached_volume import AttachedVolume
from vss_providers.store import Store


class SnapshotDevice:
    """Reads one shadow copy. When it is deleted or lost, every read raises ``VolumeReadError`` that says why."""

    def __init__(self, attached: AttachedVolume, store: Store) -> None:
        """Read the shadow copy that ``store`` belongs to."""
        self._attached, self._area, self._store = attached, attached.area, store
        self.size_bytes = self._area.volume_size

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``."""
        if not self._attached.is_current:
            raise VolumeReadError(f"shadow copy {self._store.snapshot_id}: {self._attached.absence}")
        return self._area.read(self._store, offset, length)


class WritableSnapshotDevice(SnapshotDevice):
    """The same before the final commit: writes go to overlays until ``finish`` is called."""

    def __init__(self, attached: AttachedVolume, store: Store) -> None:
        """Read and write the shadow copy that ``store`` belongs to."""
        super().__init__(attached, store)
        self._is_finished = False

    def write(self, offset: int, data: Buffer) -> None:
        """Change the shadow copy; ``VolumeWriteError`` after its final commit."""
        if self._is_finished:
            raise VolumeWriteError(f"shadow copy {self._store.snapshot_id}: read-only since its final commit")
        if not self._attached.is_current:
            raise VolumeWriteError(f"shadow copy {self._store.snapshot_id}: {self._attached.absence}")
        self._area.write(self._store, offset, bytes(data))

    def flush(self) -> None:
        """Make the changes durable."""
        self._area.area_device.flush()

    def finish(self) -> None:
        """Refuse writes from now on."""
        self._is_finished = True
