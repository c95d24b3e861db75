"""The contract of a provider: every group of checks in one class for authors to subclass.

    from vss.testing import ProviderContract

    class TestMyProvider(ProviderContract):
        def make_provider(self, ports):
            return MyProvider(ports)

What the capabilities record does not claim is skipped with that reason.
"""

from __future__ import annotations

from vss.testing.contracts.provider_content import ContentChecks
from vss.testing.contracts.provider_faults import FaultChecks
from vss.testing.contracts.provider_finished import FinishedChecks
from vss.testing.contracts.provider_hygiene import HygieneChecks
from vss.testing.contracts.provider_identity import IdentityChecks
from vss.testing.contracts.provider_order import OrderChecks


class ProviderContract(IdentityChecks, OrderChecks, ContentChecks, FinishedChecks, FaultChecks, HygieneChecks):
    """Subclass it, override ``make_provider``; what else may be overridden is in ``ProviderChecks``."""
