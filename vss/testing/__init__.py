"""What authors of roles test with: contract suites, stub roles that misbehave on demand, simulated runs, generators of plans.

Nothing here needs a test framework but ``pytest_plugin`` (pytest) and ``strategies`` (Hypothesis). The names below are imported
at first use: the pytest plugin lives in this package, and a run that never touches a snapshot must not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vss.testing.asyncio_support import running_ports
    from vss.testing.contracts.provider import ProviderContract
    from vss.testing.contracts.verifier import VerifierContract
    from vss.testing.contracts.writer import WriterContract
    from vss.testing.instant_provider import InstantProvider
    from vss.testing.scene import Scene
    from vss.testing.sim_test import vss_sim_test
    from vss.testing.simulated import SimulatedMachine, SimulatedRun, Simulator
    from vss.testing.single_faults import every_fault, vss_every_fault
    from vss.testing.stubs import StubFiles, StubProvider, StubVolume, StubWriter, stub_guid

__all__ = [
    "InstantProvider",
    "ProviderContract",
    "Scene",
    "SimulatedMachine",
    "SimulatedRun",
    "Simulator",
    "StubFiles",
    "StubProvider",
    "StubVolume",
    "StubWriter",
    "VerifierContract",
    "WriterContract",
    "every_fault",
    "running_ports",
    "stub_guid",
    "vss_every_fault",
    "vss_sim_test",
]

_HOME = {
    "InstantProvider": "vss.testing.instant_provider",
    "ProviderContract": "vss.testing.contracts.provider",
    "Scene": "vss.testing.scene",
    "SimulatedMachine": "vss.testing.simulated",
    "SimulatedRun": "vss.testing.simulated",
    "Simulator": "vss.testing.simulated",
    "StubFiles": "vss.testing.stubs",
    "StubProvider": "vss.testing.stubs",
    "StubVolume": "vss.testing.stubs",
    "StubWriter": "vss.testing.stubs",
    "VerifierContract": "vss.testing.contracts.verifier",
    "WriterContract": "vss.testing.contracts.writer",
    "every_fault": "vss.testing.single_faults",
    "running_ports": "vss.testing.asyncio_support",
    "stub_guid": "vss.testing.stubs",
    "vss_every_fault": "vss.testing.single_faults",
    "vss_sim_test": "vss.testing.sim_test",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its home."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'vss.testing' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(home), name)  # not kept: a test that imports afresh must not get the old one


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
