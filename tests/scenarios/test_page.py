"""The page of a run is one document that loads nothing, and no text from outside makes an element or an attribute in it."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from vss.events import ApplicationLogged, Record, WriterFroze
from vss.scenarios.outcome import ExpectationReport, FaultReport, Outcome, Shortfall, StepOutcome
from vss.scenarios.page import EVENTS_MAX, page
from vss.scenarios.report import report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "</table></body></html><iframe src=//x>",
    "</style><script>1</script>",
    "</title><base href=//x>",
    "<!--", "-->", "]]>", "<![CDATA[x]]>", "<?php x ?>",
    "javascript:alert(1)",
    "&lt;b&gt; &amp; &#60;i&#62; &#x3c;u",
    "\x00\x07\x1b[31mred\x1b[0m\u202eright to left\ud800".encode("utf-8", "replace").decode(),
    "`${1}` {{7*7}} %s {0}",
    "a\nb\r\nc\td",
]  # fmt: skip
ALLOWED = {
    "html": {"lang"}, "head": set(), "meta": {"charset", "http-equiv", "content", "name"}, "title": set(), "style": set(),
    "body": set(), "h1": set(), "h2": set(), "p": set(), "strong": {"class"}, "code": set(), "table": set(), "tr": {"class"},
    "td": set(), "pre": set(),
}  # fmt: skip


class Reader(HTMLParser):
    """Notes every element with its attributes, and the text."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.others: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)


def outcome_with(text: str, events: int = 1) -> Outcome:
    records = [Record(1, 0, ApplicationLogged(source=text, event_id=1, severity="error", message=text))]
    records += [Record(number, number, WriterFroze(writer=text)) for number in range(2, events + 1)]
    step = StepOutcome(step=text, kind=text, exit_code=5, error=text, message=text, hresult=text, end_record=1)
    return Outcome(
        title=text,
        seed=1,
        steps=(step,),
        faults=(FaultReport(fault=text, during=text, strikes=0), FaultReport(fault="f", during="", strikes=2)),
        shortfalls=(Shortfall(kind="invariant", name=text, message=text, records=(0, 99)),),
        not_judged=("F1",),
        records=tuple(records),
        virtual_ns=1,
        loop_steps=1,
        digest="d",
        expected=(ExpectationReport(text=text, because=text, shortfalls=(text,)), ExpectationReport(text="met")),
    )


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_element_and_no_attribute_arises_from_a_name_or_a_message(hostile: str) -> None:
    harmless = read(page(outcome_with("harmless"), "vss run x"))
    reader = read(page(outcome_with(hostile), f"vss run {hostile}"))

    assert [name for name, _ in reader.elements] == [name for name, _ in harmless.elements]
    assert [given for _, given in reader.elements] == [given for _, given in harmless.elements]
    assert all(set(given) <= ALLOWED[name] for name, given in reader.elements)
    assert reader.others == []


def test_what_was_said_can_be_read_on_the_page() -> None:
    reader = read(page(outcome_with('<b> & "quoted"'), "vss run 'a b'"))

    assert reader.text.count('<b> & "quoted"') >= 8
    assert "vss run 'a b'" in reader.text


def test_nothing_is_loaded_and_the_one_style_is_allowed_by_its_hash() -> None:
    text = page(outcome_with("x"), "")
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [given["content"] or "" for name, given in read(text).elements if given.get("http-equiv")]

    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert not re.search(r"\b(src|href|style)=|url\(|@import", text)


def test_a_long_run_shows_its_begin_and_its_end() -> None:
    reader = read(page(outcome_with("x", events=EVENTS_MAX + 10), ""))

    assert "10 events left out" in reader.text
    assert len([name for name, _ in reader.elements if name == "tr"]) == EVENTS_MAX + 1 + 6


@pytest.mark.parametrize("hostile", HOSTILE)
def test_the_text_report_is_printable_and_no_wider_than_120_columns(hostile: str) -> None:
    text = report(outcome_with(hostile * 20), f"vss run {hostile}")

    assert all(line.isprintable() for line in text.splitlines())
    assert all(len(line) <= 120 for line in text[: text.index("Again: ")].splitlines())
    assert "NEVER STRUCK" in text
    assert "Not judged, for lack of evidence: F1" in text
