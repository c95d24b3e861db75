"""Column compression of newer engines, reading only: seven-bit text and LZXPRESS.

The upper five bits of the first byte say how a value is compressed; the engine of 2007 stored everything as it is. What is
compressed with XPRESS9 or XPRESS10 is refused by name.

Sources: published engine, compression.cxx; Microsoft open specification MS-XCA (plain LZ77) for LZXPRESS.
"""

from __future__ import annotations

import struct

from vss_writers.ese.errors import JetCode, JetError

_SEVEN_BIT_ASCII = 1
_SEVEN_BIT_UNICODE = 2
_XPRESS = 3
_SCRUBBED = 4
_XPRESS9 = 5
_XPRESS10 = 6

_UNKNOWN = {_SCRUBBED: "scrubbed", _XPRESS9: "XPRESS9", _XPRESS10: "XPRESS10"}


def decompress(data: bytes) -> bytes:
    """Return the value that ``data`` stands for.

    Raises:
        JetError: ``NodeCorrupted`` for an algorithm that cannot be read, or data that ends too early.
    """
    algorithm = data[0] >> 3 if data else 0
    if algorithm == _SEVEN_BIT_ASCII:
        return _seven_bit(data)
    if algorithm == _SEVEN_BIT_UNICODE:
        return b"".join(bytes((byte, 0)) for byte in _seven_bit(data))
    if algorithm == _XPRESS:
        return _xpress(data[3:], struct.unpack_from("<H", data, 1)[0])
    if algorithm in _UNKNOWN:
        raise JetError(JetCode.NodeCorrupted, f"compression {_UNKNOWN[algorithm]} cannot be read")
    return data


def _seven_bit(data: bytes) -> bytes:
    """Seven bits per character, least significant first; three bits of byte 0 say how many bits of the last byte count."""
    bits_in_last = (data[0] & 7) + 1
    count = ((len(data) - 2) * 8 + bits_in_last) // 7
    number = int.from_bytes(data[1:], "little")
    return bytes(number >> 7 * place & 0x7F for place in range(count))


def _xpress(data: bytes, size: int) -> bytes:
    """Plain LZ77 of MS-XCA: 32 flag bits, then a literal per 0 and a (length, distance) pair per 1."""
    output = bytearray()
    position = 0
    flags = 0
    flag_count = 0
    half_byte_at = 0
    try:
        while len(output) < size:
            if flag_count == 0:
                flags = struct.unpack_from("<I", data, position)[0]
                position += 4
                flag_count = 32
            flag_count -= 1
            if not flags >> flag_count & 1:
                output.append(data[position])
                position += 1
                continue
            word = struct.unpack_from("<H", data, position)[0]
            position += 2
            distance = (word >> 3) + 1
            length, position, half_byte_at = _match_length(data, word & 7, position, half_byte_at)
            start = len(output) - distance
            if start < 0:
                raise IndexError("match before the start")
            for place in range(length):
                output.append(output[start + place])
    except (IndexError, struct.error) as error:
        raise JetError(JetCode.NodeCorrupted, f"LZXPRESS data of {len(data)} bytes: {error}") from error
    return bytes(output[:size])


def _match_length(data: bytes, length: int, position: int, half_byte_at: int) -> tuple[int, int, int]:
    """Length of a match: three bits, then a half byte shared by two matches, a byte, a word, a double word."""
    if length < 7:
        return length + 3, position, half_byte_at
    if half_byte_at:
        length = data[half_byte_at] >> 4
        half_byte_at = 0
    else:
        half_byte_at = position
        length = data[position] & 15
        position += 1
    if length < 15:
        return length + 7 + 3, position, half_byte_at
    length = data[position]
    position += 1
    if length < 255:
        return length + 15 + 7 + 3, position, half_byte_at
    length = struct.unpack_from("<H", data, position)[0]
    position += 2
    if length == 0:
        length = struct.unpack_from("<I", data, position)[0]
        position += 4
    return length + 3, position, half_byte_at
