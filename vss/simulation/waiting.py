"""Who waits for what, in words: the await chain of a task without addresses, hashes or file names.

Used by the deadlock and leak reports. A chain reads from the outermost coroutine to what it finally waits for:
``writer-A: back_up:85 > Event.wait:213 > future``. Line numbers are those of the suspended frames.
"""

from __future__ import annotations

import asyncio
import gc
import types
from collections.abc import Iterable
from typing import Any

_LONGEST_CHAIN = 50

_FIELDS = (  # what is suspended, the attributes of its code, frame, and what it awaits
    (types.CoroutineType, "cr_code", "cr_frame", "cr_await"),
    (types.GeneratorType, "gi_code", "gi_frame", "gi_yieldfrom"),
    (types.AsyncGeneratorType, "ag_code", "ag_frame", "ag_await"),
)


def await_chain(task: asyncio.Task[Any]) -> str:
    """Return ``name: outer:line > inner:line > future`` for one task."""
    links: list[str] = []
    awaited: Any = task.get_coro()
    while awaited is not None and len(links) < _LONGEST_CHAIN:
        for kind, code, frame, inner in _FIELDS:
            if isinstance(awaited, kind):
                suspended = getattr(awaited, frame)
                line = f":{suspended.f_lineno}" if suspended is not None else ""
                links.append(f"{getattr(awaited, code).co_qualname}{line}")
                awaited = getattr(awaited, inner)
                break
        else:
            awaited = _unwrapped(awaited)
    target = getattr(task, "_fut_waiter", None)
    if isinstance(target, asyncio.Task):
        links.append(f"task '{target.get_name()}'")
    elif target is not None:
        links.append("future")
    return f"{task.get_name()}: {' > '.join(links)}"


def _unwrapped(awaited: object) -> object | None:
    """Return the coroutine or generator inside a wrapper of the interpreter (``anext()``, ``__await__()``), which hides it."""
    kinds = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
    return next((inner for inner in gc.get_referents(awaited) if isinstance(inner, kinds)), None)


def waiting_report(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """Return one indented line per task, in the given order."""
    return "\n".join(f"  {await_chain(task)}" for task in tasks)
