"""What providers answer, judged before it is used: a value of another kind is that provider's failure, named with its field.

Only answers that others would stumble over are judged: which shadow copies there are, and their files.
"""

from __future__ import annotations

from typing import Any, cast

from vss.errors import ProviderError
from vss.hresult import HResult
from vss.ids import Guid
from vss.roles.provider import Provider, SnapshotProperties
from vss.roles.volume import FileSystem

_FIELDS: tuple[tuple[type, str, tuple[str, ...]], ...] = (
    (Guid, "Guid", ("snapshot_id", "snapshot_set_id", "provider_id", "original_volume_id")),
    (int, "int", ("snapshots_in_set", "created_ns", "attributes", "size_bytes", "context")),
    (str, "str", ("original_volume", "device_name", "originating_machine", "service_machine", "exposed_name")),
)
_OF_FILES = ("open", "stat", "list_directory", "sync")


def require_properties(provider: Provider, answer: object) -> list[SnapshotProperties]:
    """Return what ``provider`` answered to Query.

    Raises:
        ProviderError: it is no list of properties, or a field of one has another type; names provider and field.
    """
    if not isinstance(answer, (list, tuple)):
        raise _wrong(provider, "query", f"expected a list of shadow copies, found {answer!r:.80}")
    for each in answer:
        if not isinstance(each, SnapshotProperties):
            raise _wrong(provider, "query", f"expected the properties of a shadow copy, found {each!r:.80}")
        for kind, kind_name, names in _FIELDS:
            for name in names:
                value = getattr(each, name)
                if not isinstance(value, kind):
                    raise _wrong(provider, "query", f"{name}: expected {kind_name}, found {value!r:.80}")
    return list(answer)


def require_files(provider: Provider, answer: Any) -> FileSystem:
    """Return the files that ``provider`` opened; ``ProviderError`` where its answer is no file system."""
    if not all(callable(getattr(answer, name, None)) for name in _OF_FILES):
        raise _wrong(provider, "open", f"expected the files of a shadow copy, found {answer!r:.80}")
    return cast("FileSystem", answer)


def _wrong(provider: Provider, step: str, text: str) -> ProviderError:
    return ProviderError(
        f"provider '{provider.name}' failed in {step}: {text}", hresult=HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR
    )
