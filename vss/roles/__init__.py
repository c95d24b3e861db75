"""The faces that plugin authors implement: writer, provider, requestor, verifier. State lives in records, not here."""

from vss.roles.provider import Provider, ProviderCapabilities, ProviderType, SnapshotProperties
from vss.roles.requestor import Machine, Requestor
from vss.roles.verifier import FileSource, Finding, VerificationReport, Verifier
from vss.roles.volume import File, FileStat, FileSystem, Volume
from vss.roles.writer import ApplicationLevel, Writer, WriterContext

__all__ = [
    "ApplicationLevel",
    "File",
    "FileSource",
    "FileStat",
    "FileSystem",
    "Finding",
    "Machine",
    "Provider",
    "ProviderCapabilities",
    "ProviderType",
    "Requestor",
    "SnapshotProperties",
    "VerificationReport",
    "Verifier",
    "Volume",
    "Writer",
    "WriterContext",
]
