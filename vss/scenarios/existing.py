"""Which shadow copies the providers have, as far as they say so without waiting, and what tells their bytes apart.

Asking takes no step of the loop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from vss.errors import VssError
from vss.roles.provider import Provider
from vss.simulation.invariants.image import Image


def existing_shadows(providers: Iterable[Provider]) -> tuple[str, ...] | None:
    """Return the ids of all shadow copies; None where a provider fails, or would have to wait."""
    found: list[str] = []
    for each in providers:
        asked = each.query()
        try:
            asked.send(None)
        except StopIteration as ended:
            found += [str(properties.snapshot_id) for properties in ended.value]
        except VssError:
            return None
        else:
            asked.close()
            return None
    return tuple(found)


def digest_of(image: Image) -> str:
    """Return a digest of what was written to an image; blocks of zeros do not count, whether they are kept or not."""
    return hashlib.sha256(
        b"".join(b"%d:" % each + image.blocks[each] for each in sorted(image.blocks) if any(image.blocks[each]))
    ).hexdigest()
