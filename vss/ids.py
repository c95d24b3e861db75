"""Identifiers: GUIDs from a seeded stream, and the few that are fixed by the field. Imports nothing local.

The vendor's rule who makes which id (Volume Shadow Copy Service documentation): the writer class id is a constant of the
writer's author; the writer instance id is new at each start; set and snapshot ids are made by the service.
"""

from __future__ import annotations

import random
from uuid import UUID

Guid = UUID
GUID_NULL = UUID(int=0)

SYSTEM_PROVIDER_ID = UUID("b5946137-7b9f-4925-af80-51abd60b20d5")
"""The id of the in-box provider ("Microsoft Software Shadow Copy provider 1.0"). Ours has its own id; readers of documents
meet this one in real files."""


def seeded_guid(stream: random.Random) -> Guid:
    """Return a version 4 GUID drawn from ``stream``."""
    return UUID(int=stream.getrandbits(128), version=4)
