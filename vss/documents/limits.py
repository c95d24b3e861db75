"""How large a document may be. Real ones stay far below: the largest seen has 2.1 MB and 19 000 elements, four levels deep."""

from __future__ import annotations

DOCUMENT_SIZE_MAX_BYTES = 16 << 20
DEPTH_MAX = 64
ELEMENTS_MAX = 200_000
ATTRIBUTES_MAX = 1_000_000
ATTRIBUTE_LENGTH_MAX = 64 << 10
"""Characters in one attribute value."""

TAG_LENGTH_MAX = 1 << 20
"""Characters between two ``<``: bounds how many attributes one element can have."""
