"""Whole streams of events: a backup that succeeds, backups that fail at each point of the window, and what comes after them.

Sources of the order: Volume Shadow Copy Service documentation, "Overview of processing a backup under VSS", "Shadow copy
creation for providers", "Aborting VSS operations", "Overview of processing a restore under VSS".
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from tests.coordinator.streams import stream
from vss.coordinator import Session, SnapshotContext
from vss.coordinator.limits import limits_of_profile
from vss.documents import FileRestoreStatus, RestoreMethod, RestoreMethodKind, RestoreType, WriterMetadata, WriterRestore
from vss.errors import VolumeError, VssError, WriterRetryableError
from vss.roles.writer import ApplicationLevel
from vss.testing import Scene, StubProvider, StubWriter


class RestorableWriter(StubWriter):
    async def identify(self) -> WriterMetadata:
        method = RestoreMethod(RestoreMethodKind.RESTORE_IF_CAN_REPLACE, WriterRestore.ALWAYS)
        return replace(await super().identify(), restore_method=method)


def between(lines: list[str], first: str, last: str = "") -> str:
    """The lines from the first that holds one text to the next that holds another, or to the end."""
    start = next(index for index, line in enumerate(lines) if first in line)
    end = next((index + 1 for index, line in enumerate(lines) if index >= start and last and last in line), len(lines))
    return "\n".join(lines[start:end])


async def taken(scene: Scene) -> Session:
    """A session that has come to where files are copied."""
    session = scene.coordinator.open_session()
    await scene.prepare(session)
    await session.do_snapshot_set()
    scene.report_all(session)
    return session


async def failed(scene: Scene) -> None:
    """A backup that fails in DoSnapshotSet, and asks the writers why."""
    async with scene.coordinator.open_session() as session:
        await scene.prepare(session)
        with suppress(VssError):
            await session.do_snapshot_set()
        await session.gather_writer_status()


async def completed(scene: Scene) -> None:
    """A whole backup that asks for the status at its end."""
    session = await taken(scene)
    await session.backup_complete()
    await session.gather_writer_status()
    await session.release()


async def restored(scene: Scene) -> None:
    """A backup and the restore of all of it."""
    session = await taken(scene)
    await session.backup_complete()
    await session.release()
    async with scene.coordinator.open_session() as restore:
        restore.initialize_for_restore(session.document)
        restore.set_restore_state(RestoreType.BY_COPY)
        await restore.gather_writer_metadata()
        keys = [
            (part.writer_id, each.type, each.logical_path, each.component_name)
            for part in restore.document.writers
            for each in part.components
        ]
        for key in keys:
            restore.set_selected_for_restore(*key)
        await restore.pre_restore()
        for key in keys:
            restore.set_file_restore_status(*key, FileRestoreStatus.ALL)
        await restore.post_restore()
        await restore.gather_writer_status()


async def completed_later(scene: Scene) -> None:
    """A backup that another session completes a minute later."""
    session = await taken(scene)
    await session.leave_waiting()
    await scene.ports.clock.sleep(60.0)
    async with scene.coordinator.open_session() as later:
        later.initialize_for_backup(session.document)
        await later.gather_writer_metadata()
        await later.backup_complete()
        await later.gather_writer_status()


async def never_completed(scene: Scene) -> None:
    """A backup left waiting, and the next one of the same writers."""
    session = await taken(scene)
    await session.leave_waiting()
    await scene.backup()


async def aborted(scene: Scene) -> None:
    """A backup whose requestor thinks better of it."""
    async with scene.coordinator.open_session() as session:
        await scene.prepare(session)
        await session.abort_backup()


async def taken_without_writers(scene: Scene) -> None:
    """A persistent shadow copy that no writer hears of, deleted by hand."""
    async with scene.coordinator.open_session() as session:
        session.initialize_for_backup()
        session.set_context(SnapshotContext.NAS_ROLLBACK)
        session.start_snapshot_set()
        snapshot_id = await session.add_to_snapshot_set("D:")
        await session.do_snapshot_set()
        await session.delete_snapshots([snapshot_id])


async def on_two_volumes(scene: Scene) -> None:
    await scene.backup(volumes=["D:", "E:"])


def test_a_backup_from_the_first_call_to_the_release() -> None:
    writers = [
        StubWriter("A", behaviour={"on_prepare_backup": 0.25, "on_freeze": 1.0, "on_thaw": 0.5}),
        StubWriter("B", level=ApplicationLevel.SYSTEM, freeze_timeout_s=20.0),
    ]
    behaviour = {"end_prepare_snapshots": 3.0, "pre_commit_snapshots": 0.25, "commit_snapshots": 2.0}
    later = {"post_commit_snapshots": 0.125, "post_final_commit_snapshots": 4.0}
    providers = [StubProvider("P", behaviour={**behaviour, **later})]
    lines = stream(on_two_volumes, writers=writers, providers=providers, volumes=["D:", "E:"])

    assert (
        "\n".join(lines)
        == """\
