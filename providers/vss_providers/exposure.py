"""Exposing a shadow copy: its files written out as a folder tree of the host, and taken away again.

Decides what may be there: the target is missing or an empty directory, and a marker file in it says of which shadow copy the
tree is; a directory without that marker is never removed. Names that the host would take for something else are refused, for
the shadow copy may be of a damaged volume.

Source: Volume Shadow Copy Service documentation, "Exposing and surfacing shadow copied volumes".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from vss.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, VolumeDamagedError, VolumeWriteError
from vss.ids import Guid
from vss.ports import HostFiles, Ports
from vss.roles.volume import FileSystem

MARKER = ".vss-shadow-copy.json"

_PIECE_BYTES = 1 << 20


@dataclass(slots=True)
class Exposure:
    """What was written out."""

    file_count: int = 0
    size_bytes: int = 0


async def write_out(ports: Ports, files: FileSystem, snapshot_id: Guid, target: Path) -> Exposure:
    """Write all files of a shadow copy below ``target``; on failure nothing of it stays.

    Raises:
        AlreadyExistsError: something stands at ``target``.
        VolumeDamagedError: a name in the shadow copy cannot be one on the host.
        VolumeReadError: the shadow copy cannot be read.
        VolumeWriteError: the host refused.
    """
    host = ports.files
    was_there = host.exists(target)
    if was_there and (not host.is_directory(target) or host.list_directory(target)):
        raise AlreadyExistsError(f"{target}: expected nothing there or an empty directory")
    exposure = Exposure()
    try:
        host.make_directory(target)
        host.write_atomically(target / MARKER, json.dumps({"snapshot_id": str(snapshot_id)}).encode() + b"\n")
        await _write_directory(ports, files, "/", target, exposure)
    except BaseException as error:
        host.remove_tree(target)
        if was_there:
            host.make_directory(target)
        if isinstance(error, OSError):
            raise VolumeWriteError(f"{target}: shadow copy {snapshot_id} could not be written out: {error}") from error
        raise
    return exposure


async def _write_directory(ports: Ports, files: FileSystem, path: str, target: Path, exposure: Exposure) -> None:
    for name in await files.list_directory(path):
        if name in ("", ".", "..", MARKER) or "/" in name or "\0" in name:
            raise VolumeDamagedError(f"directory {path!r}: expected names that the host can have, found {name!r}")
        inner, below = f"{path.rstrip('/')}/{name}", target / name
        if (await files.stat(inner)).is_directory:
            ports.files.make_directory(below)
            await _write_directory(ports, files, inner, below, exposure)
        else:
            exposure.size_bytes += await _write_file(ports, files, inner, below)
            exposure.file_count += 1
            await ports.clock.sleep(0)


async def _write_file(ports: Ports, files: FileSystem, path: str, target: Path) -> int:
    """Write one file, sparse where it is blank; return its size."""
    source = await files.open(path)
    out = ports.files.open(target, write=True, create=True, exclusive=True)
    try:
        size = source.size_bytes
        for offset in range(0, size, _PIECE_BYTES):
            data = await source.pread(offset, _PIECE_BYTES)
            if data.count(0) != len(data):
                out.pwrite(offset, data)
        out.truncate(size)
    finally:
        out.close()
        await source.close()
    return size


def exposed_snapshot(host: HostFiles, target: Path) -> Guid:
    """Return the id of the shadow copy whose files stand at ``target``.

    Raises:
        NotFoundError: there is no exposed shadow copy.
        InvalidArgumentError: the marker there does not name one.
    """
    try:
        marker = host.read_bytes(target / MARKER)
    except OSError as error:
        raise NotFoundError(f"{target} is no exposed shadow copy: expected {MARKER} in it") from error
    try:
        return UUID(str(json.loads(marker)["snapshot_id"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidArgumentError(f"{target / MARKER}: expected the id of a shadow copy, found {marker[:80]!r}") from error


def take_away(host: HostFiles, target: Path) -> None:
    """Remove an exposed tree; errors as ``exposed_snapshot``, and ``VolumeWriteError`` when the host refuses."""
    exposed_snapshot(host, target)
    try:
        host.remove_tree(target)
    except OSError as error:
        raise VolumeWriteError(f"{target}: the exposed shadow copy could not be removed: {error}") from error
