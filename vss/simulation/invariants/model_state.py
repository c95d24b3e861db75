"""What the protocol model knows of a machine: frozen records of sessions, writers, providers and sets. No rules here.

The rules, and what the model is for, are in ``vss.simulation.invariants.protocol_model``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

PHASES = ("begin_prepare", "end_prepare", "pre_commit", "commit", "post_commit", "pre_final", "post_final")
"""The routines of a provider in their order ("State transitions in shadow copy providers")."""


@dataclass(frozen=True, slots=True)
class WriterModel:
    """A writer in one session: where it stands, which event it is handling, and whether Abort is out of the question."""

    level: str = "FRONT_END"
    state: str = "stable"
    busy: str = ""
    is_past_post: bool = False
    is_known: bool = True  # False where two writers have this name

    @property
    def is_frozen(self) -> bool:
        """Whether it may stand still for the set."""
        return self.state == "frozen" or self.busy == "Freeze"


@dataclass(frozen=True, slots=True)
class ProviderModel:
    """A provider in one set: how many phases it has finished, the routine it is in, and whether it is out."""

    done: int = 0
    busy: str = ""
    is_out: bool = False


@dataclass(frozen=True, slots=True)
class SetModel:
    """A set in creation."""

    session_id: str
    volumes: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()
    providers: tuple[tuple[str, ProviderModel], ...] = ()
    is_window_open: bool = False
    had_window: bool = False
    is_spoiled: bool = False  # something happened after which this set must not be created
    end: str = ""  # created or aborted

    def provider(self, name: str) -> ProviderModel:
        """The provider's part; a fresh one where it was not called before."""
        return dict(self.providers).get(name, ProviderModel())

    def with_provider(self, name: str, model: ProviderModel) -> SetModel:
        """The same set with one provider changed."""
        return replace(self, providers=tuple({**dict(self.providers), name: model}.items()))

    def all_done(self, phase: str) -> bool:
        """Whether every provider has finished ``phase``."""
        count = PHASES.index(phase) + 1
        return all(each.done >= count for _, each in self.providers)

    @property
    def is_begun(self) -> bool:
        """Whether creation went past adding volumes."""
        return any(each.done > 1 or each.busy not in ("", "begin_prepare") for _, each in self.providers)


@dataclass(frozen=True, slots=True)
class State:
    """The whole machine, as far as the protocol goes."""

    sessions: Mapping[str, str]  # id to kind
    writers: Mapping[tuple[str, str], WriterModel]
    sets: Mapping[str, SetModel]
    lock: str = ""
    is_handed_over: bool = False  # a session completes the backup of one that this log does not know

    def key(self) -> tuple[object, ...]:
        """The state as something that can be looked up."""
        return tuple(self.sessions.items()), tuple(self.writers.items()), tuple(self.sets.items()), self.lock

    def of_session(self, session_id: str) -> list[WriterModel]:
        """The writers of one session."""
        return [each for (session, _), each in self.writers.items() if session == session_id]

    def set_of(self, session_id: str) -> tuple[str, SetModel] | None:
        """The newest set of a session; None where it has none."""
        found = [(set_id, each) for set_id, each in self.sets.items() if each.session_id == session_id]
        return found[-1] if found else None
