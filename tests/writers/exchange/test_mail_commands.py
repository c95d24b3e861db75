"""Real mail, through the commands: in, backed up, destroyed, restored, and out again byte for byte."""

from __future__ import annotations

import json
import mailbox
from importlib.util import find_spec
from pathlib import Path

import pytest

from vss.cli.main import main
from vss.exit_codes import ExitCode
from vss_writers.exchange.mail_files import DEFAULT_ENVELOPE, format_mbox

pytestmark = pytest.mark.slow


SECOND_GROUP = """
[[writers]]
name = "SG2"
kind = "exchange"

[writers.options]
storage_group = "Second Storage Group"
database_directory = 'D:\\Exchange\\SG2'
log_directory = 'L:\\Exchange\\SG2'
log_file_size = "64 KiB"

[[workloads]]"""


def real_messages() -> list[bytes]:
    """The messages that ship with CPython's own e-mail tests."""
    spec = find_spec("test.test_email") if find_spec("test") is not None else None
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the e-mail tests of CPython (package test.test_email)")
    data = Path(next(iter(spec.submodule_search_locations))) / "data"
    messages = [path.read_bytes() for path in sorted(data.glob("msg_*.txt"))]
    if not messages:
        pytest.skip("this CPython has its e-mail tests without their messages")
    return messages


def vss(*words: object) -> int:
    return main([str(each) for each in words])


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab on disk with the Exchange template."""
    assert vss("lab", "create", tmp_path / "lab") == ExitCode.OK
    return tmp_path / "lab"


def survive(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Back everything up, lose the databases, restore them."""
    sets = lab.parent / "sets"
    assert vss("betest", "--lab", lab, "/B", "/T", "FULL", "/D", sets) == ExitCode.OK
    assert vss("lab", "lose", lab, "D:") == ExitCode.OK
    assert vss("lab", "replace", lab, "D:") == ExitCode.OK
    assert vss("betest", "--lab", lab, "/R", "/D", sets) == ExitCode.OK, capsys.readouterr().out
    assert vss("lab", "check", lab) == ExitCode.OK


def exported(lab: Path, *words: object) -> bytes:
    target = lab.parent / "out.mbox"
    assert vss("lab", "export", lab, "--mbox", target, *words) == ExitCode.OK
    return target.read_bytes()


