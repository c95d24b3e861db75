"""A database's pages as of the last commit, for readers outside a transaction.

Sources: ours; the real engine keeps versions of nodes instead (ver.cxx).
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.page import Page
from vss_writers.ese.page_operation import PageOperation

if TYPE_CHECKING:
    from vss_writers.ese.buffer import BufferedPages


class CommittedPages:
    """The same pages as of the last commit: what readers outside a transaction see. Nothing can be changed through it.

    A page object handed out here follows later commits, as ``PageAccess.read`` promises.
    """

    def __init__(self, pages: BufferedPages) -> None:
        self._pages = pages

    @property
    def page_size(self) -> int:
        """Page size in bytes."""
        return self._pages.page_size

    @property
    def page_count(self) -> int:
        """Highest page number."""
        return self._pages.committed_page_count

    async def read(self, page_number: int) -> Page:
        """Return the page as of the last commit; raises as ``BufferedPages.read``."""
        return await self._pages.get_committed(page_number)

    async def apply(self, operation: PageOperation) -> Page:
        """Refuse: there is no transaction here."""
        raise self._refusal(operation.page_number)

    def macro(self) -> AbstractAsyncContextManager[None]:
        """Refuse: there is no transaction here."""
        raise self._refusal()

    async def extend(self, page_count: int) -> int:
        """Refuse: there is no transaction here."""
        raise self._refusal()

    def next_objid(self) -> int:
        """Refuse: there is no transaction here."""
        raise self._refusal()

    def _refusal(self, page_number: int | None = None) -> JetError:
        return JetError(JetCode.NotInTransaction, path=self._pages.file.path, page_number=page_number)
