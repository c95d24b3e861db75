"""Who owns which pages: the trees of owned (OE) and available (AE) extents of every tree, and allocation from the parent.

A tree's root page (FDP) is followed by the roots of its OE and AE; its space header names its parent, from which it gets
extents when its own are used up. The database root (page 1) has no parent and grows the file. Keys are the last page of an
extent, data its page count, so that neighbours meet and join.

Growing a space tree may itself need a page: that page comes straight from the parent and is entered afterwards.

Sources: published engine, space.hxx and space.cxx; single-extent trees (availability as a bitmap) are read, never written.
"""

from __future__ import annotations

import struct
from contextlib import aclosing
from dataclasses import dataclass

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.keys import big_endian
from vss_writers.ese.layout import (
    CURRENT_FORMAT,
    EMPTY_SPLIT_BUFFER,
    PAGE_DATABASE_ROOT,
    SPACE_HEADER,
    PageFlag,
    SpaceFlag,
)
from vss_writers.ese.page_operation import Format, PageAccess, SetExternalHeader
from vss_writers.ese.tree import Tree

_COUNT = struct.Struct("<I")

EXTENT_MIN = 8
EXTENT_MAX = 64
"""A tree that grows asks its parent for a quarter of its last extent, within these limits (pages)."""
FILE_GROWTH_PAGES = 64
"""The file grows by at least this."""

FDP_PAGES = 3
"""The least a tree owns: its root and the roots of its two space trees."""


@dataclass(frozen=True, slots=True)
class SpaceHeader:
    """External header of a tree's root."""

    primary_pages: int
    parent_fdp: int
    flags: SpaceFlag
    owned_root: int

    def pack(self) -> bytes:
        """Return the 16 bytes of the format."""
        return SPACE_HEADER.pack(self.primary_pages, self.parent_fdp, int(self.flags), self.owned_root)

    @classmethod
    def unpack(cls, data: bytes) -> SpaceHeader:
        """Read the 16 bytes of the format.

        Raises:
            JetError: ``SPOwnExtCorrupted`` when there are fewer.
        """
        if len(data) < SPACE_HEADER.size:
            raise JetError(JetCode.SPOwnExtCorrupted, f"space header of {len(data)} bytes")
        primary, parent, flags, owned = SPACE_HEADER.unpack_from(data)
        return cls(primary, parent, SpaceFlag(flags), owned)


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of pages."""

    first: int
    count: int

    @property
    def last(self) -> int:
        """Last page of the run."""
        return self.first + self.count - 1


class _SplitPages:
    """Pages for the space trees themselves; what they took is entered by the space once it can be."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.taken: list[int] = []
        self.freed: list[Extent] = []

    async def allocate_page(self) -> int:
        page_number = await self._space.take_from_parent(1)
        self.taken.append(page_number)
        return page_number

    async def free_page(self, page_number: int) -> None:
        self.freed.append(Extent(page_number, 1))


class Space:
    """Pages of the tree whose root is ``fdp``. A ``PageSource`` for that tree."""

    def __init__(self, access: PageAccess, fdp: int, objid: int, header: SpaceHeader) -> None:
        self._access = access
        self.fdp = fdp
        self.objid = objid
        self.header = header
        self._split_pages = _SplitPages(self)
        self._owned = Tree(access, header.owned_root, objid, self._split_pages, PageFlag.SPACE_TREE)
        self._available = Tree(access, header.owned_root + 1, objid, self._split_pages, PageFlag.SPACE_TREE)

    @classmethod
    async def open(cls, access: PageAccess, fdp: int) -> Space:
        """The space of an existing tree.

        Raises:
            JetError: ``SPOwnExtCorrupted`` when the root has no usable space header or keeps a single extent.
        """
        page = await access.read(fdp)
        header = SpaceHeader.unpack(page.external_header)
        if not header.flags & SpaceFlag.MULTIPLE_EXTENT:
            raise JetError(JetCode.SPOwnExtCorrupted, "single-extent trees cannot be changed", page_number=fdp)
        return cls(access, fdp, page.objid, header)

    # -- pages of the tree itself -----------------------------------------------------------------------------------------

    async def allocate_page(self) -> int:
        """Take one available page, growing first where there is none."""
        async with self._access.macro():
            return (await self._take(1)).first

    async def free_page(self, page_number: int) -> None:
        """Make a page available again."""
        async with self._access.macro():
            await self.give(Extent(page_number, 1))
            await self._settle()

    async def take_extent(self, count: int) -> Extent:
        """Take ``count`` consecutive pages, for a child tree."""
        async with self._access.macro():
            return await self._take(count)

    async def owned(self) -> list[Extent]:
        """All extents the tree owns, in order."""
        return [_extent(node.key, node.data) async for node in self._owned.entries()]

    async def available(self) -> list[Extent]:
        """Those of them that are unused."""
        return [_extent(node.key, node.data) async for node in self._available.entries()]

    # -- inner workings ---------------------------------------------------------------------------------------------------

    async def _take(self, count: int) -> Extent:
        extent = await self._find_available(count)
        if extent is None:
            await self._grow(count)
            extent = await self._find_available(count)
            assert extent is not None, f"no {count} pages in tree {self.objid} right after growing"
        key = big_endian(extent.last)
        if extent.count == count:
            await self._available.delete(key)
        else:
            await self._available.replace(key, _COUNT.pack(extent.count - count))
        await self._settle()
        return Extent(extent.first, count)

    async def _find_available(self, count: int) -> Extent | None:
        return await _first_extent(self._available, b"", count)

    async def _grow(self, count: int) -> None:
        if self.fdp == PAGE_DATABASE_ROOT:
            extent = await self._extend_file(max(count, FILE_GROWTH_PAGES))
        else:
            last = await self._owned.last()
            quarter = _extent(last.key, last.data).count // 4 if last else 0
            wanted = max(count, min(EXTENT_MAX, max(EXTENT_MIN, quarter)))
            extent = Extent(await self.take_from_parent(wanted), wanted)
            await self.own(extent)
        await self.give(extent)
        await self._settle()

    async def take_from_parent(self, count: int) -> int:
        """First of ``count`` pages from the parent, or from a grown file; the database root owns them at once."""
        if self.fdp == PAGE_DATABASE_ROOT:
            extent = await self._extend_file(count)
            if extent.count > count:
                self._split_pages.freed.append(Extent(extent.first, extent.count - count))
            return extent.last - count + 1
        parent = await Space.open(self._access, self.header.parent_fdp)
        return (await parent.take_extent(count)).first

    async def _extend_file(self, count: int) -> Extent:
        """Grow the file by ``count`` pages and own them.

        The extent begins lower than the file's first new page when earlier growth was rolled back with its transaction: the
        file kept the pages, the tree of owned extents forgot them.
        """
        last = await self._owned.last()
        owned_last = _extent(last.key, last.data).last if last else 0
        await self._access.extend(count)
        extent = Extent(owned_last + 1, self._access.page_count - owned_last)
        await self.own(extent)
        return extent

    async def own(self, extent: Extent) -> None:
        """Enter an extent as owned; it is not made available."""
        await _join(self._owned, extent)

    async def give(self, extent: Extent) -> None:
        """Make owned pages available."""
        await _join(self._available, extent)

    async def _settle(self) -> None:
        """Enter what the space trees took from the parent, and give back what they no longer need."""
        pages = self._split_pages
        while pages.taken or pages.freed:
            if pages.taken:
                page_number = pages.taken.pop()
                if self.fdp != PAGE_DATABASE_ROOT:
                    await self.own(Extent(page_number, 1))
            else:
                await self.give(pages.freed.pop())


