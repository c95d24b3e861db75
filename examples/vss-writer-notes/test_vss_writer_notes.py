"""The writer under the contract that vss-lab ships: ``pytest`` here runs a hundred checks, each in a simulated world."""

from vss_writer_notes import NotesWriter

from vss.testing import WriterContract


class TestNotesWriter(WriterContract):
    def make_writer(self, host):
        return NotesWriter(host, f"D:\\{host.name}")

    async def work(self, writer, number):
        await writer.add(f"note-{number}", "text")
