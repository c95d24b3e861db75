"""The contract of a writer: every group of checks in one class for authors to subclass.

from vss.testing import WriterContract

class TestNotes(WriterContract):
    def make_writer(self, host):
        return NotesWriter(host, "D:\\\\Notes")

    async def work(self, writer, number):      # optional: most checks are sharper when the application works
        await writer.add(f"note-{number}", "text")
"""

from __future__ import annotations

from vss.testing.contracts.writer_completion import CompletionChecks
from vss.testing.contracts.writer_events import EventChecks
from vss.testing.contracts.writer_faults import FaultChecks
from vss.testing.contracts.writer_freeze import FreezeChecks
from vss.testing.contracts.writer_hygiene import HygieneChecks
from vss.testing.contracts.writer_metadata import MetadataChecks
from vss.testing.contracts.writer_restore import RestoreChecks


class WriterContract(MetadataChecks, EventChecks, FreezeChecks, CompletionChecks, FaultChecks, RestoreChecks, HygieneChecks):
    """Subclass it, override ``make_writer``; what else may be overridden is in ``WriterChecks``."""
