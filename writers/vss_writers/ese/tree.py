"""A B+ tree over ``PageAccess``: search, ranges, insertion, replacement, deletion, splits and merges.

Leaves are chained and hold the entries; branch entries are (separator, child page), the separator being greater than every key
below its child and not greater than the first key to the right; the last entry of a branch page has the empty key. Entries of a
unique tree are ordered by key, those of a non-unique index by key, then data.

One writer at a time. Readers may run between a writer's steps. So that they never land beside the range they look for, a writer
fills new pages before it empties old ones and changes parents last, and a reader starts over when a page on its way changed
and steps to the right when a split has moved its key. Every structural change is one macro.

Sources: published engine, btsplit and node code, for separators, links and append splits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import NamedTuple

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import CURRENT_FORMAT, PageFlag
from vss_writers.ese.node import Node
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import (
    DeleteNode,
    Format,
    Image,
    InsertNode,
    PageAccess,
    PageSource,
    ReplaceNode,
    SetLinks,
)
from vss_writers.ese.tree_layout import Layout, lay_out, node_size, separator, split, write_page, write_page_with_header

_MERGE_BELOW = 4
"""A page is merged into its right neighbour when less than this fraction (1/n) of it is used."""
_DEPTH_MAX = 16
"""More levels than any tree can have: a cycle of damaged pointers ends here."""
_IDLE_MAX = 64
"""So many leaves in a row without anything new in them: a cycle of damaged links ends here."""


class _Step(NamedTuple):
    """One page on the way down: the line taken, and the dbtime at which it was right."""

    page: Page
    line: int
    dbtime: int


class Tree:
    """One tree. ``kind`` holds the page flags that say what for (index, long values, space tree, non-unique)."""

    def __init__(self, access: PageAccess, root: int, objid: int, pages: PageSource, kind: PageFlag = PageFlag.NONE) -> None:
        self.access = access
        self._pages = pages
        self._flags = CURRENT_FORMAT | kind
        self.root = root
        self.objid = objid
        self.is_unique = not kind & PageFlag.NON_UNIQUE

    # -- reading ----------------------------------------------------------------------------------------------------------

    async def get(self, key: bytes) -> bytes | None:
        """Data of the entry with exactly this sort key, or None."""
        leaf, _ = await self._descend(key)
        leaf = await self._step_right(leaf, key)
        line = leaf.position(key)
        keys = leaf.sort_keys()
        if line == len(keys) or keys[line] != key or leaf.is_deleted(line):
            return None
        return leaf.node(line).data

    async def last(self) -> Node | None:
        """The entry with the greatest key, or None in an empty tree."""
        leaf, _ = await self._descend(None)
        leaf = await self._step_right(leaf, None)
        return leaf.node(leaf.line_count - 1) if leaf.line_count else None

    async def _step_right(self, leaf: Page, key: bytes | None) -> Page:
        """The leaf that ``key`` has moved to in a split whose parent is not told yet; mostly the same one."""
        while leaf.next and (key is None or leaf.position(key) == leaf.line_count):
            neighbour = await self.access.read(leaf.next)
            keys = neighbour.sort_keys()
            if not keys or (key is not None and keys[0] > key) or keys[-1:] <= leaf.sort_keys()[-1:]:
                break
            leaf = neighbour
        return leaf

    async def entries(self, first: bytes = b"", stop: bytes | None = None) -> AsyncIterator[Node]:
        """Entries whose sort keys lie in ``first`` ≤ key < ``stop``, in order.

        Changes between two steps are allowed: entries that stay are delivered once, others may or may not be.
        """
        async for nodes in self.leaves(first, stop):
            for node in nodes:
                yield node

    async def leaves(self, first: bytes = b"", stop: bytes | None = None) -> AsyncGenerator[list[Node], None]:
        """The same, a leaf at a time."""
        leaf, _ = await self._descend(first)
        idle = 0
        while True:
            keys = leaf.sort_keys()
            begin = leaf.position(first)
            end = len(keys) if stop is None else max(begin, leaf.position(stop))
            is_done = end < len(keys) or not leaf.next
            dbtime, following = leaf.dbtime, leaf.next
            if end > begin:
                first = keys[end - 1] + b"\0"
                yield [leaf.node(line) for line in range(begin, end) if not leaf.is_deleted(line)]
            if is_done:
                return
            idle = 0 if end > begin else idle + 1
            if idle > _IDLE_MAX:
                raise JetError(JetCode.BadPageLink, f"leaves of tree {self.objid} go round", page_number=leaf.page_number)
            leaf = await self._following(leaf, dbtime, following, first)

    async def _following(self, leaf: Page, dbtime: int, following: int, first: bytes) -> Page:
        """The leaf to go on with behind ``leaf``, which had ``dbtime`` and link ``following`` when its entries were taken."""
        neighbour = await self.access.read(following)
        if leaf.dbtime == dbtime and neighbour.is_leaf and neighbour.objid == self.objid:
            return neighbour
        again, _ = await self._descend(first)
        if leaf.dbtime == dbtime:
            # Nothing changed, so the link is wrong as it stands.
            text = f"next of page {leaf.page_number} is {following}, no leaf of tree {self.objid}"
            raise JetError(JetCode.BadPageLink, text, page_number=following)
        return again

    async def _descend(self, key: bytes | None) -> tuple[Page, list[_Step]]:
        """Walk from the root to the leaf that is responsible for ``key`` (None: the last one)."""
        while True:
            path: list[_Step] = []
            page = await self.access.read(self.root)
            while not page.is_leaf and page.line_count and len(path) < _DEPTH_MAX:
                line = page.line_count - 1 if key is None else bisect_right(page.sort_keys(), key, 0, page.line_count - 1)
                path.append(_Step(page, line, page.dbtime))
                page = await self.access.read(page.child(line))
            if path and (await self.access.read(path[-1].page.page_number)).dbtime != path[-1].dbtime:
                continue
            if not page.is_leaf or page.objid != self.objid:
                text = f"tree {self.objid} leads to a page of tree {page.objid} with flags {int(page.flags):#x}"
                raise JetError(JetCode.BadParentPageLink, text, page_number=page.page_number)
            return page, path

    # -- changing ---------------------------------------------------------------------------------------------------------

    async def insert(self, key: bytes, data: bytes) -> None:
        """Add an entry.

        Raises:
            JetError: ``KeyDuplicate`` when its sort key is taken, ``RecordTooBig`` when no page can hold it.
        """
        node = Node(key, data)
        sort_key = key if self.is_unique else key + data
        leaf, path = await self._descend(sort_key)
        line = leaf.position(sort_key)
        keys = leaf.sort_keys()
        if line < len(keys) and keys[line] == sort_key:
            raise JetError(JetCode.KeyDuplicate, f"key {key.hex()} in tree {self.objid}")
        if node_size(node) > leaf.capacity - _ROOT_RESERVE:
            raise JetError(JetCode.RecordTooBig, f"entry of {node_size(node)} bytes, at most {leaf.capacity - _ROOT_RESERVE}")
        if await self._insert_in_place(leaf, line, node):
            return
        nodes = leaf.nodes()
        nodes.insert(line, node)
        is_append = line == len(nodes) - 1 and not leaf.next and line > 0
        async with self.access.macro():
            await self._rewrite(leaf, path, nodes, line, is_append=is_append)

    async def replace(self, key: bytes, data: bytes) -> None:
        """Replace the data of the entry with ``key`` (unique trees only).

        Raises:
            JetError: ``RecordNotFound``, ``RecordTooBig``.
        """
        assert self.is_unique, f"replace in non-unique tree {self.objid}"
        leaf, path, line = await self._find(key)
        old = leaf.node(line)
        if len(data) - len(old.data) <= leaf.free_bytes:
            await self.access.apply(ReplaceNode(leaf.page_number, line, data))
            return
        node = Node(key, data, old.flags)
        if node_size(node) > leaf.capacity - _ROOT_RESERVE:
            raise JetError(JetCode.RecordTooBig, f"entry of {node_size(node)} bytes, at most {leaf.capacity - _ROOT_RESERVE}")
        nodes = leaf.nodes()
        nodes[line] = node
        async with self.access.macro():
            await self._rewrite(leaf, path, nodes, line, is_append=False)

    async def delete(self, sort_key: bytes) -> bytes:
        """Remove the entry with ``sort_key`` (key, or key + data in a non-unique tree) and return its data.

        Raises:
            JetError: ``RecordNotFound``.
        """
        leaf, path, line = await self._find(sort_key)
        data = leaf.node(line).data
        if leaf.line_count > 1 or not path:
            leaf = await self.access.apply(DeleteNode(leaf.page_number, line))
            if path and (leaf.capacity - leaf.free_bytes) * _MERGE_BELOW < leaf.capacity:
                await self._merge(leaf, path)
            return data
        async with self.access.macro():
            await self._remove_page(leaf, path)
        return data

    async def _find(self, sort_key: bytes) -> tuple[Page, list[_Step], int]:
        leaf, path = await self._descend(sort_key)
        line = leaf.position(sort_key)
        keys = leaf.sort_keys()
        if line == len(keys) or keys[line] != sort_key:
            raise JetError(JetCode.RecordNotFound, f"key {sort_key.hex()} in tree {self.objid}")
        return leaf, path, line

    async def is_alone(self, sort_key: bytes) -> bool:
        """Whether the entry with ``sort_key`` is the only one of a leaf that would go with it.

        Raises:
            JetError: ``RecordNotFound``.
        """
        leaf, path, _ = await self._find(sort_key)
        return bool(path) and leaf.line_count == 1

    async def _insert_in_place(self, page: Page, line: int, node: Node) -> bool:
        shared = page.shared_prefix(node.key)
        if node_size(node) - (shared - 2 if shared else 0) > page.free_bytes:
            return False
        operation = InsertNode(page.page_number, line, shared, node.key[shared:], node.data, node.flags)
        await self.access.apply(operation)
        return True

    # -- splitting --------------------------------------------------------------------------------------------------------

    async def _rewrite(self, page: Page, path: Sequence[_Step], nodes: list[Node], inserted: int, *, is_append: bool) -> None:
        """Let ``page`` and as many new right neighbours as needed hold ``nodes``; tell the parents."""
        if page.is_root:
            await self._split_root(page, nodes, inserted, is_append=is_append)
            return
        prefix = page.external_header
        whole = lay_out(nodes, prefix_before=prefix)
        if whole.size <= page.capacity * 9 // 10 and not (is_append and page.is_leaf):
            # Compression makes enough room; were it just enough, the next insertion would come here again.
            await self._write(page.page_number, page.flags, (page.previous, page.next), whole)
            return
        layouts = split(nodes, page.capacity, inserted, prefix_before=prefix, is_append=is_append)
        numbers = [page.page_number, *[await self._pages.allocate_page() for _ in layouts[1:]]]
        separators = self._separators(page, layouts)
        await self._write_chain(page, numbers, layouts, keeps_first=is_append)
        step = path[-1]
        await self._point_to(step.page, path[:-1], step.line, numbers, separators)

    def _separators(self, page: Page, layouts: list[Layout]) -> list[bytes]:
        """Separator behind each layout but the last; on branch pages the last entry of each loses its key to the parent."""
        keys: list[bytes] = []
        for number, layout in enumerate(layouts[:-1]):
            last = layout.nodes[-1]
            if page.is_leaf:
                keys.append(separator(self._sort_key(last), self._sort_key(layouts[number + 1].nodes[0])))
            else:
                keys.append(last.key)
                nodes = [*layout.nodes[:-1], Node(b"", last.data)]
                layouts[number] = layout._replace(nodes=nodes)
        return keys

    def _sort_key(self, node: Node) -> bytes:
        return node.key if self.is_unique else node.key + node.data

    async def _write_chain(self, page: Page, numbers: list[int], layouts: list[Layout], *, keeps_first: bool) -> None:
        """Write the layouts to their pages and chain them between the neighbours of ``page`` (leaves only)."""
        flags = page.flags
        behind = page.next
        links = [page.previous, *numbers, behind] if page.is_leaf else [0] * (len(numbers) + 2)
        for place in range(len(numbers) - 1, 0, -1):
            await self._write_new(numbers[place], flags, (links[place], links[place + 2]), layouts[place])
        if keeps_first and page.is_leaf:
            await self.access.apply(SetLinks(numbers[0], links[0], links[2]))
        else:
            await self._write(numbers[0], flags, (links[0], links[2]), layouts[0])
        if page.is_leaf and behind and len(numbers) > 1:
            neighbour = await self.access.read(behind)
            await self.access.apply(SetLinks(behind, numbers[-1], neighbour.next))

    async def _write_new(self, number: int, flags: PageFlag, links: tuple[int, int], layout: Layout) -> None:
        """Write a page that nothing points to yet: for a single entry, small operations instead of an image in the log."""
        if len(layout.nodes) > 1:
            await self._write(number, flags, links, layout)
            return
        node = layout.nodes[0]
        await self.access.apply(Format(number, self.objid, int(flags)))
        await self.access.apply(SetLinks(number, *links))
        await self.access.apply(InsertNode(number, 0, 0, node.key, node.data, node.flags))

    async def _write(self, number: int, flags: PageFlag, links: tuple[int, int], layout: Layout) -> None:
        image = write_page(self.access.page_size, number, self.objid, int(flags), links, layout)
        await self.access.apply(Image(number, image))

    async def _point_to(
        self, parent: Page, path: Sequence[_Step], line: int, numbers: Sequence[int], separators: Sequence[bytes]
    ) -> None:
        """Make entry ``line`` of ``parent`` (which stood for the first page) stand for all of ``numbers``."""
        old = parent.node(line)
        added = [Node(key, _pointer(number)) for key, number in zip(separators, numbers, strict=False)]
        needed = sum(node_size(node) for node in added)
        if needed <= parent.free_bytes:
            for place, node in enumerate(added):
                await self._insert_in_place(parent, line + place, node)
            await self.access.apply(ReplaceNode(parent.page_number, line + len(added), _pointer(numbers[-1])))
            return
        nodes = parent.nodes()
        nodes[line : line + 1] = [*added, Node(old.key, _pointer(numbers[-1]))]
        is_append = line == parent.line_count - 1 and len(added) == 1
        await self._rewrite(parent, path, nodes, len(nodes) - 1 if is_append else line, is_append=is_append)

    async def _split_root(self, root: Page, nodes: list[Node], inserted: int, *, is_append: bool) -> None:
        """Move everything below the root: its page number is the tree's name and stays."""
        layouts = split(nodes, root.capacity, inserted, prefix_before=b"", is_append=is_append)
        numbers = [await self._pages.allocate_page() for _ in layouts]
        separators = self._separators(root, layouts)
        flags = root.flags & ~PageFlag.ROOT
        header = root.external_header
        is_leaf = root.is_leaf
        links = [0, *numbers, 0] if is_leaf else [0] * (len(numbers) + 2)
        for place, (number, layout) in enumerate(zip(numbers, layouts, strict=True)):
            await self._write_new(number, flags, (links[place], links[place + 2]), layout)
        keys = [*separators, b""]
        entries = [Node(key, _pointer(number)) for key, number in zip(keys, numbers, strict=True)]
        flags = self._flags | PageFlag.ROOT | (PageFlag.PARENT_OF_LEAF if is_leaf else PageFlag.NONE)
        image = write_page_with_header(self.access.page_size, root.page_number, self.objid, int(flags), (0, 0), header, entries)
        await self.access.apply(Image(root.page_number, image))

    # -- shrinking --------------------------------------------------------------------------------------------------------

    async def _merge(self, leaf: Page, path: list[_Step]) -> None:
        """Put the entries of a nearly empty leaf and of a neighbour under the same parent on one page, where they fit."""
        parent, line, dbtime = path[-1]
        if line + 1 < parent.line_count:
            right = await self.access.read(parent.child(line + 1))
            if await self._merge_right(leaf, right, path):
                return
        if line:
            left = await self.access.read(parent.child(line - 1))
            await self._merge_right(left, leaf, [*path[:-1], _Step(parent, line - 1, dbtime)])

    async def _merge_right(self, left: Page, right: Page, path: list[_Step]) -> bool:
        """Move what ``left`` holds to ``right``, unless that would fill it; ``path`` leads to ``left``."""
        layout = lay_out([*left.nodes(), *right.nodes()], prefix_before=right.external_header)
        if layout.size > right.capacity * 3 // 4:
            return False
        async with self.access.macro():
            await self._write(right.page_number, right.flags, (right.previous, right.next), layout)
            await self._remove_page(left, path)
        return True

    async def _remove_page(self, page: Page, path: Sequence[_Step]) -> None:
        """Take a page whose entries are gone or moved out of its parent and out of the chain, and give it back."""
        parent, line, _ = path[-1]
        if parent.line_count > 1:
            await self._remove_pointer(parent, line)
        elif parent.is_root:
            await self._empty_root(parent)
        else:
            await self._remove_page(parent, path[:-1])
        if page.is_leaf:
            await self._unchain(page)
        await self.access.apply(Format(page.page_number, self.objid, int(CURRENT_FORMAT | PageFlag.EMPTY)))
        await self._pages.free_page(page.page_number)

    async def _remove_pointer(self, parent: Page, line: int) -> None:
        if line == parent.line_count - 1:
            # The entry before takes over everything to its right: the empty key goes to its child.
            line -= 1
            await self.access.apply(ReplaceNode(parent.page_number, line + 1, parent.node(line).data))
        await self.access.apply(DeleteNode(parent.page_number, line))

    async def _empty_root(self, root: Page) -> None:
        flags = self._flags | PageFlag.ROOT | PageFlag.LEAF
        header = root.external_header
        image = write_page_with_header(root.size, root.page_number, self.objid, int(flags), (0, 0), header, ())
        await self.access.apply(Image(root.page_number, image))

    async def _unchain(self, page: Page) -> None:
        before, behind = page.previous, page.next
        if before:
            left = await self.access.read(before)
            await self.access.apply(SetLinks(before, left.previous, behind))
        if behind:
            right = await self.access.read(behind)
            await self.access.apply(SetLinks(behind, before, right.next))


_ROOT_RESERVE = 16
"""Every entry must fit on a root too, beside its space header."""


def _pointer(page_number: int) -> bytes:
    return page_number.to_bytes(4, "little")