0 SessionStarted session_id=#1 kind=backup
0 BackupStateSet session_id=#1 backup_type=FULL
0 WriterIdentified session_id=#1 writer=A writer_id=#2 component_count=1 instance_id=#3 level=FRONT_END freeze_limit_ns=60s
0 WriterIdentified session_id=#1 writer=B writer_id=#4 component_count=1 instance_id=#5 level=SYSTEM freeze_limit_ns=20s
0 ComponentAdded session_id=#1 writer=A component=A instance_id=#3
0 ComponentAdded session_id=#1 writer=B component=B instance_id=#5
0 CreationLockTaken session_id=#1
0 SnapshotSetStarted session_id=#1 snapshot_set_id=#6
0 ProviderCalled provider=P step=begin_prepare snapshot_set_id=#6
0 ProviderAnswered provider=P step=begin_prepare snapshot_set_id=#6 duration_ns=0s
0 VolumeAddedToSet snapshot_set_id=#6 snapshot_id=#7 volume=D: provider=P
0 ProviderCalled provider=P step=begin_prepare snapshot_set_id=#6
0 ProviderAnswered provider=P step=begin_prepare snapshot_set_id=#6 duration_ns=0s
0 VolumeAddedToSet snapshot_set_id=#6 snapshot_id=#8 volume=E: provider=P
0 WriterCalled writer=A step=PrepareForBackup session_id=#1
0 WriterCalled writer=B step=PrepareForBackup session_id=#1
0 WriterAnswered writer=B step=PrepareForBackup state=STABLE session_id=#1
0.25 WriterAnswered writer=A step=PrepareForBackup state=STABLE session_id=#1
0.25 PhaseEntered phase=end-prepare session_id=#1
0.25 ProviderCalled provider=P step=end_prepare snapshot_set_id=#6
3.25 ProviderAnswered provider=P step=end_prepare snapshot_set_id=#6 duration_ns=3s
3.25 PhaseLeft phase=end-prepare session_id=#1 duration_ns=3s outcome=ok
3.25 PhaseEntered phase=prepare-snapshot session_id=#1
3.25 WriterCalled writer=A step=PrepareForSnapshot session_id=#1
3.25 WriterAnswered writer=A step=PrepareForSnapshot state=WAITING_FOR_FREEZE session_id=#1
3.25 WriterCalled writer=B step=PrepareForSnapshot session_id=#1
3.25 WriterAnswered writer=B step=PrepareForSnapshot state=WAITING_FOR_FREEZE session_id=#1
3.25 PhaseLeft phase=prepare-snapshot session_id=#1 duration_ns=0s outcome=ok
3.25 PhaseEntered phase=freeze session_id=#1
3.25 FreezeWindowOpened snapshot_set_id=#6 limit_ns=10s
3.25 WriterCalled writer=A step=Freeze session_id=#1
4.25 WriterFroze writer=A session_id=#1
4.25 WriterAnswered writer=A step=Freeze state=WAITING_FOR_THAW session_id=#1
4.25 WriterCalled writer=B step=Freeze session_id=#1
4.25 WriterFroze writer=B session_id=#1
4.25 WriterAnswered writer=B step=Freeze state=WAITING_FOR_THAW session_id=#1
4.25 ProviderCalled provider=P step=pre_commit snapshot_set_id=#6
4.5 ProviderAnswered provider=P step=pre_commit snapshot_set_id=#6 duration_ns=0.25s
4.5 PhaseEntered phase=hold session_id=#1
4.5 WritesHeld volume=D: limit_ns=10s
4.5 WritesHeld volume=E: limit_ns=10s
4.5 ProviderCalled provider=P step=commit snapshot_set_id=#6
6.5 ProviderAnswered provider=P step=commit snapshot_set_id=#6 duration_ns=2s
6.5 WritesReleased volume=D: held_ns=2s
6.5 WritesReleased volume=E: held_ns=2s
6.5 PhaseLeft phase=hold session_id=#1 duration_ns=2s outcome=ok
6.5 SnapshotCommitted snapshot_set_id=#6 snapshot_count=2
6.5 ProviderCalled provider=P step=post_commit snapshot_set_id=#6
6.625 ProviderAnswered provider=P step=post_commit snapshot_set_id=#6 duration_ns=0.125s
6.625 WriterCalled writer=B step=Thaw session_id=#1
6.625 WriterThawed writer=B frozen_ns=2.375s session_id=#1
6.625 WriterAnswered writer=B step=Thaw state=WAITING_FOR_POST_SNAPSHOT session_id=#1
6.625 WriterCalled writer=A step=Thaw session_id=#1
7.125 WriterThawed writer=A frozen_ns=3.875s session_id=#1
7.125 WriterAnswered writer=A step=Thaw state=WAITING_FOR_POST_SNAPSHOT session_id=#1
7.125 FreezeWindowClosed snapshot_set_id=#6 duration_ns=3.875s limit_ns=10s
7.125 PhaseLeft phase=freeze session_id=#1 duration_ns=3.875s outcome=ok
7.125 PhaseEntered phase=post-snapshot session_id=#1
7.125 ProviderCalled provider=P step=pre_final snapshot_set_id=#6
7.125 ProviderAnswered provider=P step=pre_final snapshot_set_id=#6 duration_ns=0s
7.125 WriterCalled writer=A step=PostSnapshot session_id=#1
7.125 WriterAnswered writer=A step=PostSnapshot state=WAITING_FOR_BACKUP_COMPLETE session_id=#1
7.125 WriterCalled writer=B step=PostSnapshot session_id=#1
7.125 WriterAnswered writer=B step=PostSnapshot state=WAITING_FOR_BACKUP_COMPLETE session_id=#1
7.125 ProviderCalled provider=P step=post_final snapshot_set_id=#6
11.125 ProviderAnswered provider=P step=post_final snapshot_set_id=#6 duration_ns=4s
11.125 PhaseLeft phase=post-snapshot session_id=#1 duration_ns=4s outcome=ok
11.125 SnapshotSetCreated snapshot_set_id=#6
11.125 CreationLockFreed session_id=#1
11.125 ComponentReported session_id=#1 instance_id=#3 component=A succeeded=True
11.125 ComponentReported session_id=#1 instance_id=#5 component=B succeeded=True
11.125 WriterCalled writer=A step=BackupComplete session_id=#1
11.125 WriterAnswered writer=A step=BackupComplete state=STABLE session_id=#1
11.125 WriterCalled writer=B step=BackupComplete session_id=#1
11.125 WriterAnswered writer=B step=BackupComplete state=STABLE session_id=#1
11.125 WriterStatusGathered session_id=#1 after=completed is_meaningful=True
11.125 WriterCalled writer=A step=BackupShutdown session_id=#1
11.125 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
11.125 WriterCalled writer=B step=BackupShutdown session_id=#1
11.125 WriterAnswered writer=B step=BackupShutdown state=STABLE session_id=#1
11.125 SnapshotDeleted snapshot_id=#7 reason=auto-release
11.125 SnapshotDeleted snapshot_id=#8 reason=auto-release
11.125 SessionReleased session_id=#1"""
    )


