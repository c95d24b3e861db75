"""How entries are laid out on pages when a page is written anew: prefix, size, split point. Pure.

A page is written anew when it splits, merges or compacts its keys. The prefix that keys share is kept in the page's external
header and pays for keys that repeat it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vss_writers.ese.layout import TAG_SIZE
from vss_writers.ese.node import PREFIX_MIN, Node, common_prefix_size
from vss_writers.ese.page import Page

_KEY_LENGTH_SIZE = 2


class Layout(NamedTuple):
    """Entries of one page with the prefix they are stored under; ``size`` is what they take, the prefix included."""

    nodes: Sequence[Node]
    prefix: bytes
    size: int


def node_size(node: Node, prefix: bytes = b"") -> int:
    """Bytes an entry takes on a page with ``prefix``, its tag included."""
    shared = common_prefix_size(prefix, node.key) if prefix else 0
    saved = shared - _KEY_LENGTH_SIZE if shared >= PREFIX_MIN else 0
    return _KEY_LENGTH_SIZE + len(node.key) - saved + len(node.data) + TAG_SIZE


def lay_out(nodes: Sequence[Node], *, prefix_before: bytes = b"", may_compress: bool = True) -> Layout:
    """Choose the prefix under which ``nodes`` take least room: none, the one before, or what the middle keys share."""
    plain = Layout(nodes, b"", sum(node_size(node) for node in nodes))
    if not may_compress:
        return plain
    best = plain
    for prefix in (_candidate(nodes), prefix_before):
        if prefix:
            size = len(prefix) + sum(node_size(node, prefix) for node in nodes)
            if size < best.size:
                best = Layout(nodes, prefix, size)
    return best


def _candidate(nodes: Sequence[Node]) -> bytes:
    """The prefix common to the middle half of the keys: outliers at the ends should not spoil it."""
    keys = [node.key for node in nodes if node.key]
    if len(keys) < 2:
        return b""
    low, high = keys[len(keys) // 4], keys[-1 - len(keys) // 4]
    return low[: common_prefix_size(low, high)]


def split(nodes: Sequence[Node], capacity: int, inserted: int, *, prefix_before: bytes, is_append: bool) -> list[Layout]:
    """Distribute ``nodes``, too many for one page, over two pages, or three where entries are too large for two.

    ``inserted`` is the line of the new entry. An insertion behind everything else leaves the left page full, so that ordered
    loading fills pages.
    """
    if is_append:
        return [lay_out(nodes[:inserted], prefix_before=prefix_before), lay_out(nodes[inserted:])]
    for line in _split_points(nodes, prefix_before):
        left = lay_out(nodes[:line], prefix_before=prefix_before)
        right = lay_out(nodes[line:], prefix_before=prefix_before)
        if left.size <= capacity and right.size <= capacity:
            return [left, right]
    # One entry so large that neither side can take it: it gets a page of its own.
    parts = (nodes[:inserted], nodes[inserted : inserted + 1], nodes[inserted + 1 :])
    return [lay_out(part, prefix_before=prefix_before) for part in parts if part]


def _split_points(nodes: Sequence[Node], prefix: bytes) -> list[int]:
    """Lines to split at, from the one that halves the bytes outwards."""
    sizes = [node_size(node, prefix) for node in nodes]
    total = sum(sizes)
    running = 0
    middle = 1
    for line, size in enumerate(sizes):
        if 2 * running >= total:
            break
        running += size
        middle = line + 1
    return sorted(range(1, len(nodes)), key=lambda line: (abs(line - middle), line))


def write_page(page_size: int, page_number: int, objid: int, flags: int, links: tuple[int, int], layout: Layout) -> bytes:
    """Image of a page that holds ``layout``, dbtime 0."""
    return write_page_with_header(page_size, page_number, objid, flags, links, layout.prefix, layout.nodes)


def write_page_with_header(
    page_size: int,
    page_number: int,
    objid: int,
    flags: int,
    links: tuple[int, int],
    external_header: bytes,
    nodes: Sequence[Node],
) -> bytes:
    """Image of a page with any external header; keys are compressed against it unless the page is a root."""
    page = Page.blank(page_size, page_number)
    page.format(objid, flags)
    page.set_links(*links)
    page.set_external_header(external_header)
    for line, node in enumerate(nodes):
        shared = page.shared_prefix(node.key)
        page.insert_node(line, shared, node.key[shared:], node.data, node.flags)
    return bytes(page.data)


def separator(left: bytes, right: bytes) -> bytes:
    """The shortest key that is greater than ``left`` and not greater than ``right``."""
    assert left < right, f"keys out of order: {left.hex()} before {right.hex()}"
    return right[: common_prefix_size(left, right) + 1]
