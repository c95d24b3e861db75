"""Verification of a database file: headers, every page's checksum and number, and what a clean file must satisfy besides.

Pure: bytes come through ``read``, time through ``throttle``, nothing else. Two verdicts are given, since two rules exist. The
engine's own tool counts a page with one wrong bit as correctable and passes the file (``passes_checksum_rule``); a backup must
not carry damage on, so for it any finding is one too many (``is_intact``).

A dirty database (every snapshot of a running store) may hold pages newer than its header and links to pages that are still
blank: the log makes up for that. These two rules are therefore applied to clean files only.

Sources: published engine, eseutil /k (counters, verdict) and the page checksum code; codes of jethdr.w.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from vss_writers.ese.checksum import PageCheck, PageVerdict, xor32
from vss_writers.ese.checksum_batch import DEFAULT_BATCH_PAGES, BatchResult, BatchVerifier, references
from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.header import HEADER_PROBE_SIZE, DatabaseHeader, unpack_headers
from vss_writers.ese.layout import page_count, page_offset
from vss_writers.ese.page import Page
from vss_writers.ese.reader import ReadAt

Progress = Callable[[int, int], None]
"""Called after every batch with pages done and pages in all."""
Throttle = Callable[[int], Awaitable[None]]
"""Awaited after every batch with the bytes it read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``offset`` counts bytes from the start of the file."""

    code: JetCode
    offset: int
    detail: str
    page_number: int | None = None
    is_correctable: bool = False
    wrong_bits: tuple[int, ...] = ()
    """Bit numbers within the page (8 × byte + bit), where they could be located."""

    def error(self, path: str | None = None) -> JetError:
        """The same as an error."""
        return JetError(self.code, self.detail, path=path, page_number=self.page_number, offset=self.offset)


@dataclass(slots=True)
class Counters:
    """What was seen, as the engine's tool counts it."""

    pages_seen: int = 0
    bad_checksums: int = 0
    correctable_checksums: int = 0
    uninitialized_pages: int = 0
    wrong_page_numbers: int = 0
    dbtime_highest: int = 0
    dbtime_highest_page: int = 0
    reads: int = 0
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome. ``header`` is None when neither copy could be used; nothing else was looked at then."""

    header: DatabaseHeader | None
    findings: tuple[Finding, ...]
    counters: Counters

    @property
    def is_intact(self) -> bool:
        """Whether nothing at all is wrong: the rule for a backup."""
        return not self.findings

    @property
    def passes_checksum_rule(self) -> bool:
        """Whether the engine's tool would call the checksums good: correctable pages only warn."""
        counters = self.counters
        return counters.pages_seen > 0 and counters.bad_checksums == 0 and counters.wrong_page_numbers == 0


@dataclass(slots=True)
class _Scan:
    """State of one pass over the pages."""

    read: ReadAt
    page_size: int
    findings: list[Finding]
    counters: Counters
    dbtime_limit: int | None
    blank: list[int] = field(default_factory=list)
    referred: dict[int, int] = field(default_factory=dict)
    """Pages that others point to, each with one that does (clean files only)."""


async def verify_database(
    read: ReadAt,
    size_bytes: int,
    *,
    path: str | None = None,
    batch_pages: int = DEFAULT_BATCH_PAGES,
    on_progress: Progress | None = None,
    throttle: Throttle | None = None,
) -> Report:
    """Verify a whole database file. Damage becomes findings, never an exception; only ``read`` may raise."""
    findings: list[Finding] = []
    counters = Counters()
    probe = await _read(read, 0, min(HEADER_PROBE_SIZE, size_bytes), counters)
    header = _verify_headers(probe, findings, path)
    if header is None:
        return Report(None, tuple(findings), counters)
    page_size = header.page_size
    total = page_count(size_bytes, page_size)
    if size_bytes % page_size:
        detail = f"file of {size_bytes} bytes is no multiple of the page size {page_size}"
        findings.append(Finding(JetCode.DatabaseCorrupted, size_bytes - size_bytes % page_size, detail))
    if header.full_current and total:
        total -= 1
        await _verify_trailer(read, page_offset(total + 1, page_size), page_size, findings, counters)
    scan = _Scan(read, page_size, findings, counters, header.dbtime if header.is_clean else None)
    verifier = BatchVerifier(page_size, batch_pages)
    for first in range(1, total + 1, batch_pages):
        count = min(batch_pages, total + 1 - first)
        await _verify_batch(scan, verifier, first, count)
        if on_progress is not None:
            on_progress(first + count - 1, total)
        if throttle is not None:
            await throttle(count * page_size)
    if header.is_clean:
        _verify_references(scan, total)
    return Report(header, tuple(sorted(findings, key=lambda finding: finding.offset)), counters)


