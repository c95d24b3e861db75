"""The engine's errors say which, where and what was found."""

from __future__ import annotations

from vss_writers.ese.errors import TEXTS, JetCode, JetError


def test_every_code_has_a_text() -> None:
    assert set(TEXTS) == set(JetCode)
    assert all(text and not text.endswith(".") for text in TEXTS.values())


def test_an_error_carries_code_name_and_place() -> None:
    error = JetError(JetCode.ReadVerifyFailure, "stored 1, computed 2", path=r"D:\DB1.edb", page_number=7, offset=0x10000)

    assert (error.code, error.name, error.text) == (-1018, "JET_errReadVerifyFailure", TEXTS[JetCode.ReadVerifyFailure])
    assert (error.path, error.page_number, error.offset) == (r"D:\DB1.edb", 7, 0x10000)
    assert str(error) == (
        "checksum or page number of a page is wrong: stored 1, computed 2: "
        r"D:\DB1.edb, page 7, offset 0x10000 (JET_errReadVerifyFailure, -1018)"
    )


def test_an_error_without_place_says_only_what() -> None:
    assert str(JetError(JetCode.NoBackup)) == "no backup is in progress (JET_errNoBackup, -520)"
