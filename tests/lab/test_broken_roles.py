"""A plugin that raises in any role method: a named error or a failed component, nobody left frozen, the next backup works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from vss.errors import VssError
from vss.events import LogsTruncated, PluginProblem
from vss.exit_codes import ExitCode
from vss.lab import Lab
from vss.plugins import Candidate, Registrar, hookimpl, load
from vss.roles.verifier import Verifier
from vss_providers.copy_on_write import CopyOnWriteProvider
from vss_requestors.restore import RestoreRequestor
from vss_writers.exchange.verifier import ExchangeVerifier
from vss_writers.exchange.writer import make_exchange_writer

WRITER_METHODS = (
    "identify",
    "on_prepare_backup",
    "on_prepare_snapshot",
    "on_freeze",
    "on_thaw",
    "on_post_snapshot",
    "on_abort",
    "on_backup_complete",
    "on_backup_shutdown",
)
PROVIDER_METHODS = (
    "is_volume_supported",
    "begin_prepare_snapshot",
    "end_prepare_snapshots",
    "pre_commit_snapshots",
    "commit_snapshots",
    "post_commit_snapshots",
    "pre_final_commit_snapshots",
    "post_final_commit_snapshots",
    "open_snapshot",
    "delete_snapshot",
)


class Fragile:
    """Registers the store, copy-on-write and the verifier again, so that one method of them raises as often as told."""

    VSS_API = "1.0"

    def __init__(self) -> None:
        self.method = ""
        self.strikes = 0

    def break_at(self, target: Any, method: str) -> None:
        """Have ``method`` of ``target`` raise while there are strikes."""
        good: Callable[..., Awaitable[Any]] = getattr(target, method)

        async def fragile(*arguments: Any, **options: Any) -> Any:
            if self.method == method and self.strikes > 0:
                self.strikes -= 1
                raise RuntimeError("boom")
            return await good(*arguments, **options)

        setattr(target, method, fragile)

    @hookimpl
    def vss_register_writers(self, registry: Registrar) -> None:
        def make(host: Any, options: Mapping[str, Any]) -> Any:
            writer = make_exchange_writer(host, options)
            for method in (*WRITER_METHODS, "on_pre_restore", "on_post_restore"):
                self.break_at(writer, method)
            return writer

        registry.writer("fragile-store", make)

    @hookimpl
    def vss_register_providers(self, registry: Registrar) -> None:
        def make(ports: Any) -> Any:
            provider = CopyOnWriteProvider(ports)
            for method in (*PROVIDER_METHODS, "abort_snapshots", "query", "attach", "close"):
                self.break_at(provider, method)
            return provider

        registry.provider("fragile-cow", make)

    @hookimpl
    def vss_register_verifiers(self, registry: Registrar) -> None:
        def make() -> Verifier:
            verifier = ExchangeVerifier()
            self.break_at(verifier, "verify")
            return verifier

        registry.verifier(ExchangeVerifier.writer_class_id, make)


class Fixture:
    """A lab whose roles are fragile."""

    def __init__(self, stage: Any, small: str) -> None:
        from vss_providers import plugin as providers
        from vss_writers import plugin as writers

        class Writers:
            """The writers' plugin without its verifier."""

            VSS_API = "1.0"
            vss_register_writers = staticmethod(writers.vss_register_writers)
            vss_register_workloads = staticmethod(writers.vss_register_workloads)

        self.fragile = Fragile()
        found = [Candidate.of("w", Writers), Candidate.of("p", providers), Candidate.of("fragile", self.fragile)]
        stage.plugins = load(found, environment={}, is_strict=True)
        stage.create(small.replace('"exchange"', '"fragile-store"').replace('"copy-on-write"', '"fragile-cow"'))
        self.stage = stage

    def break_at(self, method: str, strikes: int = 1) -> None:
        self.fragile.method, self.fragile.strikes = method, strikes

    def back_up(self) -> tuple[ExitCode, Any]:
        """The exit code of a backup, and its result or error."""
        self.stage.records.clear()
        try:
            result = self.stage.back_up()
        except VssError as error:
            return error.exit_code, error
        return ExitCode(result.exit_code), result

    def assert_well(self) -> None:
        self.fragile.strikes = 0
        self.stage.assert_at_rest()
        code, result = self.back_up()
        assert code == ExitCode.OK, result
        self.stage.assert_at_rest()

    def truncated(self) -> int:
        events = [each.event for each in self.stage.records]
        return sum(each.removed_count for each in events if isinstance(each, LogsTruncated))


@pytest.fixture
def lab(make_stage: Callable[..., Any], small: str) -> Fixture:
    return Fixture(make_stage(), small)


@pytest.mark.parametrize("method", WRITER_METHODS)
def test_a_writer_that_raises(lab: Fixture, method: str) -> None:
    lab.break_at(method)

    code, result = lab.back_up()

    after_the_snapshot = ("on_backup_complete", "on_backup_shutdown")
    if method == "on_abort":
        assert code == ExitCode.OK  # nobody asked it to abort
    elif method in after_the_snapshot:
        assert code in (ExitCode.OK, ExitCode.WARNINGS)
    elif method == "identify":
        assert code == ExitCode.NOT_FOUND
        problems = [each.event for each in lab.stage.records if isinstance(each.event, PluginProblem)]
        assert [(each.plugin, each.message) for each in problems] == [("Microsoft Exchange Writer", "boom")]
    else:
        assert code == ExitCode.UNSUPPORTED, result
        assert "Microsoft Exchange Writer" in result.message
        assert "RuntimeError: boom" in result.message
        assert lab.truncated() == 0
    lab.assert_well()


