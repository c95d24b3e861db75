"""What goes wrong with the place a backup is written to, and how the host's errors become typed ones.

Everything else a requestor raises is in ``vss.errors``. Messages name the file inside the set (or the directory the user
gave), never more of the host than that.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from vss.errors import VssError
from vss.exit_codes import ExitCode
from vss.hresult import HResult


class TargetError(VssError):
    """The backup target failed while it was written or read (EIO and the like)."""

    default_hresult = HResult.E_FAIL


class TargetRefusedError(TargetError):
    """The backup target cannot be used: no rights, read-only, not a directory, inside the lab, name too long."""

    default_hresult = HResult.E_ACCESSDENIED
    exit_code = ExitCode.USAGE


class TargetFullError(TargetError):
    """No room on the backup target; free some, or choose another one."""

    default_hresult = HResult.VSS_E_INSUFFICIENT_STORAGE
    exit_code = ExitCode.USAGE


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REFUSED = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ELOOP,
    errno.ENOENT,
    errno.EEXIST,
)


def target_error(error: OSError, name: str, action: str) -> TargetError:
    """Return the typed error for ``error``, met while doing ``action`` (``"write"``) on ``name``."""
    symbol = errno.errorcode.get(error.errno or 0, "unknown error")
    message = f"cannot {action} '{name}' on the backup target: {error.strerror or error} ({symbol})"
    if error.errno in _FULL:
        return TargetFullError(message, hint="free space there, or give another directory")
    if error.errno in _REFUSED:
        return TargetRefusedError(message, hint="give a directory that may be written")
    return TargetError(message)


@contextmanager
def target_errors(name: str, action: str) -> Iterator[None]:
    """Translate every ``OSError`` of the block; ``name`` and ``action`` as in ``target_error``."""
    try:
        yield
    except OSError as error:
        raise target_error(error, name, action) from error
