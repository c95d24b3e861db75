"""Where injected faults strike the coordinator itself: between being asked and doing, at every step of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from vss.ports import Ports, no_faults

P = ParamSpec("P")
T = TypeVar("T")


class InWorld(Protocol):
    """What a method needs of its object to pass a fault site."""

    @property
    def _ports(self) -> Ports: ...


S = TypeVar("S", bound=InWorld)
Method = Callable[Concatenate[S, P], Coroutine[Any, Any, T]]


def passes(site: str, *, tells: str = "") -> Callable[[Method[S, P, T]], Method[S, P, T]]:
    """Let every call of a method pass the fault site ``site``; without faults it costs one comparison.

    ``tells`` is the selector under which the site tells the method's first argument.
    """

    def decorate(method: Method[S, P, T]) -> Method[S, P, T]:
        @wraps(method)
        async def pass_site(self: S, /, *args: P.args, **options: P.kwargs) -> T:
            if self._ports.faults is no_faults:
                return await method(self, *args, **options)
            told = {tells: str(args[0])} if tells and args else {}
            result: T = await self._ports.faults(site, lambda: method(self, *args, **options), **told)
            return result

        return pass_site

    return decorate
