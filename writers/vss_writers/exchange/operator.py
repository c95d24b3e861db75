"""What an administrator of the store does by hand: mount, dismount, allow a restore over a database, change circular logging.

A changed setting lasts until the machine is switched off, as the configuration of the lab is not rewritten; like the real
store's it takes effect when the group is mounted the next time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from vss.errors import ConfigurationError, NotFoundError
from vss.nearest import nearest
from vss_writers.exchange.storage_group import StorageGroup

Action = Callable[[StorageGroup, bool], Awaitable[None]]


async def _mount(group: StorageGroup, flag: bool) -> None:
    await group.mount()


async def _dismount(group: StorageGroup, can_be_overwritten: bool) -> None:
    await group.keep_dismounted(can_be_overwritten=can_be_overwritten)


async def _allow_overwriting(group: StorageGroup, flag: bool) -> None:
    await group.allow_overwriting()


async def _set_circular(group: StorageGroup, on: bool) -> None:
    group.options = msgspec.structs.replace(group.options, circular=on)


async def _crash(group: StorageGroup, flag: bool) -> None:
    group.take_down("the store's process died")


ACTIONS: Mapping[str, tuple[Action, str]] = {
    "mount": (_mount, ""),
    "dismount": (_dismount, "can_be_overwritten"),
    "allow_overwriting": (_allow_overwriting, ""),
    "set_circular": (_set_circular, "on"),
    "crash": (_crash, ""),
}
"""Every action, and the option that it takes, which is true or false."""


async def operate(group: StorageGroup, action: str, options: Mapping[str, Any]) -> None:
    """Do what an administrator can do with a storage group.

    Raises:
        NotFoundError: there is no such action.
        ConfigurationError: the action takes no such option, or not such a value.
        StoreError: the group cannot be mounted.
    """
    if action not in ACTIONS:
        raise NotFoundError(f"a storage group has no action '{action}': found {', '.join(ACTIONS)}{nearest(action, ACTIONS)}")
    work, known = ACTIONS[action]
    for key, value in options.items():
        if key != known or not isinstance(value, bool):
            raise ConfigurationError(
                f"action '{action}': expected {known + ' = true or false' if known else 'no options'}, found {key} = {value!r}"
            )
    await work(group, bool(options.get(known, False)))
