"""Every event that a vendor file can fail, through real sessions: the state and the code that the requestor is shown."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import ProviderVetoError
from vss.hresult import HResult
from vss.machines import WriterState
from vss_writers.scripted.script import RETRYABLE_FAILURES

XML = """<TestWriter usage="USER_DATA">
    <RestoreMethod method="RESTORE_IF_CAN_BE_REPLACED" writerRestore="always" rebootRequired="no"/>
    <Component componentType="filegroup" componentName="Data">
        <ComponentFile path="D:\\Data" filespec="*" recursive="no"/>
    </Component>
    {events}
</TestWriter>"""

STATES = {
    "PrepareForBackup": WriterState.FAILED_AT_PREPARE_BACKUP,
    "PrepareForSnapshot": WriterState.FAILED_AT_PREPARE_SNAPSHOT,
    "PrepareForSnapsot": WriterState.FAILED_AT_PREPARE_SNAPSHOT,
    "Freeze": WriterState.FAILED_AT_FREEZE,
    "Thaw": WriterState.FAILED_AT_THAW,
    "PostSnapshot": WriterState.FAILED_AT_POST_SNAPSHOT,
    "PreRestore": WriterState.FAILED_AT_PRE_RESTORE,
    "PostRestore": WriterState.FAILED_AT_POST_RESTORE,
}


def xml(event: str, **attributes: str) -> dict[str, Any]:
    words = " ".join(f'{name}="{value}"' for name, value in {"writerEvent": event, **attributes}.items())
    return {"xml": XML.format(events=f"<FailEvent {words}/>")}


async def attempt(stage: Any, event: str) -> tuple[WriterState, HResult]:
    """One backup or restore as far as it goes; the writer's state and failure at its end."""
    status = await (stage.restore() if event.endswith("Restore") else stage.backup())
    assert status is not None
    return status.state, status.failure


@pytest.mark.parametrize("count", [None, 1, 2])
@pytest.mark.parametrize("retryable", ["yes", "no"])
@pytest.mark.parametrize("event", STATES)
def test_an_event_fails_as_often_as_the_file_says(kit: Any, event: str, retryable: str, count: int | None) -> None:
    attributes = {"retryable": retryable} | ({} if count is None else {"numFailures": str(count)})

    async def script(stage: Any) -> list[tuple[WriterState, HResult]]:
        if event.endswith("Restore"):
            await stage.backup()
        return [await attempt(stage, event) for _ in range(4)]

    found = kit.play(script, xml(event, **attributes))

    failures = found if count is None else found[:count]
    allowed = RETRYABLE_FAILURES if retryable == "yes" else (HResult.VSS_E_WRITERERROR_NONRETRYABLE,)
    assert all(state is STATES[event] and code in allowed for state, code in failures)
    assert all(each == (WriterState.STABLE, HResult.S_OK) for each in found[len(failures) :])
    assert len(found) == 4


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("retryable", ["yes", "no"])
def test_a_writer_failing_in_identify_is_absent_from_the_list(kit: Any, retryable: str, count: int) -> None:
    async def script(stage: Any) -> list[bool]:
        return [await stage.backup() is not None for _ in range(3)]

    found = kit.play(script, xml("Identify", retryable=retryable, numFailures=str(count)))

    assert found == [False] * count + [True] * (3 - count)


@pytest.mark.parametrize("retryable", ["yes", "no"])
def test_a_failure_in_backup_complete_is_logged_and_not_reported(kit: Any, retryable: str) -> None:
    async def script(stage: Any) -> list[str]:
        assert await attempt(stage, "BackupComplete") == (WriterState.STABLE, HResult.S_OK)
        assert stage.writer.received[-2].outcome == "failed: scripted failure 1 of 1 at BackupComplete"
        assert await attempt(stage, "BackupComplete") == (WriterState.STABLE, HResult.S_OK)
        log: list[str] = stage.log(2)
        return log

    found = kit.play(script, xml("BackupComplete", retryable=retryable, numFailures="1"))

    assert len(found) == 1
    assert "BackupComplete failed, unreported: scripted failure 1 of 1 at BackupComplete" in found[0]


@pytest.mark.parametrize("retryable", ["yes", "no"])
def test_a_writer_failing_in_abort_is_in_unknown_state(kit: Any, retryable: str) -> None:
    async def script(stage: Any) -> list[tuple[WriterState, HResult]]:
        return [await attempt(stage, "Abort") for _ in range(2)]

    veto = {"commit_snapshots": ProviderVetoError("not now")}
    # A failed Abort has undone nothing; the next session's Abort does.
    found = kit.play(script, xml("Abort", retryable=retryable, numFailures="1"), provider=veto)

    allowed = RETRYABLE_FAILURES if retryable == "yes" else (HResult.VSS_E_WRITERERROR_NONRETRYABLE,)
    assert found[0][0] is WriterState.UNKNOWN
    assert found[0][1] in allowed
    assert found[1] == (WriterState.STABLE, HResult.S_OK)


def test_the_retryable_code_is_drawn_from_the_seed(kit: Any) -> None:
    async def script(stage: Any) -> list[HResult]:
        return [(await attempt(stage, "Freeze"))[1] for _ in range(8)]

    found = [kit.play(script, xml("Freeze", retryable="yes"), seed=seed) for seed in (1, 1, 2)]

    assert found[0] == found[1] != found[2]
    assert set(found[0]) | set(found[2]) == set(RETRYABLE_FAILURES)


def test_a_vendor_file_may_name_the_code(kit: Any) -> None:
    async def script(stage: Any) -> tuple[WriterState, HResult]:
        return await attempt(stage, "Freeze")

    found = kit.play(script, xml("Freeze", hresult="VSS_E_WRITERERROR_OUTOFRESOURCES"))

    assert found == (WriterState.FAILED_AT_FREEZE, HResult.VSS_E_WRITERERROR_OUTOFRESOURCES)


def test_no_failures_is_never(kit: Any) -> None:
    async def script(stage: Any) -> tuple[WriterState, HResult]:
        return await attempt(stage, "Freeze")

    assert kit.play(script, xml("Freeze", numFailures="0")) == (WriterState.STABLE, HResult.S_OK)
