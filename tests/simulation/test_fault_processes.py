"""Who dies when somebody crashes, who lives on, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from vss.errors import ProviderError, VssError, WriterError
from vss.hresult import HResult
from vss.ports import Ports
from vss.simulation import ACTOR, FaultPlan, run
from vss.simulation.fault_processes import RoleCrashedError


def visit(plan: str, main: Callable[[Ports], Awaitable[Any]]) -> Any:
    return run(main, faults=FaultPlan.parse(plan))


async def _nothing() -> None: ...


class Story:
    """A requestor that asks a coordinator, which asks a writer; each notes what it does."""

    def __init__(self, ports: Ports) -> None:
        self.ports = ports
        self.seen: list[str] = []

    async def writer(self) -> None:
        self.seen.append(f"writer as {ACTOR.get()}")
        await self.ports.clock.sleep(2)
        self.seen.append("writer done")

    async def coordinator(self) -> None:
        try:
            self.seen.append(f"coordinator as {ACTOR.get()}")
            await self.ports.faults("coord.prepare_snapshot", self._ask_writer)
            self.seen.append("coordinator done")
        finally:
            self.seen.append("coordinator cleaned up")

    async def _ask_writer(self) -> None:
        await self.ports.faults("writer.prepare_snapshot", self.writer, writer="A")

    async def _snapshot(self) -> None:
        await self.ports.faults("coord.create", self.coordinator)

    async def requestor(self) -> None:
        try:
            self.seen.append("requestor")
            await self.ports.faults("requestor.snapshot", self._snapshot)
            self.seen.append("requestor done")
        except VssError as error:
            self.seen.append(f"requestor heard {error.hresult.name}")
        finally:
            self.seen.append("requestor cleaned up")


BEGIN = ["requestor", "coordinator as coord", "writer as writer:A"]


def _told(plan: str) -> list[str]:
    async def main(ports: Ports) -> list[str]:
        story = Story(ports)
        requestor = asyncio.create_task(story.requestor())
        await ports.clock.sleep(60)
        assert requestor.done() == ("requestor cleaned up" in story.seen)
        return list(story.seen)

    return visit(plan, main)  # type: ignore[no-any-return]


def test_nobody_dies_in_a_plan_whose_crash_never_comes() -> None:
    ends = ["writer done", "coordinator done", "coordinator cleaned up", "requestor done", "requestor cleaned up"]
    assert _told("writer.thaw crash") == [*BEGIN, *ends]
    assert _told("writer.thaw fail") == [*BEGIN, *ends]


def test_the_service_dies_alone_the_writer_goes_on_and_the_requestor_hears() -> None:
    heard = ["requestor heard VSS_E_UNEXPECTED", "requestor cleaned up"]
    assert _told("coord.prepare_snapshot crash=before") == [*BEGIN[:2], *heard]
    assert _told("coord.prepare_snapshot crash=during") == [*BEGIN, *heard, "writer done"]
    assert _told("coord.create crash=during step=9") == [
        *BEGIN,
        "writer done",
        "coordinator done",
        "coordinator cleaned up",
        *heard,
    ]


def test_the_requestor_dies_alone_and_the_service_goes_on() -> None:
    goes_on = ["writer done", "coordinator done", "coordinator cleaned up"]
    assert _told("requestor.snapshot crash=before") == ["requestor"]
    assert _told("requestor.snapshot crash=during") == [*BEGIN, *goes_on]
    assert _told("service.requestor when=phase:x crash") == [*BEGIN, *goes_on, "requestor done", "requestor cleaned up"]


def test_the_writer_dies_alone() -> None:
    heard = ["coordinator cleaned up", "requestor heard VSS_E_WRITER_NOT_RESPONDING", "requestor cleaned up"]
    assert _told("writer.prepare_snapshot crash=during") == [*BEGIN, *heard]
    assert _told("writer.prepare_snapshot crash=after") == [*BEGIN, "writer done", *heard]


def test_a_dead_service_answers_nobody_until_its_restart_but_letting_go_of_it_is_no_error() -> None:
    async def main(ports: Ports) -> list[str]:
        async def ask(site: str) -> str:
            try:
                await ports.faults(site, _nothing)
            except VssError as error:
                return {HResult.VSS_E_UNEXPECTED: "dead"}.get(error.hresult, "wrong")
            return "ok"

        answers = [await ask("coord.gather"), await ask("coord.status"), await ask("coord.release_session")]
        await ports.clock.sleep(30)
        return [*answers, await ask("coord.status")]

    assert visit("coord.gather crash restart=30s", main) == ["dead", "dead", "ok", "ok"]
    assert visit("coord.gather crash restart=0s", main) == ["dead", "ok", "ok", "ok"]
    assert visit("coord.gather crash", main) == ["dead", "dead", "ok", "dead"]


def test_the_next_requestor_is_another_process() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def requestor(name: str) -> None:
            await ports.faults("requestor.seal", _nothing)
            seen.append(name)

        for name in ("first", "second"):
            await asyncio.wait([asyncio.create_task(requestor(name))], timeout=5)
        return seen

    assert visit("requestor.seal crash", main) == ["second"]


def test_a_hosts_crash_kills_its_roles_wherever_the_run_is() -> None:
    async def main(ports: Ports) -> list[str]:
        async def ask(site: str, **selectors: str) -> str:
            try:
                await ports.faults(site, _nothing, **selectors)
            except (WriterError, ProviderError, VssError):
                return "dead"
            return "ok"

        for writer in ("A", "B"):
            await ask("writer.prepare_backup", writer=writer)
        await ask("provider.begin_prepare", provider="P")
        await ask("requestor.seal")
        await ask("coord.status")
        await ports.faults("requestor.copy", _nothing, phase="copy")
        return [
            await ask("writer.thaw", writer="A"),
            await ask("writer.thaw", writer="B"),
            await ask("provider.commit", provider="P"),
            await ask("coord.status"),
        ]

    assert visit("service.writer_host when=phase:copy crash", main) == ["dead", "dead", "ok", "ok"]
    assert visit("service.writer_host when=phase:copy,writer:B crash", main) == ["ok", "dead", "ok", "ok"]
    assert visit("service.provider_host when=phase:copy crash restart=0s", main) == ["ok", "ok", "ok", "ok"]
    assert visit("service.provider_host when=phase:copy crash", main) == ["ok", "ok", "dead", "ok"]
    assert visit("service.coord when=phase:copy crash", main) == ["ok", "ok", "ok", "dead"]


def test_the_crash_of_the_running_requestor_ends_it_there() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def helper() -> None:
            await ports.faults("requestor.gather", _nothing)
            await ports.clock.sleep(100)
            seen.append("helper")

        async def requestor() -> None:
            kept = asyncio.create_task(helper())
            await ports.clock.sleep(1)
            try:
                await ports.faults("requestor.copy", _nothing, phase="copy")
            finally:
                seen.append(f"cleaned up {kept}")

        await asyncio.wait([asyncio.create_task(requestor())], timeout=200)
        return list(seen)

    assert visit("service.requestor when=phase:copy crash", main) == []


def test_whoever_makes_machines_is_told_who_died() -> None:
    async def main(ports: Ports) -> None:
        with pytest.raises(WriterError):
            await ports.faults("writer.freeze", _nothing, writer="A")

    plan = FaultPlan.parse("writer.freeze crash")
    died: list[str] = []
    plan.when_died.append(died.append)
    run(main, faults=plan)
    assert died == ["writer:A"]


def test_a_cancelled_caller_waits_until_the_role_has_let_go() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> str:
            try:
                await ports.clock.sleep(10)
            except asyncio.CancelledError:
                await ports.clock.sleep(1)
                seen.append("let go")
            return "stubborn"

        async def call() -> None:
            seen.append(str(await ports.faults("writer.freeze", work, writer="A")))

        task = asyncio.create_task(call())
        await ports.clock.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return seen

    assert visit("writer.thaw crash", main) == ["let go", "stubborn"]


def test_a_caller_that_gave_up_on_a_role_that_then_dies_is_just_cancelled() -> None:
    async def main(ports: Ports) -> bool:
        async def work() -> None:
            try:
                await ports.clock.sleep(10)
            finally:
                await ports.faults("volume.write", _nothing, volume="D:")

        task = asyncio.create_task(ports.faults("writer.freeze", work, writer="A"))
        await ports.clock.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert visit("volume.write crash", main)


def test_io_that_works_for_a_role_kills_that_role() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            try:
                await ports.faults("volume.write", _nothing, volume="D:")
            finally:
                seen.append("cleaned up")

        with pytest.raises(WriterError, match="it died"):
            await ports.faults("writer.freeze", work, writer="A")
        return list(seen)

    assert visit("volume.write crash", main) == []


# -- plain calls ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("effect", "content"), [("crash=before", None), ("crash=after", b"data"), ("crash", None)])
def test_a_role_dies_in_a_plain_call_and_nothing_with_an_effect_happens_while_it_unwinds(
    effect: str, content: bytes | None
) -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []
        ports.files.make_directory(Path("/set"))

        async def seal() -> None:
            try:
                ports.files.write_atomically(Path("/set/session.json"), b"data")
            except Exception:  # noqa: BLE001 - nobody may answer to a crash
                seen.append("caught")
            finally:
                with pytest.raises(RoleCrashedError):
                    ports.files.write_atomically(Path("/set/other"), b"effect")
                seen.append("unwound")

        async def requestor() -> None:
            try:
                await ports.faults("requestor.seal", seal)
            finally:
                await ports.faults("coord.release_session", _nothing)
                seen.append("cleaned up")

        await asyncio.wait([asyncio.create_task(requestor())], timeout=60)
        assert not ports.files.exists(Path("/set/other"))
        found = ports.files.read_bytes(Path("/set/session.json")) if ports.files.exists(Path("/set/session.json")) else None
        assert found == content
        return seen

    assert visit(f"set.rename {effect}", main) == ["unwound"]


def test_a_role_that_dies_in_a_plain_call_leaves_its_caller_with_a_broken_connection() -> None:
    async def main(ports: Ports) -> None:
        async def work() -> None:
            ports.io_faults("set.write", 1, path="/a", name="a")

        with pytest.raises(WriterError, match="it died"):
            await ports.faults("writer.post_restore", work, writer="A")
        with pytest.raises(WriterError, match="it died"):
            await ports.faults("writer.abort", work, writer="A")

    visit("set.write crash", main)


def test_a_hosts_crash_can_come_with_a_plain_call() -> None:
    async def main(ports: Ports) -> list[str]:
        seen: list[str] = []

        async def work() -> None:
            ports.io_faults("set.write", 1, path="/a", name="a")
            seen.append("never")

        task = asyncio.create_task(ports.faults("requestor.seal", work))
        await asyncio.wait([task], timeout=5)
        return seen

    assert visit("service.requestor when=name:a crash", main) == []