def test_a_writer_that_refuses_to_freeze_is_aborted_alone_and_the_set_is_made() -> None:
    refusing = StubWriter("A", behaviour={"on_freeze": WriterRetryableError("not now"), "on_abort": 0.5})
    lines = stream(completed, writers=[refusing, StubWriter("B")])

    assert (
        between(lines, "Freeze", "WritesHeld") + "\n" + between(lines, "step=Thaw")
        == """\
0 FreezeWindowOpened snapshot_set_id=#6 limit_ns=10s
0 WriterCalled writer=A step=Freeze session_id=#1
0 WriterVetoed writer=A step=Freeze state=FAILED_AT_FREEZE hresult=VSS_E_WRITERERROR_RETRYABLE session_id=#1
0 ApplicationLogged source=VSS event_id=8229
0 WriterCalled writer=B step=Freeze session_id=#1
0 WriterFroze writer=B session_id=#1
0 WriterAnswered writer=B step=Freeze state=WAITING_FOR_THAW session_id=#1
0 WriterAborted writer=A cause=Freeze failed session_id=#1
0 WriterCalled writer=A step=Abort session_id=#1
0.5 WriterAnswered writer=A step=Abort state=FAILED_AT_FREEZE session_id=#1
0.5 ProviderCalled provider=Stub provider step=pre_commit snapshot_set_id=#6
0.5 ProviderAnswered provider=Stub provider step=pre_commit snapshot_set_id=#6 duration_ns=0s
0.5 PhaseEntered phase=hold session_id=#1
0.5 WritesHeld volume=D: limit_ns=10s
0.5 WriterCalled writer=B step=Thaw session_id=#1
0.5 WriterThawed writer=B frozen_ns=0.5s session_id=#1
0.5 WriterAnswered writer=B step=Thaw state=WAITING_FOR_POST_SNAPSHOT session_id=#1
0.5 FreezeWindowClosed snapshot_set_id=#6 duration_ns=0.5s limit_ns=10s
0.5 PhaseLeft phase=freeze session_id=#1 duration_ns=0.5s outcome=ok
0.5 PhaseEntered phase=post-snapshot session_id=#1
0.5 ProviderCalled provider=Stub provider step=pre_final snapshot_set_id=#6
0.5 ProviderAnswered provider=Stub provider step=pre_final snapshot_set_id=#6 duration_ns=0s
0.5 WriterCalled writer=B step=PostSnapshot session_id=#1
0.5 WriterAnswered writer=B step=PostSnapshot state=WAITING_FOR_BACKUP_COMPLETE session_id=#1
0.5 ProviderCalled provider=Stub provider step=post_final snapshot_set_id=#6
0.5 ProviderAnswered provider=Stub provider step=post_final snapshot_set_id=#6 duration_ns=0s
0.5 PhaseLeft phase=post-snapshot session_id=#1 duration_ns=0s outcome=ok
0.5 SnapshotSetCreated snapshot_set_id=#6
0.5 CreationLockFreed session_id=#1
0.5 ComponentReported session_id=#1 instance_id=#3 component=A succeeded=True
0.5 ComponentReported session_id=#1 instance_id=#5 component=B succeeded=True
0.5 WriterCalled writer=B step=BackupComplete session_id=#1
0.5 WriterAnswered writer=B step=BackupComplete state=STABLE session_id=#1
0.5 WriterStatusGathered session_id=#1 after=completed is_meaningful=True failed=('A',)
0.5 WriterCalled writer=A step=BackupShutdown session_id=#1
0.5 WriterAnswered writer=A step=BackupShutdown state=FAILED_AT_FREEZE session_id=#1
0.5 WriterCalled writer=B step=BackupShutdown session_id=#1
0.5 WriterAnswered writer=B step=BackupShutdown state=STABLE session_id=#1
0.5 SnapshotDeleted snapshot_id=#7 reason=auto-release
0.5 SessionReleased session_id=#1"""
    )


