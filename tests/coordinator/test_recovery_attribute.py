"""AUTORECOVER: a provider is told that writers will change the shadow copy where a chosen component says so, and only there."""

from __future__ import annotations

import pytest

from vss.coordinator import SnapshotAttributes, SnapshotContext
from vss.documents import BackupType, Component, ComponentFlags, ComponentType, FileSpec
from vss.ports import Ports
from vss.simulation import run
from vss.testing import Scene, StubProvider, StubWriter

A, C, F = SnapshotAttributes, SnapshotContext, ComponentFlags
NOT_SET = F(0)


def component(name: str, flags: ComponentFlags) -> Component:
    return Component(ComponentType.FILE_GROUP, name, files=(FileSpec("D:\\data", "*", recursive=True),), flags=flags)


def told(
    context: SnapshotContext,
    attributes: SnapshotAttributes,
    flags: ComponentFlags,
    *,
    chosen: str = "",
    is_plain_too: bool = False,
) -> int:
    """The attributes that the provider was told; in component mode where a component is ``chosen``."""
    provider = StubProvider()

    async def main(ports: Ports) -> None:
        components = (component("flagged", flags), component("plain", NOT_SET))
        writers = [StubWriter("A", components=components)]
        if is_plain_too:
            writers.append(StubWriter("B"))
        scene = await Scene.build(ports, writers=writers, providers=[provider])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            if context is not C.BACKUP or attributes:
                session.set_context(context, attributes)
            session.set_backup_state(select_components=bool(chosen), bootable_system_state=False, backup_type=BackupType.FULL)
            for metadata in await session.gather_writer_metadata():
                if chosen and metadata.friendly_name == "A":
                    key = (metadata.instance_id, metadata.writer_id, ComponentType.FILE_GROUP, "", chosen)
                    session.add_component(*key)
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            if context.has_writers:
                await session.prepare_for_backup()
            await session.do_snapshot_set()
            (made,) = provider.finished.values()
            found.append(made.attributes)

    found: list[int] = []
    run(main)
    return found[0]


@pytest.mark.parametrize(
    ("context", "attributes", "flags", "is_told"),
    [
        (C.BACKUP, A.NONE, NOT_SET, False),
        (C.BACKUP, A.NONE, F.BACKUP_RECOVERY, True),
        (C.BACKUP, A.NONE, F.APP_ROLLBACK_RECOVERY, False),
        (C.BACKUP, A.NO_AUTORECOVERY, F.BACKUP_RECOVERY, False),
        (C.BACKUP, A.ROLLBACK_RECOVERY, F.BACKUP_RECOVERY, False),
        (C.BACKUP, A.ROLLBACK_RECOVERY, F.APP_ROLLBACK_RECOVERY, True),
        (C.APP_ROLLBACK, A.NONE, F.APP_ROLLBACK_RECOVERY, True),
        (C.APP_ROLLBACK, A.NONE, F.BACKUP_RECOVERY, False),
        (C.NAS_ROLLBACK, A.NONE, F.APP_ROLLBACK_RECOVERY, False),
    ],
)
def test_what_the_provider_is_told(context: C, attributes: A, flags: F, is_told: bool) -> None:
    expected = int(context) | int(attributes) | (A.AUTORECOVER if is_told else 0)

    assert told(context, attributes, flags) == expected


@pytest.mark.parametrize(("chosen", "is_told"), [("flagged", True), ("plain", False)])
def test_in_component_mode_only_what_was_chosen_counts(chosen: str, is_told: bool) -> None:
    assert told(C.BACKUP, A.NONE, F.BACKUP_RECOVERY, chosen=chosen, is_plain_too=True) == (A.AUTORECOVER if is_told else 0)
