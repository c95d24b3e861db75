"""Which paths are legal, in both spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vss.errors import InvalidArgumentError
from vss.volumes import join_path, parse_path, split_path
from vss.volumes.paths import check_volume_name


def test_paths_of_a_file_system() -> None:
    assert parse_path("/") == ()
    assert parse_path("/Exchange/SG1/DB 1.edb") == ("Exchange", "SG1", "DB 1.edb")


@pytest.mark.parametrize(
    "path",
    ["", "a", "a/b", "//", "/a/", "/a//b", "/.", "/a/../b", "/a\0b", "/a\\b", "/C:", "/" + "ä" * 128, "/\ud800"],
)
def test_illegal_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError, match="path "):
        parse_path(path)


def test_machine_paths() -> None:
    assert split_path("D:\\Exchange\\DB1.edb") == ("D:", "/Exchange/DB1.edb")
    assert split_path("D:") == ("D:", "/")
    assert split_path("logs:\\") == ("logs:", "/")
    assert join_path("D:", "/Exchange/DB1.edb") == "D:\\Exchange\\DB1.edb"
    assert join_path("D:", "/") == "D:\\"


@pytest.mark.parametrize(
    "path", ["", "D", ":\\a", "D:a", "D:/a", "\\a", "D:\\..\\a", "D:\\a\\", "D:\\a/b", "D:\\a\0", "D:\\b:stream", "../D:\\a"]
)
def test_illegal_machine_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidArgumentError):
        split_path(path)


@pytest.mark.parametrize("name", ["", "D", "D::", "1:", "a b:", "D:\\", "ä:"])
def test_illegal_volume_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="volume name"):
        check_volume_name(name)
    with pytest.raises(InvalidArgumentError):
        join_path(name, "/a")


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0/\\:", exclude_categories=["Cs"]), min_size=1, max_size=20), max_size=4
    )
)
def test_splitting_undoes_joining(names: list[str]) -> None:
    path = "/" + "/".join(f"n{name}" for name in names)
    assert split_path(join_path("D:", path)) == ("D:", path)