def test_a_freeze_that_never_ends_costs_the_window_and_the_set() -> None:
    writers = [StubWriter("A", behaviour={"on_freeze": "hang"}), StubWriter("B", behaviour={"on_abort": 1.0})]
    lines = stream(failed, writers=writers)

    assert (
        between(lines, "FreezeWindowOpened")
        == """\
0 FreezeWindowOpened snapshot_set_id=#6 limit_ns=10s
0 WriterCalled writer=A step=Freeze session_id=#1
0 WriterCalled writer=B step=Freeze session_id=#1
0 WriterFroze writer=B session_id=#1
0 WriterAnswered writer=B step=Freeze state=WAITING_FOR_THAW session_id=#1
10 WriterTimedOut writer=A step=Freeze limit_ns=10s session_id=#1
10 WriterAborted writer=A cause=Freeze failed session_id=#1
10 WriterCalled writer=A step=Abort session_id=#1
10 WriterAnswered writer=A step=Abort state=FAILED_AT_FREEZE session_id=#1
10 FreezeWindowLost snapshot_set_id=#6 duration_ns=10s limit_ns=10s
10 WriterAborted writer=B cause=freeze failed session_id=#1
10 WriterCalled writer=B step=Abort session_id=#1
11 WriterAnswered writer=B step=Abort state=STABLE session_id=#1
11 FreezeWindowClosed snapshot_set_id=#6 duration_ns=11s limit_ns=10s
11 PhaseLeft phase=freeze session_id=#1 duration_ns=11s outcome=failed
11 ProviderCalled provider=Stub provider step=abort snapshot_set_id=#6
11 ProviderAnswered provider=Stub provider step=abort snapshot_set_id=#6 duration_ns=0s
11 SnapshotSetAborted snapshot_set_id=#6 cause=freeze window lost while freez… hresult=VSS_E_WRITERERROR_TIMEOUT
11 CreationLockFreed session_id=#1
11 WriterStatusGathered session_id=#1 after=backup failed is_meaningful=True failed=('A',)
11 WriterCalled writer=A step=BackupShutdown session_id=#1
11 WriterAnswered writer=A step=BackupShutdown state=FAILED_AT_FREEZE session_id=#1
11 WriterCalled writer=B step=BackupShutdown session_id=#1
11 WriterAnswered writer=B step=BackupShutdown state=STABLE session_id=#1
11 SessionReleased session_id=#1"""
    )


