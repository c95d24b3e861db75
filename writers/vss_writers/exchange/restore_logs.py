"""Restoring under newer logs: the group's own logs step aside before files come back, and stand over them afterwards.

A requestor copies the set's files to their places. The set's current log and checkpoint would overwrite newer ones and lose
what was acknowledged since the backup, so the writer moves its own out of the way first. Every step is a rename and may be
repeated: after a crash in the middle ``put_logs_back`` finishes the work at the next mount.
"""

from __future__ import annotations

import re

from vss.roles.volume import FileSystem

ASIDE = "_existingLogs"


def _is_log_file(name: str, base_name: str) -> bool:
    pattern = rf"{re.escape(base_name)}([0-9A-F]{{8}}|tmp)?\.log|{re.escape(base_name)}\.chk"
    return re.fullmatch(pattern, name, re.IGNORECASE) is not None


async def set_logs_aside(files: FileSystem, log_directory: str, base_name: str) -> int:
    """Move logs and checkpoint into the folder beside them; return how many files moved."""
    if not await files.exists(log_directory):
        return 0
    names = [each for each in await files.list_directory(log_directory) if _is_log_file(each, base_name)]
    aside = f"{log_directory}\\{ASIDE}"
    await files.make_directory(aside)
    for name in names:
        await files.rename(f"{log_directory}\\{name}", f"{aside}\\{name}")
    await files.sync()
    return len(names)


async def put_logs_back(files: FileSystem, log_directory: str, base_name: str) -> int:
    """Put the group's own logs over the restored ones; return how many files moved. Harmless when none are aside.

    When the group has a current log of its own, the restored current log and checkpoint belong to an older moment and go.
    """
    aside = f"{log_directory}\\{ASIDE}"
    if not await files.exists(aside):
        return 0
    names = await files.list_directory(aside)
    if f"{base_name}.log".lower() in [each.lower() for each in names]:
        for stale in (f"{base_name}.log", f"{base_name}tmp.log", f"{base_name}.chk"):
            if await files.exists(f"{log_directory}\\{stale}"):
                await files.remove(f"{log_directory}\\{stale}")
    for name in names:
        await files.rename(f"{aside}\\{name}", f"{log_directory}\\{name}")
    await files.remove(aside)
    await files.sync()
    return len(names)
