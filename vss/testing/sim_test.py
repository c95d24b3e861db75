"""``vss_sim_test``: an async test as a plain one, run in simulated worlds, one per seed; no async plugin is involved.

The test asks for ``ports`` and ``scene`` as any story does; its other parameters are left to pytest (fixtures, parameters) or
Hypothesis. The first seed that fails ends the test, with a note that says which it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from vss.simulation import Order
from vss.testing.run_log import RUN_LOG
from vss.testing.simulated import _GIVEN, Faults, Simulator

AsyncTest = Callable[..., Awaitable[None]]


def vss_sim_test(
    test: AsyncTest | None = None,
    *,
    seeds: int | Iterable[int] = 1,
    order: Order | str = Order.FIFO,
    faults: Faults = (),
    check_invariants: bool = True,
) -> Any:
    """Turn an async test into a sync one that runs it in a fresh world per seed.

    Args:
        test: the async test; the decorator may be used with or without brackets.
        seeds: how many (from the session's seed on), or which. A seed chosen by ``--vss-seed`` is the only one run.
        order: ``fifo``, ``jitter`` or ``any``.
        faults: what goes wrong in every run.
        check_invariants: whether a broken invariant fails the test.
    """

    def decorate(function: AsyncTest) -> Callable[..., None]:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"vss_sim_test is for async tests: {function.__qualname__} is not an async function")
        signature = inspect.signature(function)

        def run_in_worlds(*arguments: Any, **named: Any) -> None:
            for seed in _seeds(seeds):
                story = _story(function, signature, arguments, named)
                run = Simulator().run(story, seed=seed, order=order, faults=faults, check_invariants=check_invariants)
                if run.error is not None:
                    run.error.add_note(f"in the simulated world of seed {seed}")
                    raise run.error

        run_in_worlds.__name__, run_in_worlds.__qualname__ = function.__name__, function.__qualname__
        run_in_worlds.__module__, run_in_worlds.__doc__ = function.__module__, function.__doc__
        run_in_worlds.__dict__.update(function.__dict__)  # marks that stand below the decorator
        left = [each for name, each in signature.parameters.items() if name not in _GIVEN]
        run_in_worlds.__signature__ = signature.replace(parameters=left)  # type: ignore[attr-defined]
        return run_in_worlds

    return decorate if test is None else decorate(test)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    if RUN_LOG.is_seed_chosen:
        return [RUN_LOG.seed]
    return list(range(RUN_LOG.seed, RUN_LOG.seed + seeds)) if isinstance(seeds, int) else list(seeds)


def _story(function: AsyncTest, signature: inspect.Signature, arguments: tuple[Any, ...], named: dict[str, Any]) -> AsyncTest:
    """Return the test with everything but the world's gifts filled in, asking for just these."""
    wanted = [name for name in signature.parameters if name in _GIVEN]

    async def story(**given: Any) -> None:
        bound = signature.replace(parameters=[p for n, p in signature.parameters.items() if n not in _GIVEN]).bind(
            *arguments, **named
        )
        await function(**dict(bound.arguments), **given)

    story.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in wanted]
    )
    return story