def test_a_thaw_that_never_ends_costs_the_window_and_the_set() -> None:
    writers = [StubWriter("A", behaviour={"on_thaw": "hang"}), StubWriter("B", behaviour={"on_abort": 1.0})]
    lines = stream(failed, writers=writers)

    assert (
        between(lines, "step=Thaw", "SnapshotSetAborted")
        == """\
0 WriterCalled writer=A step=Thaw session_id=#1
0 WriterCalled writer=B step=Thaw session_id=#1
0 WriterThawed writer=B frozen_ns=0s session_id=#1
0 WriterAnswered writer=B step=Thaw state=WAITING_FOR_POST_SNAPSHOT session_id=#1
10 WriterTimedOut writer=A step=Thaw limit_ns=10s session_id=#1
10 WriterAborted writer=A cause=Thaw failed session_id=#1
10 WriterCalled writer=A step=Abort session_id=#1
10 WriterAnswered writer=A step=Abort state=FAILED_AT_THAW session_id=#1
10 FreezeWindowLost snapshot_set_id=#6 duration_ns=10s limit_ns=10s
10 WriterAborted writer=B cause=thaw failed session_id=#1
10 WriterCalled writer=B step=Abort session_id=#1
11 WriterAnswered writer=B step=Abort state=STABLE session_id=#1
11 FreezeWindowClosed snapshot_set_id=#6 duration_ns=11s limit_ns=10s
11 PhaseLeft phase=freeze session_id=#1 duration_ns=11s outcome=failed
11 ProviderCalled provider=Stub provider step=abort snapshot_set_id=#6
11 ProviderAnswered provider=Stub provider step=abort snapshot_set_id=#6 duration_ns=0s
11 SnapshotSetAborted snapshot_set_id=#6 cause=freeze window lost while thawi… hresult=VSS_E_WRITERERROR_TIMEOUT"""
    )


def test_without_a_window_each_writer_has_its_own_time_between_freeze_and_thaw() -> None:
    writers = [StubWriter("A", behaviour={"on_freeze": "hang"}, freeze_timeout_s=130.0)]
    writers.append(StubWriter("B", behaviour={"on_abort": 1.0}))
    lines = stream(completed, writers=writers, limits=limits_of_profile("windows"))

    assert (
        between(lines, "FreezeWindowOpened", "PhaseLeft")
        == """\
0 FreezeWindowOpened snapshot_set_id=#6 limit_ns=none
0 WriterCalled writer=A step=Freeze session_id=#1
0 WriterCalled writer=B step=Freeze session_id=#1
0 WriterFroze writer=B session_id=#1
0 WriterAnswered writer=B step=Freeze state=WAITING_FOR_THAW session_id=#1
60 WriterTimedOut writer=B step=Freeze to Thaw limit_ns=60s session_id=#1
60 WriterAborted writer=B cause=freeze timeout session_id=#1
60 WriterCalled writer=B step=Abort session_id=#1
61 WriterAnswered writer=B step=Abort state=FAILED_AT_THAW session_id=#1
120 ApplicationLogged source=VSS event_id=4003
130 WriterTimedOut writer=A step=Freeze to Thaw limit_ns=130s session_id=#1
130 ApplicationLogged source=VSS event_id=12349
130 WriterAborted writer=A cause=freeze timeout session_id=#1
130 WriterCalled writer=A step=Abort session_id=#1
130 WriterAnswered writer=A step=Abort state=FAILED_AT_FREEZE session_id=#1
130 ProviderCalled provider=Stub provider step=pre_commit snapshot_set_id=#6
130 ProviderAnswered provider=Stub provider step=pre_commit snapshot_set_id=#6 duration_ns=0s
130 PhaseEntered phase=hold session_id=#1
130 WritesHeld volume=D: limit_ns=10s
130 ProviderCalled provider=Stub provider step=commit snapshot_set_id=#6
130 ProviderAnswered provider=Stub provider step=commit snapshot_set_id=#6 duration_ns=0s
130 WritesReleased volume=D: held_ns=0s
130 PhaseLeft phase=hold session_id=#1 duration_ns=0s outcome=ok"""
    )


