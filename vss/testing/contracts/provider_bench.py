"""The machine on which a provider is judged: block volumes over stores with faults, and a plain record of what they held.

One bench is one simulated world. ``ask`` calls a method of the provider and judges how it fails; ``freeze_point`` remembers the
files of every volume, which is what the shadow copies of a set must show for ever.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from vss.errors import VolumeError, VssError, WindowError
from vss.hresult import PROVIDER_FAILURES
from vss.ids import Guid
from vss.ports import Ports
from vss.roles.provider import Provider, SnapshotProperties
from vss.roles.volume import FileSystem
from vss.testing.contracts.verdict import broken, page
from vss.testing.stubs import stub_guid
from vss.volumes import BlockVolume, FaultyStore, MemoryStore

if TYPE_CHECKING:
    from vss.testing.contracts.provider_base import ProviderChecks

PHASES = ("end_prepare", "pre_commit", "commit", "post_commit", "pre_final_commit", "post_final_commit")
"""The calls of a set after its Begins, in order, without the ending ``_snapshots``."""

CODES = page("Error handling in shadow copy providers")
CREATION = page("Shadow copy creation for providers")
_HOLD_S = 10.0
_LIMIT_S = 3600.0
_LONGEST = 40_000

Tree = dict[str, bytes]


@dataclass
class MadeSet:
    """A set in the making or made. ``frozen`` is filled at commit: the files of each volume, by volume name."""

    set_id: Guid
    ids: dict[str, Guid]
    attributes: int
    frozen: dict[str, Tree] = field(default_factory=dict)


def is_legal_failure(error: BaseException) -> bool:
    """Whether a provider may raise this: an error of the framework with a code of ``PROVIDER_FAILURES``."""
    return isinstance(error, VssError) and error.hresult in PROVIDER_FAILURES


class ProviderBench:
    """See the module. Made and booted by ``ProviderChecks.play``."""

    def __init__(self, checks: ProviderChecks, ports: Ports, names: Sequence[str], *, records_writes: bool) -> None:
        """Make the volumes; nothing is attached yet."""
        self.checks = checks
        self.ports = ports
        self.random: random.Random = ports.random.stream("contract")
        self.stores = [
            FaultyStore(MemoryStore(checks.volume_size_bytes, name=name), records_writes=records_writes) for name in names
        ]
        self.volumes = [
            BlockVolume.format(ports, name, store, volume_id=stub_guid(f"volume {name}"), size_bytes=checks.volume_size_bytes)
            for name, store in zip(names, self.stores, strict=True)
        ]
        self._count = 0

    async def boot(self) -> None:
        """Make the provider, attach the volumes, put some files on them."""
        provider: object = self.checks.make_provider(self.ports)
        if not isinstance(provider, Provider):
            broken(
                f"make_provider returned {provider!r:.60}",
                expected="an instance of vss.Provider",
                found=type(provider).__name__,
                mend="derive the class from vss.Provider and return an instance",
                source="vss.roles.provider",
            )
        self.provider: Provider = provider
        for volume in self.volumes:
            await self.provider.attach(volume)
            await volume.files.make_directory("/data")
            await self.scribble(volume, 6)

    async def restart(self) -> None:
        """The machine starts again from what is on its stores, with a fresh provider."""
        self.provider = self.checks.make_provider(self.ports)
        self.volumes = [
            BlockVolume.mount(self.ports, volume.name, store) for volume, store in zip(self.volumes, self.stores, strict=True)
        ]
        for volume in self.volumes:
            await self.provider.attach(volume)

    @property
    def name(self) -> str:
        """How messages call the provider."""
        return f"provider '{self.provider.name}'"

    # -- calls -----------------------------------------------------------------------------------------------------------------

    async def ask(self, method: str, *arguments: Any, when: str = "") -> BaseException | None:
        """Call a method; return its refusal, None where it succeeded. Fails where it hangs or raises what it may not."""
        return (await self._answer(method, arguments, when))[1]

    async def fetch(self, method: str, *arguments: Any, when: str = "") -> Any:
        """Call a method that nothing disturbs and return its result; fails where it refuses."""
        result, refusal = await self._answer(method, arguments, when)
        if refusal is not None:
            self._refuse_refusal(method, refusal, when)
        return result

    async def _answer(self, method: str, arguments: tuple[Any, ...], when: str) -> tuple[Any, BaseException | None]:
        try:
            async with asyncio.timeout(_LIMIT_S):
                return await getattr(self.provider, method)(*arguments), None
        except TimeoutError:
            broken(
                f"{self.name} does not come back from {method}{when and f' ({when})'}",
                expected="an answer",
                found=f"none after {_LIMIT_S:g} s",
                mend="give every wait a limit; nothing may wait for a later call of the same set",
                source=CREATION,
            )
        except Exception as error:  # noqa: BLE001 - any exception of a plugin is what is judged here
            if not is_legal_failure(error):
                self.refuse_code(method, error, when)
            return None, error

    def refuse_code(self, method: str, error: BaseException, when: str) -> None:
        """Fail: an error that no provider may raise."""
        code = f", {error.hresult.name}" if isinstance(error, VssError) else ""
        broken(
            f"{self.name} raises {type(error).__name__} from {method}{when and f' ({when})'}",
            expected="an error of vss.errors with a code of vss.hresult.PROVIDER_FAILURES",
            found=f"{error!r}{code}; the requestor would read VSS_E_UNEXPECTED_PROVIDER_ERROR",
            mend="catch it and raise ProviderVetoError, InsufficientStorageError or VolumeNotSupportedError from it",
            source=CODES,
        )

    async def demand(self, method: str, *arguments: Any, when: str = "") -> None:
        """Call a method and fail where it refuses, as in a set that nothing disturbs."""
        await self.fetch(method, *arguments, when=when)

    def _refuse_refusal(self, method: str, refusal: BaseException, when: str) -> None:
        broken(
            f"{self.name} refuses {method}{when and f' ({when})'}",
            expected="success: nothing disturbs this call",
            found=repr(refusal),
            mend="see the order of calls in vss.roles.provider; where the machine lacks something, give it in make_provider",
            source=CREATION,
        )

    async def begin(self, attributes: int, *, when: str = "") -> MadeSet:
        """Begin a set of every volume."""
        self._count += 1
        base = self._count << 16
        made = MadeSet(Guid(int=base), {}, attributes)
        for index, volume in enumerate(self.volumes):
            made.ids[volume.name] = Guid(int=base + index + 1)
            await self.demand("begin_prepare_snapshot", made.set_id, made.ids[volume.name], volume, attributes, when=when)
        return made

    async def step(self, made: MadeSet, phase: str) -> BaseException | None:
        """Do one phase of a set; commit is done with the writes of every volume held. Returns the refusal."""
        extra = (len(self.volumes),) if phase == "post_commit" else ()
        if phase != "commit":
            return await self.ask(f"{phase}_snapshots", made.set_id, *extra)
        try:
            for volume in self.volumes:
                await volume.flush_and_hold(_HOLD_S)
            made.frozen = await self.freeze_point()
            return await self.ask("commit_snapshots", made.set_id)
        finally:
            for volume in self.volumes:
                try:
                    await volume.release_writes()
                except WindowError:
                    self._refuse_late_commit()

    def _refuse_late_commit(self) -> None:
        broken(
            f"{self.name} takes longer to commit than the volumes hold their writes",
            expected=f"well under {_HOLD_S:g} s, and no write to a held volume, which would wait for the end of the hold",
            found=f"the volume let its writes go after {_HOLD_S:g} s",
            mend="do slow work in end_prepare_snapshots, and write below the gate (BlockVolume.raw_store) if at all",
            source=page("IVssProviderCreateSnapshotSet::CommitSnapshots"),
        )

    async def demand_steps(self, made: MadeSet, *phases: str, when: str = "") -> None:
        """Do phases and fail at the first that is refused."""
        for phase in phases:
            refusal = await self.step(made, phase)
            if refusal is not None:
                broken(
                    f"{self.name} refuses {phase}_snapshots{when and f' ({when})'}",
                    expected="success: the set is in order",
                    found=repr(refusal),
                    mend="see the order of calls in vss.roles.provider",
                    source=CREATION,
                )

    async def make(self, attributes: int | None = None, *, when: str = "") -> MadeSet:
        """Make a whole set of every volume."""
        made = await self.begin(self.checks.volatile_attributes if attributes is None else attributes, when=when)
        await self.demand_steps(made, *PHASES, when=when)
        return made

    # -- what is there ---------------------------------------------------------------------------------------------------------

    async def listed(self) -> dict[Guid, SnapshotProperties]:
        """Return what Query shows, by shadow copy id."""
        return {each.snapshot_id: each for each in await self.fetch("query")}

    async def freeze_point(self) -> dict[str, Tree]:
        """Return the files of every volume."""
        return {volume.name: await tree(volume.files) for volume in self.volumes}

    async def demand_whole(self, made: MadeSet, when: str) -> None:
        """Fail unless every shadow copy of the set is listed and shows the files of its point in time."""
        listed = await self.listed()
        for volume, snapshot_id in made.ids.items():
            if snapshot_id not in listed:
                broken(
                    f"{self.name} does not list a finished shadow copy ({when})",
                    expected=f"the shadow copy of {volume} in the answer to Query",
                    found=f"{len(listed)} others",
                    mend="keep a set from its final commit until it is deleted",
                    source=page("IVssSoftwareSnapshotProvider::Query"),
                )
            try:
                found = await self.read(snapshot_id)
            except VolumeError as error:
                self._refuse_unreadable(volume, error, when)
            self.compare(made, volume, found, when)

    def _refuse_unreadable(self, volume: str, error: VolumeError, when: str) -> NoReturn:
        broken(
            f"{self.name}: the shadow copy of {volume} cannot be read ({when})",
            expected="the files as they were at commit",
            found=repr(error),
            mend="keep every block that the copy needs, or take the copy off the list when that fails",
            source=page("Required behaviors for shadow copy providers"),
        )

    async def read(self, snapshot_id: Guid) -> Tree:
        """Return the files of a shadow copy."""
        return await tree(await self.open(snapshot_id))

    async def open(self, snapshot_id: Guid) -> FileSystem:
        """Return the file system of a shadow copy that must be there."""
        files: FileSystem = await self.fetch("open_snapshot", snapshot_id)
        return files

    def compare(self, made: MadeSet, volume: str, found: Tree, when: str) -> None:
        """Fail where a shadow copy shows anything but its point in time."""
        frozen = made.frozen[volume]
        if found == frozen:
            return
        wrong = sorted(path for path in frozen.keys() | found.keys() if frozen.get(path) != found.get(path))
        path = wrong[0]
        broken(
            f"{self.name}: the shadow copy of {volume} is not its point in time ({when})",
            expected=f"the files as they were at commit: {path} {_told(frozen.get(path))}",
            found=f"{len(wrong)} files differ: {path} {_told(found.get(path))}",
            mend="fix the content in commit_snapshots, and save every block before it is overwritten from then on",
            source=page("IVssProviderCreateSnapshotSet::CommitSnapshots"),
        )

    async def demand_gone_or_whole(self, made: MadeSet, when: str) -> bool:
        """Fail where a part of a set is listed; return whether all of it is."""
        listed = await self.listed()
        there = [volume for volume, snapshot_id in made.ids.items() if snapshot_id in listed]
        if there and len(there) < len(made.ids):
            broken(
                f"{self.name} keeps a part of a set ({when})",
                expected="all shadow copies of a set, or none",
                found=f"those of {', '.join(there)} of {', '.join(made.ids)}",
                mend="undo every member of the set when one fails, and in abort_snapshots",
                source=page("State transitions in shadow copy providers"),
            )
        return bool(there)

    async def demand_gone(self, made: MadeSet, when: str) -> None:
        """Fail where anything of a set is listed or can be opened."""
        listed = await self.listed()
        for volume, snapshot_id in made.ids.items():
            if snapshot_id in listed or await self._opens(snapshot_id):
                broken(
                    f"{self.name} keeps the shadow copy of {volume} ({when})",
                    expected="no trace of it in Query, and NotFoundError when it is opened",
                    found="it is still there",
                    mend="undo everything of the set in abort_snapshots, whatever was reached",
                    source=page("IVssProviderCreateSnapshotSet::AbortSnapshots"),
                )

    async def _opens(self, snapshot_id: Guid) -> bool:
        return await self.ask("open_snapshot", snapshot_id) is None

    async def demand_usable(self, after: str) -> None:
        """Fail unless the next set is made in full, and its originals are not changed by that."""
        before = await self.freeze_point()
        made = await self.make(when=f"the next set after {after}")
        await self.demand_whole(made, f"the next set after {after}")
        if await self.freeze_point() != before:
            self.refuse_change(f"making a set after {after}")
        await self.demand("delete_snapshot", made.ids[self.volumes[0].name], when=f"after {after}")

    def refuse_change(self, by: str) -> None:
        """Fail: an original volume was changed."""
        broken(
            f"{self.name} changes the original volume ({by})",
            expected="the files of the original as they were",
            found="other files or bytes",
            mend="write to the copy or to the space of the provider only",
            source=page("Required behaviors for shadow copy providers"),
        )

    # -- writing ---------------------------------------------------------------------------------------------------------------

    async def scribble(self, volume: BlockVolume, count: int) -> None:
        """Change files at random: make, overwrite, append, cut, rename, remove."""
        for _ in range(count):
            await self._scribble_once(volume)

    async def _scribble_once(self, volume: BlockVolume) -> None:
        draw = self.random
        path = f"/data/{draw.randrange(8)}"
        exists = await volume.files.exists(path)
        act = draw.choice(["write", "write", "write", "append", "cut", "rename", "remove"]) if exists else "write"
        if act == "rename":
            await volume.files.rename(path, f"/data/{draw.randrange(8)}x")
            return
        if act == "remove":
            await volume.files.remove(path)
            return
        handle = await volume.files.open(path, write=True, create=True)
        try:
            size = handle.size_bytes
            if act == "cut":
                await handle.truncate(draw.randrange(size + 1))
            else:
                offset = size if act == "append" else draw.randrange(size + 1)
                await handle.pwrite(offset, draw.randbytes(draw.choice([1, 500, 4096, 16384, _LONGEST])))
        finally:
            await handle.close()

    async def scribble_everywhere(self, count: int = 12) -> None:
        """Change files on every volume."""
        for volume in self.volumes:
            await self.scribble(volume, count)


async def tree(files: FileSystem) -> Tree:
    """Return every file of a file system with its bytes."""
    found: Tree = {}
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if (await files.stat(path)).is_directory:
            waiting.extend(f"{path.rstrip('/')}/{name}" for name in await files.list_directory(path))
            continue
        handle = await files.open(path)
        try:
            found[path] = await handle.pread(0, handle.size_bytes)
        finally:
            await handle.close()
    return found


def _told(data: bytes | None) -> str:
    return "is not there" if data is None else f"has {len(data)} bytes"
