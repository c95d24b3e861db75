"""What a person wishes for single components of a restore: another name, another instance, how far the logs are applied.

Written ``COMPONENT=WISH``, the component as everywhere (``writer:component`` or ``component``). Whether the writer knows such a
thing is said by its schema, and the session refuses what it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vss.documents import RollForwardType, WriterMetadata
from vss.errors import InvalidArgumentError, NotFoundError
from vss.ids import Guid
from vss_requestors.component_selection import ComponentName, find_named
from vss_requestors.restore_selection import RestoringComponent


@dataclass(frozen=True, slots=True)
class RollForward:
    """How far the writer applies its logs; ``point`` goes with PARTIAL, in the writer's own words."""

    type: RollForwardType
    point: str = ""

    @classmethod
    def parse(cls, text: str) -> RollForward:
        """Read ``none``, ``all`` or ``partial:POINT``, in any case; ``InvalidArgumentError`` for anything else."""
        word, _, point = text.partition(":")
        name = word.upper()
        if name in ("NONE", "ALL") and text == word:
            return cls(RollForwardType[name])
        if name == "PARTIAL" and point:
            return cls(RollForwardType.PARTIAL, point)
        raise InvalidArgumentError(f"roll forward '{text}', expected 'none', 'all' or 'partial:POINT'")


@dataclass(frozen=True, slots=True)
class Wish:
    """One component, and the name or instance wished for it."""

    component: ComponentName
    value: str

    @classmethod
    def parse(cls, text: str) -> Wish:
        """Read ``COMPONENT=VALUE``; ``InvalidArgumentError`` where a part is missing."""
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InvalidArgumentError(f"'{text}', expected 'component=value'")
        return cls(ComponentName.parse(name), value)


def give_wishes(
    chosen: Sequence[RestoringComponent],
    writers: Sequence[WriterMetadata],
    *,
    names: Sequence[Wish] = (),
    instances: Sequence[Wish] = (),
) -> None:
    """Note each wish at its component.

    Raises:
        NotFoundError: the set has no such component, or it is not being restored.
        InvalidArgumentError: a name fits several components.
    """
    for wish in names:
        _find(chosen, writers, wish.component).restore_name = wish.value
    for wish in instances:
        _find(chosen, writers, wish.component).to_instance = wish.value


def _find(chosen: Sequence[RestoringComponent], writers: Sequence[WriterMetadata], name: ComponentName) -> RestoringComponent:
    number, full_path = find_named(writers, name)
    for each in chosen:
        if each.metadata is writers[number] and each.component.full_path.casefold() == full_path.casefold():
            return each
    raise NotFoundError(f"component '{full_path}' of writer '{writers[number].friendly_name}' is not being restored")


def instance_named(running: Sequence[WriterMetadata], writer_id: Guid, name: str) -> Guid:
    """Return the id of the running instance of a writer class with this instance name, compared without case.

    Raises:
        NotFoundError: there is none; the message says which there are.
    """
    instances = [each for each in running if each.writer_id == writer_id]
    for each in instances:
        if each.instance_name.casefold() == name.casefold():
            return each.instance_id
    known = ", ".join(f"'{each.instance_name}'" for each in instances) or "none"
    raise NotFoundError(f"no instance '{name}' of writer {writer_id} is running: found {known}")
