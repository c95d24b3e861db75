"""Changes of pages: small frozen records, each for one page, and the pure function that applies one.

Everything that alters a page goes through here, so that the log can write every change down and recovery can repeat it:
the same operations on the same image give the same bytes. Trees and tables reach pages through ``PageAccess`` only.
Replaying a log makes an operation for every record: hence structures that the collector need not look at, as they cannot be
part of a cycle.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from vss_writers.ese.page import Page


class Format(msgspec.Struct, frozen=True, gc=False):
    """Make the page an empty one of tree ``objid``."""

    page_number: int
    objid: int
    flags: int


class InsertNode(msgspec.Struct, frozen=True, gc=False):
    """Insert an entry before ``line``; its key is ``prefix_count`` bytes of the page's shared prefix and ``suffix``."""

    page_number: int
    line: int
    prefix_count: int
    suffix: bytes
    data: bytes
    flags: int = 0


class ReplaceNode(msgspec.Struct, frozen=True, gc=False):
    """Replace the data of entry ``line``, and its flags unless None."""

    page_number: int
    line: int
    data: bytes
    flags: int | None = None


class DeleteNode(msgspec.Struct, frozen=True, gc=False):
    """Remove entry ``line``."""

    page_number: int
    line: int


class SetExternalHeader(msgspec.Struct, frozen=True, gc=False):
    """Replace tag 0."""

    page_number: int
    data: bytes


class SetLinks(msgspec.Struct, frozen=True, gc=False):
    """Set both sibling links."""

    page_number: int
    previous: int
    next: int


class SetFlags(msgspec.Struct, frozen=True, gc=False):
    """Set the page flags."""

    page_number: int
    flags: int


class Image(msgspec.Struct, frozen=True, gc=False):
    """Replace the whole page; the page's dbtime is assigned afterwards as for every operation."""

    page_number: int
    data: bytes


PageOperation = Format | InsertNode | ReplaceNode | DeleteNode | SetExternalHeader | SetLinks | SetFlags | Image


def apply(page: Page, operation: PageOperation) -> None:
    """Change ``page`` as ``operation`` says. Pure and deterministic; dbtime is the caller's business."""
    assert page.page_number == operation.page_number, f"operation for page {operation.page_number} on page {page.page_number}"
    if type(operation) is InsertNode:  # nearly every operation is one, and finding that out by its pattern costs as much again
        page.insert_node(operation.line, operation.prefix_count, operation.suffix, operation.data, operation.flags)
        return
    match operation:
        case ReplaceNode(_, line, data, new_flags):
            page.replace_node(line, data, new_flags)
        case DeleteNode(_, line):
            page.delete_node(line)
        case SetExternalHeader(_, data):
            page.set_external_header(data)
        case SetLinks(_, previous, following):
            page.set_links(previous, following)
        case Format(_, objid, flags):
            page.format(objid, flags)
        case SetFlags(_, flags):
            page.set_flags(flags)
        case Image(_, data):  # pragma: no branch - the union has no other member
            page.restore(data)


class PageAccess(Protocol):
    """What trees and tables know of the database they live in."""

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        ...

    @property
    def page_count(self) -> int:
        """Database pages of the file, headers not counted; the highest page number."""
        ...

    async def read(self, page_number: int) -> Page:
        """Return the buffered page. Callers must not change it, and see later changes in the same object.

        Raises:
            JetError: the page does not exist, is damaged or cannot be read.
        """
        ...

    async def apply(self, operation: PageOperation) -> Page:
        """Assign the next dbtime, log the operation, change the buffered page and return it."""
        ...

    def macro(self) -> AbstractAsyncContextManager[None]:
        """Enclose a change of several pages that holds whole or not at all after recovery. May be nested."""
        ...

    async def extend(self, page_count: int) -> int:
        """Grow the file by blank pages; return the first new page number."""
        ...

    def next_objid(self) -> int:
        """Give out a new object id."""
        ...


class PageSource(Protocol):
    """Where a tree gets its pages from and gives them back to."""

    async def allocate_page(self) -> int:
        """Return a page for the tree; its content is undefined."""
        ...

    async def free_page(self, page_number: int) -> None:
        """Take back a page of the tree."""
        ...
