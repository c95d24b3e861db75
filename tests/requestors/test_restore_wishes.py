"""What a person wishes for a restore, from the command line to the writer: roll forward, names, instances."""

from __future__ import annotations

from typing import Any

import click
import pytest
from click.testing import CliRunner

from vss.documents import BackupSchema, BackupType, RollForwardType, SelectedComponent
from vss.errors import ConfigurationError, InvalidArgumentError, NotFoundError, UnsupportedError
from vss.exit_codes import ExitCode
from vss.roles.writer import WriterContext
from vss_requestors.backup import BackupRequestor
from vss_requestors.betest_command import make_betest
from vss_requestors.component_selection import ComponentName
from vss_requestors.restore import RestoreRequestor
from vss_requestors.restore_wishes import RollForward, Wish
from vss_requestors.results import RestoreResult

ALL = (
    BackupSchema.AUTHORITATIVE_RESTORE
    | BackupSchema.ROLLFORWARD_RESTORE
    | BackupSchema.RESTORE_RENAME
    | BackupSchema.WRITER_SUPPORTS_RESTORE_WITH_MOVE
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", RollForward(RollForwardType.NONE)),
        ("All", RollForward(RollForwardType.ALL)),
        ("partial:2026-01-05T08:00", RollForward(RollForwardType.PARTIAL, "2026-01-05T08:00")),
    ],
)
def test_roll_forward_is_read(text: str, expected: RollForward) -> None:
    assert RollForward.parse(text) == expected


@pytest.mark.parametrize("text", ["", "some", "partial", "partial:", "all:now", "undefined"])
def test_what_is_no_roll_forward_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected 'none', 'all' or 'partial:POINT'"):
        RollForward.parse(text)


def test_a_wish_is_read() -> None:
    assert Wish.parse("Store:DB1=New\\DB1") == Wish(ComponentName("Store", "DB1"), "New\\DB1")


@pytest.mark.parametrize("text", ["", "a", "a=", "=b"])
def test_what_is_no_wish_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected 'component=value'"):
        Wish.parse(text)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("/R", "/D", "/t", "--roll-forward", "odd"), "expected 'none', 'all' or 'partial:POINT'"),
        (("/R", "/D", "/t", "--restore-name", "odd"), "expected 'component=value'"),
        (("/B", "/D", "/t", "--roll-forward", "all"), "'--roll-forward' goes with '/R'"),
        (("/B", "/D", "/t", "--to-instance", "a=b"), "'--to-instance' goes with '/R'"),
    ],
)
def test_bad_values_are_usage_errors(words: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(make_betest(), ["--lab", "/lab", *words], standalone_mode=False)
    assert isinstance(result.exception, click.UsageError)
    assert message in result.exception.message


def test_the_options_reach_the_requestor(monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, Any] = {}

    class StoppedError(Exception):
        pass

    async def restore(self: Any, machine: Any, **options: Any) -> None:
        found.update(options)
        raise StoppedError

    monkeypatch.setattr(RestoreRequestor, "run", restore)
    words = ("--roll-forward", "partial:x", "--restore-name", "a=b", "--restore-name", "W:c=d", "--to-instance", "a=two")

    def run_on_machine(lab: Any, job: Any, watch: Any) -> Any:
        job(object()).send(None)

    command = make_betest(run_on_machine)
    result = CliRunner().invoke(command, ["--lab", "/lab", "/R", "/D", "/t", *words], standalone_mode=False)
    assert isinstance(result.exception, StoppedError)
    assert found["roll_forward"] == RollForward(RollForwardType.PARTIAL, "x")
    assert [(each.component.writer, each.component.component, each.value) for each in found["restore_names"]] == [
        ("", "a", "b"),
        ("W", "c", "d"),
    ]
    assert [each.value for each in found["instances"]] == ["two"]


def test_an_empty_part_of_a_component_name_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError):
        Wish.parse(":x=y")


def watching(kit: Any, world: Any, **options: Any) -> tuple[Any, list[SelectedComponent]]:
    """A store writer that keeps what it sees in PreRestore."""
    seen: list[SelectedComponent] = []

    async def look(context: WriterContext) -> None:
        if context.components is not None:
            seen.extend(context.components.components)

    writer = kit.StoreWriter(world.ports, calls=world.calls, behaviour={"on_pre_restore": look}, schema=ALL, **options)
    return writer, seen


async def restore(world: Any, kit: Any, **options: Any) -> RestoreResult:
    result: RestoreResult = await RestoreRequestor().run(world, source=kit.TARGET, **options)
    return result


def test_the_writer_sees_them_before_its_files_come_back(kit: Any) -> None:
    async def script(world: Any) -> None:
        writer, seen = watching(kit, world)
        await world.start([writer])
        await BackupRequestor().run(world, **world.options)
        result = await restore(
            world,
            kit,
            authoritative=True,
            roll_forward=RollForward(RollForwardType.PARTIAL, "here"),
            restore_names=(Wish.parse("Store=New\\Store"),),
        )
        assert result.exit_code == ExitCode.OK
        (component,) = seen
        assert (component.authoritative_restore, component.restore_name) == (True, "New\\Store")
        assert (component.roll_forward, component.roll_forward_point) == (RollForwardType.PARTIAL, "here")

    kit.play(script)


@pytest.mark.parametrize(
    "options", [{"roll_forward": RollForward(RollForwardType.ALL)}, {"restore_names": (Wish.parse("Store=x"),)}]
)
def test_a_writer_that_knows_no_such_thing_is_left_alone(kit: Any, options: dict[str, Any]) -> None:
    async def script(world: Any) -> None:
        await world.start([kit.StoreWriter(world.ports, calls=world.calls)])
        await BackupRequestor().run(world, **world.options)
        world.calls.clear()
        with pytest.raises(UnsupportedError):
            await restore(world, kit, **options)
        assert [each for each in world.calls if "restore" in each] == []

    kit.play(script)


def test_a_component_that_is_not_restored_gets_no_other_name(kit: Any) -> None:
    async def script(world: Any) -> None:
        writers = [kit.StoreWriter(world.ports, name, schema=ALL) for name in ("Store", "Other")]
        await world.start(writers)
        await BackupRequestor().run(world, **world.options)
        with pytest.raises(NotFoundError, match="'Other' of writer 'Other' is not being restored"):
            await restore(world, kit, components=(ComponentName("", "Store"),), restore_names=(Wish.parse("Other=x"),))
        with pytest.raises(NotFoundError):
            await restore(world, kit, restore_names=(Wish.parse("Nobody=x"),))

    kit.play(script)


def test_a_component_goes_to_another_instance(kit: Any) -> None:
    async def script(world: Any) -> None:
        one, seen_by_one = watching(kit, world)
        one.instance_name = "one"
        await world.start([one])
        await BackupRequestor().run(world, **{**world.options, "backup_type": BackupType.COPY})
        two, seen_by_two = watching(kit, world)
        two.instance_name = "two"
        world.coordinator.add_writer(two)
        with pytest.raises(NotFoundError, match=r"no instance 'three' of writer .* is running: found 'one', 'two'"):
            await restore(world, kit, instances=(Wish.parse("Store=three"),))
        result = await restore(world, kit, instances=(Wish.parse("Store=Two"),))
        assert [each.status for each in result.components] == ["ALL"]
        assert seen_by_one == []
        assert [each.full_path for each in seen_by_two] == ["Store"]

    kit.play(script)
