"""The verifier contract: the built-in verifiers pass it, bad ones break the check made for their defect."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from tests.contracts import test_builtin_writers as writers
from vss.coordinator import Session
from vss.documents import BackupComponents
from vss.ids import GUID_NULL, Guid
from vss.roles.verifier import FileSource, FileVerification, Finding, VerificationReport, Verifier
from vss.testing import VerifierContract
from vss.testing.contracts.verdict import ContractBroken
from vss.testing.contracts.verifier_base import SampleFiles
from vss.testing.contracts.writer_base import WriterChecks
from vss.testing.contracts.writer_bench import WriterBench, read_file
from vss.testing.contracts.writer_freeze import shadow_files
from vss_writers.exchange.verifier import ExchangeVerifier
from vss_writers.scripted.verifier import RecordedSource, ScriptedVerifier


@cache
def backup_of(contract: type[WriterChecks]) -> tuple[dict[str, bytes], BackupComponents]:
    """Files and document of a backup of the writer that a contract class makes."""

    async def story(bench: WriterBench) -> tuple[dict[str, bytes], BackupComponents]:
        files: dict[str, bytes] = {}
        documents = []
        metadata = await bench.observed.identify()

        async def copy(session: Session) -> None:
            shadow = await shadow_files(bench, session)
            files.update({path: await read_file(shadow, path) for path in await bench.own_files(metadata)})
            documents.append(session.document)

        await bench.demand_backup("the sample", on_snapshot=copy)
        return files, documents[0]

    return contract().play(story)


class TestExchangeVerifier(VerifierContract):
    """Databases, logs and checkpoint of the store; what its formats leave unprotected is told here."""

    def make_verifier(self) -> Verifier:
        return ExchangeVerifier()

    def sample_files(self) -> Mapping[str, bytes]:
        return backup_of(writers.TestExchangeWriter)[0]

    def is_covered(self, path: str, offset: int) -> bool:
        """Of the current generation only the header counts: what follows may be torn. The next one holds nothing yet, a closed
        one nothing behind its last record, and the checkpoint is there twice."""
        name = path.rpartition("\\")[2].lower()
        if name in ("e00tmp.log", "e00.chk"):
            return False
        return offset < (512 if name == "e00.log" else 16384) if name.endswith(".log") else True

    def is_required(self, path: str) -> bool:
        """A database needs the closed generations of its header; which databases there are is known to the manifest."""
        name = path.rpartition("\\")[2].lower()
        return name.endswith(".log") and name not in ("e00.log", "e00tmp.log")


class TestScriptedVerifier(VerifierContract):
    """Digests from the document that lies beside the files."""

    def make_verifier(self) -> Verifier:
        return ScriptedVerifier()

    def sample_files(self) -> Mapping[str, bytes]:
        return backup_of(writers.TestScriptedWriter)[0]

    def source_of(self, files: SampleFiles) -> FileSource:
        return RecordedSource(files, backup_of(writers.TestScriptedWriter)[1])


# -- a sound verifier of checksummed files, and bad ones -----------------------------------------------------------------------


def sealed(blocks: int, salt: int) -> bytes:
    """A file of 4096-byte blocks, each with the checksum of its content and number; the first tells how many there are."""
    out = []
    for number in range(blocks):
        body = (blocks.to_bytes(4, "big") if not number else b"") + bytes((salt + number + at) % 251 for at in range(4088))
        body = body[:4092]
        body = body.ljust(4092, b"\1")
        out.append(zlib.crc32(body, number).to_bytes(4, "big") + body)
    return b"".join(out)


SAMPLE = {"D:\\Sealed\\one.sealed": sealed(3, 7), "D:\\Sealed\\two.sealed": sealed(2, 99)}


class SealVerifier(Verifier):
    """Judges files whose name ends in ``.sealed``."""

    writer_class_id = Guid("d3f6a3b1-5d8c-4b43-9a2f-0f7b9f1e2a10")
    name = "sealed files"

    async def verify(
        self, source: FileSource, *, throttle_bytes_per_s: float | None = None, progress: Any = None
    ) -> VerificationReport:
        files, findings = [], []
        for path in source.paths():
            if path.endswith(".sealed"):
                found = await self.judge(source, path, throttle_bytes_per_s, progress)
                findings += found
                size = await source.size(path)
                files.append(FileVerification(path, size, "CRC-32 of every block", size // 4096, is_good=not found))
        return VerificationReport(tuple(files), tuple(findings))

    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        size, count = await source.size(path), -1
        findings = []
        for offset in range(0, size, 4096):
            block = await source.read(path, offset, 4096)
            await self.pace(len(block), rate)
            if progress is not None:
                progress(path, min(offset + 4096, size), size)
            if block[:4] != zlib.crc32(block[4:], offset // 4096).to_bytes(4, "big"):
                findings.append(Finding(path, "seal", "wrong checksum", offset // 4096, offset))
            elif not offset:
                count = int.from_bytes(block[4:8], "big")
        if count * 4096 != size:
            findings.append(Finding(path, "length", f"expected {count} blocks, found {size} bytes"))
        return findings

    async def pace(self, count: int, rate: float | None) -> None:
        if rate is not None:
            await asyncio.sleep(count / rate)


class SealContract(VerifierContract):
    verifier_class: type[SealVerifier] = SealVerifier

    def make_verifier(self) -> Verifier:
        return self.verifier_class()

    def sample_files(self) -> Mapping[str, bytes]:
        return SAMPLE

    def is_required(self, path: str) -> bool:
        return False


class TestSealVerifier(SealContract):
    """Passes."""


class Nobody(SealVerifier):
    writer_class_id = GUID_NULL


class Suspicious(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        return [*await super().judge(source, path, rate, progress), Finding(path, "doubt", "who knows")]


class Trusting(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        await super().judge(source, path, rate, progress)
        return []


class Mute(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        return [replace(each, code="", message="") for each in await super().judge(source, path, rate, progress)]


class Warns(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        return [replace(each, is_warning=True) for each in await super().judge(source, path, rate, progress)]


class CallsAllGood(SealVerifier):
    async def verify(self, source: FileSource, **options: Any) -> VerificationReport:
        report = await super().verify(source, **options)
        return replace(report, files=tuple(replace(each, is_good=True) for each in report.files))


class ForgetsLengths(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        return [each for each in await super().judge(source, path, rate, progress) if each.code != "length"]


class IgnoresNumbers(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        wrong = await super().judge(source, path, rate, progress)
        genuine = {data[at : at + 4096] for data in SAMPLE.values() for at in range(0, len(data), 4096)}
        return [each for each in wrong if each.offset < 0 or await source.read(path, each.offset, 4096) not in genuine]


class Raises(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        if await super().judge(source, path, rate, progress):
            raise ValueError("bad file")
        return []


class JudgesStrangers(SealVerifier):
    async def verify(self, source: FileSource, **options: Any) -> VerificationReport:
        report = await super().verify(source, **options)
        strangers = [Finding(path, "name", "unknown file") for path in source.paths() if not path.endswith(".sealed")]
        return replace(report, findings=(*report.findings, *strangers))


class Silent(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        return await super().judge(source, path, rate, None)


class Hasty(SealVerifier):
    async def pace(self, count: int, rate: float | None) -> None:
        return


class Optimist(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        try:
            return await super().judge(source, path, rate, progress)
        except Exception:  # noqa: BLE001 - the defect
            return []


class Unstoppable(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        try:
            return await super().judge(source, path, rate, progress)
        except asyncio.CancelledError:
            return []


class Remembers(SealVerifier):
    def __init__(self) -> None:
        self.seen: list[Finding] = []

    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        self.seen += await super().judge(source, path, rate, progress)
        return list(self.seen)


class Fickle(SealVerifier):
    count = 0

    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        type(self).count += 1
        found = await super().judge(source, path, rate, progress)
        return [*found, Finding(path, "turn", f"verification {type(self).count}", is_warning=True)]


class Clocked(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        self.at = round(time.time(), -9)
        return await super().judge(source, path, rate, progress)


class Invents(SealVerifier):
    async def verify(self, source: FileSource, **options: Any) -> VerificationReport:
        report = await super().verify(source, **options)
        return replace(report, files=(*report.files, FileVerification("D:\\made\\up.sealed", 1, "guess")))


class Swallows(SealVerifier):
    async def judge(self, source: FileSource, path: str, rate: float | None, progress: Any) -> list[Finding]:
        await source.read(path, 0, 1 << 30)
        return await super().judge(source, path, rate, progress)


DEFECTS: list[tuple[type[SealVerifier], str, str]] = [
    (Nobody, "the_class_attributes_identify_the_verifier", "does not say whose files it judges"),
    (Suspicious, "the_good_sample_is_good", "does not accept the good sample"),
    (Trusting, "a_flipped_bit_is_found_and_its_file_named", "accepts .*one.sealed with a flipped bit at offset 0"),
    (Trusting, "a_file_of_zeros_is_found", "with zeros only"),
    (Trusting, "a_zeroed_block_is_found", "with zeros at offset 0"),
    (Trusting, "an_empty_file_is_found", "with 0 of"),
    (Warns, "a_flipped_bit_is_found_and_its_file_named", "other findings"),
    (Mute, "a_finding_says_where_and_what", "a finding that helps nobody"),
    (CallsAllGood, "the_file_with_a_finding_is_not_called_good", "calls a file good that it found damaged"),
    (ForgetsLengths, "an_empty_file_is_found", "accepts .* with 0 of 12288 bytes"),
    (IgnoresNumbers, "exchanged_blocks_are_found", "blocks 1 and 2 exchanged"),
    (Raises, "garbage_never_ends_in_an_exception", "raises ValueError instead of reporting"),
    (Raises, "a_damaged_beginning_never_ends_in_an_exception", "raises ValueError instead of reporting"),
    (Raises, "appended_bytes_never_end_in_an_exception", "raises ValueError instead of reporting"),
    (JudgesStrangers, "files_of_others_are_no_finding", "finds fault with a file that is not its writer's"),
    (Silent, "progress_is_told", "tells progress that is none"),
    (Hasty, "a_throttle_is_obeyed", "does not keep the throttle"),
    (Optimist, "a_file_that_cannot_be_read_is_no_success", "calls a set good that it could not read"),
    (Unstoppable, "a_verification_can_be_cancelled_anywhere", "swallows its cancellation"),
    (Remembers, "one_verifier_judges_again_and_again", "remembers what it judged before"),
    (Remembers, "two_verifications_at_once_do_not_mix", "mixes two verifications up"),
    (Fickle, "the_same_files_give_the_same_report", "judges the same files differently"),
    (Clocked, "clock_and_randomness_come_from_nowhere", "time.time"),
    (Invents, "no_files_make_no_success", "reports files of an empty source"),
    (Invents, "sizes_and_methods_are_reported", "reports a file as it is not"),
    (Swallows, "reads_are_bounded", "reads 1073741824 bytes at once"),
]


@pytest.mark.parametrize(("bad", "check", "message"), DEFECTS, ids=[f"{bad.__name__}-{check}" for bad, check, _ in DEFECTS])
def test_a_bad_verifier_breaks_the_check_for_its_defect(bad: type[SealVerifier], check: str, message: str) -> None:
    contract = type("Contract", (SealContract,), {"verifier_class": bad})()

    with pytest.raises(ContractBroken, match=message) as caught:
        getattr(contract, f"test_{check}")()

    assert all(f"\n  {word}" in str(caught.value) for word in ("expected:", "found:", "mend:", "source:"))


def test_an_empty_sample_is_refused() -> None:
    contract = type("Contract", (SealContract,), {"sample_files": lambda self: {}})()

    with pytest.raises(ContractBroken, match="sample_files gives nothing to judge"):
        contract.test_the_good_sample_is_good()


def test_a_missing_file_that_is_required_is_demanded() -> None:
    contract = type("Contract", (SealContract,), {"is_required": lambda self, path: True})()

    with pytest.raises(ContractBroken, match="accepts a set that lacks"):
        contract.test_a_missing_file_is_found()
