"""What the tool says of input it cannot use: it names the file, what it expected and found, and ends with a code that fits."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from tests.writers.ese.store_kit import add, new_store
from vss_writers.ese.errors import JetCode
from vss_writers.ese.eseutil import command
from vss_writers.ese.eseutil.arguments import parse
from vss_writers.ese.eseutil.command import EXIT_FAILURE, EXIT_MISMATCH, EXIT_NOT_FOUND, EXIT_USAGE
from vss_writers.ese.eseutil.host_files import failure_of
from vss_writers.ese.files import HostFileSystem
from vss_writers.ese.parameters import InstanceParameters

FILES = {"mh": "db.edb", "p": "db.edb", "d": "db.edb", "k": "db.edb", "ml": "E00.log", "mk": "E00.chk", "cm": "restore.env"}
FILES |= {"cc": "restore.env", "r": "E00.log"}
"""The file that each mode reads."""
BAD = {
    "empty": b"",
    "one byte": b"\x01",
    "zeros": bytes(20_000),
    "text": b"hello world\n" * 800,
    "lines of nothing": b"\n" * 5000,
    "all ones": b"\xff" * 9000,
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store that was closed cleanly."""
    root = tmp_path_factory.mktemp("good")

    async def main() -> None:
        parameters = InstanceParameters("E00", str(root), log_file_size=65536, page_size=4096)
        instance, _, table = await new_store(HostFileSystem(), parameters, path=str(root / "db.edb"))
        await add(instance, table, 0, 5)
        await instance.close()

    asyncio.run(main())
    return root


def eseutil(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def target_of(mode: str, file: Path) -> Path:
    """What is given to a mode so that it reads ``file``."""
    if mode == "r":
        return file.with_name("E00")
    return file.parent if mode in ("cm", "cc") else file


def assert_says(result: Result, name: Path | str, *exit_codes: int) -> None:
    """It names the file, says something in every line that announces it, and ends with one of the codes."""
    assert result.exit_code in exit_codes, result.output
    assert str(name) in result.output
    for line in result.output.splitlines():
        assert not line.rstrip().endswith("):"), line
        assert line.rstrip() not in ("File:", "ERROR:", "Error:"), line


@pytest.mark.parametrize("mode", FILES)
@pytest.mark.parametrize("content", BAD)
def test_a_file_that_holds_something_else_is_damaged(tmp_path: Path, mode: str, content: str) -> None:
    file = tmp_path / FILES[mode]
    file.write_bytes(BAD[content])
    result = eseutil(f"/{mode}", target_of(mode, file))
    assert_says(result, file, EXIT_MISMATCH)
    assert "expected" in result.output
    assert "found" in result.output or "computed" in result.output
    assert file.read_bytes() == BAD[content]
    assert json.loads(eseutil(f"/{mode}", target_of(mode, file), "--json").output)["jet_error"] < 0
    assert sorted(tmp_path.iterdir()) == [file], "something was left behind"


@pytest.mark.parametrize("mode", FILES)
def test_a_file_that_is_missing_is_not_found(tmp_path: Path, mode: str) -> None:
    file = tmp_path / "nowhere" / FILES[mode]
    result = eseutil(f"/{mode}", target_of(mode, file))
    assert_says(result, file.parent, EXIT_NOT_FOUND)
    below = tmp_path / "file"
    below.write_bytes(b"")
    assert_says(eseutil(f"/{mode}", target_of(mode, below / FILES[mode])), below, EXIT_NOT_FOUND)


def test_the_message_of_a_missing_file_ends_where_there_is_nothing_more_to_say(tmp_path: Path) -> None:
    lines = eseutil("/mh", tmp_path / "no.edb").output.splitlines()
    assert lines == [
        "Operation terminated with error -1811 (JET_errFileNotFound, file is missing).",
        f"File: {tmp_path / 'no.edb'}",
    ]


@pytest.mark.parametrize("mode", FILES)
def test_a_directory_in_place_of_the_file_is_an_error_of_usage(tmp_path: Path, mode: str) -> None:
    file = tmp_path / FILES[mode]
    file.mkdir()
    result = eseutil(f"/{mode}", target_of(mode, file))
    assert_says(result, file, EXIT_USAGE)
    assert "a file is expected, found a directory" in result.output


@pytest.mark.parametrize("mode", ["mh", "k", "ml", "mk", "d", "p", "r"])
@pytest.mark.parametrize("kept", [100, 700, 3000])
def test_a_file_that_ends_inside_its_header_is_damaged(good: Path, tmp_path: Path, mode: str, kept: int) -> None:
    file = tmp_path / FILES[mode]
    file.write_bytes((good / FILES[mode]).read_bytes()[:kept])
    result = eseutil(f"/{mode}", target_of(mode, file))
    assert_says(result, file, EXIT_MISMATCH)
    assert str(kept) in result.output


def test_a_file_that_ends_inside_a_page_is_damaged_though_every_whole_page_is_good(good: Path, tmp_path: Path) -> None:
    file = tmp_path / "db.edb"
    file.write_bytes((good / "db.edb").read_bytes()[:-1000])
    result = eseutil("/k", file)
    assert_says(result, file, EXIT_MISMATCH)
    assert "0 bad checksums" in result.output
    assert "is no multiple of the page size 4096" in result.output
    assert "All checksums are good, but the file is damaged." in result.output


def test_a_page_that_others_point_to_and_that_is_blank_is_damage(good: Path, tmp_path: Path) -> None:
    data = bytearray((good / "db.edb").read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes(4096)
    file = tmp_path / "db.edb"
    file.write_bytes(data)
    assert_says(eseutil("/d", file), file, EXIT_MISMATCH)
    assert "Page: 4\nOffset: 0x5000\n" in eseutil("/d", file).output
    assert json.loads(eseutil("/d", file, "--json").output)["page"] == 4


@pytest.mark.parametrize("name", ["x", "E00.edb", "E0", "E000"])
def test_only_three_characters_are_taken_for_a_base_name(tmp_path: Path, name: str) -> None:
    for mode in ("ml", "k"):
        result = eseutil(f"/{mode}", tmp_path / name)
        assert_says(result, tmp_path / name, EXIT_NOT_FOUND)
        assert "a file or a base name of 3 characters expected" in result.output
    assert "no log of base name E00" in eseutil("/ml", tmp_path / "E00").output


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that cannot be read: /proc/self/mem")
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for mode in ("mh", "p", "d", "mk", "ml"):
        file = tmp_path / FILES[mode]
        file.symlink_to("/proc/self/mem")
        result = eseutil(f"/{mode}", file)
        assert_says(result, file, EXIT_FAILURE, EXIT_MISMATCH)
        file.unlink()


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOENT, JetCode.FileNotFound),
        (errno.ENOTDIR, JetCode.FileNotFound),
        (errno.EACCES, JetCode.FileAccessDenied),
        (errno.EROFS, JetCode.FileAccessDenied),
        (errno.ENOSPC, JetCode.DiskFull),
        (errno.EIO, JetCode.DiskIO),
        (errno.EMFILE, JetCode.DiskIO),
    ],
)
def test_what_the_operating_system_refuses_has_the_engines_code(number: int, code: JetCode) -> None:
    error = failure_of(OSError(number, os.strerror(number), "/srv/db.edb"), "/srv")
    assert (error.code, error.path) == (code, "/srv/db.edb")
    assert (os.strerror(number) in error.detail) == (number != errno.ENOENT)
    assert failure_of(OSError("no number"), "/srv/other").path == "/srv/other"


