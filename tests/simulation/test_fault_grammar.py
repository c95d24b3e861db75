"""The language of faults: both written forms, and what is refused."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vss.errors import ConfigurationError
from vss.hresult import HResult
from vss.simulation import (
    FAULT_SITES,
    KNOWN_SITES,
    EffectForm,
    Fault,
    FaultPlan,
    FaultSite,
    applicable_effects,
    parse_fault,
)
from vss.simulation.fault_grammar import EFFECTS, parse_code, parse_duration, parse_exception, parse_faults

ROOT = Path(__file__).resolve().parents[2]


def test_a_line_says_everything() -> None:
    fault = parse_fault('fault writer.freeze when="writer:Exchange Writer,nth:2" times=always prob=0.5 fail code=F3  # test')
    assert fault == Fault(
        "writer.freeze",
        "fail",
        when=(("writer", "Exchange Writer"), ("nth", "2")),
        times=None,
        probability=0.5,
        parameters=(("code", "F3"),),
    )


@pytest.mark.parametrize(
    "line",
    [
        "fault provider.commit delay=10.1s",
        "fault volume.write when=volume:D: when=after:5s times=always fail code=ENOSPC",
        "fault writer.thaw crash=after restart=30s",
        "fault writer.* times=3 hang",
        'fault writer.freeze when="writer:A B" prob=0.25 crash=during step=2',
        "fault requestor.verify lie",
        "fault writer.on_abort_all raise=ValueError",
    ],
)
def test_text_and_table_say_the_same(line: str) -> None:
    extra = ("writer.on_abort_all",)
    fault = parse_fault(line, extra_sites=extra)
    assert str(fault) == line
    assert parse_fault(json.loads(json.dumps(fault.to_data())), extra_sites=extra) == fault
    assert parse_fault(line.removeprefix("fault "), extra_sites=extra) == fault


def test_a_table_takes_selectors_as_table_or_text() -> None:
    expected = parse_fault("writer.freeze when=writer:A when=nth:2 times=2 fail")
    table = {"site": "writer.freeze", "times": 2, "effect": "fail"}
    assert parse_fault({**table, "when": {"writer": "A", "nth": 2}}) == expected
    assert parse_fault({**table, "when": "writer:A,nth:2"}) == expected


def test_a_text_holds_one_fault_per_line() -> None:
    text = "# two faults\n\nwriter.freeze fail\n   provider.commit hang   # the second\n"
    assert [fault.site for fault in parse_faults(text)] == ["writer.freeze", "provider.commit"]
    assert FaultPlan.parse(text).to_data() == [
        {"site": "writer.freeze", "effect": "fail"},
        {"site": "provider.commit", "effect": "hang"},
    ]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "names no site"),
        ("fault", "names no site"),
        ("writer.freez fail", "no site is called 'writer.freez'; did you mean 'writer.freeze'?"),
        ("zzz fail", "no site is called 'zzz'$"),
        ("writer.freeze", "has no effect"),
        ("writer.freeze zzz", "no effect is called 'zzz'$"),
        ("writer.freeze dely", "no effect is called 'dely'; did you mean 'delay'?"),
        ("writer.freeze stal=3s", "no effect is called 'stal'; did you mean 'stall'?"),
        ("writer.freeze torn", "'torn' does not apply at 'writer.freeze'"),
        ("provider.* stale", "'stale' does not apply at 'provider.*'; did you mean 'stall'?"),
        ("set.write drop", "'drop' does not apply at 'set.write'"),
        ("clock delay=3s", "'delay' does not apply at 'clock'"),
        ("clock jump=2h", "jump=2h: '2h' is no jump: a duration after + or -"),
        ("writer.identify partial=2/2", "partial=2/2: '2/2' is no part"),
        ("writer.identify corrupt kind=badxml", "kind=badxml: 'badxml' is none of"),
        ("store.write misdirect by=4096", "by=4096: '4096' is no size"),
        ("store.write torn keep=some", "'some' is none of prefix, suffix, checkerboard, none"),
        ("store.write flip bits=0", "bits=0: '0' is no count from 1"),
        ("writer.freeze hang holding=", "holding=: it needs a value"),
        ("writer.identify omit", "omit=: it needs a value"),
        ("writer.freeze hang step=2", "step=2 needs hang=during"),
        ("writer.freeze drop=all", "'all' is none of request, reply"),
        ("requestor.copy when=after:101% fail", "'101%' is no percentage"),
        ("set.write when=after:4KB fail", "'4KB' is no size"),
        ("writer.freeze when=idle:long fail", "'long' is no duration"),
        ("writer.freeze fail hang", "has two effects, 'fail' and 'hang'"),
        ("writer.freeze fail cod=F3", "'fail' has no parameter 'cod'; did you mean 'code'?"),
        ("writer.freeze hang code=F3", "'hang' has no parameter 'code'"),
        ("writer.freeze when=writr:A fail", "no selector is called 'writr'; did you mean 'writer'?"),
        ("writer.freeze when=writer fail", "selector 'writer' has no value"),
        ("writer.freeze when=nth:0 fail", "nth:0 is no visit"),
        ("writer.freeze when=after:soon fail", "'soon' is no duration"),
        ("writer.freeze times=0 fail", "times=0 is neither a count"),
        ("writer.freeze times fail", "times= is neither a count"),
        ("writer.freeze prob=2 fail", "prob=2 is not above 0"),
        ("writer.freeze prob=nan fail", "prob=nan is not above 0"),
        ("writer.freeze prob=often fail", "could not convert"),
        ("writer.freeze fail=F3", "'fail' takes no value of its own"),
        ("writer.freeze delay", "'' is no duration"),
        ("writer.freeze stall=3x", "'3x' is no duration"),
        ("writer.freeze raise=Nonsense", "no exception is called 'Nonsense'"),
        ("writer.freeze crash=befor", "crash=befor: 'befor' is no point; did you mean 'before'?"),
        ("writer.freeze crash step=2", "step=2 needs crash=during"),
        ("writer.freeze crash=during step=0", "step=0: '0' is no count from 1"),
        ("writer.freeze crash restart=later", "'later' is no duration"),
        ("writer.freeze fail code=EWHAT", "no result code and no errno is called 'EWHAT'"),
        ("writer.freeze fail code=0x1234", "no result code has the number 0x00001234"),
        ('writer.freeze "fail', "no closing quotation"),
        ({"effect": "fail"}, "needs the key 'site'"),
        ({"site": "writer.freeze"}, "needs the key 'effect'"),
        ({"site": "writer.freeze", "efect": "fail"}, "no key 'efect'; did you mean 'effect'?"),
    ],
)
def test_nonsense_is_refused_by_name(source: str | dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message).replace(r"\$", "$")):
        parse_fault(source)


@pytest.mark.parametrize(
    ("text", "seconds"), [("10.1s", 10.1), ("500ms", 0.5), ("2h", 7200), ("3", 3), ("1 m", 60), ("2us", 2e-6), ("1d", 86_400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("F3", HResult.VSS_E_WRITERERROR_RETRYABLE),
        ("06", HResult.VSS_E_PROVIDER_VETO),
        ("80070005", HResult.E_ACCESSDENIED),
        ("0x80042301", HResult.VSS_E_BAD_STATE),
        ("VSS_E_BAD_STATE", HResult.VSS_E_BAD_STATE),
        ("BAD_STATE", HResult.VSS_E_BAD_STATE),
        ("ENOSPC", errno.ENOSPC),
    ],
)
def test_codes(text: str, code: int) -> None:
    assert parse_code(text) == code
    assert isinstance(parse_code(text), HResult) is isinstance(code, HResult)


def test_exceptions() -> None:
    assert parse_exception("ValueError") is ValueError
    assert parse_exception("CancelledError") is asyncio.CancelledError
    for name in ("KeyboardInterrupt", "int", "UnicodeDecodeError", "print"):
        with pytest.raises(ValueError, match="no exception"):
            parse_exception(name)


@settings(max_examples=50)
@given(st.text(max_size=80))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse_fault(text)


_TEXT = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1)


@given(
    case=st.sampled_from([(site, form) for site in FAULT_SITES for form in applicable_effects(site)]),
    when=st.dictionaries(st.sampled_from(["writer", "volume", "file", "component"]), _TEXT),
    nth=st.none() | st.integers(1, 9),
    times=st.none() | st.integers(1, 9),
    probability=st.floats(0.001, 1.0),
)
def test_faults_survive_being_written(
    case: tuple[FaultSite, EffectForm], when: dict[str, str], nth: int | None, times: int | None, probability: float
) -> None:
    site, form = case
    table = {
        "site": site.name,
        "when": when | ({} if nth is None else {"nth": nth}),
        "times": "always" if times is None else times,
        "prob": round(probability, 3),
        "effect": form.text,
    }
    fault = parse_fault(table)
    assert fault.when[: len(when)] == tuple(when.items())
    assert parse_fault(str(fault)) == fault == parse_fault(fault.to_data())
    assert parse_fault(json.loads(json.dumps(fault.to_data()))) == fault
    assert parse_fault(tomllib.loads(_toml(fault.to_data()))) == fault
    if "\n" not in str(fault):
        assert parse_faults(f"{fault}\n# end") == [fault]


def _toml(table: dict[str, Any]) -> str:
    lines = [f"{key} = {_toml_value(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += [f"[{key}]", *(f"{name} = {_toml_value(each)}" for name, each in value.items())]
    return "\n".join(lines)


def _toml_value(value: object) -> str:
    if not isinstance(value, str):
        return str(value)
    escaped = "".join(f"\\U{ord(letter):08X}" if not letter.isalnum() else letter for letter in value)
    return f'"{escaped}"'


def test_effects_with_words_of_their_own_survive_being_written() -> None:
    for text in (
        "requestor.volumes omit=\"L: and 'more'\"",
        "writer.freeze hang holding=commit_lock",
        "provider.commit hang on=volume.write",
        "volume.write reorder behind=2 within=500ms",
        "store.write torn keep=checkerboard sectors=3",
        "store.write misdirect by=8KiB",
        "diffarea.grow when=after:4MiB full=1MiB",
        "requestor.copy when=boot:yes fail",
    ):
        fault = parse_fault(text)
        assert parse_fault(str(fault)) == fault == parse_fault(fault.to_data())


def test_boot_needs_no_value() -> None:
    assert parse_fault("volume.read when=boot fail").when == (("boot", "yes"),)


def test_every_effect_is_explained() -> None:
    assert all(EFFECTS.values())


def test_every_site_in_the_source_is_known() -> None:
    roles = "|".join(dict.fromkeys(site.role for site in FAULT_SITES))
    literal = re.compile(rf'"((?:{roles})\.(?!toml|env)[a-z_]+)"')
    found = {
        site
        for package in ("vss", "providers", "writers", "requestors")
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.name.startswith("fault_") and "scenarios" not in path.parts
        for site in literal.findall(path.read_text(encoding="utf-8"))
    }
    assert found - set(KNOWN_SITES) == set()
