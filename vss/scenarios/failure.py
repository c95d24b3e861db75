"""What a catalogued failure says of itself beside its scenario: what a user sees, why, what must hold, whether to try again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from vss.errors import ConfigurationError
from vss.nearest import nearest

PHASES = (
    "identify", "prepare", "prepare-snapshot", "freeze", "commit", "thaw", "post-snapshot", "copy", "verify", "complete",
    "shutdown", "pre-restore", "restore-files", "post-restore", "replay", "truncate", "replicate", "storage", "any",
)  # fmt: skip
"""Where in a backup or restore a failure shows first; ``storage`` is between sessions."""

GUARANTEES: Mapping[str, str] = {
    "THAW": "every writer that saw Freeze sees Thaw or Abort in time, and every held volume is let go",
    "CLEAN": "a set is made whole or not at all; nothing is left of one that failed",
    "KEEPLOGS": "without verified success no log is deleted and no backup is noted in a header",
    "RESET": "writers are ready again, or are with the next prepare; nothing counts as in progress any more",
    "UNLOCK": "the creation lock is free and the next session starts",
    "HONEST": "the result says failed or degraded and names who, what, in which phase and why",
    "CHAIN": "the last good backup chain can still be restored, the failed backup is marked as such",
    "SRCSAFE": "a failed backup leaves production as it was; a failed restore can be repeated",
    "ISOLATE": "what happens to one does not change the outcome of the others",
    "IDEMP": "clean-up may come twice, in another order, or to somebody who never began",
    "REPLAY": "recovery ends clean at a known generation or refuses with a reason, never with a hole",
    "LOWMARK": "no log goes that somebody still needs",
}
"""The guarantees that entries name."""

PACKS: Mapping[int, str] = {
    1: "stuck: the next session must work",
    2: "ten seconds: windows and limits",
    3: "green but rotten: each must turn red",
    4: "where did my logs go, and why are they still here",
    5: "bad media",
    6: "roll-forward drills",
    7: "failover drills",
    8: "interleaved sessions",
}
"""Packs of entries that belong together."""


class Failure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The ``[failure]`` table of a catalogue entry.

    Attributes:
        id: letter and two digits.
        phase: one of ``PHASES``.
        evidence: a report from the field, a documented rule, or derived without an incident.
        sees: what a user sees.
        why: where it comes from.
        must_hold: keys of ``GUARANTEES``.
        retry: whether trying again is worth it.
        source: public document, article or issue.
        packs: keys of ``PACKS``.
        waits_for: what is missing before it can run; "" for an entry that runs.
    """

    id: str
    phase: str
    evidence: Literal["report", "documented", "derived"]
    sees: str
    why: str
    must_hold: list[str]
    retry: str
    source: str
    packs: list[int] = msgspec.field(default_factory=list)
    waits_for: str = ""

    def check(self, where: str) -> None:
        """Refuse unknown words.

        Raises:
            ConfigurationError: names the key.
        """
        for key, words, known in (("phase", [self.phase], PHASES), ("must_hold", self.must_hold, tuple(GUARANTEES))):
            for word in words:
                if word not in known:
                    raise ConfigurationError(f"{where}: {key}: '{word}' is none of {', '.join(known)}{nearest(word, known)}")
        for pack in self.packs:
            if pack not in PACKS:
                raise ConfigurationError(f"{where}: packs: there is no pack {pack}: found {', '.join(map(str, PACKS))}")

    @property
    def is_pending(self) -> bool:
        """Whether it cannot run yet."""
        return bool(self.waits_for)
