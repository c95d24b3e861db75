"""Steps an operator takes with files, on the machine or in a backup set: look, write, flip, delete, copy, rename.

``path`` may hold ``*`` for a file that is there; of several that match, in sorted order, ``nth`` says which (0 the first, -1
the last). ``set`` names the step whose backup set is meant; paths there are relative, with ``/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vss.scenarios.step import Step, check_reference

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage


class FileStep(Step, frozen=True, kw_only=True):
    """Base of steps about a file.

    Attributes:
        path: of the file; see the module.
        nth: which of those that match.
        set: the step whose backup set is meant; "" is the machine.
    """

    path: str
    nth: int = 0
    set: str = ""

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown step."""
        if self.set:
            check_reference(self.set, names, f"{where}: set")


class Files(FileStep, frozen=True, kw_only=True, tag="files"):
    """Look which files match: returns ``count``, ``paths`` and ``size_bytes`` of all together. None is no error."""

    async def run(self, stage: Stage) -> Any:
        """Look."""
        found = await stage.files_called(self.path, self.set)
        sizes = [await stage.size_of(path, self.set) for path in found]
        return {"count": len(found), "paths": found, "size_bytes": sum(sizes)}


class FlipBit(FileStep, frozen=True, kw_only=True, tag="flip_bit"):
    """Flip one bit under a file, behind everybody's back; without an offset, in the middle of it."""

    offset: int = -1
    bit: int = 0

    async def run(self, stage: Stage) -> Any:
        """Flip it."""
        path = await stage.file_called(self.path, self.nth, self.set)
        offset = await stage.size_of(path, self.set) // 2 if self.offset < 0 else self.offset
        if self.set:
            before = stage.read_set_file(self.set, path)
            stage.change_set_file(self.set, path, bytes([before[offset] ^ 1 << self.bit]), offset)
        else:
            await stage.lab.flip_bit(path, offset, self.bit)
        return {"path": path, "offset": offset}


class WriteFile(FileStep, frozen=True, kw_only=True, tag="write_file"):
    """Write a file.

    Attributes:
        content: the bytes, repeated up to ``length``.
        offset: where; -1 replaces the file, and makes it where there is none.
    """

    content: str = "overwritten"
    length: int = 0
    offset: int = -1

    async def run(self, stage: Stage) -> Any:
        """Write."""
        data = self.content.encode()
        if self.length:
            data = (data * (self.length // len(data) + 1))[: self.length]
        path = await stage.file_called(self.path, self.nth, self.set) if "*" in self.path else self.path
        if self.set:
            stage.change_set_file(self.set, path, data, self.offset)
            return {"path": path}
        await stage.lab.files.make_directory(path.rpartition("\\")[0])
        await stage.write_file(path, data, self.offset)
        return {"path": path}


class TruncateFile(FileStep, frozen=True, kw_only=True, tag="truncate_file"):
    """Cut a file to ``size`` bytes, or to half where nothing is said."""

    size: int = -1

    async def run(self, stage: Stage) -> Any:
        """Cut."""
        path = await stage.file_called(self.path, self.nth, self.set)
        size = await stage.size_of(path, self.set) // 2 if self.size < 0 else self.size
        if self.set:
            stage.change_set_file(self.set, path, stage.read_set_file(self.set, path)[:size], -1)
        else:
            file = await stage.lab.files.open(path, write=True)
            try:
                await file.truncate(size)
                await file.sync()
            finally:
                await file.close()
        return {"path": path, "size_bytes": size}


class DeleteFile(FileStep, frozen=True, kw_only=True, tag="delete_file"):
    """Delete a file, or with ``all`` every one that matches."""

    all: bool = False

    async def run(self, stage: Stage) -> Any:
        """Delete."""
        first = await stage.file_called(self.path, self.nth, self.set)
        paths = await stage.files_called(self.path, self.set) if self.all else [first]
        for path in paths:
            await stage.remove_file(path, self.set)
        return {"path": paths[0], "count": len(paths)}


class CopyFile(FileStep, frozen=True, kw_only=True, tag="copy_file"):
    """Copy a file over ``to``; ``to_set`` names the step whose backup set takes it, or is ``machine``."""

    to: str
    to_set: str = ""

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown step."""
        super().check(names, where)
        if self.to_set and self.to_set != "machine":
            check_reference(self.to_set, names, f"{where}: to_set")

    async def run(self, stage: Stage) -> Any:
        """Copy."""
        path = await stage.file_called(self.path, self.nth, self.set)
        data = await stage.read_file(path, self.set)
        target_set = "" if self.to_set == "machine" else self.to_set or self.set
        target = await stage.file_called(self.to, 0, target_set) if "*" in self.to else self.to
        if target_set:
            stage.change_set_file(target_set, target, data, -1)
        else:
            await stage.lab.files.make_directory(target.rpartition("\\")[0])
            await stage.write_file(target, data, -1)
        return {"path": path, "to": target}


class RenameFile(FileStep, frozen=True, kw_only=True, tag="rename_file"):
    """Rename a file to ``to``, a name in the same directory or a whole path."""

    to: str

    async def run(self, stage: Stage) -> Any:
        """Rename."""
        path = await stage.file_called(self.path, self.nth, self.set)
        separator = "/" if self.set else "\\"
        target = self.to if separator in self.to else f"{path.rpartition(separator)[0]}{separator}{self.to}"
        if self.set:
            root = stage.set_of(self.set)
            stage.files.rename(root / path, root / target.lstrip("/"))
        else:
            await stage.lab.files.rename(path, target)
        return {"path": path, "to": target}
