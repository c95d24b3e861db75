"""What an administrator of the store does by hand: mount, dismount, allow a restore over a database, change circular logging,
back up and restore without a shadow copy, repair and defragment a database.

A changed setting lasts until the machine is switched off, as the configuration of the lab is not rewritten; like the real
store's it takes effect when the group is mounted the next time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from vss.errors import BadStateError, ConfigurationError, NotFoundError, VolumeError
from vss.nearest import nearest
from vss_writers.ese.errors import JetError
from vss_writers.ese.eseutil.rebuilding import run_defragmentation, run_repair
from vss_writers.ese.files import FileSystem
from vss_writers.ese.hard_recovery import recover_restored
from vss_writers.ese.truncation import SnapshotKind
from vss_writers.exchange.storage_group import StorageGroup, StoreError
from vss_writers.exchange.streaming import RESTORED_LOGS, back_up_streaming, restore_streaming

Options = Mapping[str, Any]
Action = Callable[[StorageGroup, Options], Awaitable[Any]]


async def _mount(group: StorageGroup, options: Options) -> None:
    await group.mount()


async def _dismount(group: StorageGroup, options: Options) -> None:
    await group.keep_dismounted(can_be_overwritten=options.get("can_be_overwritten", False))


async def _allow_overwriting(group: StorageGroup, options: Options) -> None:
    await group.allow_overwriting()


async def _set_circular(group: StorageGroup, options: Options) -> None:
    group.options = msgspec.structs.replace(group.options, circular=options.get("on", False))


async def _crash(group: StorageGroup, options: Options) -> None:
    group.take_down("the store's process died")


async def _back_up(group: StorageGroup, options: Options) -> None:
    kind = SnapshotKind.INCREMENTAL if options.get("incremental", False) else SnapshotKind.FULL
    await back_up_streaming(group, group.host.files, options.get("directory", "L:\\Streamed"), kind)


async def _restore(group: StorageGroup, options: Options) -> None:
    directory, is_last = options.get("directory", "L:\\Streamed"), options.get("is_last", True)
    await restore_streaming(group, group.host.files, directory, is_last=is_last)


async def _hard_recovery(group: StorageGroup, options: Options) -> None:
    """What ``eseutil /cc`` does: replay what a restore left waiting."""
    directory = f"{group.options.log_directory}\\{RESTORED_LOGS}"
    try:
        await recover_restored(group.host.files, directory, now=group.wall_clock)
    except JetError as error:
        raise StoreError(f"storage group '{group.name}' cannot be recovered: {error}", error.code) from error


async def _repair(group: StorageGroup, options: Options) -> None:
    """What ``eseutil /p`` does, to every database."""
    await _with_tool(group, "repaired", run_repair)


async def _defragment(group: StorageGroup, options: Options) -> None:
    """What ``eseutil /d`` does, to every database."""
    await _with_tool(group, "defragmented", run_defragmentation)


async def _with_tool(
    group: StorageGroup, done: str, tool: Callable[[FileSystem, str, Mapping[str, str]], Awaitable[Any]]
) -> None:
    """Let a tool loose on the files of a dismounted group. It changes their signatures: earlier backups do not go on."""
    if group.is_mounted:
        raise BadStateError(f"storage group '{group.name}' is mounted: dismount it before its databases are {done}")
    try:
        for name in group.options.databases:
            await tool(group.host.files, group.options.database_path(name), {})
    except (JetError, VolumeError) as error:
        code = error.code if isinstance(error, JetError) else None
        raise StoreError(f"storage group '{group.name}' cannot be {done}: {error}", code) from error


ACTIONS: Mapping[str, tuple[Action, Mapping[str, type]]] = {
    "mount": (_mount, {}),
    "dismount": (_dismount, {"can_be_overwritten": bool}),
    "allow_overwriting": (_allow_overwriting, {}),
    "set_circular": (_set_circular, {"on": bool}),
    "crash": (_crash, {}),
    "streaming_backup": (_back_up, {"directory": str, "incremental": bool}),
    "streaming_restore": (_restore, {"directory": str, "is_last": bool}),
    "hard_recovery": (_hard_recovery, {}),
    "repair": (_repair, {}),
    "defragment": (_defragment, {}),
}
"""Every action, and the options that it takes."""

_WORDS = {bool: "true or false", str: "text"}


async def operate(group: StorageGroup, action: str, options: Options) -> None:
    """Do what an administrator can do with a storage group.

    Raises:
        NotFoundError: there is no such action.
        ConfigurationError: the action takes no such option, or not such a value.
        BadStateError: the group is, or is not, mounted.
        StoreError: the engine refused or failed.
    """
    if action not in ACTIONS:
        raise NotFoundError(f"a storage group has no action '{action}': found {', '.join(ACTIONS)}{nearest(action, ACTIONS)}")
    work, known = ACTIONS[action]
    for key, value in options.items():
        if key not in known or not isinstance(value, known[key]):
            expected = ", ".join(f"{name} = {_WORDS[kind]}" for name, kind in known.items()) or "no options"
            raise ConfigurationError(f"action '{action}': expected {expected}, found {key} = {value!r}")
    await work(group, options)