def test_a_writer_that_raises_while_it_is_aborted(lab: Fixture) -> None:
    lab.fragile.method, lab.fragile.strikes = "on_abort", 5
    lab.stage.run(lambda machine: _lose_session(machine))
    lab.assert_well()


async def _lose_session(machine: Lab) -> None:
    """A requestor that goes away after PrepareForSnapshot would have begun."""
    from vss.documents import BackupType

    async with machine.open_session() as session:
        session.initialize_for_backup()
        session.set_backup_state(select_components=True, bootable_system_state=False, backup_type=BackupType.FULL)
        for metadata in await session.gather_writer_metadata():
            each = metadata.components[0]
            session.add_component(metadata.instance_id, metadata.writer_id, each.type, each.logical_path, each.component_name)
        session.start_snapshot_set()
        await session.add_to_snapshot_set("D:")
        await session.prepare_for_backup()
        await session.abort_backup()


@pytest.mark.parametrize("method", PROVIDER_METHODS)
def test_a_provider_that_raises(lab: Fixture, method: str) -> None:
    lab.break_at(method)

    code, result = lab.back_up()

    if method == "delete_snapshot":
        assert code == ExitCode.WARNINGS
        assert any("boom" in each for each in result.warnings)
        assert lab.back_up()[0] == ExitCode.OK
    else:
        assert code == ExitCode.SNAPSHOT_FAILED, result
        assert "boom" in result.message
        assert "Copy-on-write" in result.message
        assert lab.truncated() == 0
        assert lab.stage.files.list_directory(lab.stage.target) == []
    lab.assert_well()


def test_a_provider_that_does_not_say_what_it_has_is_told_and_the_machine_starts(lab: Fixture) -> None:
    lab.break_at("query")

    code, result = lab.back_up()

    assert code == ExitCode.OK, result
    (problem,) = [each.event for each in lab.stage.records if isinstance(each.event, PluginProblem)]
    assert "Copy-on-write" in problem.plugin
    assert "boom" in problem.message
    lab.assert_well()


def test_a_provider_that_raises_at_the_start_of_the_machine(lab: Fixture) -> None:
    lab.break_at("attach")
    code, error = lab.back_up()
    assert code in (ExitCode.PLUGIN_FAILED, ExitCode.SNAPSHOT_FAILED), error
    assert "boom" in error.message
    lab.assert_well()


def test_a_provider_that_raises_at_the_end_of_the_machine(lab: Fixture) -> None:
    lab.break_at("close")
    code, error = lab.back_up()
    assert code in (ExitCode.PLUGIN_FAILED, ExitCode.SNAPSHOT_FAILED), error
    assert "boom" in error.message
    lab.assert_well()


def test_a_provider_that_cannot_even_abort(lab: Fixture) -> None:
    provider_calls = 0
    fragile = lab.fragile

    class Both:
        def __eq__(self, other: object) -> bool:
            nonlocal provider_calls
            provider_calls += 1
            return other in ("commit_snapshots", "abort_snapshots")

        __hash__ = None  # type: ignore[assignment]

    fragile.method, fragile.strikes = Both(), 2  # type: ignore[assignment]
    code, error = lab.back_up()
    assert (code, provider_calls > 0) == (ExitCode.SNAPSHOT_FAILED, True)
    assert "boom" in " ".join(error.__notes__)
    lab.assert_well()


def test_a_verifier_that_raises_fails_the_component_and_truncates_nothing(lab: Fixture) -> None:
    lab.break_at("verify")
    code, result = lab.back_up()
    assert code not in (ExitCode.OK, ExitCode.WARNINGS), result
    assert lab.truncated() == 0
    lab.assert_well()


@pytest.mark.parametrize("method", ["on_pre_restore", "on_post_restore"])
def test_a_writer_that_raises_at_a_restore(lab: Fixture, method: str) -> None:
    _, backup = lab.back_up()
    lab.break_at(method)

    async def restore(machine: Lab) -> Any:
        await machine.lose_volume("D:")
        await machine.take_down("gone")
        await machine.replace_volume("D:")
        return await RestoreRequestor().run(machine, source=lab.stage.target / backup.set_id)

    if method == "on_pre_restore":
        with pytest.raises(VssError, match="boom") as caught:
            lab.stage.run(restore)
        assert caught.value.exit_code == ExitCode.UNSUPPORTED
    else:
        result = lab.stage.run(restore).result
        assert result.exit_code != ExitCode.OK
        assert any("boom" in each.reason for each in result.components)

    async def again(machine: Lab) -> Any:
        return await RestoreRequestor().run(machine, source=lab.stage.target / backup.set_id)

    async def overwritable(machine: Lab) -> None:
        group: Any = machine.writer("SG1")
        await group.group.keep_dismounted(can_be_overwritten=True)

    lab.stage.run(overwritable)
    assert lab.stage.run(again).result.exit_code == ExitCode.OK
    lab.assert_well()
