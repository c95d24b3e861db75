"""The lab: boots a machine from its configuration, runs its workloads, breaks it where asked, and shuts it down in order.

Start order: volumes, providers (which take up the shadow copies they find), writers, their applications, workloads. Stop order
is the reverse. A lab in memory and a lab on disk are the same object; only the stores under the volumes and the keeper of the
state differ. The lab is what requestors see as the machine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vss.coordinator import Coordinator, Session, SnapshotContext, limits_of_profile
from vss.errors import InvalidArgumentError, NotFoundError, VssError
from vss.events import VolumeLost, VolumeReplaced, WorkloadAcknowledged
from vss.ids import GUID_NULL, Guid
from vss.lab.application import Application
from vss.lab.configuration import LabConfiguration, settings_from
from vss.lab.deaths import Deaths
from vss.lab.hosts import LabWorkloadHost, LabWriterHost
from vss.lab.plugin_calls import asked_for_by, attach, before_mount, close_volume, failure_of, plugin_call
from vss.lab.stores import StoreKeeper
from vss.lab.suspended import resume, suspend
from vss.lab.working import Working, end_all
from vss.ports import NANOSECONDS, Ports
from vss.roles.machine_settings import MachineSettings
from vss.roles.provider import Provider
from vss.roles.verifier import Verifier
from vss.roles.volume import Volume
from vss.roles.writer import Writer
from vss.volumes import BlockVolume, VolumeNamespace, split_path

if TYPE_CHECKING:
    from vss.plugins.hosts import Workload
    from vss.plugins.registry import Registry


FOREVER_NS = 1 << 62
"""An instant that no run reaches."""

ChooseByName = Callable[[str, int], str | None]
"""A preference: from volume name and context number to a provider's registered name, or None."""


