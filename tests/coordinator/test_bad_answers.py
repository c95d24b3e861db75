"""Answers of the wrong kind are that plugin's failure and only its: a typed error or a problem names plugin and field."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from vss.coordinator.provider_answers import require_files
from vss.errors import ProviderError
from vss.events import Event, PluginProblem
from vss.hresult import HResult
from vss.ids import Guid
from vss.ports import Ports
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubProvider, StubWriter


def identified(faults: str = "", *writers: StubWriter) -> tuple[list[str], list[PluginProblem]]:
    """Return the writers that are in a session, and the problems that were told."""
    events: list[Event] = []
    names: list[str] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports, writers=writers or [StubWriter("A"), StubWriter("B")])
        async with scene.coordinator.open_session() as session:
            session.initialize_for_backup()
            names.extend(each.friendly_name for each in await session.gather_writer_metadata())

    run(story, emit=events.append, faults=FaultPlan.parse(faults) if faults else None)
    return names, [each for each in events if isinstance(each, PluginProblem)]


@pytest.mark.parametrize(
    ("kind", "field"), [("unknown_enum", "usage"), ("nan", "Version"), ("wrong_type", "metadata"), ("bad_xml", "friendlyName")]
)
def test_metadata_with_a_bad_value_leave_its_writer_out_and_the_others_in(kind: str, field: str) -> None:
    names, problems = identified(f"writer.identify when=writer:A corrupt kind={kind}")

    assert names == ["B"]
    assert [(each.plugin, each.stage) for each in problems] == [("A", "identify")]
    assert field.lower() in problems[0].message.lower()


@pytest.mark.parametrize("changes", [{"components": None}, {"components": (1,)}, {"friendly_name": 7}, {"layout": None}])
def test_metadata_of_any_shape_are_their_writers_problem(changes: dict[str, Any]) -> None:
    class Shapeless(StubWriter):
        async def identify(self) -> Any:
            return replace(await super().identify(), **changes)

    names, problems = identified("", Shapeless("A"), StubWriter("B"))

    assert names == ["B"]
    assert [each.plugin for each in problems] == ["A"]


class Odd(StubProvider):
    """Its query answers what it is given, made of a good answer."""

    def __init__(self, change: Any) -> None:
        super().__init__("Odd")
        self.change = change

    async def query(self) -> Any:
        good = await super().query()
        return self.change(good) if good else good


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda good: "corrupt", "expected a list of shadow copies, found 'corrupt'"),
        (lambda good: None, "expected a list of shadow copies, found None"),
        (lambda good: [1], "expected the properties of a shadow copy, found 1"),
        (lambda good: [replace(good[0], snapshot_id="x")], "snapshot_id: expected Guid, found 'x'"),
        (lambda good: [replace(good[0], created_ns=float("nan"))], "created_ns: expected int, found nan"),
        (lambda good: [replace(good[0], exposed_name=None)], "exposed_name: expected str, found None"),
    ],
)
def test_a_query_of_the_wrong_kind_is_an_error_that_names_provider_and_field(change: Any, found: str) -> None:
    async def story(ports: Ports) -> None:
        provider = Odd(change)
        scene = await Scene.build(ports, providers=[provider])
        provider.finished[Guid(int=1)] = await snapshot(scene, provider)
        with pytest.raises(ProviderError) as caught:
            await scene.coordinator.query_snapshots()
        assert caught.value.hresult is HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
        assert caught.value.message == f"provider 'Odd' failed in query: {found}"
        provider.finished.clear()
        await scene.coordinator.close()

    run(story)


async def snapshot(scene: Scene, provider: StubProvider) -> Any:
    """Take a shadow copy and return its properties."""
    change, provider.change = getattr(provider, "change", None), lambda good: good  # type: ignore[attr-defined]
    async with scene.coordinator.open_session() as session:
        await scene.prepare(session)
        await session.do_snapshot_set()
        (made,) = provider.finished.values()
    provider.change = change  # type: ignore[attr-defined]
    return made


async def take_and_open(session: Any) -> None:
    """All that asks for what a provider has."""
    await session.do_snapshot_set()
    (found,) = await session.query()
    await session.open_snapshot(found.snapshot_id)


@pytest.mark.parametrize("fault", ["provider.query corrupt kind=wrong_type", "provider.open corrupt kind=wrong_type"])
def test_an_answer_of_the_wrong_type_is_the_providers_error(fault: str) -> None:
    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            with pytest.raises(ProviderError, match=r"'Stub provider' failed in (query|open): .*found 'corrupt'"):
                await take_and_open(session)
        await scene.coordinator.close()

    nth = " when=nth:2" if "query" in fault else ""
    run(story, faults=FaultPlan.parse(fault.replace(" corrupt", f"{nth} corrupt")))


@pytest.mark.parametrize("how", ["fail", "corrupt kind=wrong_type", "hang", "raise"])
def test_a_provider_that_cannot_be_asked_at_boot_is_told_and_the_machine_starts(how: str) -> None:
    events: list[Event] = []

    async def story(ports: Ports) -> None:
        scene = await Scene.build(ports)
        assert scene.coordinator.snapshots() == []
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            assert len(await session.query()) == 1
        await scene.coordinator.close()

    run(story, emit=events.append, faults=FaultPlan.parse(f"provider.query when=nth:1 {how}"))

    (problem,) = [each for each in events if isinstance(each, PluginProblem)]
    assert (problem.plugin, problem.stage) == ("Stub provider", "query")
    assert "failed in query" in problem.message


def test_what_a_silent_provider_had_is_known_when_it_is_asked_again() -> None:
    async def story(ports: Ports) -> None:
        first, second = StubProvider("First"), StubProvider("Second")
        second.provider_id = Guid(int=77)
        scene = await Scene.build(ports, providers=[first])
        async with scene.coordinator.open_session() as session:
            await scene.prepare(session)
            await session.do_snapshot_set()
            await scene.coordinator.add_provider(second)
            assert len(scene.coordinator.snapshots()) == 1, "what it said before still counts"
        assert first.finished == {}
        await scene.coordinator.close()

    run(story, faults=FaultPlan.parse("provider.query when=nth:3 fail"))


PROPERTIES = {
    "Guid": ("snapshot_id", "snapshot_set_id", "provider_id", "original_volume_id"),
    "int": ("snapshots_in_set", "created_ns", "attributes", "size_bytes", "context"),
    "str": ("original_volume", "device_name", "originating_machine", "service_machine", "exposed_name"),
}


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in PROPERTIES.items() for field in fields])
def test_each_property_of_a_shadow_copy_is_of_its_kind(kind: str, field: str) -> None:
    async def main(ports: Ports) -> None:
        provider = Odd(lambda good: [replace(good[0], **{field: b"odd"})])
        scene = await Scene.build(ports, providers=[provider])
        with pytest.raises(ProviderError, match=f"{field}: expected {kind}, found b'odd'"):
            await scene.backup()

    run(main)


@pytest.mark.parametrize("missing", ["open", "stat", "list_directory", "sync"])
def test_files_without_what_a_requestor_calls_are_no_files(missing: str) -> None:
    files = {name: print for name in ("open", "stat", "list_directory", "sync") if name != missing}

    with pytest.raises(ProviderError, match="expected the files of a shadow copy"):
        require_files(StubProvider("P"), SimpleNamespace(**files))
