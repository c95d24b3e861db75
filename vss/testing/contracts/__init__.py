"""Executable contracts for authors of writers, providers and verifiers: subclass, override one factory, run with pytest.

    from vss.testing import WriterContract

    class TestNotes(WriterContract):
        def make_writer(self, host):
            return NotesWriter(host, "D:\\\\Notes")

The classes are exported by ``vss.testing``. Every check is a plain method that runs a fresh simulated world; pytest needs no
plugin for it. A check that does not apply is skipped with the reason; one that fails says what was expected, what was seen,
what to mend, and where the vendor says so.
"""