async def _read(read: ReadAt, offset: int, length: int, counters: Counters) -> bytes:
    data = await read(offset, length)
    counters.reads += 1
    counters.bytes_read += len(data)
    return data


def _verify_headers(probe: bytes, findings: list[Finding], path: str | None) -> DatabaseHeader | None:
    try:
        headers = unpack_headers(probe, path=path)
    except JetError as error:
        findings.append(Finding(error.code, error.offset or 0, error.detail))
        return None
    for name, error_found in (("primary", headers.primary_error), ("shadow", headers.shadow_error)):
        if error_found is not None:
            detail = f"{name} header: {error_found.detail}"
            findings.append(Finding(error_found.code, error_found.offset or 0, detail))
    return headers.header


async def _verify_trailer(read: ReadAt, offset: int, page_size: int, findings: list[Finding], counters: Counters) -> None:
    """The last page of a streaming backup copy is sealed like a header."""
    data = await _read(read, offset, page_size, counters)
    stored = int.from_bytes(data[:4], "little")
    computed = xor32(data[4:])
    if stored != computed:
        detail = f"patch page: checksum stored {stored:#010x}, computed {computed:#010x}"
        findings.append(Finding(JetCode.BadPatchPage, offset, detail))


async def _verify_batch(scan: _Scan, verifier: BatchVerifier, first: int, count: int) -> None:
    offset = page_offset(first, scan.page_size)
    data = await _read(scan.read, offset, count * scan.page_size, scan.counters)
    result = verifier.verify(data, first, dbtime_limit=scan.dbtime_limit)
    scan.counters.pages_seen += result.page_count
    if result.page_count < count:
        detail = f"{len(data)} bytes read where {count * scan.page_size} were expected"
        scan.findings.append(Finding(JetCode.DiskIO, offset + len(data), detail))
    if result.dbtime_highest > scan.counters.dbtime_highest:
        scan.counters.dbtime_highest = result.dbtime_highest
        scan.counters.dbtime_highest_page = result.dbtime_page
    for page_number, check in result.findings:
        _count(scan, page_number, check)
    for page_number, dbtime in result.dbtimes_above:
        detail = f"page has dbtime {dbtime}, the header {scan.dbtime_limit}"
        place = page_offset(page_number, scan.page_size)
        scan.findings.append(Finding(JetCode.DbTimeCorrupted, place, detail, page_number))
    if scan.dbtime_limit is not None:
        _collect_references(scan, data, first, result)


def _count(scan: _Scan, page_number: int, check: PageCheck) -> None:
    counters = scan.counters
    if check.verdict is PageVerdict.BLANK:
        counters.uninitialized_pages += 1
        scan.blank.append(page_number)
        return
    detail = f"{check.verdict.value}: stored {check.stored:#018x}, computed {check.computed:#018x}"
    if check.verdict is PageVerdict.WRONG_PAGE_NUMBER:
        counters.wrong_page_numbers += 1
        detail += f", probably page {check.probable_page_number}"
    elif check.verdict is PageVerdict.CORRECTABLE:
        counters.correctable_checksums += 1
        detail += f", wrong bits {', '.join(map(str, check.wrong_bits))}"
    else:
        counters.bad_checksums += 1
    scan.findings.append(
        Finding(
            JetCode.ReadVerifyFailure,
            page_offset(page_number, scan.page_size),
            detail,
            page_number,
            is_correctable=check.verdict is PageVerdict.CORRECTABLE,
            wrong_bits=check.wrong_bits,
        )
    )


def _collect_references(scan: _Scan, data: bytes, first: int, result: BatchResult) -> None:
    """Note where good pages point to: siblings of leaves, children of branches."""
    bad = {page_number for page_number, _ in result.findings}
    links, branches = references(data, scan.page_size)
    for index, *targets in links:
        for target in targets:
            if target and first + index not in bad:
                scan.referred.setdefault(target, first + index)
    for index in branches:
        page_number = first + index
        if page_number in bad:
            continue
        start = index * scan.page_size
        page = Page(bytearray(data[start : start + scan.page_size]), page_number)
        try:
            for line in range(page.line_count):
                scan.referred.setdefault(page.child(line), page_number)
        except JetError as error:
            place = page_offset(page_number, scan.page_size)
            scan.findings.append(Finding(error.code, place, error.detail, page_number))


def _verify_references(scan: _Scan, total: int) -> None:
    """In a clean file no page points to a blank page or behind the end."""
    blank = set(scan.blank)
    for target, source in sorted(scan.referred.items()):
        if target in blank or target > total:
            where = "is blank" if target in blank else f"lies behind the last page, {total}"
            detail = f"page {source} points to it, but it {where}"
            scan.findings.append(Finding(JetCode.PageNotInitialized, page_offset(target, scan.page_size), detail, target))
