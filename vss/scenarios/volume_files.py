"""Files of a machine as they stand on the image of a volume: looked up without gate, cache, fault sites or time."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence

from vss.errors import VssError
from vss.simulation.invariants.image import Image
from vss.volumes.extent_core import ExtentCore

Images = Mapping[str, Image]
"""Images by volume name."""

_GRAIN = 512


class _Device:
    """What a file system is mounted on; another image can be put under it."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.size_bytes = image.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes."""
        return self.image.read(offset, length)


class VolumeFiles:
    """The files on images; an image is mounted when it is first needed."""

    def __init__(self, images: Images) -> None:
        """Look at ``images``."""
        self._images = images
        self._mounted: dict[str, ExtentCore | None] = {}
        self._devices: dict[str, _Device] = {}

    def read(self, path: str, length: int = 1 << 62) -> bytes | None:
        """Return the first ``length`` of a file's bytes by its machine path; None where there is none, or where it cannot be
        read."""
        volume, inner = _split(path)
        core = self._core(volume)
        if core is None:
            return None
        try:
            node = core.find_file(inner)
            return core.read(node, 0, min(length, node.size_bytes))
        except VssError:
            return None

    def paths(self) -> Iterator[str]:
        """Yield the machine path of every file, volume by volume."""
        for volume in self._images:
            core = self._core(volume)
            if core is not None:
                yield from (volume + inner.replace("/", "\\") for inner in _below(core, "/"))

    def read_as_it_was(self, path: str, before: Images) -> bytes | None:
        """Return what stood on ``before`` in the places where the file stands now.

        Names and lengths reach the disk at the next flush only, contents at once: looked up in ``before`` itself, a file that
        grew shortly before would seem to grow later.
        """
        volume, inner = _split(path)
        core = self._core(volume)
        if core is None or volume not in before:
            return None
        switched = self._devices[volume]
        try:
            node = core.find_file(inner)
            switched.image = before[volume]
            return core.read(node, 0, node.size_bytes)
        except VssError:
            return None
        finally:
            switched.image = self._images[volume]

    def changed_since(self, before: Images, granted: Collection[str]) -> dict[str, tuple[bytes | None, bytes | None]]:
        """Return the files outside ``granted`` directories whose places hold other bytes than on ``before``: both, by path."""
        found = {}
        for volume, image in self._images.items():
            core = self._core(volume)
            if core is None or volume not in before or not image.different(before[volume]):
                continue
            for inner in _below(core, "/"):
                path = volume + inner.replace("/", "\\")
                if any(path.casefold().startswith(each.casefold()) for each in granted):
                    continue
                old, new = self.read_as_it_was(path, before), self.read(path)
                if old != new:
                    found[path] = (old, new)
        return found

    def beside(self, volume: str, directories: Sequence[str]) -> tuple[tuple[int, int], ...]:
        """Return the ranges of a volume that hold no bytes of files outside ``directories`` (machine paths)."""
        core = self._core(volume)
        if core is None:
            return ((0, self._images[volume].size_bytes),)
        places = [_split(each)[1].casefold() for each in directories if _split(each)[0] == volume]
        taken: list[int] = []
        for path in _below(core, "/"):
            if not any(path.casefold().startswith(f"{place}/") for place in places):
                taken += _sectors(core, path)
        free, start = [], 0
        for sector in sorted(taken):
            if sector * _GRAIN > start:
                free.append((start, sector * _GRAIN))
            start = (sector + 1) * _GRAIN
        return (*free, (start, self._images[volume].size_bytes))

    def _core(self, volume: str) -> ExtentCore | None:
        if volume not in self._mounted:
            self._mounted[volume] = None
            if volume in self._images:
                device = self._devices[volume] = _Device(self._images[volume])
                with contextlib.suppress(VssError):
                    self._mounted[volume] = ExtentCore.mount_read_only(device)
        return self._mounted[volume]


def _split(path: str) -> tuple[str, str]:
    """Volume and path on it: ``D:\\Mail\\a`` is ``D:`` and ``/Mail/a``."""
    return path[:2].upper(), path[2:].replace("\\", "/").rstrip("/") or "/"


def _below(core: ExtentCore, directory: str) -> Iterator[str]:
    for name in core.list_directory(directory):
        path = f"{directory.rstrip('/')}/{name}"
        if core.stat(path).is_directory:
            yield from _below(core, path)
        else:
            yield path


def _sectors(core: ExtentCore, path: str) -> Iterator[int]:
    for offset in range(0, core.find_file(path).size_bytes, _GRAIN):
        try:
            yield core.locate(path, offset) // _GRAIN
        except VssError:
            continue  # a hole
