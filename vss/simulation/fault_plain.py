"""What a fault of a plan is at a site that is a plain call: the ``IoFault`` that the caller applies to its data."""

from __future__ import annotations

import errno

from vss.io_faults import IoFault
from vss.simulation.fault_errors import failure_of
from vss.simulation.fault_grammar import Fault
from vss.simulation.fault_words import parse_part, parse_size

_SILENT = ("lie", "lose", "stale", "corrupt", "drop")


def plain_fault(fault: Fault, site: str, actor: str) -> IoFault:
    """Return what ``fault`` does to one read, write or other effect of ``actor`` at ``site``."""
    match fault.effect:
        case "partial":
            count, of = parse_part(fault.argument)
            return IoFault(site, "partial", count=count, of=of)
        case "torn":
            keep, sectors = fault.parameter("keep") or "prefix", int(fault.parameter("sectors") or 1)
            return IoFault(site, "torn", keep=keep, count=sectors)
        case "flip":
            at, bits = parse_size(fault.parameter("at") or "0B"), int(fault.parameter("bits") or 1)
            return IoFault(site, "flip", count=bits, offset=at)
        case "misdirect":
            return IoFault(site, "misdirect", offset=parse_size(fault.parameter("by") or "4096B"))
        case "short":
            return IoFault(site, "short")
        case effect if effect in _SILENT:
            return IoFault(site, effect, kind=fault.parameter("kind"))
        case effect:
            return _signalled(fault, effect, site, actor)


def _signalled(fault: Fault, effect: str, site: str, actor: str) -> IoFault:
    default = errno.ENOSPC if effect == "full" else errno.EIO
    failure = failure_of(site, actor, fault.parameter("code"), default)
    if isinstance(failure, OSError):
        return IoFault(site, effect, code=failure.errno or errno.EIO)
    return IoFault(site, effect, error=failure)
