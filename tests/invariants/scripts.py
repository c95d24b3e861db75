"""What the watched machine is made to do: a good backup, failing ones, two sessions at once, persistent copies, a whole set."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace

from tests.invariants.kit import Machine
from vss.coordinator import Coordinator, SnapshotContext
from vss.documents import BackupType, ComponentFlags
from vss.errors import VssError
from vss.roles.writer import WriterContext
from vss.simulation.invariants import Document, Outcome
from vss.testing import StubWriter

IGNORES_STATUS = False
"""Whether the requestor of ``backup`` looks away when a writer has failed; a bug puts True here."""


async def backup(machine: Machine) -> None:
    """A full backup by hand, among bystanders; its shadow copies are read after the commit, later, and when they are gone."""

    async def work() -> None:
        async with machine.open_session() as session:
            made = await machine.prepare(session)
            for volume, snapshot_id in made.items():
                machine.look(snapshot_id, volume)
            await session.do_snapshot_set()
            failed = [each.name for each in await session.gather_writer_status() if each.failure.is_failure]
            for volume, snapshot_id in made.items():
                machine.look(snapshot_id, volume)
            await machine.ports.clock.sleep(1)
            for volume, snapshot_id in made.items():
                machine.look(snapshot_id, volume)
            if not failed or IGNORES_STATUS:
                machine.report_all(session)
                await session.backup_complete()
                closed = session.save_as_xml()
                await session.gather_writer_status()
                machine.documents.append(Document("components", closed, closed, session.save_as_xml()))
        for volume, snapshot_id in made.items():
            machine.look(snapshot_id, volume)
        machine.outcomes.append(
            Outcome("backup", not failed or IGNORES_STATUS, str(session.session_id), sequence=len(machine.watch.records))
        )

    await machine.among_bystanders(work)
    await machine.end()


async def failing(machine: Machine) -> None:
    """The same where making the set is expected to fail; the requestor aborts and goes away."""

    async def work() -> None:
        async with machine.open_session() as session:
            await machine.prepare(session)
            error: VssError | None = None
            try:
                await session.do_snapshot_set()
            except VssError as raised:
                error = raised
            await session.gather_writer_status()
            await session.abort_backup()
        machine.outcomes.append(
            Outcome("backup", error is None, str(session.session_id), error="" if error is None else error.message)
        )

    await machine.among_bystanders(work)
    await machine.end()


async def failing_slowly(machine: Machine) -> None:
    """A set that may fail, and two minutes in which nobody does anything about it, before its session is released."""
    session = machine.open_session()

    async def work() -> None:
        await machine.prepare(session)
        try:
            await session.do_snapshot_set()
        except VssError as error:
            machine.outcomes.append(Outcome("backup", False, str(session.session_id), error=error.message))
        await machine.ports.clock.sleep(1)

    await machine.among_bystanders(work)
    await machine.ports.clock.sleep(120)
    await session.release()
    await machine.end()


async def two_at_once(machine: Machine) -> None:
    """A second requestor wants a set while the first one's is being created."""

    async def first() -> None:
        async with machine.open_session() as session:
            await machine.prepare(session)
            await session.do_snapshot_set()

    async def second() -> None:
        await machine.ports.clock.sleep(0.4)
        async with machine.open_session() as session:
            try:
                await machine.prepare(session)
                await session.do_snapshot_set()
            except VssError:
                await session.gather_writer_status()

    async def work() -> None:
        await asyncio.gather(first(), second())

    await machine.among_bystanders(work)
    await machine.end()


async def persistent(machine: Machine) -> None:
    """A persistent set, and the machine's provider started anew on the same volumes."""

    async def look() -> dict[str, str]:
        found = {}
        for each in await machine.provider.query():
            device = machine.provider.open_device(each.snapshot_id)
            found[str(each.snapshot_id)] = hashlib.sha256(device.read(0, device.size_bytes)).hexdigest()
        return found

    async def work() -> None:
        async with machine.open_session() as session:
            session.initialize_for_backup()
            session.set_context(SnapshotContext.APP_ROLLBACK)
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            for volume in machine.volumes:
                await session.add_to_snapshot_set(volume.name)
            await session.prepare_for_backup()
            await session.do_snapshot_set()

    await machine.among_bystanders(work)
    machine.persistent.append(await look())
    await machine.end()
    machine.provider = type(machine.provider)(machine.ports)
    for volume in machine.volumes:
        await machine.provider.attach(volume)
    machine.persistent.append(await look())
    machine.coordinator = Coordinator(machine.ports)
    for volume in machine.volumes:
        machine.coordinator.add_volume(volume)
    await machine.coordinator.add_provider(machine.provider)


async def recovering(machine: Machine) -> None:
    """A backup in which the writer of L:\\Notes recovers its file in the shadow copy."""
    writer = next(each for each in machine.coordinator.writers if each.name == "Notes")
    assert isinstance(writer, StubWriter)
    writer.components = tuple(replace(each, flags=ComponentFlags.BACKUP_RECOVERY) for each in writer.components)
    writer.behaviour["on_post_snapshot"] = recover_own

    async def work() -> None:
        async with machine.open_session() as session:
            made = await machine.prepare(session)
            await session.do_snapshot_set()
            ranges = await machine.beside_files_of(["Notes"], "L:")
            machine.look(made["L:"], "L:", is_recovered=True, recovered=ranges)

    await machine.among_bystanders(work)
    await machine.end()


async def recover_own(context: WriterContext) -> None:
    """Change one's own file in the shadow copy."""
    await change_in_copy(context, "/Notes/0.dat")


async def change_in_copy(context: WriterContext, path: str) -> None:
    """Write to a file of the shadow copy of L:."""
    files = await context.snapshot_files("L:")
    file = await files.open(path, write=True)
    await file.pwrite(0, b"recovered" * 100)
    await file.sync()
    await file.close()
