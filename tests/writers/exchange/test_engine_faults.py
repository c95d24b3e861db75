"""Faults planted at the engine's sites: the store goes down or refuses, says so, and has everything acknowledged afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.kit import run
from vss.events import ApplicationLogged, FaultFired
from vss.exit_codes import ExitCode
from vss_writers.ese.errors import JetCode
from vss_writers.exchange.storage_group import StoreError


async def deliver_until_down(bench: Any) -> tuple[list[bytes], StoreError]:
    """Deliver until the store fails; return what was acknowledged, and what it failed with."""
    acknowledged: list[bytes] = []
    for number in range(400):
        text = f"message {number} " + "x" * 900
        try:
            await bench.deliver(text)
        except StoreError as error:
            return acknowledged, error
        acknowledged.append(text.encode())
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("fault log.write when=gen:3,writer:SG1 times=1 fail code=EIO", JetCode.LogWriteFail),
        ("fault log.write when=file:*E00.log,nth:120 times=1 fail code=ENOSPC", JetCode.LogDiskFull),
        ("fault log.rotate when=gen:2 times=1 fail code=EACCES", JetCode.LogWriteFail),
    ],
)
def test_a_log_that_fails_takes_the_store_down_and_nothing_acknowledged_is_lost(kit: Any, fault: str, code: JetCode) -> None:
    async def script(bench: Any) -> None:
        acknowledged, error = await deliver_until_down(bench)
        assert error.code is code
        assert not bench.group.is_mounted
        fired = bench.events(FaultFired)[0]
        assert "writer=SG1" in fired.selectors
        await bench.group.mount()
        found = [each.content for each in await bench.messages()]
        assert found[: len(acknowledged)] == acknowledged
        assert len(found) <= len(acknowledged) + 1

    kit.play(script, faults=[fault])


def test_a_checkpoint_that_cannot_be_written_is_reported_and_harms_nobody(kit: Any) -> None:
    async def script(bench: Any) -> None:
        for number in range(200):
            await bench.deliver(f"message {number} " + "x" * 900)
        assert bench.group.is_mounted
        assert bench.events(FaultFired)
        assert 482 in bench.logged("ESE")
        assert len(await bench.messages()) == 200

    kit.play(script, faults=["fault checkpoint.write when=writer:SG1,nth:5 times=1 fail code=EIO"])


def test_a_log_that_cannot_be_deleted_fails_the_backup_and_the_next_one_deletes_it(kit: Any) -> None:
    async def script(bench: Any) -> None:
        for number in range(200):
            await bench.deliver(f"message {number} " + "x" * 900)
        before = await bench.generations()
        failed = await bench.back_up()
        assert failed.exit_code is not ExitCode.OK
        assert await bench.generations() == [*before, before[-1] + 1]
        await bench.back_up()
        assert (await bench.generations())[0] > before[0]

    kit.play(script, faults=["fault log.delete when=gen:1 times=1 fail code=EBUSY"])


@pytest.mark.parametrize("site", ["log.write", "volume.write when=volume:L:"])
def test_a_log_whose_write_is_cut_off_takes_the_group_down_whoever_wrote(site: str) -> None:
    """Nobody of the store's is there to see it: the write is the freeze's. What reached the disk is not built upon."""
    outcome = run(
        'title = "x"\n[lab]\ntemplate = "mail"\n'
        '[[method]]\ndo = "backup"\nname = "b"\nunder_load = true\n'
        '[[method]]\ndo = "start_service"\nwriter = "SG1"\n'
        '[[method]]\ndo = "check"\n[[method]]\ndo = "backup"\nname = "fresh"\n'
        '[[expect]]\nstep = "b"\nexit_code = 5\n'
        f'[[faults]]\nduring = "b"\nfault = "{site} when=nth:1 cancel"\n'
    )

    assert outcome.shortfalls == ()
    logged = [each.event.event_id for each in outcome.records if isinstance(each.event, ApplicationLogged)]
    assert logged.index(492) < logged.index(9518)
