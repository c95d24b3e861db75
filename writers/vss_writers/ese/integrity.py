"""Logical integrity of a database, beyond checksums: are its trees trees, is every page used once, do indexes match rows.

Reads through ``PageAccess``, so that it judges a file and a running engine's buffered pages alike. Damage becomes problems,
never an exception. Single-extent trees keep no list of pages and are not accounted for.

Sources: published engine, the invariants of its node, split and space code; eseutil /g for what to look at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise

from vss_writers.ese.catalog import all_schemas
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.keys import index_key
from vss_writers.ese.layout import PAGE_DATABASE_ROOT, IndexFlag, SpaceFlag
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import PageAccess
from vss_writers.ese.record import decode_record
from vss_writers.ese.schema import Index, TableSchema
from vss_writers.ese.space import Extent, Space, SpaceHeader
from vss_writers.ese.table import Table, index_tree, table_tree


@dataclass(frozen=True, slots=True)
class Problem:
    """One contradiction."""

    code: JetCode
    page_number: int
    detail: str


@dataclass(slots=True)
class Integrity:
    """What was found. ``lost_pages`` belong to a tree that neither uses them nor lists them as available; they do no harm."""

    problems: list[Problem] = field(default_factory=list)
    tree_count: int = 0
    page_count: int = 0
    row_count: int = 0
    lost_pages: list[int] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


_DEPTH_MAX = 16


class _TreeWalk:
    """One pass over a tree: its pages, number and links of its leaves in order, what is wrong."""

    def __init__(self, access: PageAccess, objid: int, problems: list[Problem]) -> None:
        self._access = access
        self._objid = objid
        self._problems = problems
        self.pages: dict[int, None] = {}
        self.leaves: list[tuple[int, int, int]] = []

    async def walk(self, root: int) -> None:
        await self._visit(root, b"", None)
        before = 0
        for place, (number, previous, following) in enumerate(self.leaves):
            behind = self.leaves[place + 1][0] if place + 1 < len(self.leaves) else 0
            if (previous, following) != (before, behind):
                detail = f"links expected {before} and {behind}, found {previous} and {following}"
                self._report(JetCode.BadPageLink, number, detail)
            before = number

    async def _visit(self, page_number: int, low: bytes, high: bytes | None, *, depth: int = 0) -> None:
        if page_number in self.pages or depth == _DEPTH_MAX:
            self._report(JetCode.BadParentPageLink, page_number, "reached twice" if depth < _DEPTH_MAX else "too deep")
            return
        self.pages[page_number] = None
        try:
            page = await self._access.read(page_number)
            self._check_page(page, low, high, is_root=depth == 0)
            if page.is_leaf:
                self.leaves.append((page_number, page.previous, page.next))
                return
            keys = page.sort_keys()
            if not keys or keys[-1]:
                self._report(JetCode.NodeCorrupted, page_number, "last entry of a branch page has a key")
            for line, key in enumerate(keys):
                lower = keys[line - 1] if line else low
                upper = key if line + 1 < len(keys) else high
                await self._visit(page.child(line), lower, upper, depth=depth + 1)
        except JetError as error:
            self._report(error.code, page_number, error.detail)

    def _check_page(self, page: Page, low: bytes, high: bytes | None, *, is_root: bool) -> None:
        if page.objid != self._objid:
            self._report(JetCode.BadParentPageLink, page.page_number, f"object id expected {self._objid}, found {page.objid}")
        if page.is_root != is_root:
            self._report(JetCode.BadParentPageLink, page.page_number, f"root flag is {page.is_root}")
        if not page.line_count and not is_root:
            self._report(JetCode.BadEmptyPage, page.page_number, "no entries")
        used = len(page.external_header) + sum(page.line_size(line) for line in range(page.line_count))
        if page.capacity - used != page.free_bytes:
            detail = f"free bytes expected {page.capacity - used}, found {page.free_bytes}"
            self._report(JetCode.PageTagCorrupted, page.page_number, detail)
        keys = page.sort_keys() if page.is_leaf else page.sort_keys()[:-1]
        if any(left >= right for left, right in pairwise(keys)):
            self._report(JetCode.NodeCorrupted, page.page_number, "keys out of order")
        if keys and (keys[0] < low or (high is not None and keys[-1] >= high)):
            self._report(JetCode.BadParentPageLink, page.page_number, "keys outside the parent's separators")

    def _report(self, code: JetCode, page_number: int, detail: str) -> None:
        self._problems.append(Problem(code, page_number, f"tree {self._objid}: {detail}"))


async def check_database(access: PageAccess) -> Integrity:
    """Check every tree of a database, the pages they own, and that indexes and rows agree."""
    result = Integrity()
    try:
        schemas = await all_schemas(access)
    except JetError as error:
        result.problems.append(Problem(error.code, error.page_number or 0, error.detail))
        return result
    accounting = _Accounting()
    fdps = [PAGE_DATABASE_ROOT]
    for schema in schemas:
        fdps.append(schema.fdp)
        fdps.extend(index.fdp for index in schema.secondary_indexes)
        if schema.long_value_fdp:
            fdps.append(schema.long_value_fdp)
    for fdp in fdps:
        await _walk_tree(access, fdp, result, accounting)
    for owned in accounting.spaces:
        _account(result, accounting.children, owned)
    for schema in schemas:
        await _check_indexes(access, schema, result)
    return result


async def check_tree(access: PageAccess, fdp: int, result: Integrity) -> None:
    """Check one tree, its two space trees and the pages it owns; trees below it are not known here and count as none."""
    accounting = _Accounting()
    await _walk_tree(access, fdp, result, accounting)
    for owned in accounting.spaces:
        _account(result, {}, owned)


@dataclass(frozen=True, slots=True)
class _Owned:
    """What one tree owns, what of it is available, and what it uses."""

    fdp: int
    owned: list[Extent]
    available: list[Extent]
    used: list[int]


@dataclass(slots=True)
class _Accounting:
    """Who uses which page; needs all trees before it can be judged."""

    owners: dict[int, int] = field(default_factory=dict)
    children: dict[int, list[Extent]] = field(default_factory=dict)
    spaces: list[_Owned] = field(default_factory=list)


async def _walk_tree(access: PageAccess, fdp: int, result: Integrity, accounting: _Accounting) -> None:
    """Walk a tree and its two space trees; note what it owns."""
    try:
        root = await access.read(fdp)
        header = SpaceHeader.unpack(root.external_header)
        is_accounted = bool(header.flags & SpaceFlag.MULTIPLE_EXTENT)
        used: list[int] = []
        for number in (fdp, header.owned_root, header.owned_root + 1) if is_accounted else (fdp,):
            walk = _TreeWalk(access, root.objid, result.problems)
            await walk.walk(number)
            used += list(walk.pages)
            result.tree_count += 1
        for page_number in used:
            if page_number in accounting.owners:
                detail = f"page is used by tree {accounting.owners[page_number]} and tree {root.objid}"
                result.problems.append(Problem(JetCode.SPOwnExtCorrupted, page_number, detail))
            accounting.owners[page_number] = root.objid
        result.page_count += len(used)
        if is_accounted:
            space = await Space.open(access, fdp)
            owned = await space.owned()
            accounting.children.setdefault(header.parent_fdp, []).extend(owned)
            accounting.spaces.append(_Owned(fdp, owned, await space.available(), used))
    except JetError as error:
        result.problems.append(Problem(error.code, error.page_number or fdp, error.detail))


def _account(result: Integrity, children: dict[int, list[Extent]], tree: _Owned) -> None:
    """Every page a tree owns is used by it, available to it or owned by a child; and only one of these."""
    seen: dict[int, str] = {}
    below = _pages(children.get(tree.fdp, []))
    for name, pages in (("used", tree.used), ("available", _pages(tree.available)), ("owned by a child", below)):
        for page_number in pages:
            if page_number in seen:
                detail = f"page of the tree at {tree.fdp} is {seen[page_number]} and {name}"
                result.problems.append(Problem(JetCode.SPAvailExtCorrupted, page_number, detail))
            seen[page_number] = name
    owned = _pages(tree.owned)
    for page_number in sorted(set(seen) - set(owned)):
        detail = f"page is {seen[page_number]} in the tree at {tree.fdp}, which does not own it"
        result.problems.append(Problem(JetCode.SPOwnExtCorrupted, page_number, detail))
    # A tree that keeps a single extent is not accounted for, so what looks lost may be its pages.
    result.lost_pages.extend(page_number for page_number in owned if page_number not in seen)


def _pages(extents: list[Extent]) -> list[int]:
    return [page_number for extent in extents for page_number in range(extent.first, extent.last + 1)]


@dataclass(slots=True)
class _Entries:
    """A set of index entries, whatever their order, in little memory: their number and the sum of their digests."""

    count: int = 0
    sum: int = 0

    def take(self, entry: bytes, row: bytes) -> None:
        digest = blake2b(b"%d:" % len(entry) + entry + row, digest_size=16).digest()
        self.count += 1
        self.sum = (self.sum + int.from_bytes(digest, "little")) % (1 << 128)


async def _check_indexes(access: PageAccess, schema: TableSchema, result: Integrity) -> None:
    """Every row has its entry in every index, and no index has others."""
    try:
        indexes = schema.secondary_indexes
        expected = {index.name: _Entries() for index in indexes}
        primary = schema.primary_index
        table = Table(access, schema)
        async for node in table_tree(access, schema).entries():
            result.row_count += 1
            items = decode_record(schema, node.data, access.page_size)
            stored = {column_id: item.data for column_id, item in items.items()}
            if primary is not None and _is_computable(schema, primary) and index_key(schema, primary, stored) != node.key:
                result.problems.append(Problem(JetCode.NodeCorrupted, schema.fdp, f"row {node.key.hex()} under another key"))
            for index in indexes:
                entry = table.entry(index, items) if _is_computable(schema, index) else None
                if entry is not None:
                    expected[index.name].take(entry, node.key)
        for index in indexes:
            if _is_computable(schema, index):
                await _compare_index(access, schema, index, expected[index.name], result)
    except JetError as error:
        result.problems.append(Problem(error.code, error.page_number or schema.fdp, error.detail))


def _is_computable(schema: TableSchema, index: Index) -> bool:
    """Keys over Unicode text, long values or several values of a column cannot be computed here."""
    if index.flags & (IndexFlag.LOCALISED_TEXT | IndexFlag.MULTI_VALUED | IndexFlag.NULLS_SORT_HIGH):
        return False
    return not any(schema.columns_by_id[column_id].is_long for column_id in index.column_ids)


async def _compare_index(access: PageAccess, schema: TableSchema, index: Index, expected: _Entries, result: Integrity) -> None:
    found = _Entries()
    async for node in index_tree(access, index).entries():
        found.take(node.key, node.data)
    if found != expected:
        detail = f"index {index.name} of table {schema.name}: {expected.count} entries expected, {found.count} found, or others"
        result.problems.append(Problem(JetCode.NodeCorrupted, index.fdp, detail))
