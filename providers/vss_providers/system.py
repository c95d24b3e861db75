"""The system provider: copy-on-write with the privileges of the one that every machine has.

It alone makes client accessible shadow copies (what users see as previous versions; the coordinator keeps their number at 64 a
volume), and it comes last in the order of selection.

Source: Volume Shadow Copy Service documentation, "Providers", "Shadow copy context configurations".
"""

from __future__ import annotations

from vss.ids import Guid
from vss.roles.provider import ProviderType
from vss_providers.copy_on_write import REFUSED_ATTRIBUTES, CopyOnWriteProvider
from vss_providers.finished_copies import CLIENT_ACCESSIBLE

SYSTEM_PROVIDER_ID = Guid("b5946137-7b9f-4925-af80-51abd60b20d5")
"""The id that the vendor's own provider has everywhere."""


class SystemProvider(CopyOnWriteProvider):
    """See the module."""

    provider_id = SYSTEM_PROVIDER_ID
    name = "System shadow copy provider"
    type = ProviderType.SYSTEM
    _refused_attributes = REFUSED_ATTRIBUTES & ~CLIENT_ACCESSIBLE
