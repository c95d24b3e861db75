"""Values that newer engines compressed."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss_writers.ese.compression import decompress
from vss_writers.ese.errors import JetCode, JetError


def seven_bit(text: bytes, algorithm: int) -> bytes:
    bits = 0
    for place, byte in enumerate(text):
        bits |= byte << 7 * place
    size = -(-7 * len(text) // 8)
    in_last = 7 * len(text) - 8 * (size - 1)
    return bytes((algorithm << 3 | in_last - 1,)) + bits.to_bytes(size, "little")


@given(st.binary(min_size=1, max_size=40).map(lambda data: bytes(byte & 0x7F for byte in data)))
def test_seven_bit_text(text: bytes) -> None:
    assert decompress(seven_bit(text, 1)) == text
    assert decompress(seven_bit(text, 2)) == text.decode().encode("utf-16-le")


def test_lzxpress_literals_and_matches() -> None:
    # The example of MS-XCA 3.1: twenty-six letters as literals, then "abc" a hundred times.
    letters = bytes.fromhex("3f000000") + b"abcdefghijklmnopqrstuvwxyz"
    assert decompress(b"\x18" + struct.pack("<H", 26) + letters) == b"abcdefghijklmnopqrstuvwxyz"
    repeated = bytes.fromhex("ffffff1f61626317000fff2601")
    assert decompress(b"\x18" + struct.pack("<H", 300) + repeated) == b"abc" * 100


@pytest.mark.parametrize(
    ("encoded", "length"),
    [
        (b"\x05\x00", 8),
        (b"\x07\x00\x03", 13),
        (b"\x07\x00\x0f\x05", 30),
        (b"\x07\x00\x0f\xff\x2c\x01", 303),
        (b"\x07\x00\x0f\xff\x00\x00\x50\x00\x01\x00", 0x10053),
    ],
    ids=["three bits", "half a byte", "a byte", "a word", "a double word"],
)
def test_lzxpress_lengths_of_every_width(encoded: bytes, length: int) -> None:
    size = min(length + 1, 0xFFFF)
    flags = b"\xff\xff\xff\x7f"

    assert decompress(b"\x18" + struct.pack("<H", size) + flags + b"a" + encoded) == b"a" * size


def test_lzxpress_matches_share_the_half_bytes_of_a_byte() -> None:
    body = b"\xff\xff\xff\x7f" + b"a" + b"\x07\x00\x21" + b"\x07\x00"

    assert decompress(b"\x18" + struct.pack("<H", 24) + body) == b"a" * 24


def test_what_is_not_compressed_comes_back_as_it_is() -> None:
    assert decompress(b"") == b""
    assert decompress(b"\x00plain") == b"\x00plain"


@pytest.mark.parametrize(("first", "name"), [(4, "scrubbed"), (5, "XPRESS9"), (6, "XPRESS10")])
def test_algorithms_that_cannot_be_read_are_named(first: int, name: str) -> None:
    with pytest.raises(JetError, match=f"compression {name} cannot be read") as caught:
        decompress(bytes((first << 3, 1, 2)))
    assert caught.value.code == JetCode.NodeCorrupted


@pytest.mark.parametrize(
    "body", [b"\0\0\0\0ab", b"\xff\xff\xff\xff\x00\x00", b"\0\0"], ids=["ends", "before start", "no flags"]
)
def test_lzxpress_data_that_is_damaged(body: bytes) -> None:
    with pytest.raises(JetError, match="LZXPRESS data of") as caught:
        decompress(b"\x18" + struct.pack("<H", 50) + body)
    assert caught.value.code == JetCode.NodeCorrupted