def test_a_commit_that_fails_releases_thaws_and_undoes() -> None:
    provider = StubProvider("P", behaviour={"commit_snapshots": VolumeError("no room"), "abort_snapshots": 2.0})
    lines = stream(failed, providers=[provider])

    assert (
        between(lines, "phase=hold")
        == """\
0 PhaseEntered phase=hold session_id=#1
0 WritesHeld volume=D: limit_ns=10s
0 ProviderCalled provider=P step=commit snapshot_set_id=#4
0 ProviderFailed provider=P step=commit hresult=VSS_E_UNEXPECTED_PROVIDER_ERRO… snapshot_set_id=#4
0 WritesReleased volume=D: held_ns=0s
0 ApplicationLogged source=VSS event_id=12293
0 PhaseLeft phase=hold session_id=#1 duration_ns=0s outcome=failed
0 WriterAborted writer=A cause=set failed session_id=#1
0 WriterCalled writer=A step=Abort session_id=#1
0 WriterAnswered writer=A step=Abort state=STABLE session_id=#1
0 FreezeWindowClosed snapshot_set_id=#4 duration_ns=0s limit_ns=10s
0 PhaseLeft phase=freeze session_id=#1 duration_ns=0s outcome=failed
0 ProviderCalled provider=P step=abort snapshot_set_id=#4
2 ProviderAnswered provider=P step=abort snapshot_set_id=#4 duration_ns=2s
2 SnapshotSetAborted snapshot_set_id=#4 cause=provider 'P' failed in commit:… hresult=VSS_E_UNEXPECTED_PROVIDER_ERRO…
2 CreationLockFreed session_id=#1
2 WriterStatusGathered session_id=#1 after=backup failed is_meaningful=True
2 WriterCalled writer=A step=BackupShutdown session_id=#1
2 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
2 SessionReleased session_id=#1"""
    )


def test_a_commit_that_never_ends_loses_the_writes_it_held() -> None:
    lines = stream(failed, providers=[StubProvider("P", behaviour={"commit_snapshots": "hang"})])

    assert (
        between(lines, "phase=hold", "SnapshotSetAborted")
        == """\
0 PhaseEntered phase=hold session_id=#1
0 WritesHeld volume=D: limit_ns=10s
0 ProviderCalled provider=P step=commit snapshot_set_id=#4
10 HoldLost volume=D: held_ns=10s
10 ProviderFailed provider=P step=commit hresult=VSS_E_UNEXPECTED_PROVIDER_ERRO… snapshot_set_id=#4
10 ApplicationLogged source=VSS event_id=12293
10 ApplicationLogged source=volsnap event_id=8
10 ApplicationLogged source=VSS event_id=12298
10 ApplicationLogged source=VSS event_id=12310
10 PhaseLeft phase=hold session_id=#1 duration_ns=10s outcome=failed
10 WriterAborted writer=A cause=set failed session_id=#1
10 WriterCalled writer=A step=Abort session_id=#1
10 WriterAnswered writer=A step=Abort state=STABLE session_id=#1
10 FreezeWindowClosed snapshot_set_id=#4 duration_ns=10s limit_ns=10s
10 PhaseLeft phase=freeze session_id=#1 duration_ns=10s outcome=failed
10 ProviderCalled provider=P step=abort snapshot_set_id=#4
10 ProviderAnswered provider=P step=abort snapshot_set_id=#4 duration_ns=0s
10 SnapshotSetAborted snapshot_set_id=#4 cause=volume D: let its writes go by… hresult=VSS_E_HOLD_WRITES_TIMEOUT"""
    )


def test_a_set_whose_last_answer_is_lost_is_deleted() -> None:
    lines = stream(failed, providers=[StubProvider("P")], faults="provider.post_final fail-after")

    assert (
        between(lines, "step=post_final")
        == """\
0 ProviderCalled provider=P step=post_final snapshot_set_id=#4
0 FaultFired site=provider.post_final effect=fail-after selectors=provider=P
0 ApplicationLogged source=VSS event_id=12293
0 ProviderFailed provider=P step=post_final hresult=VSS_E_PROVIDER_VETO snapshot_set_id=#4
0 PhaseLeft phase=post-snapshot session_id=#1 duration_ns=0s outcome=failed
0 ProviderCalled provider=P step=abort snapshot_set_id=#4
0 ProviderAnswered provider=P step=abort snapshot_set_id=#4 duration_ns=0s
0 SnapshotDeleted snapshot_id=#5 reason=its set failed
0 SnapshotSetAborted snapshot_set_id=#4 cause=provider 'P' failed in post_fi… hresult=VSS_E_PROVIDER_VETO
0 CreationLockFreed session_id=#1
0 WriterStatusGathered session_id=#1 after=backup failed is_meaningful=True
0 WriterCalled writer=A step=BackupShutdown session_id=#1
0 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
0 SessionReleased session_id=#1"""
    )


