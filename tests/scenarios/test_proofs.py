"""What made-up steps and records prove, and what they leave open."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import ProviderError
from vss.events import Event, FaultFired, LogsTruncated, PhaseEntered, Record, SessionStarted
from vss.scenarios.existing import existing_shadows
from vss.scenarios.outcome import StepOutcome
from vss.scenarios.relations import Relations

FIRED = FaultFired(site="provider.commit", effect="fail")
CRASHED = FaultFired(site="provider.commit", effect="crash=after")
MEDIUM = FaultFired(site="store.write", effect="lose")
TRUNCATED = LogsTruncated(store="s", removed_first=1, removed_last=2, removed_count=2, kept_first=3, kept_last=4, reason="")
STARTED = SessionStarted(session_id="s", kind="backup")
BAD_CODE, RETRYABLE = "VSS_E_UNEXPECTED (0x80042302)", "E_OUTOFMEMORY (0x8007000E)"


def step(name: str, first: int = 0, end: int = 0, **ending: Any) -> StepOutcome:
    return StepOutcome(step=name, kind=name.rstrip("0123456789"), first_record=first, end_record=end, **ending)


def failed(name: str, first: int = 0, end: int = 0, code: str = BAD_CODE) -> StepOutcome:
    return step(name, first, end, error="VssError", message="no", hresult=code, exit_code=4)


def proved(steps: list[StepOutcome], *events: Event, **known: Any) -> dict[str, tuple[str, ...]]:
    parts: dict[str, Any] = {"spoken_of": (), "cuts": (), "durable": ("mail",), "refused": {}} | known
    records = [Record(number, 0, each) for number, each in enumerate(events, 1)]
    return {each.invariant_id: each.problems for each in Relations(steps, records, **parts).trials()}


@pytest.mark.parametrize(("event", "told"), [(FIRED, ("3 backups failed",)), (CRASHED, ()), (MEDIUM, ())])
def test_three_backups_that_fail_after_a_fault_that_is_over_break_a_statement(event: Event, told: tuple[str, ...]) -> None:
    found = proved([failed(f"backup{number}", 1, 1) for number in range(3)], event).get("R2", ())
    assert [each[: len("3 backups failed")] for each in found] == list(told)


def test_two_of_three_may_fail_and_what_is_spoken_of_is_no_try() -> None:
    steps = [failed("backup1", 1, 1), failed("backup2", 1, 1), step("backup3", 1, 1)]
    assert proved(steps, FIRED)["R2"] == ()
    assert "R2" not in proved(steps, FIRED, spoken_of=("backup3",))


def test_what_cannot_be_retried_is_begun_once() -> None:
    assert proved([failed("backup", 0, 1)], STARTED)["R3"] == ()
    assert "tried again 1 times" in proved([failed("backup", 0, 2)], STARTED, STARTED)["R3"][0]
    assert "R3" not in proved([failed("backup", 0, 2), step("backup2", 1, 2)], STARTED, STARTED), "whose it is nobody knows"


@pytest.mark.parametrize("last", [CRASHED, MEDIUM])
def test_a_retry_proves_nothing_while_its_cause_lasts(last: Event) -> None:
    steps = [failed("backup1", 0, 1, RETRYABLE), failed("backup2", 2, 2, RETRYABLE)]
    assert "step 'backup2' failed" in proved(steps, FIRED, FIRED)["R3"][0]
    assert proved([steps[0], step("backup2", 2, 2)], FIRED, FIRED)["R3"] == ()
    assert "R3" not in proved([steps[0], step("backup2", 2, 2)], FIRED, last)
    assert "R3" not in proved([steps[0], step("backup2", 1, 2)], FIRED, FIRED)
    assert "R3" not in proved(steps[:1], FIRED)


CHECK = step("check", 2, 2, error="InvariantError", message="mail: one is missing; other: x", exit_code=11)


def test_a_check_after_a_power_cut_or_a_restore_tells_of_what_was_promised_to_last() -> None:
    assert proved([CHECK], cuts=(1,)) == {"D2": ("mail: one is missing",)}
    assert proved([step("restore"), step("sleep"), CHECK]) == {"B7": ("mail: one is missing",)}
    assert proved([step("restore", 1, 2), CHECK], TRUNCATED) == dict.fromkeys(("B7", "D10"), ("mail: one is missing",))
    assert proved([step("restore"), step("check")]) == {"B7": ()}
    assert proved([step("restore", exit_code=3), CHECK])["B7"]


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        ([step("restore"), CHECK], {"durable": ()}),
        ([step("restore"), CHECK], {"spoken_of": ("check",)}),
        ([step("restore", exit_code=3), CHECK], {"spoken_of": ("restore",)}),
        ([step("restore"), step("lose"), CHECK], {}),
        ([step("restore"), step("sleep")], {}),
        ([failed("restore", code=""), CHECK], {}),
    ],
)
def test_a_check_proves_nothing_where_something_else_explains_it(steps: list[StepOutcome], known: dict[str, Any]) -> None:
    assert proved(steps, **known) == {}


def test_a_check_after_damage_to_a_medium_proves_nothing_against_the_code() -> None:
    assert proved([step("restore", 1, 1), CHECK], MEDIUM) == {}
    assert proved([step("restore", 1, 1), step("check", 2, 2)], MEDIUM) == {"B7": ()}


def test_a_restore_that_had_begun_to_write_or_was_struck_is_no_mistake() -> None:
    refused = {"restore": ("volume D:",)}
    began = PhaseEntered(session_id="s", phase="restore")
    assert proved([failed("restore", 0, 1)], STARTED, refused=refused)["B10"] == (
        "volume D: is another although it was refused",
    )
    assert "B10" not in proved([failed("restore", 0, 1)], began, refused=refused)
    assert "B10" not in proved([failed("restore", 0, 1)], FIRED, refused=refused)


class Provider:
    """Answers at once, fails, or waits."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def query(self) -> list[Any]:
        if self.how == "fails":
            raise ProviderError("no")
        if self.how == "waits":
            await Never()
        return []


class Never:
    """Is awaited and not answered."""

    def __await__(self) -> Any:
        yield


@pytest.mark.parametrize(("how", "found"), [("answers", ()), ("fails", None), ("waits", None)])
def test_providers_are_asked_what_exists_and_nobody_waits_for_them(how: str, found: tuple[str, ...] | None) -> None:
    assert existing_shadows([Provider("answers"), Provider(how)]) == found  # type: ignore[list-item]
