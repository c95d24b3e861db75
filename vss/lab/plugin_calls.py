"""What the lab asks of plugins outside a session, where no coordinator turns their exceptions into outcomes.

Invariant: an exception of a plugin that is no ``VssError`` becomes a ``PluginError`` that says whose it was.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from vss.errors import PluginError, VssError
from vss.roles.provider import Provider
from vss.volumes import BlockVolume


@contextmanager
def asked_for_by(key: str) -> Iterator[None]:
    """Have an error say which key of ``lab.toml`` it comes from."""
    try:
        yield
    except VssError as error:
        error.add_note(f"asked for by {key} in lab.toml")
        raise


@asynccontextmanager
async def plugin_call(what: str) -> AsyncIterator[None]:
    """What a plugin raises against the rules becomes a ``PluginError`` that names it."""
    try:
        yield
    except VssError:
        raise
    except Exception as error:
        raise PluginError(f"{what} failed: {type(error).__name__}: {error}") from error


async def failure_of(what: str, step: Callable[[], Awaitable[object]]) -> VssError | None:
    """Do one step of shutting down; return what went wrong."""
    try:
        async with plugin_call(f"shutting down: {what}"):
            await step()
    except VssError as error:  # shutting down goes on, and raises its first failure at the end
        return error
    return None


def before_mount(provider: Provider, volume: BlockVolume) -> None:
    """Let ``provider`` bring to its end what keeps ``volume`` from being mounted."""
    try:
        provider.before_mount(volume)
    except VssError:
        raise
    except Exception as error:
        raise PluginError(
            f"provider '{provider.name}' before volume {volume.name} is mounted failed: {type(error).__name__}: {error}"
        ) from error


async def attach(provider: Provider, volume: BlockVolume) -> None:
    """Let ``provider`` take up ``volume``."""
    async with plugin_call(f"provider '{provider.name}' at volume {volume.name}"):
        await provider.attach(volume)


async def close_volume(volume: BlockVolume) -> None:
    """Bring everything to the disk and let go of it; a step of shutting down like the others."""
    volume.close()
