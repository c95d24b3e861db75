"""What a backup reads: the volumes before the set is started, the files once the shadow copies are there.

Each writer is asked for by its effective type: one that its schema lacks counts as FULL. What writers added to the document
between the two moments (differenced and partial files) overrides the masks they declared.
"""

from __future__ import annotations

from collections.abc import Mapping

from vss.documents import BackupComponents, BackupType, SelectedComponent
from vss.documents.environment import expanded_selection
from vss.documents.file_sets import effective_backup_type
from vss.roles.volume import FileSystem
from vss_requestors.component_outcomes import ComponentOutcomes, IncludedComponent
from vss_requestors.file_sets import FileSetExpander, PlannedFile, volumes_of


def needed_volumes(outcomes: ComponentOutcomes, backup_type: BackupType) -> list[str]:
    """Return the volumes of every included component, sorted."""
    needed: set[str] = set()
    for each in outcomes.components:
        schema = each.metadata.backup_schema
        needed.update(volumes_of(each.members, effective_backup_type(schema, backup_type), schema))
    return sorted(needed)


async def plan_files(
    outcomes: ComponentOutcomes,
    document: BackupComponents,
    shadow_copies: Mapping[str, FileSystem],
    backup_type: BackupType,
    environment: Mapping[str, str] | None = None,
) -> list[PlannedFile]:
    """Return the files to copy; components that lack a declared file, or whose writer added what cannot be, fail.

    Raises:
        UnknownVariableError: a writer added a path with a variable that the machine does not have.
        InvalidArgumentError: a declared path is not one.
        VolumeReadError: a shadow copy failed.
    """
    expander = FileSetExpander(shadow_copies)
    for included in outcomes.hopeful:
        effective = effective_backup_type(included.metadata.backup_schema, backup_type)
        excluded = [each for each in included.metadata.excluded if not each.from_snapshot]
        selected = expanded_selection(_selected(document, included), environment or {})
        for member in included.members:
            await expander.add(member, included.owner, effective, excluded, selected.differenced_files)
        await expander.add_what_writers_added(
            included.members, included.owner, excluded, selected.differenced_files, selected.partial_files
        )
    for missing in expander.missing:
        outcomes.fail([missing.owner], f"declared file '{missing.machine_path}' is missing from the shadow copy")
    for owner, reason in expander.refused:
        outcomes.fail([owner], reason)
    return expander.planned


def _selected(document: BackupComponents, included: IncludedComponent) -> SelectedComponent:
    """The component as the session's document has it, with what its writer added."""
    writer = document.writer(included.metadata.instance_id)
    assert writer is not None, "components are added before they are looked up"
    return next(each for each in writer.components if each.full_path == included.component.full_path)
