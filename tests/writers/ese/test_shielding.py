"""Cancelled callers do not stop what must not stop half-way."""

from __future__ import annotations

import asyncio

import pytest

from tests.writers.ese.store_kit import DATABASE, add, content, memory, new_store, reopen, rows
from vss_writers.ese.shielding import uninterrupted


def test_a_cancelled_caller_waits_until_the_work_is_done() -> None:
    async def main() -> list[str]:
        done: list[str] = []
        gate = asyncio.Event()

        async def work() -> str:
            await gate.wait()
            done.append("work")
            return "result"

        async def call() -> None:
            try:
                await uninterrupted(work())
            finally:
                done.append("caller")

        caller = asyncio.create_task(call())
        for _ in range(3):
            await asyncio.sleep(0)
            caller.cancel()
        await asyncio.sleep(0)
        assert done == []
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        return done

    assert asyncio.run(main()) == ["work", "caller"]


def test_an_error_of_work_whose_caller_is_gone_does_not_reach_the_loop() -> None:
    async def main() -> None:
        complaints: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        gate = asyncio.Event()

        async def work() -> None:
            await gate.wait()
            raise ValueError("late")

        caller = asyncio.create_task(uninterrupted(work()))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert complaints == []

    asyncio.run(main())


def test_work_ends_with_its_loop() -> None:
    async def main() -> None:
        task = asyncio.create_task(uninterrupted(asyncio.sleep(3600)))
        await asyncio.sleep(0)
        for other in asyncio.all_tasks() - {asyncio.current_task()}:
            other.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_results_and_errors_pass_through() -> None:
    async def fail() -> None:
        raise ValueError("seen")

    async def main() -> None:
        assert await uninterrupted(asyncio.sleep(0, "value")) == "value"
        with pytest.raises(ValueError, match="seen"):
            await uninterrupted(fail())

    asyncio.run(main())


def test_commits_cancelled_at_any_moment_leave_a_store_that_goes_on_and_recovers() -> None:
    files = memory()

    async def main() -> None:
        instance, _, table = await new_store(files)
        for steps in range(60):
            task = asyncio.create_task(add(instance, table, 1000 + steps, 1, 2500))
            for _ in range(steps % 12):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        await add(instance, table, 0, 10)
        expected = await content(table)
        assert {key: value for key, value in expected.items() if key < 1000} == rows(0, 10)
        detaching = asyncio.create_task(instance.detach_database(DATABASE))
        await asyncio.sleep(0)
        detaching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await detaching
        assert instance.databases == []
        instance.abandon()
        _, _, table = await reopen(files)
        assert await content(table) == expected

    asyncio.run(main())
