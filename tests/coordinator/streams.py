"""What tests of whole event streams share: a story on a machine of stubs, told line by line with its instants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from vss.coordinator import Limits
from vss.events import Event
from vss.ports import NANOSECONDS, Ports
from vss.roles.provider import Provider
from vss.roles.writer import Writer
from vss.simulation import FaultPlan, run
from vss.testing import Scene, StubVolume

TEXT_MAX = 30
FOR_PEOPLE = ("message", "severity")


def stream(
    story: Callable[[Scene], Awaitable[Any]],
    *,
    writers: Sequence[Writer] | None = None,
    providers: Sequence[Provider] | None = None,
    volumes: Sequence[str] = ("D:",),
    limits: Limits | None = None,
    faults: str = "",
) -> list[str]:
    """Run ``story``; return every event of it as ``seconds Name field=value …``. Fields that say nothing, or are for
    people, are left out, long texts are cut, and each id is the number of its first appearance."""
    lines: list[str] = []
    names: dict[str, str] = {}
    worlds: list[Ports] = []

    def tell(event: Event) -> None:
        seconds = worlds[0].clock.now_ns() / NANOSECONDS if worlds else 0.0
        fields = [
            f"{name}={named(name, value)}"
            for name, value in msgspec.structs.asdict(event).items()
            if name not in FOR_PEOPLE and (value not in ("", 0, ()) or name.endswith("_ns"))
        ]
        lines.append(" ".join([f"{seconds:g}", type(event).__name__, *fields]))

    def named(name: str, value: Any) -> Any:
        if name.endswith("_id") and isinstance(value, str):
            return names.setdefault(value, f"#{len(names) + 1}")
        if name.endswith("_ns"):
            return "none" if value == -1 else f"{value / NANOSECONDS:g}s"
        is_long = isinstance(value, str) and len(value) > TEXT_MAX
        return f"{value[:TEXT_MAX]}…" if is_long else value

    async def main(ports: Ports) -> None:
        worlds.append(ports)
        calls: list[str] = []
        stubs = [StubVolume(ports, name, calls) for name in volumes]
        scene = await Scene.build(ports, writers=writers, providers=providers, volumes=stubs, calls=calls, limits=limits)
        await story(scene)
        scene.assert_nothing_left()
        await scene.coordinator.close()

    run(main, emit=tell, faults=FaultPlan.parse(faults) if faults else None)
    return lines
