"""Mail as files: mbox in and out, byte for byte. Pure functions over bytes.

The mboxrd form: a line that starts with ``From `` begins a message; a body line that matches ``>*From `` gets one more ``>`` on
the way out and loses it on the way in; a blank line behind a message belongs to the file. Two facts of a file that its messages
do not show are kept in the envelope, so that writing what was read gives the same bytes whoever wrote it: an envelope that ends
with a line feed had no blank line behind its message. A message from elsewhere that does not end with a line feed gets one,
since the form cannot say otherwise. Source: RFC 4155, and the mboxrd convention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from vss.errors import DocumentError

_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_BEGIN = re.compile(rb"^From ", re.MULTILINE)

DEFAULT_ENVELOPE = b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970"


def parse_mbox(data: bytes, source: str = "mbox") -> Iterator[tuple[bytes, bytes]]:
    """Yield envelope line and content of every message.

    Raises:
        DocumentError: the data does not begin with a ``From `` line, or ends within one.
    """
    if not data.strip():
        return
    if not data.startswith(b"From "):
        raise DocumentError(f"{source}: expected a line that starts with 'From ', found {data[:20]!r}")
    for start, stop in pairwise([*(match.start() for match in _BEGIN.finditer(data)), len(data)]):
        envelope, line_feed, content = data[start:stop].partition(b"\n")
        if not line_feed:
            raise DocumentError(f"{source}: expected a message behind the line {envelope[:60]!r}, found the end of the file")
        if content.endswith(b"\n\n") or content == b"\n":
            content = content[:-1]
        else:
            envelope += b"\n"
        yield envelope, _QUOTED.sub(rb"\1", content)


def format_mbox(messages: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the mbox form of the messages (envelope line, content), ready to be joined."""
    is_line_open = False
    for envelope, content in messages:
        if is_line_open:
            yield b"\n\n"
        quoted = _TO_QUOTE.sub(rb">\1", content)
        had_no_blank_line = envelope.endswith(b"\n")
        yield (envelope.removesuffix(b"\n") or DEFAULT_ENVELOPE) + b"\n" + quoted
        is_line_open = had_no_blank_line and bool(quoted) and not quoted.endswith(b"\n")
        if not had_no_blank_line:
            yield b"\n" if quoted.endswith(b"\n") or not quoted else b"\n\n"
