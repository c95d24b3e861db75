"""What a role raises for a code, and what its caller hears when it died."""

from __future__ import annotations

import errno
import os

from vss.errors import (
    InconsistentSnapshotError,
    InsufficientStorageError,
    ProviderError,
    ProviderVetoError,
    VolumeError,
    VolumeFullError,
    VolumeNotSupportedError,
    VolumeReadError,
    VolumeWriteError,
    VssError,
    WriterError,
    WriterRetryableError,
    WriterTimeoutError,
)
from vss.hresult import HResult
from vss.simulation.fault_words import parse_code

_MEDIA = ("volume", "store", "diffarea", "log", "page", "checkpoint")
"""Roles whose errors are those of a volume."""
_HOSTS = ("set",)
"""Roles whose errors are those of the host."""
_DEFAULT_CODES: dict[str, HResult | int] = {
    "writer": HResult.VSS_E_WRITERERROR_NONRETRYABLE,
    "provider": HResult.VSS_E_PROVIDER_VETO,
    **dict.fromkeys((*_MEDIA, *_HOSTS), errno.EIO),
}
_ERRORS: dict[str, tuple[type[VssError], ...]] = {
    "writer": (WriterError, WriterRetryableError, WriterTimeoutError, InconsistentSnapshotError),
    "provider": (ProviderError, ProviderVetoError, VolumeNotSupportedError, InsufficientStorageError),
    **dict.fromkeys(_MEDIA, (VolumeError, VolumeFullError)),
}


def failure_of(site: str, actor: str, code_text: str, default: HResult | int | None = None) -> Exception:
    """Return the error that the role at ``site`` would raise for a code; without one, for ``default`` or the role's own."""
    role, _, step = site.partition(".")
    own = _DEFAULT_CODES.get(role, HResult.E_FAIL) if default is None else default
    code = parse_code(code_text) if code_text else own
    message = f"'{actor}' failed at {site}: injected fault"
    if isinstance(code, HResult):
        kinds = _ERRORS.get(role, (VssError,))
        return next((kind for kind in kinds if kind.default_hresult is code), kinds[0])(message, hresult=code)
    if role not in _MEDIA:
        return OSError(code, os.strerror(code), f"injected at {site}")
    if code == errno.ENOSPC:
        return VolumeFullError(message)
    kind = VolumeReadError if step in ("read", "open") else VolumeWriteError
    return kind(f"{message} ({errno.errorcode[code]})")


def connection_lost(site: str, actor: str) -> VssError:
    """Return what the caller of a role that died hears at ``site``."""
    message = f"{actor} does not answer: it died"
    match site.partition(".")[0]:
        case "writer":
            return WriterError(message, hresult=HResult.VSS_E_WRITER_NOT_RESPONDING)
        case "provider":
            return ProviderError(message, hresult=HResult.VSS_E_UNEXPECTED_PROVIDER_ERROR)
        case _:
            return VssError(message, hresult=HResult.VSS_E_UNEXPECTED)
