"""A provider whose last answer is lost has finished a set that failed: the contract demands that nothing of it stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vss.ids import GUID_NULL, Guid
from vss.ports import Ports
from vss.roles.provider import Provider, SnapshotProperties
from vss.testing import InstantProvider, ProviderContract
from vss.testing.contracts.verdict import ContractBroken


class ForgetsTheSet(InstantProvider):
    """Nobody can tell whose shadow copies it has."""

    async def query(self) -> list[SnapshotProperties]:
        return [replace(each, snapshot_set_id=GUID_NULL) for each in await super().query()]


class NeverDeletes(InstantProvider):
    """Says that it has deleted."""

    async def delete_snapshot(self, snapshot_id: Guid) -> None:
        return


@pytest.mark.parametrize("bad", [ForgetsTheSet, NeverDeletes])
def test_shadow_copies_that_stay_break_the_contract(bad: type[InstantProvider]) -> None:
    class Contract(ProviderContract):
        def make_provider(self, ports: Ports) -> Provider:
            return bad(ports)

    with pytest.raises(ContractBroken, match="does not recover from a lost answer to post_final"):
        Contract()._check_call("provider.post_final fail-after", "a lost answer to post_final")


def test_a_sound_provider_keeps_nothing() -> None:
    class Contract(ProviderContract):
        def make_provider(self, ports: Ports) -> Provider:
            return InstantProvider(ports)

    for effect in ("fail-after", "hang=during", "hang=after"):
        Contract()._check_call(f"provider.post_final {effect}", effect)
