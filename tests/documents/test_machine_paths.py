"""Machine paths and wildcards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.documents.machine_paths import (
    FileListing,
    expand_variables,
    is_in_file_set,
    matches_filespec,
    normalise,
    volume_of,
    without_volume,
)
from vss.errors import InvalidArgumentError

GUID_VOLUME = "\\\\?\\Volume{c7463aba-f40d-11e9-80c7-806e6f6e6963}"


@pytest.mark.parametrize(
    ("path", "volume"),
    [("d:\\a", "D:"), ("D:", "D:"), ("D:/a/b", "D:"), ("data:\\a", "data:"), (GUID_VOLUME + "\\Boot", GUID_VOLUME)],
)
def test_volume_of(path: str, volume: str) -> None:
    assert volume_of(path) == volume


@pytest.mark.parametrize("path", ["", "a\\b", "\\a", "%windir%\\a", "\\\\server\\share\\a", "D:a", "a:b:\\c"])
def test_a_path_without_volume_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="names no volume"):
        volume_of(path)


def test_what_stands_behind_the_volume() -> None:
    assert without_volume("D:\\a\\b") == "\\a\\b"
    assert without_volume("D:") == ""
    assert without_volume("\\a") == "\\a"


def test_normalise_turns_slashes_and_drops_the_trailing_one() -> None:
    assert normalise("D:/a/b//") == "D:\\a\\b"
    assert normalise("") == ""
    assert normalise(GUID_VOLUME + "\\Boot\\") == GUID_VOLUME + "\\Boot"


@pytest.mark.parametrize("path", ["D:\\..\\a", "D:\\a\\.\\b", "D:\\a\\\\b", "D:\\a\\..", "\\a\\..\\b", "D:\\a\0"])
def test_paths_that_are_not_plain_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not plain"):
        normalise(path)


def test_variables_are_replaced_without_case_and_unknown_ones_stay() -> None:
    assert expand_variables("%A%\\%b%\\%c%", {"a": "D:", "B": "x"}) == "D:\\x\\%c%"


@pytest.mark.parametrize(
    ("name", "filespec", "matches"),
    [
        ("a.log", "*.log", True),
        ("A.LOG", "*.log", True),
        ("a.log1", "*.log", False),
        ("noext", "*.*", True),
        ("noext", "*.", False),
        ("Perfc009.dat", "Perfc???.dat", True),
        ("Perfc09.dat", "Perfc???.dat", False),
        ("a[1].txt", "a[1].txt", True),
        ("a1.txt", "a[1].txt", False),
        ("line\nbreak", "*", True),
        ("", "*", True),
    ],
)
def test_wildcards(name: str, filespec: str, matches: bool) -> None:
    assert matches_filespec(name, filespec) is matches


def test_many_stars_cost_no_more_than_one() -> None:
    assert not matches_filespec("a" * 255, "*" * 500 + "b")


@given(st.text("ab.", max_size=8), st.text("ab.*?", max_size=6))
def test_wildcards_agree_with_the_obvious_recursion(name: str, filespec: str) -> None:
    def fits(name: str, pattern: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return fits(name, pattern[1:]) or (bool(name) and fits(name[1:], pattern))
        return bool(name) and pattern[0] in ("?", name[0]) and fits(name[1:], pattern[1:])

    assert matches_filespec(name, filespec) == (filespec == "*.*" or fits(name, filespec))


def test_a_listing_finds_by_directory() -> None:
    listing = FileListing(["D:\\a\\1.log", "D:/a/b/2.log", "D:\\ab\\3.log"])
    assert listing.find("d:\\A", "*", False) == ["D:\\a\\1.log"]
    assert listing.find("D:\\a\\", "*", True) == ["D:\\a\\1.log", "D:\\a\\b\\2.log"]
    assert listing.find("D:", "*", True) == ["D:\\a\\1.log", "D:\\a\\b\\2.log", "D:\\ab\\3.log"]
    assert listing.find("D:\\none", "*", False) == []


def test_a_directory_without_volume_stands_for_every_volume() -> None:
    heat = ("\\System Volume Information\\Heat", "*.*", True)
    assert is_in_file_set("D:\\System Volume Information\\Heat\\a\\b", *heat)
    assert is_in_file_set("c:\\system volume information\\heat\\b", *heat)
    assert not is_in_file_set("D:\\x\\System Volume Information\\Heat\\b", *heat)
    assert not is_in_file_set("D:\\a\\b\\c.txt", "D:\\a", "*", False)