class Lab:
    """One machine. Make it with ``create`` (formats the volumes) or ``start`` (mounts them); end it with ``stop``."""

    def __init__(
        self,
        configuration: LabConfiguration,
        ports: Ports,
        registry: Registry,
        keeper: StoreKeeper,
        *,
        choose_provider: ChooseByName | None = None,
    ) -> None:
        """Prepare a machine that is switched off.

        Args:
            configuration: what the machine consists of.
            ports: the world.
            registry: where the kinds that the configuration names come from.
            keeper: where volumes and records lie.
            choose_provider: asked for the provider of each volume, by volume name and context, when the requestor named none.
        """
        self.configuration = configuration
        self.workloads: dict[str, Workload] = {}
        self._ports = ports
        self._registry = registry
        self._keeper = keeper
        self._writers: dict[str, Writer] = {}
        self._volumes: dict[str, BlockVolume] = {}
        self._namespace = VolumeNamespace([])
        self._verifiers: dict[Guid, Verifier] = {}
        self._choose_provider = choose_provider
        self._coordinator = Coordinator(
            ports,
            limits=limits_of_profile(configuration.machine.limits),
            choose_provider=None if choose_provider is None else self._preferred_provider,
            settings=settings_from(configuration),
        )
        self._is_running = False
        self._deaths = Deaths(ports, self._coordinator, self._writers)

    # -- what a requestor sees -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.configuration.machine.name

    @property
    def root(self) -> Path | None:
        """Where the lab lies on the host; None in memory."""
        return self._keeper.root

    @property
    def ports(self) -> Ports:
        """The world."""
        return self._ports

    @property
    def files(self) -> VolumeNamespace:
        """The live files of all volumes, by machine path."""
        return self._namespace

    @property
    def verifiers(self) -> Mapping[Guid, Verifier]:
        """The verifier of each writer class that has one."""
        return self._verifiers

    @property
    def settings(self) -> MachineSettings:
        """Environment variables, and files that are kept out of backups."""
        return self._coordinator.settings

    @property
    def coordinator(self) -> Coordinator:
        """The machine's coordinator."""
        return self._coordinator

    @property
    def volumes(self) -> Mapping[str, BlockVolume]:
        """The volumes by name."""
        return self._volumes

    @property
    def writers(self) -> Mapping[str, Writer]:
        """The writers by the lab's names."""
        return self._writers

    def open_session(self) -> Session:
        """Return a fresh session; the caller releases it."""
        return self._coordinator.open_session()

    def writer(self, name: str) -> Writer:
        """Return a writer by the lab's name for it; ``NotFoundError`` where there is none."""
        if name not in self._writers:
            raise NotFoundError(f"the lab has no writer '{name}': found {', '.join(self._writers) or 'none'}")
        return self._writers[name]

    # -- on and off ------------------------------------------------------------------------------------------------------------

    async def create(self) -> None:
        """Make the volumes, then boot."""
        await self._boot(is_new=True)

    async def start(self) -> None:
        """Boot from the volumes that are there; a lost one stays lost."""
        await self._boot(is_new=False)

    async def _boot(self, *, is_new: bool) -> None:
        assert not self._is_running, "a lab is started once"
        self._is_running = True
        self._deaths.begin()
        providers = self._create_providers()

        def finish(volume: BlockVolume) -> None:
            for provider in providers:
                before_mount(provider, volume)

        for table in self.configuration.volumes:
            volume = self._keeper.make(table, self._ports) if is_new else self._keeper.mount(table, self._ports, finish)
            self._volumes[volume.name] = volume
            self._coordinator.add_volume(volume)
        self._namespace = VolumeNamespace(list(self._volumes.values()))
        await self._add_providers(providers)
        self._verifiers = self._registry.create_verifiers()
        self._add_writers()
        self._deaths.own()
        for writer in self._writers.values():
            if isinstance(writer, Application):
                async with plugin_call(f"the application of writer '{writer.name}'"):
                    await writer.start()
        if not is_new:
            await resume(self, self._keeper)
        self._add_workloads(is_new=is_new)

    def _create_providers(self) -> list[Provider]:
        providers = []
        for index, table in enumerate(self.configuration.providers):
            with asked_for_by(f"providers[{index}].kind"):
                providers.append(self._registry.create_provider(table.kind, self._ports))
        return providers

    async def _add_providers(self, providers: Sequence[Provider]) -> None:
        for provider in providers:
            for volume in self._volumes.values():
                if not volume.is_lost:
                    await attach(provider, volume)
            await self._coordinator.add_provider(provider)

    def _add_writers(self) -> None:
        for index, table in enumerate(self.configuration.writers):
            host = LabWriterHost(self._ports, self._namespace, self.name, table.name, self.root)
            with asked_for_by(f"writers[{index}]"):
                writer = self._registry.create_writer(table.kind, host, table.options)
                self._coordinator.add_writer(writer)
            self._writers[table.name] = writer

    def _add_workloads(self, *, is_new: bool) -> None:
        for index, table in enumerate(self.configuration.workloads):
            host = LabWorkloadHost(self._ports, self._namespace, self.name, table.name, self.writer)
            with asked_for_by(f"workloads[{index}]"):
                workload = self._registry.create_workload(table.kind, host, table.options)
                state = None if is_new else self._keeper.read_workload(table.name)
                if state is not None:
                    workload.load_state(state)
            self.workloads[table.name] = workload  # not before its record is read: a record that is damaged stays as it is

    async def stop(self) -> None:
        """Shut down in order and keep the state. Harmless when the lab is off.

        Every part is shut down whatever happens to the others; the first failure is raised at the end, the rest are its notes.
        """
        if not self._is_running:
            return
        self._is_running = False
        steps: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        steps += [(f"workload '{name}'", each.stop) for name, each in self.workloads.items()]
        suspending = partial(suspend, self, self._keeper)
        steps += [("suspending waiting backups", suspending), ("applications that were to start", self._deaths.end)]
        applications = {name: each for name, each in self._writers.items() if isinstance(each, Application)}
        steps += [(f"the application of writer '{name}'", each.stop) for name, each in applications.items()]
        steps.append(("closing sessions and providers", self._coordinator.close))
        for volume in self._volumes.values():
            if not volume.is_lost:
                steps.append((f"volume {volume.name}", volume.files.sync))
            steps.append((f"volume {volume.name}", partial(close_volume, volume)))
        steps.append(("keeping the workloads' records", self._keep_records))
        failures = [error for error in [await failure_of(what, step) for what, step in steps] if error is not None]
        if failures:
            for other in failures[1:]:
                failures[0].add_note(f"while shutting down: {other}")
            raise failures[0]

    async def _keep_records(self) -> None:
        self._keeper.write_workloads({name: each.state() for name, each in self.workloads.items()})

    # -- life ------------------------------------------------------------------------------------------------------------------

    async def run_for(self, seconds: float) -> None:
        """Let every workload work for ``seconds``."""
        await self.run_until(self._ports.clock.now_ns() + round(seconds * NANOSECONDS))

    async def run_until(self, now_ns: int) -> None:
        """Let every workload work until the clock shows ``now_ns``, then record what each has been acknowledged."""
        working = self._start_workloads(now_ns, with_those_under_load=False)
        try:
            for each in working:
                await each.over()
        finally:
            await end_all(working)
        remaining_ns = now_ns - self._ports.clock.now_ns()
        if remaining_ns > 0:
            await self._ports.clock.sleep(remaining_ns / NANOSECONDS)
        self._tell_acknowledged()

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[None]:
        """Let the workloads work as long as the block lasts, those that only work under load too."""
        are_working = False
        working = self._start_workloads(FOREVER_NS, with_those_under_load=True)
        try:
            for each in working:
                await each.started.wait()
            are_working = True
            yield
        finally:
            try:
                if are_working:  # a workload that has not begun would not hear that it is to stop
                    for workload in self.workloads.values():
                        await workload.stop()
                    for each in working:
                        await each.over()
            finally:
                await end_all(working)
        self._tell_acknowledged()

    def _start_workloads(self, until_ns: int, *, with_those_under_load: bool) -> list[Working]:
        resting = [] if with_those_under_load else [each.name for each in self.configuration.workloads if each.only_under_load]
        return [Working(each, until_ns) for name, each in self.workloads.items() if name not in resting]

    def _tell_acknowledged(self) -> None:
        for workload in self.workloads.values():
            report = workload.report()
            self._ports.emit(
                WorkloadAcknowledged(
                    workload=workload.name,
                    operations=int(report.get("operations", 0)),
                    digest=str(report.get("digest", "")),
                )
            )

    async def check(self) -> list[str]:
        """Check what must hold at rest; return one sentence per violation.

        Nothing is held, no set is in creation, no call is pending; every workload finds what was acknowledged to it.
        """
        problems: list[str] = []
        for volume in self._volumes.values():
            if volume.is_holding:
                problems.append(f"volume {volume.name} holds writes")
            if volume.is_lost:
                problems.append(f"volume {volume.name} is lost")
        if self._coordinator.is_creating:
            problems.append("a shadow copy set is in creation")
        if self._coordinator.open_session_count:
            problems.append(f"{self._coordinator.open_session_count} sessions are open")
        if self._coordinator.caller.left_behind_count:
            problems.append(f"{self._coordinator.caller.left_behind_count} calls to plugins are still pending")
        for workload in self.workloads.values():
            try:
                problems.extend(f"{workload.name}: {each}" for each in await workload.check())
            except VssError as error:
                problems.append(f"{workload.name}: cannot be compared: {error.message}")
        return problems

    # -- disasters -------------------------------------------------------------------------------------------------------------

    def volume(self, name: str) -> BlockVolume:
        """Return a volume by name, without case; ``NotFoundError`` where there is none."""
        found = self._coordinator.volume(name)
        assert isinstance(found, BlockVolume), "labs are made of block volumes"
        return found

    async def lose_volume(self, name: str) -> None:
        """The disk under a volume is gone: every access fails from now on, shadow copies on it included."""
        volume = self.volume(name)
        volume.lose()
        self._keeper.lose(volume.name)
        self._ports.emit(VolumeLost(volume=volume.name))

    async def take_down(self, reason: str) -> None:
        """Let every application notice that its disks are gone, as it would at its next access."""
        for writer in self._writers.values():
            if isinstance(writer, Application):
                await writer.fail(reason)

    async def files_below(self, directory: str) -> AsyncIterator[str]:
        """Yield the machine paths of all files below a volume or directory, sorted."""
        for name in await self._namespace.list_directory(directory + "\\" if directory.endswith(":") else directory):
            path = f"{directory}\\{name}"
            if (await self._namespace.stat(path)).is_directory:
                async for each in self.files_below(path):
                    yield each
            else:
                yield path

    async def replace_volume(self, name: str) -> None:
        """Put a new, empty disk in the place of a lost one."""
        volume = self.volume(name)
        if not volume.is_lost:
            raise InvalidArgumentError(f"volume {volume.name} is not lost: replacing it would destroy its files")
        table = next(each for each in self.configuration.volumes if each.name.upper() == volume.name.upper())
        volume.replace_with_blank(self._keeper.blank(table))
        for provider in self._coordinator.providers:
            await attach(provider, volume)
        await self._coordinator.refresh_snapshots()
        self._ports.emit(VolumeReplaced(volume=volume.name))

    async def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        """Flip one bit on the disk under a file, past file system and shadow copies, as a bad disk does.

        Raises:
            NotFoundError: there is no such file.
            InvalidArgumentError: nothing is stored at ``offset``.
        """
        drive, inner = split_path(path)
        volume = self.volume(drive)
        await volume.files.sync()
        position = await volume.files.locate(inner, offset)
        if position is None or not 0 <= bit < 8:
            raise InvalidArgumentError(f"{path}: nothing is stored at offset {offset} bit {bit}")
        byte = volume.raw_store.read(position, 1)[0]
        volume.raw_store.write(position, bytes([byte ^ (1 << bit)]))
        volume.raw_store.flush()

    def provider_id(self, name: str) -> Guid:
        """Return the id of the provider with this name or registered kind; GUID_NULL for an empty name.

        Raises:
            NotFoundError: the machine has no such provider.
        """
        if not name:
            return GUID_NULL
        kinds = [each.kind for each in self.configuration.providers]
        for kind, provider in zip(kinds, self._coordinator.providers, strict=True):
            if name.lower() in (kind.lower(), provider.name.lower(), str(provider.provider_id)):
                return provider.provider_id
        raise NotFoundError(f"the machine has no provider '{name}': found {', '.join(kinds) or 'none'}")

    def _preferred_provider(self, volume: Volume, context: SnapshotContext) -> Guid:
        """What the plugins choose; a choice that this machine does not have is an error, never passed over."""
        assert self._choose_provider is not None, "the coordinator is told of a preference only where there is one"
        name = self._choose_provider(volume.name, int(context))
        return GUID_NULL if name is None else self.provider_id(name)