def test_a_backup_complete_without_answer_and_a_shutdown_that_fails() -> None:
    behaviour = {"on_backup_complete": "hang", "on_backup_shutdown": RuntimeError("odd")}
    lines = stream(completed, writers=[StubWriter("A", behaviour=behaviour), StubWriter("B")])

    assert (
        between(lines, "ComponentReported")
        == """\
0 ComponentReported session_id=#1 instance_id=#3 component=A succeeded=True
0 ComponentReported session_id=#1 instance_id=#5 component=B succeeded=True
0 WriterCalled writer=A step=BackupComplete session_id=#1
0 WriterCalled writer=B step=BackupComplete session_id=#1
0 WriterAnswered writer=B step=BackupComplete state=STABLE session_id=#1
600 WriterTimedOut writer=A step=BackupComplete limit_ns=600s session_id=#1
600 ApplicationLogged source=VSS event_id=12301
600 WriterStatusGathered session_id=#1 after=completed is_meaningful=True failed=('A',)
600 WriterCalled writer=A step=BackupShutdown session_id=#1
600 ApplicationLogged source=VSS event_id=12366
600 WriterVetoed writer=A step=BackupShutdown state=FAILED_AT_BACKUPSHUTDOWN \
hresult=VSS_E_WRITERERROR_NONRETRYABLE session_id=#1
600 ApplicationLogged source=VSS event_id=8229
600 WriterCalled writer=B step=BackupShutdown session_id=#1
600 WriterAnswered writer=B step=BackupShutdown state=STABLE session_id=#1
600 SnapshotDeleted snapshot_id=#7 reason=auto-release
600 SessionReleased session_id=#1"""
    )


def test_a_restore_from_the_first_call_to_the_release() -> None:
    slow = RestorableWriter("A", behaviour={"on_pre_restore": 1.5})
    failing = RestorableWriter("B", behaviour={"on_post_restore": RuntimeError("odd")})
    lines = stream(restored, writers=[slow, failing])

    assert (
        between(lines, "kind=restore")
        == """\
0 SessionStarted session_id=#8 kind=restore backup_type=full
0 WriterIdentified session_id=#8 writer=A writer_id=#2 component_count=1 instance_id=#3 level=FRONT_END freeze_limit_ns=60s
0 WriterIdentified session_id=#8 writer=B writer_id=#4 component_count=1 instance_id=#5 level=FRONT_END freeze_limit_ns=60s
0 WriterCalled writer=A step=PreRestore session_id=#8
0 WriterCalled writer=B step=PreRestore session_id=#8
0 WriterAnswered writer=B step=PreRestore state=STABLE session_id=#8
1.5 WriterAnswered writer=A step=PreRestore state=STABLE session_id=#8
1.5 WriterCalled writer=A step=PostRestore session_id=#8
1.5 WriterAnswered writer=A step=PostRestore state=STABLE session_id=#8
1.5 WriterCalled writer=B step=PostRestore session_id=#8
1.5 ApplicationLogged source=VSS event_id=12366
1.5 WriterVetoed writer=B step=PostRestore state=FAILED_AT_POST_RESTORE hresult=VSS_E_WRITERERROR_NONRETRYABLE session_id=#8
1.5 ApplicationLogged source=VSS event_id=8229
1.5 WriterStatusGathered session_id=#8 after=restored is_meaningful=True failed=('B',)
1.5 SessionReleased session_id=#8"""
    )


def test_a_backup_that_a_later_session_completes() -> None:
    lines = stream(completed_later)

    assert (
        between(lines, "ComponentReported")
        == """\
0 ComponentReported session_id=#1 instance_id=#3 component=A succeeded=True
0 SnapshotDeleted snapshot_id=#5 reason=auto-release
0 BackupLeftWaiting session_id=#1 snapshot_set_id=#4 writers=('A',)
60 SessionStarted session_id=#6 kind=backup
60 WriterIdentified session_id=#6 writer=A writer_id=#2 component_count=1 instance_id=#3 level=FRONT_END freeze_limit_ns=60s
60 WaitingBackupTaken session_id=#1 snapshot_set_id=#4 by_session_id=#6
60 WriterCalled writer=A step=BackupComplete session_id=#1
60 WriterAnswered writer=A step=BackupComplete state=STABLE session_id=#1
60 WriterStatusGathered session_id=#6 after=completed is_meaningful=True
60 WriterCalled writer=A step=BackupShutdown session_id=#1
60 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
60 SessionReleased session_id=#6
60 SessionReleased session_id=#1"""
    )


def test_a_backup_that_nobody_completed_ends_with_the_next_one() -> None:
    lines = stream(never_completed)

    assert (
        between(lines, "BackupLeftWaiting", "PrepareForBackup")
        == """\
0 BackupLeftWaiting session_id=#1 snapshot_set_id=#4 writers=('A',)
0 SessionStarted session_id=#6 kind=backup
0 BackupStateSet session_id=#6 backup_type=FULL
0 WriterIdentified session_id=#6 writer=A writer_id=#2 component_count=1 instance_id=#3 level=FRONT_END freeze_limit_ns=60s
0 ComponentAdded session_id=#6 writer=A component=A instance_id=#3
0 CreationLockTaken session_id=#6
0 SnapshotSetStarted session_id=#6 snapshot_set_id=#7
0 ProviderCalled provider=Stub provider step=begin_prepare snapshot_set_id=#7
0 ProviderAnswered provider=Stub provider step=begin_prepare snapshot_set_id=#7 duration_ns=0s
0 VolumeAddedToSet snapshot_set_id=#7 snapshot_id=#8 volume=D: provider=Stub provider
0 WriterCalled writer=A step=BackupShutdown session_id=#1
0 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
0 WaitingBackupEnded session_id=#1 snapshot_set_id=#4 cause=its writers are backed up agai…
0 SessionReleased session_id=#1
0 WriterCalled writer=A step=PrepareForBackup session_id=#6"""
    )