def _extent(key: bytes, data: bytes) -> Extent:
    if len(key) != 4 or len(data) != 4:
        raise JetError(JetCode.SPOwnExtCorrupted, f"extent with key {key.hex()} and data {data.hex()}")
    count = _COUNT.unpack(data)[0]
    return Extent(int.from_bytes(key, "big") - count + 1, count)


async def _join(tree: Tree, extent: Extent) -> None:
    """Enter an extent, joined with the one that ends before it and the one that begins behind it.

    The old entry goes first, so that a full leaf has room for the new one. But one that is alone in its leaf goes last: it
    would take the leaf with it, the new one would split the full leaf beside it, and the page for that would join in the same
    way, without end.
    """
    ends_before = big_endian(extent.first - 1)
    before = await tree.get(ends_before)
    goes_last = before is not None and await tree.is_alone(ends_before)
    if before is not None:
        count = _COUNT.unpack(before)[0]
        extent = Extent(extent.first - count, extent.count + count)
        if not goes_last:
            await tree.delete(ends_before)
    behind = await _first_extent(tree, big_endian(extent.last + 1), 0)
    if behind is not None and behind.first <= extent.last:
        raise JetError(JetCode.SPAvailExtCorrupted, f"pages {extent.first} to {extent.last} are entered already")
    if behind is not None and behind.first == extent.last + 1:
        await tree.replace(big_endian(behind.last), _COUNT.pack(behind.count + extent.count))
    else:
        await tree.insert(big_endian(extent.last), _COUNT.pack(extent.count))
    if goes_last:
        await tree.delete(ends_before)


async def create_space(
    access: PageAccess, extent: Extent, objid: int, parent_fdp: int, kind: PageFlag = PageFlag.NONE
) -> Space:
    """Make the root of a new tree and its two space trees on the first pages of ``extent``; the rest becomes available."""
    assert extent.count >= FDP_PAGES, f"{extent.count} pages for tree {objid}, at least {FDP_PAGES}"
    flags = SpaceFlag.MULTIPLE_EXTENT | (SpaceFlag.NON_UNIQUE if kind & PageFlag.NON_UNIQUE else SpaceFlag.NONE)
    header = SpaceHeader(extent.count, parent_fdp, flags, extent.first + 1)
    await _create_root(access, extent.first, objid, kind, header.pack())
    space_kind = PageFlag.SPACE_TREE | (kind & (PageFlag.INDEX | PageFlag.LONG_VALUE))
    for root in (extent.first + 1, extent.first + 2):
        await _create_root(access, root, objid, space_kind, EMPTY_SPLIT_BUFFER)
    space = Space(access, extent.first, objid, header)
    await space.own(extent)
    if extent.count > FDP_PAGES:
        await space.give(Extent(extent.first + FDP_PAGES, extent.count - FDP_PAGES))
    return space


async def _create_root(access: PageAccess, page_number: int, objid: int, kind: PageFlag, external_header: bytes) -> None:
    """Format the root of a new, empty tree."""
    flags = CURRENT_FORMAT | kind | PageFlag.ROOT | PageFlag.LEAF
    await access.apply(Format(page_number, objid, int(flags)))
    await access.apply(SetExternalHeader(page_number, external_header))


async def _first_extent(tree: Tree, first: bytes, count: int) -> Extent | None:
    """The first extent of at least ``count`` pages from the key ``first`` on, or None.

    The walk is closed here: one that ends early would be left to the event loop, which never gets to it while nobody waits.
    """
    async with aclosing(tree.leaves(first)) as leaves:
        async for nodes in leaves:
            for node in nodes:
                extent = _extent(node.key, node.data)
                if extent.count >= count:
                    return extent
    return None
