"""Backup sets on the host: layout and records, writing and reading."""

from vss_requestors.repository.file_source import SetFileSource
from vss_requestors.repository.records import Manifest, ManifestFile, SessionRecord
from vss_requestors.repository.set_reader import BackupSet, find_set, open_set
from vss_requestors.repository.set_writer import SetWriter

__all__ = [
    "BackupSet",
    "Manifest",
    "ManifestFile",
    "SessionRecord",
    "SetFileSource",
    "SetWriter",
    "find_set",
    "open_set",
]
