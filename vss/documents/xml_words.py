"""The vocabulary of both documents: namespaces, and the words that stand for enumeration values.

Words marked "seen" are read off documents written by Windows; the others are our convention after the vendor's parameter names
(no public schema exists), so byte compatibility is claimed for the seen ones only. Note that the words of restore methods
differ from the names of the enumeration.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypeVar

from vss.documents.model import (
    BackupType,
    ComponentType,
    FileRestoreStatus,
    RestoreMethodKind,
    RestoreTarget,
    RollForwardType,
    SourceType,
    UsageType,
    WriterRestore,
)
from vss.errors import DocumentError

WRITER_METADATA_NAMESPACE = "x-schema:#VssWriterMetadataInfo"
BACKUP_COMPONENTS_NAMESPACE = "x-schema:#VssComponentMetadata"
VERSION = "1.2"

E = TypeVar("E", bound=IntEnum)

YES_NO = {"yes": True, "no": False}

USAGE: Mapping[str, UsageType] = {each.name: each for each in UsageType}  # OTHER and UNDEFINED not seen
SOURCE: Mapping[str, SourceType] = {each.name: each for each in SourceType}  # NONTRANSACTION_DB and UNDEFINED not seen

RESTORE_METHOD: Mapping[str, RestoreMethodKind] = {
    "UNDEFINED": RestoreMethodKind.UNDEFINED,
    "RESTORE_IF_NOT_THERE": RestoreMethodKind.RESTORE_IF_NOT_THERE,
    "RESTORE_IF_CAN_BE_REPLACED": RestoreMethodKind.RESTORE_IF_CAN_REPLACE,  # seen
    "STOP_RESTORE_START": RestoreMethodKind.STOP_RESTORE_START,
    "RESTORE_TO_ALTERNATE_LOCATION": RestoreMethodKind.RESTORE_TO_ALTERNATE_LOCATION,
    "REPLACE_AT_REBOOT": RestoreMethodKind.RESTORE_AT_REBOOT,  # seen
    "REPLACE_AT_REBOOT_IF_CANNOT_REPLACE": RestoreMethodKind.RESTORE_AT_REBOOT_IF_CANNOT_REPLACE,  # seen
    "CUSTOM": RestoreMethodKind.CUSTOM,
    "RESTORE_STOP_START": RestoreMethodKind.RESTORE_STOP_START,
}

WRITER_RESTORE: Mapping[str, WriterRestore] = {
    "undefined": WriterRestore.UNDEFINED,
    "never": WriterRestore.NEVER,  # seen
    "ifReplaceFails": WriterRestore.IF_REPLACE_FAILS,
    "always": WriterRestore.ALWAYS,  # seen
}

BACKUP_TYPE: Mapping[str, BackupType] = {each.name.lower(): each for each in BackupType}  # "full" seen

COMPONENT_TYPE: Mapping[str, ComponentType] = {
    "database": ComponentType.DATABASE,
    "filegroup": ComponentType.FILE_GROUP,  # seen
}

RESTORE_TARGET: Mapping[str, RestoreTarget] = {
    "undefined": RestoreTarget.UNDEFINED,
    "original": RestoreTarget.ORIGINAL,
    "alternate": RestoreTarget.ALTERNATE,
    "directed": RestoreTarget.DIRECTED,
    "originalLocation": RestoreTarget.ORIGINAL_LOCATION,
}

FILE_RESTORE_STATUS: Mapping[str, FileRestoreStatus] = {each.name.lower(): each for each in FileRestoreStatus}

ROLL_FORWARD: Mapping[str, RollForwardType] = {each.name.lower(): each for each in RollForwardType}

COMPONENT_TAGS: Mapping[str, ComponentType] = {"DATABASE": ComponentType.DATABASE, "FILE_GROUP": ComponentType.FILE_GROUP}


def word_for(name: str, words: Mapping[str, E], value: E) -> str:
    """Return the word that stands for ``value`` of the attribute ``name``; ``DocumentError`` where none does."""
    for word, each in words.items():
        if each is value:
            return word
    known = ", ".join(dict.fromkeys(each.name for each in words.values()))
    raise DocumentError(f"{name} is {value!r:.80}, expected one of {known}")
