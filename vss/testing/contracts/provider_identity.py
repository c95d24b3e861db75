"""Provider checks: who it is, what it claims, which volumes it takes.

Source of the rules: Volume Shadow Copy Service documentation, "Selecting providers", "Shadow copy provider registration and
loading"; ``vss.roles.provider``.
"""

from __future__ import annotations

from vss.errors import VssError
from vss.ids import GUID_NULL, Guid
from vss.roles.provider import ProviderType
from vss.testing.contracts.provider_base import ProviderChecks
from vss.testing.contracts.provider_bench import ProviderBench
from vss.testing.contracts.verdict import broken, page
from vss.testing.stubs import StubVolume


class IdentityChecks(ProviderChecks):
    """Before any set."""

    def test_the_class_attributes_identify_the_provider(self) -> None:
        """Id, name, version, type."""

        async def story(bench: ProviderBench) -> None:
            provider = bench.provider
            wrong = ""
            if provider.provider_id == GUID_NULL:
                wrong = "provider_id is the null GUID"
            elif not provider.name.strip() or not provider.version.strip():
                wrong = "name or version is empty"
            elif provider.type not in list(ProviderType):
                wrong = f"type is {provider.type!r}"
            if wrong:
                broken(
                    f"{bench.name}: {wrong}",
                    expected="a GUID of its own, a name, a version, a type of ProviderType",
                    found=wrong,
                    mend="set the class attribute",
                    source=page("IVssAdmin::RegisterProvider"),
                )

        self.play(story)

    def test_the_capabilities_record_makes_sense(self) -> None:
        """Full copies or differences, a positive limit, and nothing claimed that cannot be without another."""

        async def story(bench: ProviderBench) -> None:
            claims = bench.provider.capabilities
            wrong = ""
            if not (claims.is_differential or claims.is_plex):
                wrong = "it claims neither differential nor plex"
            elif claims.max_snapshots_per_volume < 1:
                wrong = f"max_snapshots_per_volume is {claims.max_snapshots_per_volume}"
            elif claims.supports_revert and not claims.supports_persistent:
                wrong = "it claims revert without persistent: a volume is reverted to persistent shadow copies only"
            if wrong:
                broken(
                    f"{bench.name}: the capabilities record makes no sense: {wrong}",
                    expected="is_differential or is_plex, a limit of at least 1, revert only with persistent",
                    found=repr(claims),
                    mend="correct the ProviderCapabilities of the class",
                    source="vss.roles.provider, ProviderCapabilities",
                )

        self.play(story)

    def test_a_volume_of_the_machine_is_supported(self) -> None:
        """The answer is True, not something that counts as true, and it is a promise."""

        async def story(bench: ProviderBench) -> None:
            answer = await bench.fetch("is_volume_supported", bench.volumes[0], self.volatile_attributes)
            if answer is not True:
                broken(
                    f"{bench.name} does not support an ordinary block volume",
                    expected="True",
                    found=repr(answer),
                    mend="attach the volume in make_provider, or set volatile_attributes of the contract class",
                    source=page("IVssSoftwareSnapshotProvider::IsVolumeSupported"),
                )

        self.play(story)

    def test_asking_for_support_changes_nothing(self) -> None:
        """The originals are as they were, and nothing is listed."""

        async def story(bench: ProviderBench) -> None:
            before = await bench.freeze_point()
            for _ in range(3):
                await bench.fetch("is_volume_supported", bench.volumes[0], self.volatile_attributes)
            if await bench.freeze_point() != before or await bench.listed():
                bench.refuse_change("is_volume_supported")

        self.play(story)

    def test_persistent_attributes_are_answered_as_claimed(self) -> None:
        """Supported where the capabilities record claims it, refused where it does not."""

        async def story(bench: ProviderBench) -> None:
            claim = bench.provider.capabilities.supports_persistent
            answer = await bench.fetch("is_volume_supported", bench.volumes[0], self.persistent_attributes)
            if answer is not claim:
                broken(
                    f"{bench.name} answers otherwise than it claims when asked for a persistent shadow copy",
                    expected=f"{claim}, as supports_persistent says",
                    found=repr(answer),
                    mend="honour every requested attribute or decline the volume, as the capabilities record says",
                    source=page("Required behaviors for shadow copy providers"),
                )

        self.play(story)

    def test_a_foreign_kind_of_volume_is_refused(self) -> None:
        """Not supported, and BeginPrepareSnapshot refuses it with a legal code."""

        async def story(bench: ProviderBench) -> None:
            stranger = StubVolume(bench.ports, "X:")
            answer = await bench.fetch("is_volume_supported", stranger, self.volatile_attributes)
            refusal = await bench.ask("begin_prepare_snapshot", Guid(int=1), Guid(int=2), stranger, 0, when="a foreign volume")
            if answer is not False or refusal is None:
                broken(
                    f"{bench.name} takes a volume of a kind that it cannot know",
                    expected="is_volume_supported False, and a VolumeNotSupportedError from begin_prepare_snapshot",
                    found=f"{answer!r}, and {refusal!r}",
                    mend="look at the type of the volume first",
                    source=page("IVssSoftwareSnapshotProvider::IsVolumeSupported"),
                )
            await bench.demand_usable("a foreign volume was refused")

        self.play(story)

    def test_a_lost_volume_is_refused(self) -> None:
        """Its disk is gone: not supported, and refused with a legal code."""

        async def story(bench: ProviderBench) -> None:
            lost = bench.volumes[1]
            lost.lose()
            try:
                answer: object = await bench.provider.is_volume_supported(lost, self.volatile_attributes)
            except VssError as error:
                answer = error
            refusal = await bench.ask("begin_prepare_snapshot", Guid(int=1), Guid(int=2), lost, 0, when="a lost volume")
            if answer is True or refusal is None:
                broken(
                    f"{bench.name} takes a volume whose disk is gone",
                    expected="not supported, and a refusal from begin_prepare_snapshot",
                    found=f"{answer!r}, and {refusal!r}",
                    mend="look at volume.is_lost, or try to read from it",
                    source=page("IVssSoftwareSnapshotProvider::IsVolumeSupported"),
                )

        self.play(story, names=("D:", "E:"))

    def test_query_is_empty_at_first(self) -> None:
        """A fresh machine has no shadow copy."""

        async def story(bench: ProviderBench) -> None:
            found = await bench.fetch("query")
            if found != []:
                broken(
                    f"{bench.name} lists shadow copies that nobody made",
                    expected="an empty list",
                    found=repr(found)[:120],
                    mend="keep what is listed in the object, and begin with nothing",
                    source=page("IVssSoftwareSnapshotProvider::Query"),
                )

        self.play(story)
