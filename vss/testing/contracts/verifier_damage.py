"""Verifier checks: damage of every plain kind is found, named, and never ends in an exception."""

from __future__ import annotations

import random

from vss.testing.contracts.verdict import broken, not_applicable
from vss.testing.contracts.verifier_base import FACE, VerifierChecks

_FLIPS_PER_FILE = 48
_BLOCK = 4096
_GARBAGE_SEEDS = 8


def flipped(data: bytes, offset: int, mask: int = 0x10) -> bytes:
    """Return ``data`` with bits of one byte flipped."""
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


class DamageChecks(VerifierChecks):
    """Files that are not as they were written."""

    def _places(self, path: str, data: bytes) -> list[int]:
        """Return covered offsets spread over a file: both ends, and places in between that depend on the path only."""
        draw = random.Random(path)
        places = {0, len(data) - 1, *(draw.randrange(len(data)) for _ in range(_FLIPS_PER_FILE))} if data else set()
        return [each for each in sorted(places) if self.is_covered(path, each)]

    def test_a_flipped_bit_is_found_and_its_file_named(self) -> None:
        """At both ends and fifty places between, in every file."""
        sample = self.sample()
        tried = 0
        for path, data in sample.items():
            for offset in self._places(path, data):
                tried += 1
                self.demand_finding({**sample, path: flipped(data, offset)}, path, f"a flipped bit at offset {offset}")
        if not tried:
            not_applicable("is_covered says that no byte of the sample is protected")

    def test_a_finding_says_where_and_what(self) -> None:
        """A code, a message, and an offset inside the file where the format has one."""
        sample = self.sample()
        for path, data in sample.items():
            for offset in self._places(path, data)[:8]:
                for each in self.demand_finding({**sample, path: flipped(data, offset)}, path, f"a bit at {offset}"):
                    if not each.code.strip() or not each.message.strip() or each.offset > len(data) or each.offset < -1:
                        broken(
                            f"{self.name()} reports a finding that helps nobody",
                            expected=f"a code, a message, an offset of -1 to {len(data)}",
                            found=f"code '{each.code}', message '{each.message}', offset {each.offset}",
                            mend="fill in the Finding; -1 where the format has no offsets",
                            source=FACE,
                        )

    def test_the_file_with_a_finding_is_not_called_good(self) -> None:
        """``FileVerification.is_good`` and the findings agree."""
        sample = self.sample()
        for path, data in sample.items():
            for offset in self._places(path, data)[:4]:
                report = self.judge({**sample, path: flipped(data, offset)})
                bad = {each.path.lower() for each in report.findings if not each.is_warning}
                judged = {each.path.lower(): each.is_good for each in report.files}
                if report.is_good or (path.lower() in bad and judged.get(path.lower(), False)):
                    broken(
                        f"{self.name()} calls a file good that it found damaged",
                        expected="is_good False for the file and the report",
                        found=f"report {report.is_good}, file {judged.get(path.lower())}",
                        mend="derive is_good from the findings of the file",
                        source=FACE,
                    )

    def _check_cut(self, keep: float) -> None:
        sample = self.sample()
        tried = 0
        for path, data in sample.items():
            length = int(len(data) * keep)
            if len(data) > 1 and any(self.is_covered(path, at) for at in (length, len(data) - 1)):
                tried += 1
                self.demand_finding({**sample, path: data[:length]}, path, f"{length} of {len(data)} bytes")
        if not tried:
            not_applicable("is_covered says that no byte of the sample is protected")

    def test_a_file_cut_in_half_is_found(self) -> None:
        """As a copy that was broken off leaves it."""
        self._check_cut(0.5)

    def test_a_file_without_its_last_byte_is_found(self) -> None:
        """An off-by-one of a copying program."""
        self._check_cut(0.999999)

    def test_an_empty_file_is_found(self) -> None:
        """Created and never written."""
        self._check_cut(0.0)

    def test_a_file_of_zeros_is_found(self) -> None:
        """Allocated and never written: the right length, nothing in it."""
        sample = self.sample()
        tried = 0
        for path, data in sample.items():
            if any(data) and self._places(path, data):
                tried += 1
                self.demand_finding({**sample, path: bytes(len(data))}, path, "zeros only")
        if not tried:
            not_applicable("is_covered says that no byte of the sample is protected")

    def test_a_zeroed_block_is_found(self) -> None:
        """A sector range that the disk lost."""
        sample = self.sample()
        tried = 0
        for path, data in sample.items():
            for start in range(0, len(data), max(_BLOCK, len(data) // 8)):
                lost = data[start : start + _BLOCK]
                if any(byte and self.is_covered(path, start + at) for at, byte in enumerate(lost)):
                    tried += 1
                    damaged = data[:start] + bytes(len(lost)) + data[start + len(lost) :]
                    self.demand_finding({**sample, path: damaged}, path, f"zeros at offset {start}")
        if not tried:
            not_applicable("the sample has no protected block with content")

    def test_exchanged_blocks_are_found(self) -> None:
        """A misdirected write: two whole blocks in each other's place, each by itself intact."""
        sample = self.sample()
        tried = 0
        for path, data in sample.items():
            blocks = [data[at : at + _BLOCK] for at in range(0, len(data) - len(data) % _BLOCK, _BLOCK)]
            pair = next(
                ((i, j) for i in range(1, len(blocks)) for j in range(i + 1, len(blocks)) if blocks[i] != blocks[j]), None
            )
            if pair is None or not all(self.is_covered(path, each * _BLOCK) for each in pair):
                continue
            tried += 1
            first, second = pair
            blocks[first], blocks[second] = blocks[second], blocks[first]
            damaged = b"".join(blocks) + data[len(blocks) * _BLOCK :]
            self.demand_finding({**sample, path: damaged}, path, f"blocks {first} and {second} exchanged")
        if not tried:
            not_applicable("no file of the sample has two different protected blocks of 4096 bytes")

    def test_a_missing_file_is_found(self) -> None:
        """What belongs together must be there together."""
        sample = self.sample()
        tried = 0
        for path in sample:
            if not self.is_required(path):
                continue
            tried += 1
            report = self.judge({each: data for each, data in sample.items() if each != path})
            if report.files and report.is_good:
                broken(
                    f"{self.name()} accepts a set that lacks {path}",
                    expected="a finding that names what is missing",
                    found="a good report",
                    mend="derive from the other files what must be there; where nothing can tell, say so in is_required",
                    source=FACE,
                )
        if not tried:
            not_applicable("is_required says that the set can do without any of its files")

    def test_garbage_never_ends_in_an_exception(self) -> None:
        """Random bytes of many lengths, in place of each file and of all."""
        sample = self.sample()
        for seed in range(_GARBAGE_SEEDS):
            draw = random.Random(seed)
            for path in sample:
                garbage = draw.randbytes(draw.choice([1, 100, 511, 512, 4096, 8192, 70_000]))
                self.judge({**sample, path: garbage})
            self.judge({path: draw.randbytes(draw.randrange(20_000)) for path in sample})

    def test_a_damaged_beginning_never_ends_in_an_exception(self) -> None:
        """Headers with bytes of other values: sizes, counts and pointers that mean nothing."""
        sample = self.sample()
        for path, data in sample.items():
            draw = random.Random(path)
            for _ in range(40):
                offset = draw.randrange(min(len(data), 700)) if data else 0
                if data:
                    self.judge({**sample, path: data[:offset] + draw.randbytes(4) + data[offset + 4 :]})

    def test_appended_bytes_never_end_in_an_exception(self) -> None:
        """Found, or of no importance to the format."""
        sample = self.sample()
        for path, data in sample.items():
            for extra in (b"x", bytes(4096), bytes(range(256)) * 40):
                self.judge({**sample, path: data + extra})
