"""``/k``: checksums of a database, a log, a set of logs or a checkpoint, with the tool's counters and its verdict.

Sources: published engine, _esefile/checksum.cxx, eseutil.cxx.
"""

from __future__ import annotations

from vss_writers.ese.errors import JetCode, JetError
from vss_writers.ese.eseutil.dump import dump_any, dump_checkpoint
from vss_writers.ese.eseutil.labels import Dump
from vss_writers.ese.files import FileSystem
from vss_writers.ese.verify import Report, verify_database

_MEGABYTE = 1 << 20


async def check(files: FileSystem, path: str) -> Dump:
    """Check whatever ``path`` is, by its ending; a name without a file is taken as the base name of a set of logs.

    Raises:
        JetError: ``FileNotFound``; what the headers of logs and checkpoints raise.
    """
    lower = path.lower()
    if lower.endswith(".chk"):
        return await _check_checkpoint(files, path)
    if lower.endswith((".log", ".jrs", ".jtx")):
        return await dump_any(files, path)
    if not await files.exists(path):
        return await dump_any(files, path)
    return await check_database(files, path)


async def _check_checkpoint(files: FileSystem, path: str) -> Dump:
    try:
        dump = await dump_checkpoint(files, path)
    except JetError as error:
        if error.code is not JetCode.CheckpointCorrupt:
            raise
        lines = (f"Checksum status of {path}", "", f"ERROR: {error}")
        return Dump(lines, {"path": path, "ok": False, "error": str(error)}, int(error.code), is_mismatch=True)
    return Dump((f"Checksum status of {path}", "", "The checkpoint file is good."), {**dump.data, "ok": True})


async def check_database(files: FileSystem, path: str) -> Dump:
    """Check every page of a database. Dirty databases may be checked."""
    file = await files.open(path)
    try:
        report = await verify_database(file.pread, file.size_bytes, path=path)
    finally:
        await file.close()
    counters = report.counters
    is_good = _is_good(report)
    code = 0 if is_good else int(_first_code(report))
    lines = (
        f"File: {path}",
        "",
        *(f"ERROR: {finding.error(path)}" for finding in report.findings),
        "",
        f"{counters.pages_seen} pages seen",
        f"{counters.bad_checksums} bad checksums",
        f"{counters.correctable_checksums} correctable checksums",
        f"{counters.uninitialized_pages} uninitialized pages",
        f"{counters.wrong_page_numbers} wrong page numbers",
        f"{counters.dbtime_highest:#x} highest dbtime (pgno {counters.dbtime_highest_page:#x})",
        f"{counters.reads} reads performed",
        f"{counters.bytes_read // _MEGABYTE} MB read",
        "",
        _verdict(report),
    )
    data = {
        "path": path,
        "ok": is_good,
        "pages_seen": counters.pages_seen,
        "bad_checksums": counters.bad_checksums,
        "correctable_checksums": counters.correctable_checksums,
        "uninitialized_pages": counters.uninitialized_pages,
        "wrong_page_numbers": counters.wrong_page_numbers,
        "dbtime_highest": counters.dbtime_highest,
        "dbtime_highest_page": counters.dbtime_highest_page,
        "bytes_read": counters.bytes_read,
        "findings": [
            {"code": int(finding.code), "page": finding.page_number, "offset": finding.offset, "detail": finding.detail}
            for finding in report.findings
        ],
    }
    return Dump(lines, data, code, is_mismatch=not is_good)


def _is_good(report: Report) -> bool:
    """The tool's rule for checksums, and nothing else wrong that makes the file unusable; correctable pages only warn."""
    others = [finding for finding in report.findings if not finding.is_correctable]
    return report.header is not None and report.passes_checksum_rule and not others


def _first_code(report: Report) -> JetCode:
    """Code of the first finding; a file without a page fails without one."""
    wrong = [finding.code for finding in report.findings if not finding.is_correctable]
    return wrong[0] if wrong else JetCode.DatabaseCorrupted


def _verdict(report: Report) -> str:
    if not _is_good(report):
        has_good_checksums = report.header is not None and report.passes_checksum_rule
        return "All checksums are good, but the file is damaged." if has_good_checksums else "The file is damaged."
    if report.counters.correctable_checksums:
        return "The file is good; correctable pages were found."
    return "The file is good."
