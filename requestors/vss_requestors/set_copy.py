"""Copying the planned files of a backup from the shadow copies into the set.

A file that the shadow copy cannot give fails the components it belongs to, and copying goes on with the others. A target that
cannot take it ends the backup. What was begun and not finished is removed, so that only whole files are in the set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from vss.documents.ranges import render_ranges
from vss.errors import VssError
from vss.events import FileCopied
from vss.ports import HostFile, Ports
from vss.roles.verifier import Progress
from vss.roles.volume import FileSystem
from vss_requestors.blocking_work import finished
from vss_requestors.component_outcomes import ComponentOutcomes
from vss_requestors.copying import RangesOfFile, copy_file
from vss_requestors.errors import TargetError
from vss_requestors.fault_points import percent_of
from vss_requestors.file_sets import PlannedFile
from vss_requestors.pacing import Throttle
from vss_requestors.repository.layout import relative_path, split_machine_path
from vss_requestors.repository.records import ManifestFile
from vss_requestors.repository.set_writer import SetWriter


class SetCopy:
    """Copies into one set."""

    def __init__(
        self,
        ports: Ports,
        target: SetWriter,
        shadow_copies: Mapping[str, FileSystem],
        *,
        throttle_bytes_per_s: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Copy from ``shadow_copies`` (by volume name) to ``target``."""
        self._ports = ports
        self._target = target
        self._shadow_copies = shadow_copies
        self._throttle = Throttle(ports.clock, throttle_bytes_per_s)
        self._progress = progress

    async def copy_all(self, planned: Sequence[PlannedFile], outcomes: ComponentOutcomes) -> None:
        """Copy every planned file that a component still hopes for.

        Raises:
            TargetError: the target cannot take it.
        """
        total_bytes = sum(file.size_bytes for file in planned)
        done_bytes = 0
        for file in planned:
            hopeful = {included.owner for included in outcomes.hopeful}
            if not any(owner in hopeful for owner in file.owners):
                continue
            try:
                percent = percent_of(done_bytes, total_bytes)
                done_bytes += file.size_bytes
                work = partial(self._copy, file)
                await self._ports.faults("requestor.copy", work, file=file.machine_path, percent=percent)
            except TargetError:
                raise
            except VssError as error:
                outcomes.fail(file.owners, f"'{file.machine_path}' could not be copied: {error.message}")
        self._fail_what_is_missing(planned, outcomes)

    def _fail_what_is_missing(self, planned: Sequence[PlannedFile], outcomes: ComponentOutcomes) -> None:
        """Fail the components of files that did not arrive though nothing complained: a set is whole when all are there."""
        there = {entry.machine_path for entry in self._target.files}
        for file in planned:
            if file.machine_path not in there:
                outcomes.fail(file.owners, f"'{file.machine_path}' was not copied")

    def _let_go(self, file: PlannedFile) -> Callable[[HostFile], None]:
        def let_go(target: HostFile) -> None:
            target.close()
            self._target.discard_file(file.machine_path)

        return let_go

    async def _copy(self, file: PlannedFile) -> None:
        volume, path = split_machine_path(file.source_path)
        source = await self._shadow_copies[volume].open(path)
        is_whole = False
        try:
            target = await finished(self._ports, partial(self._target.open_file, file.machine_path), let_go=self._let_go(file))
            try:
                digests = await copy_file(
                    self._ports,
                    RangesOfFile(source, file.ranges) if file.ranges else source,
                    target,
                    name=relative_path(file.machine_path),
                    throttle=self._throttle,
                    progress=self._progress,
                )
                is_whole = True
            finally:
                target.close()
                if not is_whole:
                    self._target.discard_file(file.machine_path)
        finally:
            await source.close()
        self._target.add_file(
            ManifestFile(
                machine_path=file.machine_path,
                path=relative_path(file.machine_path),
                size_bytes=digests.size_bytes,
                sha256=digests.sha256,
                quick_digests=digests.quick_digests,
                modified_ns=file.modified_ns,
                kind=file.kind,
                owners=tuple(file.owners),
                ranges=render_ranges(file.ranges),
            )
        )
        self._ports.emit(
            FileCopied(path=file.machine_path, size_bytes=digests.size_bytes, sha256=digests.sha256, source="shadow copy")
        )
