"""Scrubbing: nothing of a deleted entry is left on a page, and everything else is where it was."""

from __future__ import annotations

import pytest

from vss_writers.ese.checksum import verify_page
from vss_writers.ese.layout import CURRENT_FORMAT, NodeFlag, PageFlag
from vss_writers.ese.page import Page
from vss_writers.ese.scrubbing import scrubbed

SIZES = pytest.mark.parametrize("page_size", [2048, 8192, 32768])


def leaf(page_size: int) -> Page:
    page = Page.blank(page_size, 7)
    page.format(12, int(CURRENT_FORMAT | PageFlag.LEAF))
    page.set_external_header(b"prefix")
    for number in range(4):
        page.insert_node(number, 0, b"key%d" % number, b"secret-%d-" % number * 5, 0)
    return page


@SIZES
def test_holes_are_zeroed_and_the_rest_stays(page_size: int) -> None:
    page = leaf(page_size)
    page.delete_node(1)
    page.delete_node(2)
    before = page.sealed()
    assert b"secret-1" in before
    after = scrubbed(before, 7)
    assert b"secret-1" not in after
    assert b"secret-3" not in after
    assert verify_page(after, 7).verdict.is_good
    assert Page(bytearray(after), 7).nodes() == page.nodes()
    assert scrubbed(after, 7) == after


@SIZES
def test_flagged_entries_keep_their_keys_only(page_size: int) -> None:
    page = leaf(page_size)
    page.replace_node(2, page.node(2).data, int(NodeFlag.DELETED))
    after = Page(bytearray(scrubbed(page.sealed(), 7)), 7)
    assert after.is_deleted(2)
    assert after.key(2) == b"key2"
    assert not after.node(2).data.strip(b"\0")
    assert [after.node(line) for line in (0, 1, 3)] == [page.node(line) for line in (0, 1, 3)]
    after.delete_node(2)
    page.delete_node(2)
    assert after.nodes() == page.nodes()


@SIZES
def test_blank_and_damaged_pages_stay_as_they_are(page_size: int) -> None:
    assert scrubbed(bytes(page_size), 7) == bytes(page_size)
    page = bytearray(leaf(page_size).sealed())
    page[-8:-4] = b"\xff\x7f\xff\x7f"
    assert scrubbed(bytes(page), 7) == page
    many = bytearray(leaf(page_size).sealed())
    many[34:36] = b"\xff\x0f"
    assert scrubbed(bytes(many), 7) == many


def test_a_flagged_entry_that_makes_no_sense_is_left_alone() -> None:
    page = leaf(2048)
    page.replace_node(2, page.node(2).data, int(NodeFlag.DELETED))
    data = bytearray(page.sealed())
    at = data.index(b"key2") - 2
    data[at : at + 2] = b"\xff\x0f"
    assert b"secret-2" in scrubbed(bytes(data), 7)
