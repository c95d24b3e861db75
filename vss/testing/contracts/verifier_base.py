"""What every group of verifier checks builds on: the author's factory and sample, and files that misbehave on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from vss.errors import VolumeReadError, VssError
from vss.ports import Ports
from vss.roles.verifier import FileSource, Finding, Progress, VerificationReport, Verifier
from vss.simulation import run
from vss.testing.contracts.verdict import broken, good_end

T = TypeVar("T")

FACE = "vss.roles.verifier"
MAX_VIRTUAL_S = 365 * 86400.0


class SampleFiles:
    """Files in memory as a verifier sees them; counts what is read.

    Attributes:
        fails_at: a path whose reading fails, or "".
        pauses: whether each read lets others run first.
        longest_read: the longest length asked for.
        reads: how many reads were made.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        """Offer ``files`` in their order."""
        self.files = dict(files)
        self.fails_at = ""
        self.pauses = False
        self.longest_read = 0
        self.reads = 0

    def paths(self) -> Sequence[str]:
        """All paths."""
        return list(self.files)

    async def size(self, path: str) -> int:
        """Length in bytes."""
        return len(self.files[path])

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; ``VolumeReadError`` for the path that fails."""
        if self.pauses:
            await asyncio.sleep(0)
        if path == self.fails_at:
            raise VolumeReadError(f"{path}: reading {length} bytes at offset {offset}: input/output error")
        self.reads += 1
        self.longest_read = max(self.longest_read, length)
        return self.files[path][offset : offset + length]


class VerifierChecks:
    """What an author overrides: ``make_verifier`` and ``sample_files``; the rest where the format leaves room."""

    def make_verifier(self) -> Verifier:
        """Return a fresh verifier."""
        raise NotImplementedError("override make_verifier: return a fresh verifier")

    def sample_files(self) -> Mapping[str, bytes]:
        """Return a small, good set of files by machine path, as a backup of the writer holds them."""
        raise NotImplementedError("override sample_files: return machine path → bytes of a good backup")

    def source_of(self, files: SampleFiles) -> FileSource:
        """Return ``files`` with whatever else the verifier needs beside them (a document)."""
        return files

    def is_covered(self, path: str, offset: int) -> bool:
        """Whether a wrong byte at ``offset`` must be found; False where the format protects it by nothing."""
        return True

    def is_required(self, path: str) -> bool:
        """Whether the set is damaged without the file."""
        return True

    # -- playing ---------------------------------------------------------------------------------------------------------------

    def play(self, story: Callable[[Ports], Awaitable[T]]) -> T:
        """Run ``story`` in a fresh simulated world."""
        with good_end(f"the verifier of {type(self).__name__}"):
            return run(story, max_virtual_s=MAX_VIRTUAL_S)

    def sample(self) -> dict[str, bytes]:
        """Return the sample; fails where it is empty."""
        files = dict(self.sample_files())
        if not files or not any(files.values()):
            broken(
                "sample_files gives nothing to judge",
                expected="at least one file with content",
                found=f"{len(files)} empty files",
                mend="return a small backup of the writer",
                source=FACE,
            )
        return files

    def judge(
        self,
        files: Mapping[str, bytes],
        *,
        rate: float | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Have a fresh verifier judge files; fails where it raises."""

        async def story(ports: Ports) -> VerificationReport:
            verifier = self.make_verifier()
            return await verifier.verify(self.source_of(SampleFiles(files)), throttle_bytes_per_s=rate, progress=progress)

        try:
            return self.play(story)
        except VssError as error:
            self.refuse_exception(error)
        except (ArithmeticError, LookupError, ValueError, TypeError, OSError, EOFError, AssertionError) as error:
            self.refuse_exception(error)

    def refuse_exception(self, error: BaseException) -> NoReturn:
        """Fail: wrong bytes ended in an exception."""
        broken(
            f"the verifier raises {type(error).__name__} instead of reporting",
            expected="a finding: wrong bytes are findings, not exceptions",
            found=repr(error),
            mend="catch what the format's reader raises, and make a Finding of it",
            source=FACE,
        )

    def name(self) -> str:
        """How messages call the verifier."""
        return f"verifier '{self.make_verifier().name}'"

    def demand_finding(self, files: Mapping[str, bytes], path: str, defect: str) -> list[Finding]:
        """Judge files and fail unless a finding that is no warning names ``path``; return these findings."""
        report = self.judge(files)
        found = [each for each in report.findings if each.path.lower() == path.lower() and not each.is_warning]
        if not found:
            others = [f"{each.path}: {each.code}" for each in report.findings][:3]
            broken(
                f"{self.name()} accepts {path} with {defect}",
                expected="a finding that names the file and is no warning",
                found=f"other findings: {others}" if others else "no finding at all",
                mend="check it; where the format cannot tell, say so in is_covered or is_required of the contract class",
                source=FACE,
            )
        return found
