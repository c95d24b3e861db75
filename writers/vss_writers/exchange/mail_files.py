"""Mail as files: mbox in and out, byte for byte. Pure functions over bytes.

The mboxrd form is used both ways: a body line that matches ``>*From `` gets one more ``>`` on the way out and loses it on the
way in, so that reading what was written, and writing what was read, gives the same bytes. One message ends with its own last
line feed; the blank line before the next ``From `` belongs to the file. Source: RFC 4155, and the mboxrd convention.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from vss.errors import DocumentError

_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)

DEFAULT_ENVELOPE = b"From MAILER-DAEMON Thu Jan  1 00:00:00 1970"


def parse_mbox(data: bytes, source: str = "mbox") -> Iterator[tuple[bytes, bytes]]:
    """Yield envelope line (without line feed) and content of every message.

    Raises:
        DocumentError: the data does not begin with a ``From `` line.
    """
    if not data.strip():
        return
    if not data.startswith(b"From "):
        raise DocumentError(f"{source}: expected a line that starts with 'From ', found {data[:20]!r}")
    starts = [0, *(match.start() + 2 for match in re.finditer(rb"\n\nFrom ", data))]
    for start, stop in zip(starts, [*starts[1:], len(data)], strict=True):
        envelope, _, content = data[start:stop].partition(b"\n")
        if content.endswith(b"\n\n") or content == b"\n":
            content = content[:-1]
        yield envelope, _QUOTED.sub(rb"\1", content)


def format_mbox(messages: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """Yield the mbox form of each message (envelope line, content), ready to be joined."""
    for envelope, content in messages:
        quoted = _TO_QUOTE.sub(rb">\1", content)
        end = b"\n" if quoted.endswith(b"\n") or not quoted else b"\n\n"
        yield (envelope or DEFAULT_ENVELOPE) + b"\n" + quoted + end
