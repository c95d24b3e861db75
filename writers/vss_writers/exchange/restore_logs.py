"""Restoring under newer logs: the group's own logs step aside before files come back, and come together with them afterwards.

A requestor copies the set's files to their places. The set's current log and checkpoint would replace newer ones and lose what
was acknowledged since the backup, so the writer moves its own out of the way first. ``put_logs_back`` then takes of every
generation the own or the restored file, which are equal, and as current log the newest one. Own logs that cannot follow on the
restored ones (another stream, or one that went on from an older restore) are not mixed with them but kept in a folder of their
own. A gap between the two is left for recovery to refuse: another set may close it.

Every step is a rename, in an order in which each beginning of the work leads to the same decision again: after a crash in the
middle, or before the next set of a chain, ``put_logs_back`` finishes it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from vss.roles.volume import FileSystem
from vss_writers.ese.errors import JetError
from vss_writers.ese.log_file import LogHeader, checkpoint_name, current_log_name, temporary_log_name
from vss_writers.ese.log_profile import generation_of
from vss_writers.ese.log_reader import read_log_header

ASIDE = "_existingLogs"
UNUSED = "_unusedLogs"


@dataclass(frozen=True, slots=True)
class _LogFolder:
    """The log files in one directory: closed ones by generation, the current one, and temporary log and checkpoint."""

    directory: str
    archived: dict[int, str]
    current: str | None
    others: tuple[str, ...]

    @property
    def logs(self) -> list[str]:
        """Names of the logs, oldest generation first, the current one last."""
        last = () if self.current is None else (self.current,)
        return [*(self.archived[each] for each in sorted(self.archived)), *last]

    def path(self, name: str) -> str:
        """Machine path of a file in it."""
        return f"{self.directory}\\{name}"


async def _look(files: FileSystem, directory: str, base_name: str) -> _LogFolder:
    found = await files.list_directory(directory) if await files.exists(directory) else []
    by_name = {each.casefold(): each for each in found}
    archived = {generation: each for each in found if (generation := generation_of(base_name, each)) is not None}
    others = [by_name.get(name.casefold()) for name in (temporary_log_name(base_name), checkpoint_name(base_name))]
    return _LogFolder(
        directory,
        archived,
        by_name.get(current_log_name(base_name).casefold()),
        tuple(each for each in others if each is not None),
    )


async def set_logs_aside(files: FileSystem, log_directory: str, base_name: str) -> int:
    """Move logs and checkpoint into the folder beside them; return how many files moved. What was aside comes back first."""
    await put_logs_back(files, log_directory, base_name)
    own = await _look(files, log_directory, base_name)
    aside = f"{log_directory}\\{ASIDE}"
    names = [*own.others, *own.logs]
    if names:
        await files.make_directory(aside)
    for name in names:
        await files.rename(own.path(name), f"{aside}\\{name}")
    return len(names)


async def put_logs_back(files: FileSystem, log_directory: str, base_name: str) -> str:
    """Bring own and restored logs together; harmless when none are aside.

    Returns:
        Why the own logs are not used, or nothing.
    """
    aside = f"{log_directory}\\{ASIDE}"
    if not await files.exists(aside):
        return ""
    own = await _look(files, aside, base_name)
    restored = await _look(files, log_directory, base_name)
    own_headers, restored_headers = await _headers(files, own), await _headers(files, restored)
    reason = _why_not_used(own_headers, restored_headers)
    if reason:
        await _keep_unused(files, own, log_directory)
    else:
        is_newest = _is_own_newest(own, own_headers, restored, restored_headers)
        await _join(files, own, restored, is_own_newest=is_newest)
    if not await files.list_directory(aside):
        await files.remove(aside)
    return reason


async def _headers(files: FileSystem, folder: _LogFolder) -> dict[str, LogHeader]:
    """Return the headers by name; a log that cannot be read is recovery's business."""
    headers: dict[str, LogHeader] = {}
    for name in folder.logs:
        with suppress(JetError):
            headers[name] = await read_log_header(files, folder.path(name))
    return headers


def _why_not_used(own: dict[str, LogHeader], restored: dict[str, LogHeader]) -> str:
    """Say why own logs cannot follow on the restored ones; nothing where they can, or none was restored."""
    signatures = [each.signature for each in restored.values()]
    if signatures and any(each.signature not in signatures for each in own.values()):
        return "they belong to another log stream"
    created = {each.generation: each.created for each in restored.values()}
    for header in sorted(own.values(), key=lambda each: each.generation):
        if created.get(header.generation, header.created) != header.created:
            return f"from generation {header.generation:#x} on they come from another restore"
    return ""


def _is_own_newest(
    own: _LogFolder, own_headers: dict[str, LogHeader], restored: _LogFolder, restored_headers: dict[str, LogHeader]
) -> bool:
    """Whether the newest generation is an own one; a current log that cannot be read counts as newest, and stops recovery."""
    if not own.logs:
        return False
    if own.current is None and restored.current is None:
        return True
    if own.current is not None and own.current not in own_headers:
        return True
    newest = max((each.generation for each in own_headers.values()), default=0)
    return newest >= max((each.generation for each in restored_headers.values()), default=0)


async def _join(files: FileSystem, own: _LogFolder, restored: _LogFolder, *, is_own_newest: bool) -> None:
    """Put the own logs among the restored ones; of current log and checkpoint those of the newest generation stay."""
    if is_own_newest:
        for name in [each for each in restored.others if each not in own.others]:
            await files.remove(restored.path(name))
        if own.current is None and restored.current is not None:
            await files.remove(restored.path(restored.current))  # an own closed log has all of it
    for generation in sorted(own.archived):
        name = own.archived[generation]
        await files.rename(own.path(name), restored.path(name))
    for name in own.others:
        if is_own_newest or name not in restored.others:
            await files.rename(own.path(name), restored.path(name))
        else:
            await files.remove(own.path(name))
    if own.current is not None:
        if is_own_newest:
            await files.rename(own.path(own.current), restored.path(own.current))
        else:
            await files.remove(own.path(own.current))


async def _keep_unused(files: FileSystem, own: _LogFolder, log_directory: str) -> None:
    """Move own logs into a new folder, newest first: what is left after a crash is still seen not to belong."""
    number = 1
    while await files.exists(f"{log_directory}\\{UNUSED}{number}"):
        number += 1
    folder = f"{log_directory}\\{UNUSED}{number}"
    await files.make_directory(folder)
    for name in [*reversed(own.logs), *own.others]:
        await files.rename(own.path(name), f"{folder}\\{name}")
