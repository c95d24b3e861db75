"""The extent file system against a dictionary, under any sequence of operations, remounts included."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from vss.errors import VolumeFullError
from vss.ids import Guid
from vss.volumes import MemoryStore
from vss.volumes.extent_core import ExtentCore

PATHS = st.sampled_from(["/a", "/b", "/d/a", "/d/c"])
OFFSETS = st.integers(0, 40_000) | st.sampled_from([0, 4095, 4096, 8192])
LENGTHS = st.integers(0, 20_000) | st.sampled_from([1, 4096, 8192])
SIZE = 192 * 1024
RESERVED = (0x1E00, 0x2000)


class AgainstDictionary(RuleBasedStateMachine):
    """``model`` maps paths to contents; what the file system refuses for want of room changes neither."""

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore(SIZE)
        ExtentCore.format(self.store, volume_id=Guid(int=7))
        self.store.write(RESERVED[0], b"v" * (RESERVED[1] - RESERVED[0]))
        self.last_sector = self.store.read(SIZE - 512, 512)
        self.core = ExtentCore.mount(self.store, now_ns=lambda: 5)
        self.core.make_directory("/d")
        self.model: dict[str, bytes] = {}
        self.stamp = 0

    @rule(path=PATHS, offset=OFFSETS, length=LENGTHS)
    def write(self, path: str, offset: int, length: int) -> None:
        self.stamp = self.stamp % 255 + 1
        data = bytes([self.stamp]) * length
        node = self.core.create_file(path, exclusive=False)
        old = self.model.setdefault(path, b"")
        try:
            self.core.write(node, offset, data)
        except VolumeFullError:
            return
        if length:
            self.model[path] = old[:offset].ljust(offset, b"\0") + data + old[offset + length :]

    @rule(path=PATHS, size=OFFSETS)
    def truncate(self, path: str, size: int) -> None:
        if path in self.model:
            self.core.truncate(self.core.find_file(path), size)
            self.model[path] = self.model[path][:size].ljust(size, b"\0")

    @rule(source=PATHS, place=PATHS)
    def rename(self, source: str, place: str) -> None:
        if source in self.model:
            self.core.rename(source, place)
            self.model[place] = self.model.pop(source)

    @rule(path=PATHS)
    def remove(self, path: str) -> None:
        if path in self.model:
            self.core.remove(path)
            del self.model[path]

    @rule()
    def commit(self) -> None:
        self.core.commit()

    @rule()
    def remount(self) -> None:
        self.core.commit()
        self.core = ExtentCore.mount(self.store, now_ns=lambda: 5)

    @rule(path=PATHS, offset=OFFSETS, length=LENGTHS)
    def read(self, path: str, offset: int, length: int) -> None:
        if path in self.model:
            assert self.core.read(self.core.find_file(path), offset, length) == self.model[path][offset : offset + length]

    @invariant()
    def names_and_sizes_agree(self) -> None:
        found = [f"/{name}" for name in self.core.list_directory("/") if name != "d"]
        found += [f"/d/{name}" for name in self.core.list_directory("/d")]
        assert sorted(found) == sorted(self.model)
        for path, data in self.model.items():
            assert self.core.stat(path).size_bytes == len(data)

    def teardown(self) -> None:
        self.core.commit()
        for core in (self.core, ExtentCore.mount_read_only(self.store)):
            for path, data in self.model.items():
                assert core.read(core.find_file(path), 0, len(data) + 1) == data
        assert self.store.read(RESERVED[0], RESERVED[1] - RESERVED[0]) == b"v" * (RESERVED[1] - RESERVED[0])
        assert self.store.read(SIZE - 512, 512) == self.last_sector
        for path in self.model:
            self.core.remove(path)
        self.core.commit()
        empty = MemoryStore(SIZE)
        ExtentCore.format(empty, volume_id=Guid(int=7))
        assert self.core.free_bytes == ExtentCore.mount_read_only(empty).free_bytes


AgainstDictionary.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestAgainstDictionary = pytest.mark.slow(AgainstDictionary.TestCase)