def test_a_requestor_that_aborts_its_backup() -> None:
    lines = stream(aborted)

    assert (
        between(lines, "PrepareForBackup")
        == """\
0 WriterCalled writer=A step=PrepareForBackup session_id=#1
0 WriterAnswered writer=A step=PrepareForBackup state=STABLE session_id=#1
0 SnapshotSetAborted snapshot_set_id=#4 cause=the session was released hresult=VSS_E_OBJECT_NOT_FOUND
0 WriterAborted writer=A cause=aborted by the requestor session_id=#1
0 WriterCalled writer=A step=Abort session_id=#1
0 WriterAnswered writer=A step=Abort state=STABLE session_id=#1
0 CreationLockFreed session_id=#1
0 WriterCalled writer=A step=BackupShutdown session_id=#1
0 WriterAnswered writer=A step=BackupShutdown state=STABLE session_id=#1
0 SessionReleased session_id=#1"""
    )


def test_a_set_without_writers() -> None:
    lines = stream(taken_without_writers, providers=[StubProvider("P")])

    assert (
        "\n".join(lines)
        == """\
0 SessionStarted session_id=#1 kind=backup
0 CreationLockTaken session_id=#1
0 SnapshotSetStarted session_id=#1 snapshot_set_id=#2 attributes=25
0 ProviderCalled provider=P step=begin_prepare snapshot_set_id=#2
0 ProviderAnswered provider=P step=begin_prepare snapshot_set_id=#2 duration_ns=0s
0 VolumeAddedToSet snapshot_set_id=#2 snapshot_id=#3 volume=D: provider=P
0 PhaseEntered phase=end-prepare session_id=#1
0 ProviderCalled provider=P step=end_prepare snapshot_set_id=#2
0 ProviderAnswered provider=P step=end_prepare snapshot_set_id=#2 duration_ns=0s
0 PhaseLeft phase=end-prepare session_id=#1 duration_ns=0s outcome=ok
0 PhaseEntered phase=prepare-snapshot session_id=#1
0 PhaseLeft phase=prepare-snapshot session_id=#1 duration_ns=0s outcome=ok
0 PhaseEntered phase=freeze session_id=#1
0 FreezeWindowOpened snapshot_set_id=#2 limit_ns=10s
0 ProviderCalled provider=P step=pre_commit snapshot_set_id=#2
0 ProviderAnswered provider=P step=pre_commit snapshot_set_id=#2 duration_ns=0s
0 PhaseEntered phase=hold session_id=#1
0 WritesHeld volume=D: limit_ns=10s
0 ProviderCalled provider=P step=commit snapshot_set_id=#2
0 ProviderAnswered provider=P step=commit snapshot_set_id=#2 duration_ns=0s
0 WritesReleased volume=D: held_ns=0s
0 PhaseLeft phase=hold session_id=#1 duration_ns=0s outcome=ok
0 SnapshotCommitted snapshot_set_id=#2 snapshot_count=1
0 ProviderCalled provider=P step=post_commit snapshot_set_id=#2
0 ProviderAnswered provider=P step=post_commit snapshot_set_id=#2 duration_ns=0s
0 FreezeWindowClosed snapshot_set_id=#2 duration_ns=0s limit_ns=10s
0 PhaseLeft phase=freeze session_id=#1 duration_ns=0s outcome=ok
0 PhaseEntered phase=post-snapshot session_id=#1
0 ProviderCalled provider=P step=pre_final snapshot_set_id=#2
0 ProviderAnswered provider=P step=pre_final snapshot_set_id=#2 duration_ns=0s
0 ProviderCalled provider=P step=post_final snapshot_set_id=#2
0 ProviderAnswered provider=P step=post_final snapshot_set_id=#2 duration_ns=0s
0 PhaseLeft phase=post-snapshot session_id=#1 duration_ns=0s outcome=ok
0 SnapshotSetCreated snapshot_set_id=#2
0 CreationLockFreed session_id=#1
0 SnapshotDeleted snapshot_id=#3 reason=deleted by the requestor
0 SessionReleased session_id=#1"""
    )
