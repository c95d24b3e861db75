"""Power loss at every moment of a history, in every legal state: what mounts is a state of that history, not older than the
last sync, and every byte is one that the file had since.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
import pytest

from vss.errors import VolumeFullError
from vss.ids import Guid
from vss.volumes import FaultyStore, MemoryStore, StoreEffect, StoreFault
from vss.volumes.extent_core import ExtentCore
from vss.volumes.file_tree import FileNode

SIZE = 160 * 1024
NAMES = ["/a", "/b", "/d/a", "/d/b"]


@dataclass
class Tree:
    """The model's state at one instant: path to file number, file number to content."""

    names: dict[str, int] = field(default_factory=dict)
    contents: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> Tree:
        return Tree(dict(self.names), dict(self.contents))

    def shape(self) -> dict[str, int]:
        return {path: len(self.contents[number]) for path, number in self.names.items()}


class History:
    """Runs random operations on the file system and the model, and judges each state that power loss may leave."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.store = FaultyStore(MemoryStore(SIZE), before_flush=self.judge_all_states)
        ExtentCore.format(self.store, volume_id=Guid(int=7))
        self.core = ExtentCore.mount(self.store, now_ns=lambda: 1)
        self.core.make_directory("/d")
        self.past = [Tree()]
        self.core.commit()
        self.next_number = 0
        self.judged = 0
        self.stamp = 0
        self.past = [Tree()]
        self.is_on = True

    is_on = False

    def step(self) -> None:
        """Do one operation; the model's new state joins the past before the operation starts."""
        tree = self.past[-1].copy()
        path = self.random.choice(NAMES)
        operation = self.random.choice(["write", "write", "write", "truncate", "rename", "remove", "sync"])
        self.stamp = self.stamp % 250 + 1
        if operation == "sync":
            self.core.flush()
            self.core.commit()
            self.past = self.past[-1:]
        elif operation == "write":
            self.write(tree, path)
        elif path in tree.names:
            number = tree.names[path]
            if operation == "truncate":
                size = self.random.randrange(12_000)
                tree.contents[number] = tree.contents[number][:size].ljust(size, b"\0")
                self.past.append(tree)
                self.core.truncate(self.core.find_file(path), size)
            elif operation == "remove":
                del tree.names[path]
                self.past.append(tree)
                self.core.remove(path)
            else:
                target = self.random.choice([name for name in NAMES if name != path])
                tree.names[target] = tree.names.pop(path)
                self.past.append(tree)
                self.core.rename(path, target)
                self.past = self.past[-1:]

    def write(self, tree: Tree, path: str) -> None:
        if path not in tree.names:
            tree.names[path] = self.next_number
            tree.contents[self.next_number] = b""
            self.next_number += 1
            self.past.append(tree)
        node = self.core.create_file(path, exclusive=False)
        tree = tree.copy()
        number, offset, length = tree.names[path], self.random.randrange(10_000), self.random.randrange(1, 9_000)
        old = tree.contents[number]
        tree.contents[number] = old[:offset].ljust(offset, b"\0") + bytes([self.stamp]) * length + old[offset + length :]
        self.past.append(tree)
        try:
            self.core.write(node, offset, bytes([self.stamp]) * length)
        except VolumeFullError:
            self.past.pop()

    def judge_all_states(self) -> None:
        if self.is_on:
            for state in self.store.power_loss_states(subset_max=4, torn_max=2):
                self.judge(ExtentCore.mount_read_only(self.store.after_power_loss(state)))
                self.judged += 1

    def judge(self, core: ExtentCore) -> None:
        found: dict[str, FileNode] = {
            f"/{name}": core.find_file(f"/{name}") for name in core.list_directory("/") if name != "d"
        }
        found |= {f"/d/{name}": core.find_file(f"/d/{name}") for name in core.list_directory("/d")}
        shape = {path: node.size_bytes for path, node in found.items()}
        fitting = [tree for tree in self.past if tree.shape() == shape]
        assert fitting, f"no state of the history since the last sync is {shape}"
        assert any(
            all(self.is_possible(core.read(node, 0, node.size_bytes), tree.names[path]) for path, node in found.items())
            for tree in fitting
        )

    def is_possible(self, data: bytes, number: int) -> bool:
        """Whether each byte is one that the file had at its place since the last sync."""
        found = np.frombuffer(data, dtype=np.uint8)
        known = np.zeros(len(found), dtype=bool)
        for tree in self.past:
            content = np.frombuffer(tree.contents.get(number, b""), dtype=np.uint8)[: len(found)]
            known[: len(content)] |= content == found[: len(content)]
        return bool(known.all())


@pytest.mark.parametrize("seed", range(6))
def test_power_loss_leaves_a_state_of_the_history(seed: int) -> None:
    history = History(seed)
    for _ in range(40):
        history.step()
    history.judge_all_states()
    assert history.judged > 50


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_power_loss_over_longer_histories(seed: int) -> None:
    history = History(seed)
    for _ in range(120):
        history.step()
    assert history.judged > 500


def test_the_judge_finds_a_store_that_lies() -> None:
    """A flush that promises what it does not do must be found, or the judge proves nothing."""
    found = 0
    for seed in range(6):
        history = History(seed)
        history.store.arm(StoreFault(StoreEffect.FLUSH_LIE, is_sticky=True))
        try:
            for _ in range(25):
                history.step()
        except AssertionError:
            found += 1
    assert found >= 3
