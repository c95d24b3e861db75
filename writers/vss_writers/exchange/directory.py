"""What a directory service holds for the real store: which databases exist, with their GUIDs, and what the administrator wants.

One small file beside the logs. Without it a database whose file is gone could not be told from one that was never made, and
would silently come back empty; and a database dismounted for a restore would mount itself at the next start.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from vss.errors import VolumeDamagedError
from vss.plugins.hosts import WriterHost

FILE_NAME = "directory.json"


class Directory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One storage group.

    Attributes:
        databases: GUID by name, of every database that was ever made.
        is_dismounted: whether the group stays down at a start.
        can_be_overwritten: whether a restore may replace its databases.
    """

    databases: dict[str, UUID] = {}
    is_dismounted: bool = False
    can_be_overwritten: bool = False

    @classmethod
    async def read(cls, host: WriterHost, log_directory: str) -> Directory:
        """Read it; empty where there is none yet.

        Raises:
            VolumeDamagedError: the file is not what was written.
        """
        path = f"{log_directory}\\{FILE_NAME}"
        if not await host.files.exists(path):
            return cls()
        file = await host.files.open(path)
        try:
            data = await file.pread(0, file.size_bytes)
        finally:
            await file.close()
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.MsgspecError as error:
            raise VolumeDamagedError(f"{path} is damaged: {error}") from error

    async def changed(self, host: WriterHost, log_directory: str, **changes: Any) -> Directory:
        """Return the directory with ``changes``, made durable."""
        directory = msgspec.structs.replace(self, **changes)
        path = f"{log_directory}\\{FILE_NAME}"
        temporary = path + ".tmp"
        file = await host.files.open(temporary, write=True, create=True)
        try:
            await file.truncate(0)
            await file.pwrite(0, msgspec.json.encode(directory))
            await file.sync()
        finally:
            await file.close()
        await host.files.rename(temporary, path)
        return directory

    async def with_database(self, host: WriterHost, log_directory: str, name: str) -> Directory:
        """Return a directory that knows ``name`` as well, made durable."""
        return await self.changed(host, log_directory, databases={**self.databases, name: host.ports.ids.guid()})
