"""What came of a scenario as one HTML page: nothing is loaded from anywhere, no script, one style that its hash allows.

Everything that came from outside (names, messages, options) is text: it is escaped at the one place where text becomes markup,
so no name can make an element or an attribute. Content Security Policy Level 3, section 8.4 (hashes of inline styles).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape

from vss.events import Record
from vss.observe.console import sentence
from vss.observe.quantities import counted, instant
from vss.observe.severity import is_bad_news
from vss.observe.timeline import timeline
from vss.scenarios.outcome import Outcome, Shortfall

EVENTS_MAX = 3000
"""Events on a page; a longer run shows the first and the last half of these."""

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; }
td:first-child, code, pre { font-family: ui-monospace, monospace; font-size: .85rem; }
pre { overflow-x: auto; padding: .8rem; background: #8881; }
.good { color: #1a7f37; } .bad { color: #cf222e; font-weight: 600; }
tr.bad td { font-weight: inherit; }
"""


class Markup(str):
    """Text that is markup already; only ``tag`` makes it."""

    __slots__ = ()


def tag(name: str, *content: str, kind: str = "") -> Markup:
    """Return an element around escaped ``content``; parts that are ``Markup`` stay as they are. ``kind`` is its class."""
    inside = "".join(each if isinstance(each, Markup) else escape(_printable(each)) for each in content)
    opening = f'{name} class="{escape(kind)}"' if kind else name
    return Markup(f"<{opening}>{inside}</{name}>")


def page(outcome: Outcome, reproduce: str) -> str:
    """Return the whole page."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    body = tag(
        "body",
        tag("h1", outcome.title),
        _verdict(outcome),
        tag("p", "Again: ", tag("code", reproduce)),
        *_shortfalls(outcome),
        *_section("Steps", _steps(outcome)),
        *_section("Faults", _faults(outcome)),
        *_section("Expected", _expected(outcome)),
        *_timelines(outcome.records),
        *_section("Events", _events(outcome.records)),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width">'
        f"{tag('title', outcome.title)}<style>{_STYLE}</style></head>{body}</html>\n"
    )


def _printable(text: str) -> str:
    """Show characters that no document may hold, or that would hide others, as their numbers."""
    return "".join(each if each.isprintable() or each == "\n" else f"\\x{ord(each):02x}" for each in text)


def _verdict(outcome: Outcome) -> Markup:
    text = "as it must be" if outcome.ok else f"{counted(len(outcome.shortfalls), 'thing')} not as it must be"
    rest = f" · seed {outcome.seed} · {instant(outcome.virtual_ns)} of virtual time · digest {outcome.digest}"
    return tag("p", tag("strong", text, kind="good" if outcome.ok else "bad"), rest)


def _section(title: str, rows: Sequence[Markup]) -> list[Markup]:
    return [tag("h2", title), tag("table", *rows)] if rows else []


def _row(*cells: str, kind: str = "") -> Markup:
    return tag("tr", *(tag("td", each) for each in cells), kind=kind)


def _steps(outcome: Outcome) -> list[Markup]:
    return [
        _row(
            f"{instant(each.began_ns)} … {instant(each.ended_ns)}",
            each.step,
            each.kind,
            "ok" if not each.exit_code and not each.error else f"exit {each.exit_code}",
            f"{each.error}: {each.message} [{each.hresult}]" if each.error else "",
        )
        for each in outcome.steps
    ]


def _faults(outcome: Outcome) -> list[Markup]:
    return [
        _row(each.fault, each.during, f"struck {counted(each.strikes, 'time')}" if each.strikes else "never struck")
        for each in outcome.faults
    ]


def _expected(outcome: Outcome) -> list[Markup]:
    return [
        _row(
            "no" if each.shortfalls else "yes",
            each.text,
            each.because,
            "; ".join(each.shortfalls),
            kind="bad" * bool(each.shortfalls),
        )
        for each in outcome.expected
    ]


def _shortfalls(outcome: Outcome) -> Iterable[Markup]:
    if outcome.shortfalls:
        yield tag("h2", "Not as it must be")
        yield tag("table", *(_shortfall(each, outcome.records) for each in outcome.shortfalls))


def _shortfall(each: Shortfall, records: Sequence[Record]) -> Markup:
    shown = "\n".join(sentence(records[number].event) for number in each.records if number < len(records))
    return _row(f"{each.kind} {each.name}", each.message, shown, kind="bad")


def _timelines(records: Sequence[Record]) -> Iterable[Markup]:
    drawn = timeline(records)
    if drawn:
        yield tag("h2", "Timeline")
        yield tag("pre", drawn)


def _events(records: Sequence[Record]) -> list[Markup]:
    half = EVENTS_MAX // 2
    shown = list(records) if len(records) <= EVENTS_MAX else [*records[:half], *records[-half:]]
    rows = [_row(instant(each.instant_ns), sentence(each.event), kind="bad" * is_bad_news(each.event)) for each in shown]
    if len(records) > EVENTS_MAX:
        rows.insert(half, _row("…", f"{len(records) - EVENTS_MAX} events left out"))
    return rows
