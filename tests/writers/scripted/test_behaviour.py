"""What our own form adds: delays, hangs, crashes, lies, failures that are set, levels, time-outs; what is recorded of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from vss.coordinator import Limits
from vss.documents import BackupType, ComponentType, SelectedComponent, WriterComponents
from vss.errors import ProviderVetoError, WindowError
from vss.hresult import HResult
from vss.machines import WriterState
from vss.ports import NANOSECONDS
from vss.roles.writer import ApplicationLevel
from vss_writers.scripted.backup_work import CLAIMED_NAME
from vss_writers.scripted.call_order import CallOrder
from vss_writers.scripted.declaration import WRITER_CLASS_ID
from vss_writers.scripted.records import decode_record

OK = (WriterState.STABLE, HResult.S_OK)


def step(kit: Any, event: str, **changes: Any) -> dict[str, Any]:
    """The usual writer, with one scripted step."""
    found: dict[str, Any] = kit.options(on=[{"event": event, **changes}])
    return found


def outcome(status: Any) -> tuple[WriterState, HResult]:
    return status.state, status.failure


# -- waiting -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event", ["PrepareForBackup", "PrepareForSnapshot", "PostSnapshot", "BackupComplete", "BackupShutdown"]
)
def test_a_delay_takes_its_time_and_nothing_else(kit: Any, event: str) -> None:
    async def script(stage: Any) -> tuple[Any, int]:
        before = stage.ports.clock.now_ns()
        status = await stage.backup()
        return outcome(status), stage.ports.clock.now_ns() - before

    plain = kit.play(script)
    delayed = kit.play(script, step(kit, event, delay="15s"))

    assert (plain[0], delayed[0]) == (OK, OK)
    assert delayed[1] - plain[1] == 15 * NANOSECONDS


def test_delays_of_several_steps_add_up(kit: Any) -> None:
    async def script(stage: Any) -> int:
        before = stage.ports.clock.now_ns()
        await stage.backup()
        return int(stage.ports.clock.now_ns() - before)

    steps = [{"event": "PostSnapshot", "delay": each} for each in ("1s", 2, 0.5)]

    assert kit.play(script, kit.options(on=steps)) - kit.play(script) == 3.5 * NANOSECONDS


def test_after_and_times_choose_which_events_are_met(kit: Any) -> None:
    async def script(stage: Any) -> list[bool]:
        return [(await stage.backup()).failure is HResult.S_OK for _ in range(5)]

    assert kit.play(script, step(kit, "Freeze", after=1, times=2, fail={})) == [True, False, False, True, True]


@pytest.mark.parametrize("profile", ["strict", "windows"])
def test_a_writer_whose_thaw_hangs_is_aborted_and_timed_out(kit: Any, profile: str) -> None:
    async def script(stage: Any) -> tuple[Any, list[str]]:
        status = await stage.backup()
        return outcome(status), [f"{each.event} {each.outcome}" for each in stage.writer.received][-3:]

    limits = Limits() if profile == "strict" else Limits(freeze_window_s=float("inf"))
    found, events = kit.play(script, step(kit, "Thaw", hang=True, times=1), limits=limits)

    assert found == (WriterState.FAILED_AT_THAW, HResult.VSS_E_WRITERERROR_TIMEOUT)
    assert events == ["Thaw cancelled", "Abort done", "BackupShutdown done"]


def test_a_freeze_slower_than_the_writers_own_time_out_fails_as_timed_out(kit: Any) -> None:
    async def script(stage: Any) -> tuple[Any, int]:
        before = stage.ports.clock.now_ns()
        return outcome(await stage.backup()), stage.ports.clock.now_ns() - before

    changed = kit.options(freeze_timeout="5s", on=[{"event": "Freeze", "delay": "6s", "times": 1}])
    found, took_ns = kit.play(script, changed)

    assert found == (WriterState.FAILED_AT_FREEZE, HResult.VSS_E_WRITERERROR_TIMEOUT)
    assert 5 * NANOSECONDS <= took_ns < 6 * NANOSECONDS


def test_a_hanging_identify_keeps_the_writer_out(kit: Any) -> None:
    async def script(stage: Any) -> list[str]:
        assert await stage.backup() is None
        await stage.ports.clock.sleep(1)  # lets the call that was given up end
        return [each.outcome for each in stage.writer.received]

    assert kit.play(script, step(kit, "Identify", hang=True)) == ["cancelled"]


@pytest.mark.parametrize("level", ["front_end", "back_end", "system"])
def test_level_and_time_out_are_the_scripts(kit: Any, level: str) -> None:
    async def script(stage: Any) -> tuple[ApplicationLevel, float]:
        assert outcome(await stage.backup()) == OK
        return stage.writer.application_level, stage.writer.freeze_timeout_s

    found = kit.play(script, kit.options(application_level=level, freeze_timeout="90s"))

    assert found == (ApplicationLevel[level.upper()], 90.0)


# -- failing -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "state"),
    [
        ("PrepareForBackup", WriterState.FAILED_AT_PREPARE_BACKUP),
        ("Freeze", WriterState.FAILED_AT_FREEZE),
        ("BackupComplete", WriterState.FAILED_AT_BACKUP_COMPLETE),
    ],
)
def test_a_crash_is_a_non_retryable_failure_of_this_writer(kit: Any, event: str, state: WriterState) -> None:
    async def script(stage: Any) -> Any:
        status = await stage.backup()
        return outcome(status), status.message

    found = kit.play(script, step(kit, event, crash="out of luck", times=1))

    assert found == ((state, HResult.VSS_E_WRITERERROR_NONRETRYABLE), "RuntimeError: out of luck")


def test_a_crash_in_identify_keeps_the_writer_out_once(kit: Any) -> None:
    async def script(stage: Any) -> list[bool]:
        return [await stage.backup() is not None for _ in range(2)]

    assert kit.play(script, step(kit, "Identify", crash="no", times=1)) == [False, True]


@pytest.mark.parametrize("code", ["INCONSISTENTSNAPSHOT", "OUTOFRESOURCES", "TIMEOUT", "PARTIAL_FAILURE", "RETRYABLE"])
def test_a_failure_carries_its_code_and_message(kit: Any, code: str) -> None:
    async def script(stage: Any) -> Any:
        status = await stage.backup()
        return status.failure.name, status.message

    found = kit.play(script, step(kit, "PostSnapshot", fail={"code": f"VSS_E_WRITERERROR_{code}", "message": "as told"}))

    assert found == (f"VSS_E_WRITERERROR_{code}", "as told")


def test_backup_complete_can_fail_reported(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        return outcome(await stage.backup())

    found = kit.play(script, step(kit, "BackupComplete", fail={}))

    assert found == (WriterState.FAILED_AT_BACKUP_COMPLETE, HResult.VSS_E_WRITERERROR_NONRETRYABLE)


def test_a_failure_that_is_set_comes_with_the_work_done(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        status = await stage.backup()
        return outcome(status), await stage.files.exists("D:\\Data\\a.txt"), stage.writer.received[-2].outcome

    changed = kit.options(delete_files=True, on=[{"event": "PostSnapshot", "set_failure": {"code": "F3", "message": "alas"}}])
    found = kit.play(script, changed)

    state = (WriterState.FAILED_AT_POST_SNAPSHOT, HResult.VSS_E_WRITERERROR_RETRYABLE)
    assert found == (state, False, "failed: alas")


def test_a_failing_backup_shutdown_is_seen_by_nobody_but_the_log(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        return outcome(await stage.backup()), stage.log(2)

    found, log = kit.play(script, step(kit, "BackupShutdown", fail={}))

    assert found == OK
    assert log == ["T1: BackupShutdown failed: scripted failure 1 at BackupShutdown"]


# -- lying ---------------------------------------------------------------------------------------------------------------------


def test_a_thaw_that_lies_leaves_the_writer_frozen(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        return outcome(await stage.backup()), stage.writer.describe()["is_frozen"]

    assert kit.play(script, step(kit, "Thaw", lie="nothing"), leaves_frozen=True) == (OK, True)


def test_a_freeze_that_lies_is_never_frozen(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        status = await stage.backup()
        assert outcome(status) == OK
        return [each.outcome for each in stage.writer.received if each.event == "Freeze"]

    assert kit.play(script, step(kit, "Freeze", lie="nothing")) == ["lied"]


def test_a_post_snapshot_that_lies_leaves_no_record(kit: Any) -> None:
    async def script(stage: Any) -> bytes:
        assert outcome(await stage.backup()) == OK
        data: bytes = stage.stored.writers[0].components[0].backup_metadata
        return data

    assert kit.play(script, step(kit, "PostSnapshot", lie="nothing")) == b""


@pytest.mark.parametrize("with_files", [True, False])
def test_metadata_can_claim_a_file_that_is_not_there(kit: Any, with_files: bool) -> None:
    async def script(stage: Any) -> list[str]:
        assert outcome(await stage.backup()) == OK
        return [each.path for each in decode_record(stage.stored.writers[0].components[0].backup_metadata, "Data")]

    changed = step(kit, "PostSnapshot", lie="metadata")
    if not with_files:
        changed["components"] = [{"name": "Data"}]

    assert kit.play(script, changed)[-1] == ("D:\\Data\\" if with_files else "C:\\") + CLAIMED_NAME


def test_metadata_can_change_between_identifies(kit: Any) -> None:
    async def script(stage: Any) -> list[int]:
        return [len((await stage.writer.identify()).components) for _ in range(3)]

    assert kit.play(script, step(kit, "Identify", lie="metadata", after=1, times=1)) == [1, 0, 1]


# -- the honest work -----------------------------------------------------------------------------------------------------------


def test_a_set_without_the_writers_volume_is_refused_as_inconsistent(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        async with stage.scene.coordinator.open_session() as session:
            await stage.scene.prepare(session, volumes=["L:"])
            await session.do_snapshot_set()
            status = await stage.status(session)
            return outcome(status), status.message

    found = kit.play(script)

    state = (WriterState.FAILED_AT_PREPARE_SNAPSHOT, HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT)
    assert found == (state, "the set lacks the volume of 'D:\\Data'")


@pytest.mark.parametrize("backup_type", [BackupType.INCREMENTAL, BackupType.LOG, BackupType.COPY])
def test_a_backup_type_without_support_is_noted_and_works(kit: Any, backup_type: BackupType) -> None:
    async def script(stage: Any) -> Any:
        return outcome(await stage.backup(backup_type=backup_type)), stage.log(3)

    found, log = kit.play(script)

    assert found == OK
    assert log == [f"T1: backup type {backup_type.name} is not supported, the files count as for FULL"]


def test_a_supported_backup_type_is_not_worth_a_note(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        return outcome(await stage.backup(backup_type=BackupType.COPY)), stage.log(3)

    assert kit.play(script, kit.options(supports=["copy", "incremental"])) == (OK, [])


def test_a_component_reported_as_failed_is_noted(kit: Any) -> None:
    async def script(stage: Any) -> list[str]:
        await stage.backup(succeeded=False)
        found: list[str] = stage.log(3)
        return found

    assert kit.play(script) == ["T1: the requestor reports component 'Data' as failed"]


def test_a_component_that_nobody_reports_is_noted(kit: Any) -> None:
    async def script(stage: Any) -> list[str]:
        async with stage.scene.coordinator.open_session() as session:
            await stage.scene.prepare(session, volumes=["D:"])
            await session.do_snapshot_set()
            await session.backup_complete()
        found: list[str] = stage.log(3)
        return found

    assert kit.play(script) == ["T1: the requestor reports component 'Data' neither as successful nor as failed"]


def test_without_component_selection_every_component_takes_part(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        async with stage.scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.UNDEFINED)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.backup_complete()
            status = await stage.status(session)
        return outcome(status), await stage.files.exists("D:\\Data\\a.txt")

    assert kit.play(script, kit.options(delete_files=True)) == (OK, False)


@pytest.mark.parametrize("verbosity", ["low", "medium", "high"])
def test_verbosity_decides_what_the_event_log_gets(kit: Any, verbosity: str) -> None:
    async def script(stage: Any) -> list[str]:
        await stage.backup()
        found: list[str] = stage.log()
        return found

    log = kit.play(script, kit.options(verbosity=verbosity, on=[{"event": "BackupShutdown", "fail": {}}]))

    assert ("T1: Freeze received" in log) is (verbosity != "low")
    assert ("T1: 0 files copied to their alternate paths, 3 files recorded" in log) is (verbosity == "high")
    assert log[-1] == "T1: BackupShutdown failed: scripted failure 1 at BackupShutdown"


def test_every_event_is_on_record(kit: Any) -> None:
    async def script(stage: Any) -> list[tuple[str, str]]:
        await stage.backup()
        await stage.restore()
        return [(each.event, each.outcome) for each in stage.writer.received]

    backup = ["Identify", "PrepareForBackup", "PrepareForSnapshot", "Freeze", "Thaw", "PostSnapshot", "BackupComplete"]
    restore = ["BackupShutdown", "Identify", "PreRestore", "PostRestore"]

    assert kit.play(script) == [(event, "done") for event in backup + restore]


def test_the_verifier_is_the_writers(kit: Any) -> None:
    assert kit.VERIFIER.writer_class_id == WRITER_CLASS_ID


# -- order ---------------------------------------------------------------------------------------------------------------------

LEGAL = [
    "PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot BackupComplete BackupShutdown",
    "PrepareForBackup PrepareForSnapshot Freeze Abort Abort BackupShutdown",
    "PrepareForBackup PrepareForSnapshot Freeze Thaw Abort BackupShutdown",
    "PrepareForBackup PrepareForSnapshot BackupShutdown",
    "PrepareForBackup Abort BackupShutdown",
    "PreRestore PostRestore",
    "Abort BackupShutdown",
]
ILLEGAL = [
    ("Freeze", "called Freeze first in a session: expected PrepareForBackup or Abort or BackupShutdown or PreRestore"),
    ("PrepareForBackup Freeze", "called Freeze after PrepareForBackup: expected PrepareForSnapshot or Abort or BackupShutdown"),
    ("PrepareForBackup PrepareForSnapshot Freeze BackupShutdown", "called BackupShutdown after Freeze: expected Thaw or Abort"),
    ("PrepareForBackup PrepareForSnapshot Freeze Freeze", "called Freeze after Freeze: expected Thaw or Abort"),
    (
        "PrepareForBackup PrepareForSnapshot Freeze Thaw PostSnapshot Abort",
        "called Abort after PostSnapshot: expected BackupComplete or BackupShutdown",
    ),
    ("Abort BackupShutdown Abort", "called Abort after BackupShutdown: expected nothing more in this session"),
]


@pytest.mark.parametrize("events", LEGAL)
def test_a_legal_order_is_fine(kit: Any, events: str) -> None:
    async def script(stage: Any) -> list[str]:
        order, session_id = CallOrder(), stage.ports.ids.guid()
        return [order.call(session_id, event) for event in events.split()]

    assert not any(kit.play(script))


@pytest.mark.parametrize(("events", "reason"), ILLEGAL)
def test_an_illegal_order_is_named(kit: Any, events: str, reason: str) -> None:
    async def script(stage: Any) -> list[str]:
        order, session_id = CallOrder(), stage.ports.ids.guid()
        return [order.call(session_id, event) for event in events.split()]

    found = kit.play(script)

    assert found[-1] == reason
    assert not any(found[:-1])


def test_only_so_many_sessions_are_remembered(kit: Any) -> None:
    async def script(stage: Any) -> list[str]:
        order, first = CallOrder(), stage.ports.ids.guid()
        order.call(first, "PrepareForBackup")
        for _ in range(64):
            order.call(stage.ports.ids.guid(), "PrepareForBackup")
        return [order.call(first, "PrepareForSnapshot")]

    assert kit.play(script)[0].startswith("called PrepareForSnapshot first in a session")


class Context:
    """What a handler may see of a session, for a coordinator that calls as it likes."""

    def __init__(self, session_id: Any, components: Any = None) -> None:
        self.session_id = session_id
        self.components = components
        self.backup_type = BackupType.FULL

    def is_path_affected(self, path: str) -> bool:
        return True

    def set_components(self, components: Any) -> None:
        self.components = components


def test_a_coordinator_that_calls_out_of_order_is_told(kit: Any) -> None:
    async def script(stage: Any) -> tuple[str, list[str]]:
        context: Any = Context(stage.ports.ids.guid())
        await stage.writer.on_prepare_backup(context)
        with pytest.raises(Exception, match="called Thaw after PrepareForBackup") as caught:
            await stage.writer.on_thaw(context)
        assert stage.writer.describe()["misuses"] == [str(caught.value)]
        return str(caught.value), stage.log(4)

    message, log = kit.play(script, misuses=1)

    assert log == [f"T1: {message}"]


def test_a_component_that_was_never_declared_is_left_as_it_is(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        unknown = SelectedComponent(ComponentType.FILE_GROUP, "Nobody's")
        known = SelectedComponent(ComponentType.FILE_GROUP, "data")
        part = WriterComponents(WRITER_CLASS_ID, stage.writer.instance_id, components=(unknown, known))
        context: Any = Context(stage.ports.ids.guid(), part)
        for handler in ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot", "backup_complete"):
            await getattr(stage.writer, f"on_{handler}")(context)
        return context.components.components[0] == unknown, bool(context.components.components[1].backup_metadata)

    assert kit.play(script) == (True, True)


# -- aborts --------------------------------------------------------------------------------------------------------------------

SPIT = {
    "delete_files": True,
    "components": [
        {
            "name": "Spit",
            "file_sets": [{"path": "D:\\Data", "filespec": "*", "recursive": True, "alternate_path": "D:\\Data\\s"}],
        }
    ],
}


def test_spit_files_take_the_place_of_the_originals(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        await kit.write(stage.files, "D:\\Data\\s\\left\\over.txt", b"no original, so it is not copied again")
        seen: list[Any] = []
        data = await kit.read(stage.files, "D:\\Data\\a.txt")

        async def look(*_: Any) -> None:
            seen.append(
                (
                    await stage.files.exists("D:\\Data\\a.txt"),
                    await kit.read(stage.files, "D:\\Data\\s\\a.txt") == data,
                    await stage.files.exists("D:\\Data\\s\\skip.tmp"),
                )
            )

        stage.scene.coordinator.providers[0].behaviour["commit_snapshots"] = look
        assert outcome(await stage.backup()) == OK
        return seen, await stage.files.list_directory("D:\\Data\\s"), await stage.files.list_directory("D:\\Data")

    # At the commit: original gone, copy there, excluded file not copied. Afterwards: nothing of either.
    assert kit.play(script, kit.options(**SPIT)) == (
        [(False, True, False)],
        ["deep", "left"],
        ["deep", "s", "skip.tmp"],
    )


@pytest.mark.parametrize("delete_files", [True, False])
def test_an_abort_puts_spit_originals_back(kit: Any, delete_files: bool) -> None:
    async def script(stage: Any) -> list[bool]:
        data = await kit.read(stage.files, "D:\\Data\\a.txt")
        await stage.backup()
        return [
            await kit.read(stage.files, "D:\\Data\\a.txt") == data,
            await stage.files.exists("D:\\Data\\s\\a.txt"),
        ]

    veto = {"commit_snapshots": ProviderVetoError("not now")}
    changed = kit.options(**{**SPIT, "delete_files": delete_files})

    assert kit.play(script, changed, provider=veto) == [True, False]


def test_spit_copies_go_with_the_session(kit: Any) -> None:
    async def script(stage: Any) -> list[bool]:
        assert outcome(await stage.backup()) == OK
        return [await stage.files.exists(f"D:\\Data\\{each}") for each in ("a.txt", "s\\a.txt")]

    assert kit.play(script, kit.options(**{**SPIT, "delete_files": False})) == [True, False]


def test_a_requestor_that_dies_is_survived(kit: Any) -> None:
    async def script(stage: Any) -> Any:
        session = stage.scene.coordinator.open_session()
        await stage.scene.prepare(session, volumes=["D:"])
        task = asyncio.ensure_future(session.do_snapshot_set())
        await stage.ports.clock.sleep(1)
        task.cancel()
        with pytest.raises((asyncio.CancelledError, WindowError)):
            await task
        await session.release()
        return [each.event for each in stage.writer.received][-2:]

    assert kit.play(script, step(kit, "Freeze", delay="3s")) == ["Abort", "BackupShutdown"]
