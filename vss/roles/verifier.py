"""The verifier: knows the files of one writer class and says which bytes are wrong, and where.

The framework knows nothing about databases; the writer's package ships a verifier, and the requestor runs it on the copy
(backup set) or on the shadow copy before it reports any component as successful.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vss.ids import Guid


class FileSource(Protocol):
    """Files by the writer's own paths, wherever their bytes really are (shadow copy, backup set, live volume)."""

    def paths(self) -> Sequence[str]:
        """All paths (``D:\\…``), in manifest order."""
        ...

    async def size(self, path: str) -> int:
        """Length in bytes; ``NotFoundError`` where the file is missing."""
        ...

    async def read(self, path: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; fewer only at the end of the file."""
        ...


@dataclass(frozen=True, slots=True)
class Finding:
    """Wrong bytes: where, what was expected, what was found. -1 where the format has no page number or offset."""

    path: str
    code: str  # the format's own name of the error, for example "JET_errReadVerifyFailure -1018"
    message: str
    page_number: int = -1
    offset: int = -1
    expected: str = ""
    found: str = ""
    is_warning: bool = False


@dataclass(frozen=True, slots=True)
class FileVerification:
    """One file as judged: how (method), how much, and whether it was good."""

    path: str
    size_bytes: int
    method: str
    pages: int = 0
    is_good: bool = True


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What a verifier saw. Success needs at least one file and no finding that is not a warning."""

    files: tuple[FileVerification, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing wrong was found."""
        return all(finding.is_warning for finding in self.findings)


Progress = Callable[[str, int, int], None]
"""Called with path, bytes done, bytes in all."""


class Verifier(ABC):
    """Subclass per writer class."""

    writer_class_id: Guid
    name: str

    @abstractmethod
    async def verify(
        self,
        source: FileSource,
        *,
        throttle_bytes_per_s: float | None = None,
        progress: Progress | None = None,
    ) -> VerificationReport:
        """Judge every file of ``source`` that belongs to the writer. Wrong bytes are findings, not exceptions."""
