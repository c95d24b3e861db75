"""The on-disk format of copy-on-write shadow copies: layout, parsing and writing of its structures, and a reader.

Pure: bytes in, bytes out; nothing here allocates space, keeps a volume or knows a provider. ``vss_providers.diff_area`` is the
writing side. Offsets called absolute count from the start of the volume, relative ones from the start of a store.
"""

from vss_providers.on_disk.reader import Partition, ShadowCopy, ShadowVolume

__all__ = ["Partition", "ShadowCopy", "ShadowVolume"]
