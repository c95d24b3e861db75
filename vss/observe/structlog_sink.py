"""Records as structlog calls, for programs that log that way: the event's class name, its fields, sequence and instant.

Failures are warnings, everything else is information. No text is formatted here; that is the processors' part.
"""

from __future__ import annotations

from typing import Any

import msgspec
import structlog

from vss.events import Record
from vss.observe.severity import is_bad_news


class StructlogSink:
    """Subscribe an instance: ``recorder.subscribe(StructlogSink())``."""

    def __init__(self, logger: Any = None) -> None:
        """Log to ``logger``, by default structlog's own."""
        self._logger = structlog.get_logger() if logger is None else logger

    def __call__(self, record: Record) -> None:
        """Log one record."""
        # An event's own field may be called "event", which is structlog's first argument; none is today, and the tag is not a
        # field, so the fields can be passed as they are.
        fields = msgspec.structs.asdict(record.event)
        log = self._logger.warning if is_bad_news(record.event) else self._logger.info
        log(type(record.event).__name__, seq=record.sequence, instant_ns=record.instant_ns, **fields)
