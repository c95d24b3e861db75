"""A session as text: phases with durations, then the freeze window as a picture with a lane for each party.

Pure: records in, text out. In the picture time runs to the right, linearly, from the opening of the freeze window to its
close; a stretch shorter than a column still gets one, so that nothing that happened is invisible. Legend: ``█`` writer frozen,
``▒`` volume holding writes, ``│`` a call to a provider, ``◆`` commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vss.events import Record
from vss.observe.console import line
from vss.observe.quantities import counted, duration, limit, size
from vss.observe.session_view import Bar, SessionView, Window, session_views

CHART_WIDTH = 48
BAD_NEWS_MAX = 20
NAME_LENGTH_MAX = 20


def timeline(records: Sequence[Record]) -> str:
    """Return the timelines of all sessions in ``records``; an empty string for no records."""
    return "\n".join("\n".join(_lines(view)) + "\n" for view in session_views(records))


def _lines(view: SessionView) -> Iterator[str]:
    yield f"{view.title}: {duration(view.ended_ns - view.started_ns)}"
    yield from _phase_lines(view)
    if view.window is not None:
        yield from _chart_lines(view, view.window)
    if view.bad_news:
        yield "  what went wrong"
        yield from (f"    {line(record)}" for record in view.bad_news[:BAD_NEWS_MAX])
        if len(view.bad_news) > BAD_NEWS_MAX:
            yield f"    … and {len(view.bad_news) - BAD_NEWS_MAX} more"


def _phase_lines(view: SessionView) -> Iterator[str]:
    if not view.phases:
        return
    width = max(len(phase.name) + 2 * phase.depth for phase in view.phases)
    for phase in view.phases:
        name = "  " * phase.depth + phase.name
        left_ns = view.ended_ns if phase.left_ns < 0 else phase.left_ns
        outcome = "" if phase.outcome == "ok" else f"  {phase.outcome}"
        after = f"+{duration(phase.entered_ns - view.started_ns)}"
        yield f"  {name:<{width}}  {after:>14}  {duration(left_ns - phase.entered_ns):>13}{outcome}"


def _chart_lines(view: SessionView, window: Window) -> Iterator[str]:
    closed_ns = view.ended_ns if window.closed_ns < 0 else window.closed_ns
    axis = _Axis(window.opened_ns, closed_ns)
    names = [*view.writers, *view.volumes, *view.providers, "freeze window"]
    width = min(max(map(len, names)), NAME_LENGTH_MAX)
    yield f"  {'freeze window':<{width}}  {_window_bar(window, closed_ns)}"
    for name, bars in view.writers.items():
        yield f"  {_cut(name):<{width}}  {axis.lane(bars, '█')}  {_frozen(bars, closed_ns)}"
    for name, bars in view.volumes.items():
        yield f"  {_cut(name):<{width}}  {axis.lane(bars, '▒')}  {_held(bars, closed_ns)}"
    for name, calls in view.providers.items():
        marks = axis.marks([at_ns for at_ns, _ in calls], view.committed_ns)
        yield f"  {_cut(name):<{width}}  {marks}  {_called(view, calls, axis)}"


def _cut(name: str) -> str:
    """A name that leaves room for the picture in 120 columns."""
    return name if len(name) <= NAME_LENGTH_MAX else f"{name[: NAME_LENGTH_MAX - 1].rstrip()}…"


def _window_bar(window: Window, closed_ns: int) -> str:
    """How much of the window was used, against its limit."""
    used_ns = closed_ns - window.opened_ns
    if window.limit_ns < 0:
        return f"{duration(used_ns)}, no limit"
    share = used_ns / window.limit_ns if window.limit_ns else 1.0
    filled = min(CHART_WIDTH, max(1 if used_ns else 0, round(share * CHART_WIDTH)))
    verdict = "LOST" if window.is_lost else f"{share:.0%}"
    return f"{'■' * filled}{'·' * (CHART_WIDTH - filled)}  {duration(used_ns)} of {limit(window.limit_ns)}, {verdict}"


def _frozen(bars: Sequence[Bar], closed_ns: int) -> str:
    parts = [f"frozen {duration(_end(bar, closed_ns) - bar.entered_ns)}" + _ending(bar) for bar in bars]
    return "; ".join(parts)


def _ending(bar: Bar) -> str:
    if bar.left_ns < 0:
        return ", never thawed"
    return f", {bar.ending}" if bar.ending else ""


def _held(bars: Sequence[Bar], closed_ns: int) -> str:
    return "; ".join(_held_once(bar, closed_ns) for bar in bars)


def _held_once(bar: Bar, closed_ns: int) -> str:
    text = f"held {duration(_end(bar, closed_ns) - bar.entered_ns)} of {limit(bar.limit_ns)}"
    if bar.queued_count:
        text += f", {counted(bar.queued_count, 'write')} queued" + (f" ({size(bar.queued_bytes)})" if bar.queued_bytes else "")
    if bar.is_lost:
        return text + ", LOST"
    return text + (", never released" if bar.left_ns < 0 else "")


def _called(view: SessionView, calls: Sequence[tuple[int, str]], axis: _Axis) -> str:
    if view.committed_ns >= 0 and axis.covers(view.committed_ns):
        return f"committed {duration(view.committed_ns - axis.opened_ns)} after the window opened"
    return f"{counted(len(calls), 'call')}, no commit"


def _end(bar: Bar, closed_ns: int) -> int:
    return closed_ns if bar.left_ns < 0 else bar.left_ns


class _Axis:
    """From instants to columns."""

    def __init__(self, opened_ns: int, closed_ns: int) -> None:
        self.opened_ns = opened_ns
        self.closed_ns = closed_ns

    def covers(self, instant_ns: int) -> bool:
        return self.opened_ns <= instant_ns <= self.closed_ns

    def lane(self, bars: Sequence[Bar], mark: str) -> str:
        columns = ["·"] * CHART_WIDTH
        for bar in bars:
            first = self._column(bar.entered_ns)
            past_last = max(first + 1, self._column(_end(bar, self.closed_ns) - 1) + 1)
            columns[first:past_last] = mark * (past_last - first)
        return "".join(columns)

    def marks(self, instants_ns: Sequence[int], committed_ns: int) -> str:
        columns = ["·"] * CHART_WIDTH
        for instant_ns in instants_ns:
            if self.covers(instant_ns):
                columns[self._column(instant_ns)] = "│"
        if self.covers(committed_ns):
            columns[self._column(committed_ns)] = "◆"
        return "".join(columns)

    def _column(self, instant_ns: int) -> int:
        """The column of an instant; what lies outside the window goes to its border."""
        span_ns = self.closed_ns - self.opened_ns
        inside_ns = min(max(instant_ns - self.opened_ns, 0), span_ns)
        return min(CHART_WIDTH - 1, inside_ns * CHART_WIDTH // span_ns) if span_ns else 0
