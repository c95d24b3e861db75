"""Steps that call a registered requestor: back up, restore, verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from vss.documents import BackupType
from vss.errors import ConfigurationError
from vss.scenarios.step import SETS, Step, check_reference, check_word

if TYPE_CHECKING:
    from vss.scenarios.stage import Stage


class Backup(Step, frozen=True, kw_only=True, tag="backup"):
    """Take a backup.

    Attributes:
        type: FULL, COPY, INCREMENTAL, DIFFERENTIAL, LOG.
        previous: the step whose backup this one builds on.
        provider: by registered kind.
        requestor: by registered name.
        options: the requestor's own, as a person writes them.
    """

    type: str = "FULL"
    previous: str = ""
    provider: str = ""
    requestor: str = "backup"
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse an unknown type and an unknown earlier step."""
        check_word(self.type, list(BackupType.__members__), f"{where}: type")
        if self.previous:
            check_reference(self.previous, names, f"{where}: previous")

    async def run(self, stage: Stage) -> Any:
        """Take it."""
        requestor = stage.registry.create_requestor(self.requestor)
        options = requestor.written_options(self.options)
        options |= {"target": SETS, "backup_type": BackupType[self.type], "records": stage.records}
        if self.provider:
            options["provider_id"] = stage.lab.provider_id(self.provider)
        if self.previous:
            options["previous"] = stage.document_of(self.previous)
        return await requestor.run(stage.lab, **options)


class OfSets(Step, frozen=True, kw_only=True):
    """Base of steps about backup sets.

    Attributes:
        of: the step whose set is meant; with several, a chain in order.
        requestor: by registered name.
        options: the requestor's own, as a person writes them.
    """

    of: str | list[str]
    requestor: str = ""
    options: dict[str, Any] = msgspec.field(default_factory=dict)

    @property
    def steps(self) -> list[str]:
        """The steps of ``of``."""
        return [self.of] if isinstance(self.of, str) else self.of

    def check(self, names: Sequence[str], where: str) -> None:
        """Refuse unknown steps, and none at all."""
        if not self.steps:
            raise ConfigurationError(f"{where}: of: expected a step, found none")
        for name in self.steps:
            check_reference(name, names, f"{where}: of")


class Restore(OfSets, frozen=True, kw_only=True, tag="restore"):
    """Restore a backup, perhaps with those that follow it."""

    requestor: str = "restore"

    async def run(self, stage: Stage) -> Any:
        """Restore."""
        requestor = stage.registry.create_requestor(self.requestor)
        first, *rest = [stage.set_of(name) for name in self.steps]
        options = requestor.written_options(self.options) | ({"increments": tuple(rest)} if rest else {})
        return await requestor.run(stage.lab, source=first, **options)


class Verify(OfSets, frozen=True, kw_only=True, tag="verify"):
    """Check a backup set as ``vss verify`` does."""

    requestor: str = "verify"

    async def run(self, stage: Stage) -> Any:
        """Verify."""
        requestor = stage.registry.create_requestor(self.requestor)
        return await requestor.run(stage.lab, source=stage.set_of(self.steps[0]), **requestor.written_options(self.options))
