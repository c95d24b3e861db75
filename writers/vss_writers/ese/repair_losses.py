"""What a repair kept and lost: a report, and an event for each loss.

The report names the first ``NAMED_MAX`` losses of a kind and counts all of them, so that a database that is beyond saving does
not fill the memory. Every loss has its event.

Sources: published engine, jetmsg.mc (events 500 to 504).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vss_writers.ese.engine_event import EngineEvent, EventSink, Severity

NAMED_MAX = 10_000


@dataclass(slots=True)
class RepairReport:
    """What repair kept and lost.

    Attributes:
        rows: rows kept by table.
        lost_pages: pages that could not be used.
        corrected_pages: pages with one wrong bit, which was corrected.
        lost_columns: table, row key and column of values that are gone: the first ones.
        lost_column_count: how many such values there are.
        lost_rows: table and row key of rows that were found but could not be kept: the first ones.
        lost_row_count: how many such rows there are.
        lost_tables: object ids whose rows are there but whose description is not.
        entries_held_max: how many entries of the damaged file were in memory at once.
    """

    rows: dict[str, int] = field(default_factory=dict)
    lost_pages: list[int] = field(default_factory=list)
    corrected_pages: list[int] = field(default_factory=list)
    lost_columns: list[tuple[str, bytes, str]] = field(default_factory=list)
    lost_column_count: int = 0
    lost_rows: list[tuple[str, bytes]] = field(default_factory=list)
    lost_row_count: int = 0
    lost_tables: list[int] = field(default_factory=list)
    entries_held_max: int = 0

    @property
    def has_losses(self) -> bool:
        """Whether anything is gone for sure; a lost page may have been an unused one or part of an index."""
        return bool(self.lost_pages or self.lost_columns or self.lost_rows or self.lost_tables)


class Losses:
    """The report in the making."""

    def __init__(self, path: str, on_event: EventSink) -> None:
        self.report = RepairReport()
        self._path = path
        self._on_event = on_event

    def pages(self, lost: list[int], corrected: list[int]) -> None:
        """Pages that could not be used, and pages that could after a correction."""
        self.report.lost_pages = lost
        self.report.corrected_pages = corrected
        for number in lost:
            self._tell(500, "a page is lost", ("page", number))

    def column(self, table: str, key: bytes, column: str) -> None:
        """A value of a row that is kept."""
        self.report.lost_column_count += 1
        if len(self.report.lost_columns) < NAMED_MAX:
            self.report.lost_columns.append((table, key, column))
        self._tell(502, "a column of a record is lost", ("table", table), ("column", column), ("key", key.hex()))

    def row(self, table: str, key: bytes) -> None:
        """A row that cannot be kept."""
        self.report.lost_row_count += 1
        if len(self.report.lost_rows) < NAMED_MAX:
            self.report.lost_rows.append((table, key))
        self._tell(503, "a record is lost", ("table", table), ("key", key.hex()))

    def table(self, objid: int) -> None:
        """Rows without the description of their table."""
        self.report.lost_tables.append(objid)
        self._tell(504, "rows whose table nobody describes are lost", ("objid", objid))

    def _tell(self, event_id: int, text: str, *values: tuple[str, str | int]) -> None:
        self._on_event(EngineEvent(event_id, text, Severity.WARNING, self._path, values))