def test_a_whole_mbox_file_survives_a_disaster(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lab.parent / "real.mbox"
    source.write_bytes(b"".join(format_mbox((b"", each) for each in real_messages())))
    assert vss("lab", "load", lab, "--mbox", source) == ExitCode.OK
    vss("lab", "run", lab, "--for", "1m")
    survive(lab, capsys)

    assert exported(lab) == source.read_bytes()


def test_the_file_of_another_program_survives_a_disaster(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = lab.parent / "foreign.mbox"
    messages = real_messages()
    box = mailbox.mbox(source)
    for message in messages:
        box.add(message)
    box.close()
    assert vss("lab", "load", lab, "--mbox", source) == ExitCode.OK
    survive(lab, capsys)

    assert exported(lab) == source.read_bytes()
    assert f"{len(messages)} messages" in capsys.readouterr().out


def test_maildir_and_single_messages_come_back_byte_for_byte(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    messages = real_messages()
    maildir = lab.parent / "Maildir"
    for number, message in enumerate(messages[:20]):
        folder = maildir / ("cur" if number % 2 else "new")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}.lab").write_bytes(message)
    singles = []
    for number, message in enumerate(messages[20:]):
        singles += ["--eml", lab.parent / f"{number:03}.eml"]
        (lab.parent / f"{number:03}.eml").write_bytes(message)
    assert vss("lab", "load", lab, "--maildir", maildir, *singles) == ExitCode.OK
    survive(lab, capsys)
    in_order = [*messages[1:20:2], *messages[0:20:2], *messages[20:]]

    assert exported(lab) == b"".join(format_mbox((DEFAULT_ENVELOPE, each) for each in in_order))


def test_what_was_done_is_data_too(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.eml").write_bytes(b"Subject: one\n\nbody\n")
    capsys.readouterr()
    for words in (
        ("load", lab, "--eml", tmp_path / "one.eml", "--database", "Mailbox Database 2"),
        ("export", lab, "--mbox", tmp_path / "out.mbox", "--database", "Mailbox Database 2", "--mailbox", "*"),
        ("dismount", lab, "--allow-overwrite"),
        ("mount", lab, "--writer", "SG1"),
    ):
        assert vss("lab", *words, "--json") == ExitCode.OK
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [each["type"] for each in lines] == ["loaded", "exported", "dismounted", "mounted"]
    assert (lines[0]["messages"], lines[0]["size_bytes"], lines[1]["messages"]) == (1, 19, 1)


def test_a_dismounted_store_takes_and_gives_no_mail(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "one.eml").write_bytes(b"Subject: one\n\nbody\n")
    assert vss("lab", "dismount", lab) == ExitCode.OK
    assert "dismounted" in capsys.readouterr().out
    for words in (("load", lab, "--eml", tmp_path / "one.eml"), ("export", lab, "--mbox", tmp_path / "out.mbox")):
        assert vss("lab", *words) == ExitCode.USAGE
        assert "is not mounted" in capsys.readouterr().err
    assert not (tmp_path / "out.mbox").exists()
    assert vss("lab", "mount", lab) == ExitCode.OK


@pytest.mark.parametrize(
    ("words", "exit_code", "message"),
    [
        (("load", "LAB"), ExitCode.USAGE, "nothing to load"),
        (("load", "LAB", "--mbox", "TMP/none.mbox"), ExitCode.NOT_FOUND, "none.mbox does not exist"),
        (("load", "LAB", "--eml", "TMP"), ExitCode.USAGE, "cannot be read"),
        (("load", "LAB", "--maildir", "TMP"), ExitCode.NOT_FOUND, "is no Maildir"),
        (("load", "LAB", "--mbox", "TMP/lab/lab.toml"), ExitCode.USAGE, "expected a line that starts with 'From '"),
        (("export", "LAB", "--mbox", "TMP/lab/lab.toml"), ExitCode.USAGE, "never overwrites"),
        (
            ("export", "LAB", "--mbox", "TMP/out", "--mailbox", "nobody"),
            ExitCode.NOT_FOUND,
            "has no mailbox 'nobody': found none",
        ),
        (("export", "LAB", "--mbox", "TMP/out", "--database", "Three"), ExitCode.NOT_FOUND, "has no database 'Three'"),
        (("mount", "LAB", "--writer", "SG9"), ExitCode.NOT_FOUND, "has no mail store 'SG9': found SG1"),
        (("export", "LAB", "--mbox", "TMP/lab/lab.toml/out", "--mailbox", "*"), ExitCode.USAGE, "cannot be written"),
    ],
)
def test_mistakes_are_named(
    lab: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], exit_code: ExitCode, message: str
) -> None:
    given = [each.replace("LAB", str(lab)).replace("TMP", str(lab.parent)) for each in words]

    assert vss("lab", *given) == exit_code
    assert message in capsys.readouterr().err


def lab_with(tmp_path: Path, change: tuple[str, str]) -> Path:
    """A lab whose configuration was edited before its first start."""
    from vss.cli.loading import loaded_registry
    from vss.lab import template_text
    from vss.lab.world import create_lab
    from vss.real import RealFiles

    create_lab(RealFiles(), tmp_path / "lab", template_text("exchange", 0).replace(*change, 1), loaded_registry())
    return tmp_path / "lab"


def test_several_stores_have_to_be_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = lab_with(tmp_path, ("[[workloads]]", SECOND_GROUP))

    assert vss("lab", "mount", lab) == ExitCode.USAGE
    assert "say --writer, one of SG1, SG2" in capsys.readouterr().err
    assert vss("lab", "mount", lab, "--writer", "SG2") == ExitCode.OK


def test_two_storage_groups_are_restored_each_on_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = lab_with(tmp_path, ("[[workloads]]", SECOND_GROUP))
    (tmp_path / "one.eml").write_bytes(b"Subject: one\n\nbody\n")
    assert vss("lab", "load", lab, "--writer", "SG2", "--eml", tmp_path / "one.eml") == ExitCode.OK
    assert vss("betest", "--lab", lab, "/B", "/T", "FULL", "/D", tmp_path / "sets") == ExitCode.OK
    assert vss("lab", "lose", lab, "D:") == ExitCode.OK
    assert vss("lab", "replace", lab, "D:") == ExitCode.OK
    assert vss("betest", "--lab", lab, "/R", "/D", tmp_path / "sets") == ExitCode.OK, capsys.readouterr().out

    assert b"Subject: one" in exported(lab, "--writer", "SG2")


def test_a_lab_without_a_store_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lab = lab_with(tmp_path, ("", ""))
    text = (lab / "lab.toml").read_text(encoding="utf-8")
    (lab / "lab.toml").write_text(text.partition("[[writers]]")[0], encoding="utf-8")

    assert vss("lab", "mount", lab) == ExitCode.NOT_FOUND
    assert "the lab has no mail store" in capsys.readouterr().err
