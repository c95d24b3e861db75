"""What a fault site is, and what the sites of one kind have in common: effects, codes, limits.

The table itself is in ``vss.simulation.fault_sites``. Legal codes: vendor documentation of the writer and provider interfaces,
as ``vss.hresult`` has them; limits: ``vss.coordinator.limits``, of whose defaults a test keeps these the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from vss.hresult import PROVIDER_FAILURES, WRITER_FAILURES, HResult


class Passage(Enum):
    """How a site is passed."""

    CALL = "call"
    """A role with a process of its own is asked; the caller has a limit."""
    STEP = "step"
    """A step of the caller's own: a crash there is the caller's."""
    AWAITED_IO = "awaited I/O"
    """An effect on a medium."""
    IO = "I/O"
    """The same as a plain call."""
    WORLD = "world"
    """Passed by nobody: the fault strikes at the first visit of any site that its selectors match."""


class Answer(Enum):
    """What comes back where a site is passed; decides which damage can be done to it."""

    NOTHING = "nothing"
    YES_OR_NO = "yes or no"
    METADATA = "writer metadata"
    ITEMS = "several items"
    BYTES = "bytes"
    OTHER = "an object"


DATA_EFFECTS = frozenset({"torn", "misdirect", "short", "flip", "partial", "corrupt", "stale"})
"""Effects on data. At awaited sites that write they strike where the work is a ``partial(write, offset, data)``."""


@dataclass(frozen=True, slots=True)
class FaultSite:
    """One site.

    Attributes:
        name: role and step.
        passes: what goes through there.
        passage: how.
        effects: the words of the effects that make sense.
        selectors: what the site tells of a visit.
        answer: what comes back.
        codes: legal codes of ``fail``, as written.
        illegal_codes: codes that the role must not use and that must be survived all the same.
        limit_s: the caller's limit, 0 where there is none.
        is_durable: whether something that outlives a crash is written there: power loss is tried at these.
    """

    name: str
    passes: str
    passage: Passage
    effects: tuple[str, ...]
    selectors: tuple[str, ...] = ()
    answer: Answer = Answer.NOTHING
    codes: tuple[str, ...] = ()
    illegal_codes: tuple[str, ...] = ()
    limit_s: float = 0.0
    is_durable: bool = False

    @property
    def role(self) -> str:
        """The first word of the name."""
        return self.name.partition(".")[0]


_CALL = (
    "fail", "fail-after", "raise", "delay", "stall", "hang", "late", "drop", "duplicate", "reorder", "lie", "crash", "cancel",
    "jump",
)  # fmt: skip
_STEP = ("fail", "raise", "delay", "stall", "crash", "cancel", "jump")
_LEFT_OUT = (*_STEP, "fail-after", "drop", "duplicate", "lie")
_VALUE = {
    Answer.NOTHING: (),
    Answer.YES_OR_NO: ("corrupt",),
    Answer.METADATA: ("partial", "corrupt", "omit"),
    Answer.ITEMS: ("partial", "corrupt", "omit"),
    Answer.BYTES: ("partial", "corrupt", "flip", "short", "stale"),
    Answer.OTHER: ("corrupt",),
}
_AWAITED = ("fail", "delay", "stall", "hang", "crash", "cancel", "jump")
DATA = ("torn", "lose", "misdirect", "short", "flip", "partial", "corrupt", "full")
_CHANGES = (".write", ".flush", ".cow", ".alloc", ".grow", ".rotate", ".delete", ".sync", ".rename", ".sync_directory")
_PLAIN = ("fail", "stall", "crash", "jump")


def _names(codes: Iterable[HResult]) -> tuple[str, ...]:
    return tuple(sorted(code.name for code in codes))


_WRITER_CODES = _names(WRITER_FAILURES)
_WRITER_ILLEGAL = ("E_FAIL", "VSS_E_BAD_STATE", "VSS_E_WRITER_NOT_RESPONDING", "VSS_S_ASYNC_PENDING", "ENOSPC")
_PROVIDER_CODES = _names(PROVIDER_FAILURES)
_PROVIDER_ILLEGAL = ("E_FAIL", "VSS_E_WRITERERROR_RETRYABLE", "VSS_S_ASYNC_CANCELLED", "EIO")
_SERVICE_CODES = ("E_OUTOFMEMORY", "VSS_E_UNEXPECTED", "E_ACCESSDENIED")
READ_CODES = ("EIO",)
WRITE_CODES = ("EIO", "ENOSPC", "EROFS", "EDQUOT")
OPEN_CODES = ("EACCES", "EMFILE", "ENOENT", "EIO")
REMOVE_CODES = ("EACCES", "EBUSY", "EIO", "EROFS")


def writer_site(step: str, passes: str, limit_s: float, answer: Answer = Answer.NOTHING) -> FaultSite:
    """Return the site of a writer's event."""
    return FaultSite(
        f"writer.{step}", passes, Passage.CALL, _CALL + _VALUE[answer], ("writer", "session"), answer,
        _WRITER_CODES, _WRITER_ILLEGAL, limit_s,
    )  # fmt: skip