def test_a_name_that_no_file_can_have_is_an_error_of_usage() -> None:
    with pytest.raises(click.UsageError, match="a shorter name is expected"):
        failure_of(OSError(errno.ENAMETOOLONG, "File name too long"), "/srv/" + "x" * 300)


def test_a_copy_that_cannot_be_made_says_where(good: Path, tmp_path: Path) -> None:
    shutil.copy(good / "db.edb", tmp_path / "db.edb")
    result = eseutil("/d", tmp_path / "db.edb", "/b", tmp_path / "nowhere" / "copy.edb")
    assert_says(result, tmp_path / "nowhere" / "copy.edb", EXIT_NOT_FOUND)
    result = eseutil("/d", tmp_path / "db.edb", "/t", tmp_path)
    assert_says(result, tmp_path, EXIT_FAILURE)
    assert (tmp_path / "db.edb").read_bytes() == (good / "db.edb").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["/cc", "/tmp"], "found none; write /tmp/ if /tmp is a path"),
        (["/p", "/x"], "unknown option /x"),
        (["/r", "E00", "/i", "/i"], "/i is given where /r has that option already"),
        (["/r", "E00", "/4", "/8"], "/8 is given where /r has that option already"),
        (["/r", "E00", "/ignore"], "unknown option /ignore, /i takes no value"),
        (["/p", "db.edb", "/t"], "a path is expected after /t"),
        (["/r", "E00", "/64"], "unknown option /64"),
        (["/mh", "a", "/b"], "found 'a', '/b'"),
        (["/mh", ""], "found ''"),
        (["/mh"], "found none"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], words: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parse(arguments)
    assert words in caught.value.message
    assert eseutil(*arguments).exit_code == EXIT_USAGE


def test_behind_a_mode_without_options_everything_is_a_path() -> None:
    assert parse(["/mh", "/tmp"]).target == "/tmp"
    assert parse(["/k", "-mail.edb"]).target == "-mail.edb"
