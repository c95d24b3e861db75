"""What authors of roles test with: stub roles that record and misbehave on demand. Imports no test framework."""

from vss.testing.scene import Scene
from vss.testing.stubs import StubFiles, StubProvider, StubVolume, StubWriter, stub_guid

__all__ = ["Scene", "StubFiles", "StubProvider", "StubVolume", "StubWriter", "stub_guid"]
