"""What will be reported of every explicitly included component: failed with its first cause, or succeeded.

The first cause stays. A component that nobody failed counts as succeeded only when ``settle`` is called, after copying and
verification; until then nothing is claimed of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from vss.coordinator import WriterStatus
from vss.documents import Component, WriterMetadata
from vss.errors import InconsistentSnapshotError, WriterError, WriterRetryableError, WriterTimeoutError
from vss.hresult import HResult
from vss.ids import Guid
from vss.machines import WriterState
from vss.roles.verifier import Finding
from vss_requestors.component_selection import ChosenWriter
from vss_requestors.repository.records import ComponentRecord, ManifestFile, Owner


@dataclass(slots=True)
class IncludedComponent:
    """One explicitly included component, its writer, and the record that grows."""

    metadata: WriterMetadata
    component: Component
    members: tuple[Component, ...]
    record: ComponentRecord

    @property
    def owner(self) -> Owner:
        """How manifest entries name this component."""
        return Owner(self.record.instance_id, self.record.component)

    @property
    def has_failed(self) -> bool:
        """Whether a cause was given."""
        return self.record.succeeded is False


class ComponentOutcomes:
    """The components of one backup, in document order."""

    def __init__(self, chosen: Sequence[ChosenWriter]) -> None:
        """Begin with nothing known of any."""
        self.components = [
            IncludedComponent(
                writer.metadata,
                each.explicit,
                each.members,
                ComponentRecord(
                    writer_name=writer.metadata.friendly_name,
                    writer_id=str(writer.metadata.writer_id),
                    instance_id=str(writer.metadata.instance_id),
                    component=each.explicit.full_path,
                ),
            )
            for writer in chosen
            for each in writer.sets
        ]
        self._by_owner = {each.owner: each for each in self.components}

    @property
    def records(self) -> tuple[ComponentRecord, ...]:
        """What is known now."""
        return tuple(each.record for each in self.components)

    @property
    def hopeful(self) -> list[IncludedComponent]:
        """The components that nothing has failed yet."""
        return [each for each in self.components if not each.has_failed]

    def of_writer(self, instance_id: Guid) -> list[IncludedComponent]:
        """The components of one writer instance."""
        return [each for each in self.components if each.metadata.instance_id == instance_id]

    def fail(self, owners: Iterable[Owner], reason: str) -> None:
        """Fail components; one that failed before keeps its first reason."""
        for owner in owners:
            included = self._by_owner[owner]
            if not included.has_failed:
                included.record = msgspec.structs.replace(included.record, succeeded=False, reason=reason)

    def fail_writer(self, instance_id: Guid, reason: str) -> None:
        """Fail all components of one writer instance."""
        self.fail([each.owner for each in self.of_writer(instance_id)], reason)

    def fail_status(self, status: WriterStatus, reason: str) -> None:
        """Fail what a writer's status says: all its components, or those it names and goes on with the others."""
        if status.failure is not HResult.VSS_E_WRITERERROR_PARTIAL_FAILURE:
            self.fail_writer(status.instance_id, reason)
            return
        for failed in status.component_failures:
            path = "\\".join(filter(None, (failed.logical_path, failed.component_name))).casefold()
            owners = [each.owner for each in self.of_writer(status.instance_id) if each.component.full_path.casefold() == path]
            self.fail(owners, f"writer '{status.name}' failed: {failed.message or failed.failure.meaning}")

    def take_findings(self, findings: Sequence[Finding], entries: Sequence[ManifestFile], instance_id: Guid | None) -> None:
        """Fail the components whose files have findings; one that names no known file fails all of ``instance_id``."""
        owners = {entry.machine_path.casefold(): entry.owners for entry in entries}
        for finding in findings:
            if finding.is_warning:
                continue
            reason = describe(finding)
            found = owners.get(finding.path.casefold())
            if found is not None:
                self.fail(found, reason)
            elif instance_id is not None:
                self.fail_writer(instance_id, reason)

    def settle(self) -> None:
        """Claim success for what nothing failed."""
        for each in self.hopeful:
            each.record = msgspec.structs.replace(each.record, succeeded=True)


def describe(finding: Finding) -> str:
    """Return a finding as one sentence with file, page and offset."""
    place = f" page {finding.page_number}" if finding.page_number >= 0 else ""
    place += f" offset {finding.offset}" if finding.offset >= 0 else ""
    return f"{finding.path}{place}: {finding.code}: {finding.message}"


def with_silent(statuses: Sequence[WriterStatus], writers: Iterable[WriterMetadata]) -> list[WriterStatus]:
    """Return the statuses, and for each of ``writers`` that has none: not available. Nobody may take silence for success."""
    told = [each.instance_id for each in statuses]
    silent = {each.instance_id: each for each in writers if each.instance_id not in told}
    failure, message = HResult.VSS_E_WRITER_STATUS_NOT_AVAILABLE, "no status was told"
    return [
        *statuses,
        *(
            WriterStatus(each.writer_id, instance_id, each.friendly_name, WriterState.UNKNOWN, failure, message)
            for instance_id, each in silent.items()
        ),
    ]


def writer_error(name: str, failure: HResult, message: str) -> WriterError:
    """Return the typed error for what the writer status says of a writer that failed."""
    kind: type[WriterError] = {
        HResult.VSS_E_WRITERERROR_TIMEOUT: WriterTimeoutError,
        HResult.VSS_E_WRITER_NOT_RESPONDING: WriterTimeoutError,
        HResult.VSS_E_WRITERERROR_RETRYABLE: WriterRetryableError,
        HResult.VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT: InconsistentSnapshotError,
    }.get(failure, WriterError)
    return kind(f"writer '{name}' failed: {message or failure.meaning}", hresult=failure)