def provider_site(
    step: str, passes: str, limit_s: float, answer: Answer = Answer.NOTHING, *extra: HResult, selectors: tuple[str, ...] = ()
) -> FaultSite:
    """Return the site of a provider's routine."""
    return FaultSite(
        f"provider.{step}", passes, Passage.CALL, _CALL + _VALUE[answer], ("provider", *selectors), answer,
        _PROVIDER_CODES + _names(extra), _PROVIDER_ILLEGAL, limit_s,
    )  # fmt: skip


def coord_site(step: str, passes: str, *selectors: str) -> FaultSite:
    """Return the site of a step that the coordinator takes itself."""
    return FaultSite(f"coord.{step}", passes, Passage.STEP, _STEP, selectors, codes=_SERVICE_CODES)


def undoing_site(step: str, passes: str, role: str = "coord") -> FaultSite:
    """Return the site of a step by which a role undoes something: it may be late or die, but it does not give up."""
    return FaultSite(f"{role}.{step}", passes, Passage.STEP, ("delay", "stall", "crash", "cancel", "jump"))


def managed_site(step: str, passes: str, limit_s: float, *selectors: str, is_awaited_for_ever: bool = False) -> FaultSite:
    """Return the site of a call to something of the system's that answers for itself."""
    effects = (*_STEP, "fail-after") if is_awaited_for_ever else (*_STEP, "fail-after", "hang", "lie")
    return FaultSite(f"coord.{step}", passes, Passage.STEP, effects, selectors, codes=_SERVICE_CODES, limit_s=limit_s)


def step_site(
    role: str, step: str, passes: str, *selectors: str, answer: Answer = Answer.NOTHING, left_out: bool = False
) -> FaultSite:
    """Return the site of a step of a requestor; ``left_out``: whether the run can go on without it."""
    effects = (_LEFT_OUT if left_out else _STEP) + (_VALUE[answer] if answer is Answer.ITEMS else ())
    return FaultSite(f"{role}.{step}", passes, Passage.STEP, effects, selectors, answer, _SERVICE_CODES)


def awaited_site(
    name: str, passes: str, codes: tuple[str, ...], *selectors: str, more: tuple[str, ...] = (), answer: Answer = Answer.NOTHING
) -> FaultSite:
    """Return the site of an effect on a medium that is awaited."""
    return FaultSite(
        name, passes, Passage.AWAITED_IO, _AWAITED + more + _VALUE[answer], selectors, answer, codes,
        is_durable=name.endswith(_CHANGES),
    )  # fmt: skip


def io_site(name: str, passes: str, codes: tuple[str, ...], *selectors: str, more: tuple[str, ...] = ()) -> FaultSite:
    """Return the site of an effect on a medium that is a plain call. An image belongs to no role that could die there: what is
    left of it is a matter of power loss."""
    effects = tuple(word for word in _PLAIN if word != "crash" or not name.startswith("store.")) + more
    return FaultSite(name, passes, Passage.IO, effects, selectors, codes=codes, is_durable=name.endswith(_CHANGES))
