"""What a machine adds to its writers' declarations in a backup: its environment variables, and the files it keeps out.

Order: FilesNotToBackup comes after everything the writers say ("Generating a backup set"); what it keeps out is told, file by
file, with whose entry it was. Documents are stored as the writers made them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vss.documents import WriterMetadata
from vss.documents.environment import expanded_metadata
from vss.documents.exclusions import DEFAULT_FILES_NOT_TO_BACKUP, FileExclusion, exclusion_of, exclusions_of
from vss.events import FileNotBackedUp
from vss.roles.machine_settings import settings_of
from vss.roles.requestor import Machine
from vss_requestors.file_sets import PlannedFile
from vss_requestors.results import LeftOutFile


class MachineRules:
    """The rules of one machine in one backup.

    Attributes:
        left_out: what was kept out.
    """

    def __init__(self, machine: Machine) -> None:
        """Take the machine's settings."""
        self.left_out: list[LeftOutFile] = []
        self._ports = machine.ports
        self._settings = settings_of(machine)
        self._exclusions: tuple[FileExclusion, ...] = ()
        self._declared: dict[str, WriterMetadata] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        """The machine's variables."""
        return self._settings.environment

    def expanded(self, writers: Sequence[WriterMetadata]) -> list[WriterMetadata]:
        """Return what the writers declare with every variable expanded; read the lists of files for a machine with them.

        Raises:
            UnknownVariableError: names writer, component, path and variable.
            InvalidArgumentError: an entry of FilesNotToBackup means nothing.
        """
        self._declared = {str(each.instance_id): each for each in writers}
        names = [each.friendly_name for each in writers]
        entries = self._settings.files_not_to_backup
        self._exclusions = exclusions_of(entries, self.environment, writers=names, defaults=DEFAULT_FILES_NOT_TO_BACKUP)
        return [expanded_metadata(each, self.environment) for each in writers]

    def as_declared(self, writers: Sequence[WriterMetadata]) -> list[WriterMetadata]:
        """Return the documents as the writers made them."""
        return [self._declared[str(each.instance_id)] for each in writers]

    def keep_out(self, planned: Sequence[PlannedFile]) -> list[PlannedFile]:
        """Return the files that stay in the backup; note and record the others."""
        stay: list[PlannedFile] = []
        for file in planned:
            entry = exclusion_of(file.machine_path, self._exclusions)
            if entry is None:
                stay.append(file)
                continue
            self.left_out.append(LeftOutFile(path=file.machine_path, application=entry.application))
            self._ports.emit(FileNotBackedUp(path=file.machine_path, application=entry.application))
        return stay
