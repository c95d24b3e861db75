"""A provider finished the set and its answer was lost: the set has failed, and nothing of it stays at the provider."""

from __future__ import annotations

from typing import Any

import pytest

from vss.errors import NotFoundError, ProviderError, VssError
from vss.events import Event, SnapshotDeleted, SnapshotSetAborted
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import SnapshotProperties
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubVolume

LOST = ["provider.post_final fail-after", "provider.post_final hang=after"]


def failed_set(scene: Scene) -> Any:
    return scene.backup(volumes=[each.name for each in scene.coordinator.volumes.values()])


@pytest.mark.parametrize("fault", LOST)
def test_nothing_of_the_set_is_left(fault: str) -> None:
    events: list[Event] = []
    provider = StubProvider()

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(ProviderError, match="post_final"):
            await failed_set(scene)
        assert await scene.coordinator.query_snapshots() == []
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse(fault))

    assert provider.finished == {}
    kinds = [type(each) for each in events if isinstance(each, (SnapshotDeleted, SnapshotSetAborted))]
    assert kinds == [SnapshotDeleted, SnapshotSetAborted]


def test_what_another_provider_finished_goes_too() -> None:
    class Only(StubProvider):
        async def is_volume_supported(self, volume: Any, attributes: int) -> bool:
            return bool(volume.name == self.name)

    def named(name: str, number: int) -> StubProvider:
        provider = Only(name)
        provider.provider_id = Guid(int=number)
        return provider

    good, bad = named("D:", 1), named("E:", 2)

    async def story(ports: Ports) -> None:
        volumes = [StubVolume(ports, name) for name in ("D:", "E:")]
        scene = await Scene.build(ports, providers=[good, bad], volumes=volumes)
        with pytest.raises(ProviderError, match="'E:' failed in post_final"):
            await failed_set(scene)
        await scene.coordinator.close()

    run(story, faults=FaultPlan.parse("provider.post_final when=provider:E: fail"))

    assert (good.finished, bad.finished) == ({}, {})


def test_the_copies_of_other_sets_stay() -> None:
    provider = StubProvider()

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[provider])
        async with scene.coordinator.open_session() as other:
            (kept,) = await scene.prepare(other)
            await other.do_snapshot_set()
            with pytest.raises(ProviderError):
                await failed_set(scene)
            assert list(provider.finished) == [kept]
        await scene.coordinator.close()

    run(story, faults=FaultPlan.parse("provider.post_final when=nth:2 fail-after"))


def test_a_provider_that_cannot_be_asked_is_told_by_id() -> None:
    class Silent(StubProvider):
        async def query(self) -> list[SnapshotProperties]:
            if self.finished:
                raise RuntimeError("no answer")
            return await super().query()

    provider = Silent()
    notes: list[str] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(ProviderError) as caught:
            await failed_set(scene)
        notes.extend(caught.value.__notes__)
        await scene.coordinator.close()

    run(story, faults=FaultPlan.parse(LOST[0]))

    assert provider.finished == {}
    assert "failed in query: RuntimeError: no answer" in notes[0]


def test_what_could_not_be_deleted_goes_when_the_provider_is_asked_again() -> None:
    class Busy(StubProvider):
        refusals = 2

        async def delete_snapshot(self, snapshot_id: Guid) -> None:
            if self.refusals:
                self.refusals -= 1
                raise ProviderError("busy", hresult=HResult.VSS_E_PROVIDER_VETO)
            await super().delete_snapshot(snapshot_id)

    provider = Busy()

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(VssError):
            await failed_set(scene)
        assert len(provider.finished) == 1
        assert await scene.coordinator.query_snapshots() == [], "it is not listed, though it could not be deleted again"
        assert len(provider.finished) == 1
        async with scene.coordinator.open_session() as session:
            (kept,) = await scene.prepare(session)
            await session.do_snapshot_set()
            assert [each.snapshot_id for each in await session.query()] == [kept]
            assert list(provider.finished) == [kept]
        await scene.coordinator.close()

    run(story, faults=FaultPlan.parse(LOST[0] + " times=1"), unjudged="a provider that refuses to delete")


def test_a_copy_that_went_by_itself_is_no_failure() -> None:
    class Forgetful(StubProvider):
        async def delete_snapshot(self, snapshot_id: Guid) -> None:
            self.finished.pop(snapshot_id)
            raise NotFoundError("gone")

    provider = Forgetful()

    async def story(ports: Ports) -> list[str]:
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(ProviderError) as caught:
            await failed_set(scene)
        await scene.coordinator.close()
        return getattr(caught.value, "__notes__", [])

    assert run(story, faults=FaultPlan.parse(LOST[0])) == []
