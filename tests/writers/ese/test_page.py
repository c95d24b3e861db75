"""Pages: entries, prefix compression, free space, and that damage is noticed when it is read."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss_writers.ese.checksum import verify_page
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.layout import CURRENT_FORMAT, TAG_SIZE, NodeFlag, PageFlag, page_header_size
from vss_writers.ese.node import Node
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import (
    DeleteNode,
    Format,
    Image,
    InsertNode,
    PageOperation,
    ReplaceNode,
    SetExternalHeader,
    SetFlags,
    SetLinks,
    apply,
)

LEAF = int(CURRENT_FORMAT | PageFlag.LEAF)


def formatted(page_size: int = 8192, flags: int = LEAF) -> Page:
    page = Page.blank(page_size, 5)
    apply(page, Format(5, 77, flags))
    return page


def insert(page: Page, line: int, key: bytes, data: bytes, flags: int = 0) -> None:
    shared = page.shared_prefix(key)
    apply(page, InsertNode(5, line, shared, key[shared:], data, flags))


def free_bytes_by_the_book(page: Page) -> int:
    lines = sum(page.line_size(line) for line in range(page.line_count))
    return page.size - page_header_size(page.size) - len(page.external_header) - TAG_SIZE - lines


@pytest.mark.parametrize("page_size", [2048, 4096, 8192, 16384, 32768])
def test_a_formatted_page_is_empty_and_keeps_its_dbtime(page_size: int) -> None:
    page = Page.blank(page_size, 5)
    page.dbtime = 9
    assert page.sealed() != bytes(page_size)
    apply(page, Format(5, 77, LEAF))

    assert (page.objid, page.dbtime, page.line_count, page.tag_count) == (77, 9, 0, 1)
    assert (page.external_header, page.previous, page.next) == (b"", 0, 0)
    assert page.free_bytes == page.capacity == free_bytes_by_the_book(page)
    assert page.is_leaf
    assert not page.is_root
    assert verify_page(page.sealed(), 5).verdict.is_good


def test_a_blank_page_stays_blank_when_written() -> None:
    page = Page.blank(4096, 5)

    assert page.is_blank
    assert page.sealed() == bytes(4096)
    assert page.line_count == 0


@pytest.mark.parametrize("page_size", [4096, 16384])
def test_keys_share_the_prefix_where_it_pays(page_size: int) -> None:
    page = formatted(page_size)
    apply(page, SetExternalHeader(5, b"prefix"))
    insert(page, 0, b"pre", b"three bytes pay")
    insert(page, 1, b"prefix-a", b"A", int(NodeFlag.DELETED))
    insert(page, 2, b"pr", b"two do not")
    before = page.free_bytes
    insert(page, 3, b"prefix-b", b"B")

    assert before - page.free_bytes == 2 + 2 + len(b"-b") + 1 + TAG_SIZE
    assert page.nodes() == [
        Node(b"pre", b"three bytes pay"),
        Node(b"prefix-a", b"A", 2),
        Node(b"pr", b"two do not"),
        Node(b"prefix-b", b"B"),
    ]
    assert page.is_deleted(1)
    assert not page.is_deleted(0)
    assert page.free_bytes == free_bytes_by_the_book(page)


def test_a_roots_external_header_is_no_prefix() -> None:
    page = formatted(flags=LEAF | int(PageFlag.ROOT))
    apply(page, SetExternalHeader(5, b"0123456789abcdef"))

    assert page.shared_prefix(b"0123456789") == 0


@pytest.mark.parametrize("page_size", [4096, 16384])
def test_replacing_keeps_the_key_and_may_change_the_flags(page_size: int) -> None:
    page = formatted(page_size)
    apply(page, SetExternalHeader(5, b"prefix"))
    insert(page, 0, b"prefix-a", b"A")
    apply(page, ReplaceNode(5, 0, b"longer than before"))
    assert page.node(0) == Node(b"prefix-a", b"longer than before")
    apply(page, ReplaceNode(5, 0, b"", int(NodeFlag.DELETED)))
    assert page.node(0) == Node(b"prefix-a", b"", 2)
    assert page.free_bytes == free_bytes_by_the_book(page)


def test_room_scattered_over_the_page_is_gathered_when_needed() -> None:
    page = formatted(4096)
    count = 0
    while page.free_bytes >= 106:
        insert(page, count, count.to_bytes(4, "big"), bytes(90))
        count += 1
    for line in reversed(range(0, count, 2)):
        apply(page, DeleteNode(5, line))
    insert(page, page.line_count, b"\xff\xff", bytes(page.free_bytes - 8))

    assert page.free_bytes == 0
    assert [node.key for node in page.nodes()][-1] == b"\xff\xff"
    assert page.sort_keys() == sorted(page.sort_keys())


def test_a_replacement_may_use_the_room_of_what_it_replaces() -> None:
    page = formatted(2048)
    insert(page, 0, b"a", bytes(900))
    insert(page, 1, b"b", bytes(900))
    room = page.free_bytes
    apply(page, ReplaceNode(5, 0, b"x" * (900 + room)))

    assert page.free_bytes == 0
    assert page.nodes() == [Node(b"a", b"x" * (900 + room)), Node(b"b", bytes(900))]


def test_sort_keys_of_a_non_unique_leaf_include_the_data() -> None:
    page = formatted(flags=LEAF | int(PageFlag.NON_UNIQUE))
    insert(page, 0, b"k", b"2")
    assert page.sort_keys() == [b"k2"]
    insert(page, 0, b"k", b"1")
    assert page.sort_keys() == [b"k1", b"k2"]
    apply(page, ReplaceNode(5, 1, b"3"))
    assert page.sort_keys() == [b"k1", b"k3"]
    assert page.position(b"k2") == 1
    apply(page, SetFlags(5, LEAF))
    assert page.sort_keys() == [b"k", b"k"]


def test_an_image_replaces_everything_and_the_object_stays() -> None:
    page = formatted()
    insert(page, 0, b"k", b"1")
    image = bytes(page.data)
    copy = page.copy()
    apply(page, DeleteNode(5, 0))
    apply(page, SetLinks(5, 4, 6))
    assert (page.line_count, page.previous, page.next) == (0, 4, 6)
    apply(page, Image(5, image))

    assert page.nodes() == copy.nodes() == [Node(b"k", b"1")]
    assert (page.previous, page.next) == (0, 0)


def test_children_are_page_numbers() -> None:
    page = formatted(flags=int(CURRENT_FORMAT))
    insert(page, 0, b"k", (1234).to_bytes(4, "little"))
    insert(page, 1, b"", b"?")

    assert page.child(0) == 1234
    with pytest.raises(JetError, match="branch entry 1 has 1 bytes") as caught:
        page.child(1)
    assert caught.value.page_number == 5


# -- damage ---------------------------------------------------------------------------------------------------------------


def test_lines_that_are_not_there() -> None:
    with pytest.raises(JetError, match="tag 1 of 1") as caught:
        formatted().node(0)
    assert caught.value.code == JetCode.BadLineCount


def test_a_tag_that_leaves_the_page() -> None:
    page = formatted()
    insert(page, 0, b"k", b"1")
    struct.pack_into("<HH", page.data, page.size - 8, 8000, 8000)
    with pytest.raises(JetError, match="leaves the page") as caught:
        page.node(0)
    assert caught.value.code == JetCode.PageTagCorrupted


def test_more_tags_than_a_page_can_have() -> None:
    page = formatted(4096)
    struct.pack_into("<H", page.data, 34, 4095)
    with pytest.raises(JetError, match="lies in the page header"):
        page.node(4000)


@pytest.mark.parametrize(
    ("raw", "flags", "message"),
    [
        (b"\x01", 0, "line has 1 bytes"),
        (b"\x01\x00\x01", 4, "line has 3 bytes"),
        (b"\x09\x00ab", 0, "key ends at 11 in a line of 4"),
        (b"\x09\x00\x01\x00a", 4, "shared prefix of 9 bytes, the page has 3"),
    ],
)
def test_a_line_that_contradicts_itself(raw: bytes, flags: int, message: str) -> None:
    page = formatted(4096)
    apply(page, SetExternalHeader(5, b"abc"))
    insert(page, 0, b"key", b"data")
    _, word = struct.unpack_from("<HH", page.data, 4096 - 8)
    offset = word & 0x1FFF
    page.data[40 + offset : 40 + offset + len(raw)] = raw
    struct.pack_into("<HH", page.data, 4096 - 8, len(raw), offset | flags << 13)

    with pytest.raises(JetError, match=message) as caught:
        page.node(0)
    assert caught.value.code == JetCode.NodeCorrupted


@given(st.sampled_from([2048, 8192, 16384]), st.integers(0, 2**32))
def test_reading_rubbish_raises_nothing_but_the_engines_errors(page_size: int, seed: int) -> None:
    stream = random.Random(seed)
    page = Page(bytearray(stream.randbytes(page_size)), 5)
    struct.pack_into("<H", page.data, 34, stream.randrange(60))
    with contextlib.suppress(JetError):
        page.nodes()
        page.sort_keys()
        page.child(0)


# -- against a list -------------------------------------------------------------------------------------------------------

KEYS = st.one_of(st.binary(max_size=12), st.binary(max_size=6).map(lambda tail: b"shared" + tail))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.sampled_from([2048, 16384]), st.data())
def test_a_page_holds_what_a_list_would(page_size: int, data: st.DataObject) -> None:
    page = formatted(page_size)
    apply(page, SetExternalHeader(5, data.draw(st.sampled_from([b"", b"shared", b"sha"]))))
    twin = page.copy()
    model: list[Node] = []
    if data.draw(st.booleans()):
        page.sort_keys()  # from now on kept up to date, not computed
    for _ in range(data.draw(st.integers(1, 25))):
        operation = _draw_operation(page, model, data)
        if operation is not None:
            apply(page, operation)
            apply(twin, operation)
        assert page.nodes() == model
        assert page.sort_keys() == [node.key for node in model]
        assert page.free_bytes == free_bytes_by_the_book(page)
    assert twin.data == page.data, "the same operations on the same image give the same bytes"


def _draw_operation(page: Page, model: list[Node], data: st.DataObject) -> PageOperation | None:
    kind = data.draw(st.sampled_from(["insert", "insert", "replace", "delete"]))
    if kind == "insert":
        line = data.draw(st.integers(0, len(model)))
        node = Node(data.draw(KEYS), data.draw(st.binary(max_size=300)), data.draw(st.sampled_from([0, 1, 2])))
        shared = page.shared_prefix(node.key)
        if 2 + 2 * bool(shared) + len(node.key) + len(node.data) + TAG_SIZE > page.free_bytes:
            return None
        model.insert(line, node)
        return InsertNode(5, line, shared, node.key[shared:], node.data, node.flags)
    if not model:
        return None
    line = data.draw(st.integers(0, len(model) - 1))
    if kind == "delete":
        del model[line]
        return DeleteNode(5, line)
    new = data.draw(st.binary(max_size=300))
    if len(new) - len(model[line].data) > page.free_bytes:
        return None
    model[line] = model[line]._replace(data=new)
    return ReplaceNode(5, line, new)
