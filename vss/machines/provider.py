"""The phases of one snapshot set at one provider, and who may abort when. No I/O, no clock.

The happy path is written out row by row. Rules that the table cannot say:

- A phase has two moments: ``begin`` checks legality and changes nothing when refusing, ``finish`` records the outcome.
- AbortSnapshots never comes before EndPrepareSnapshots was called (a provider that only began to prepare hears nothing; the
  next BeginPrepareSnapshot with another set id tells it that the old set is dead), but it may interrupt EndPrepareSnapshots and
  every later phase. The interrupted phase's answer is not reported any more.
- Any failure after BeginPrepareSnapshot leaves nothing but AbortSnapshots: a set is whole or gone. A failing
  BeginPrepareSnapshot costs only that volume.

Sources: VSS documentation, "IVssProviderCreateSnapshotSet" and the pages of its methods, "Shadow copy creation for providers".
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, IntEnum

from vss.errors import BadStateError


class ProviderState(IntEnum):
    """How far one set has come at one provider."""

    EMPTY = 0
    PREPARING = 1
    PREPARED = 2
    PRECOMMITTED = 3
    COMMITTED = 4
    POSTCOMMITTED = 5
    PRE_FINAL = 6
    CREATED = 7
    FAILED = 8
    ABORTED = 9


class ProviderPhase(Enum):
    """The calls that a set consists of; the value is the vendor's word."""

    BEGIN_PREPARE = "BeginPrepareSnapshot"
    END_PREPARE = "EndPrepareSnapshots"
    PRE_COMMIT = "PreCommitSnapshots"
    COMMIT = "CommitSnapshots"
    POST_COMMIT = "PostCommitSnapshots"
    PRE_FINAL_COMMIT = "PreFinalCommitSnapshots"
    POST_FINAL_COMMIT = "PostFinalCommitSnapshots"
    ABORT = "AbortSnapshots"


_S = ProviderState
_P = ProviderPhase

TRANSITIONS: Mapping[tuple[ProviderState, ProviderPhase], tuple[ProviderState, ProviderState]] = {
    # (state, phase): (state when the provider succeeds, state when it fails)
    (_S.EMPTY, _P.BEGIN_PREPARE): (_S.PREPARING, _S.EMPTY),
    (_S.PREPARING, _P.BEGIN_PREPARE): (_S.PREPARING, _S.PREPARING),
    (_S.PREPARING, _P.END_PREPARE): (_S.PREPARED, _S.FAILED),
    (_S.PREPARED, _P.PRE_COMMIT): (_S.PRECOMMITTED, _S.FAILED),
    (_S.PRECOMMITTED, _P.COMMIT): (_S.COMMITTED, _S.FAILED),
    (_S.COMMITTED, _P.POST_COMMIT): (_S.POSTCOMMITTED, _S.FAILED),
    (_S.POSTCOMMITTED, _P.PRE_FINAL_COMMIT): (_S.PRE_FINAL, _S.FAILED),
    (_S.PRE_FINAL, _P.POST_FINAL_COMMIT): (_S.CREATED, _S.FAILED),
    # What AbortSnapshots returns is not translated: the set counts as aborted either way.
    **{
        (state, _P.ABORT): (_S.ABORTED, _S.ABORTED)
        for state in (
            _S.PREPARING,
            _S.PREPARED,
            _S.PRECOMMITTED,
            _S.COMMITTED,
            _S.POSTCOMMITTED,
            _S.PRE_FINAL,
            _S.FAILED,
            _S.ABORTED,
        )
    },
    # A finished set is left alone.
    (_S.CREATED, _P.ABORT): (_S.CREATED, _S.CREATED),
}
"""(state, phase) → (state when the provider succeeds, state when it fails). A missing key is an illegal call."""

FINAL_STATES = frozenset({ProviderState.CREATED, ProviderState.ABORTED})
"""Where every set ends."""


class ProviderMachine:
    """The state of one set at one provider.

    Attributes:
        provider: the name for messages.
        state: how far the set has come; changes only in ``finish``.
        in_flight: the phase that runs now, or None.
    """

    __slots__ = ("in_flight", "provider", "state")

    def __init__(self, provider: str) -> None:
        """Start a set: nothing was prepared yet."""
        self.provider = provider
        self.state = ProviderState.EMPTY
        self.in_flight: ProviderPhase | None = None

    def allows(self, phase: ProviderPhase) -> bool:
        """Whether ``begin`` would be legal now."""
        if phase is ProviderPhase.ABORT and self.state is ProviderState.PREPARING:
            return self.in_flight is ProviderPhase.END_PREPARE
        return (self.state, phase) in TRANSITIONS

    def begin(self, phase: ProviderPhase) -> None:
        """The provider is about to be called. An abort takes the place of what is in flight.

        Raises:
            BadStateError: illegal in this state; nothing was changed.
        """
        assert self.in_flight is None or phase is ProviderPhase.ABORT, (
            f"{self.provider}: {phase.value} while {self.in_flight} is in flight"
        )
        if not self.allows(phase):
            legal = ", ".join(each.value for each in ProviderPhase if self.allows(each))
            raise BadStateError(
                f"provider '{self.provider}' cannot take {phase.value} in state {self.state.name}: expected one of {legal}"
            )
        self.in_flight = phase

    def finish(self, ok: bool) -> ProviderState:
        """The phase in flight has succeeded or failed; return the new state."""
        assert self.in_flight is not None, f"{self.provider}: no phase is in flight"
        when_ok, when_failed = TRANSITIONS[self.state, self.in_flight]
        self.in_flight = None
        self.state = when_ok if ok else when_failed
        return self.state
