"""What is left of a store that is gone: every access has the same answer."""

from __future__ import annotations

from vss.errors import VolumeError
from vss.volumes.block_store import Buffer


class NoStore:
    """A name, a size, and one error."""

    def __init__(self, name: str, size_bytes: int, error: VolumeError) -> None:
        """Answer every access with ``error``."""
        self.name = name
        self.size_bytes = size_bytes
        self._error = error

    def read(self, offset: int, length: int) -> bytes:
        """Fail."""
        raise VolumeError(self._error.message, hint=self._error.hint)

    def read_into(self, offset: int, buffer: bytearray | memoryview) -> None:
        """Fail."""
        raise VolumeError(self._error.message, hint=self._error.hint)

    def write(self, offset: int, data: Buffer) -> None:
        """Fail."""
        raise VolumeError(self._error.message, hint=self._error.hint)

    def flush(self) -> None:
        """Fail."""
        raise VolumeError(self._error.message, hint=self._error.hint)

    def grow(self, size_bytes: int) -> None:
        """Fail."""
        raise VolumeError(self._error.message, hint=self._error.hint)

    def close(self) -> None:
        """There is nothing to close."""
