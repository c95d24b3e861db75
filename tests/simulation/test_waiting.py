"""Await chains name coroutines, generators and what they wait for, without addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

from vss.ports import Ports
from vss.simulation import run
from vss.simulation.waiting import await_chain, waiting_report


class _Wrapped:
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def __await__(self) -> Generator[Any, None, Any]:
        return self._event.wait().__await__()


class _Awaiting:
    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def __await__(self) -> Generator[Any, None, Any]:
        yield from self._event.wait().__await__()


async def _generated(event: asyncio.Event) -> AsyncGenerator[int, None]:
    await event.wait()
    yield 1


async def _consume(event: asyncio.Event) -> None:
    async for _ in _generated(event):
        pass


async def _await(awaitable: Any) -> None:
    await awaitable


async def _endless(depth: int, event: asyncio.Event) -> None:
    if depth:
        await _endless(depth - 1, event)
    await event.wait()


def test_chains_go_through_every_kind_of_awaitable() -> None:
    async def main(ports: Ports) -> str:
        event = asyncio.Event()
        tasks = [
            asyncio.create_task(_await(_Wrapped(event)), name="wrapped"),
            asyncio.create_task(_await(_Awaiting(event)), name="awaiting"),
            asyncio.create_task(_consume(event), name="generator"),
            asyncio.create_task(_endless(100, event), name="deep"),
        ]
        await ports.clock.sleep(1)
        tasks.append(asyncio.create_task(_await(tasks[0]), name="unstarted"))
        text = waiting_report(tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return text + "\n" + await_chain(tasks[0])

    lines = [line.strip() for line in run(main).splitlines()]
    digits = [line.translate(str.maketrans("", "", "0123456789")) for line in lines]
    assert digits[0] == "wrapped: _await: > Event.wait: > future"
    assert digits[1] == "awaiting: _await: > _Awaiting.__await__: > Event.wait: > future"
    assert digits[2] == "generator: _consume: > _generated: > Event.wait: > future"
    assert lines[3].count(">") == 50
    assert digits[4] == "unstarted: _await:"
    assert lines[5] == "wrapped: _await"
