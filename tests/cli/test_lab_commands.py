"""``vss lab`` and ``betest`` on a real directory, in this process: output, exit codes, and every kind of bad input."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import vss.cli.loading
from vss.cli.lab import parse_duration
from vss.cli.main import betest, main
from vss.errors import InvalidArgumentError
from vss.exit_codes import ExitCode
from vss.lab import template_text
from vss.lab.world import create_lab
from vss.plugins import Candidate, Origin, hookimpl, load
from vss.real import RealFiles

SMALL = [("48 MiB", "8 MiB"), ("operations_per_minute = 30", "operations_per_minute = 60")]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small Exchange lab called ``lab`` in the working directory."""
    host = load(environment={"VSS_NO_PLUGINS": "1"}, is_strict=True)
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: host)
    monkeypatch.chdir(tmp_path)
    text = template_text("exchange", 4)
    for old, new in SMALL:
        text = text.replace(old, new)
    create_lab(RealFiles(), tmp_path / "lab", text, host.registry)
    return Path("lab")


class Console:
    """Runs commands and remembers what they said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def vss(self, *words: str) -> int:
        code = main(list(words))
        self.out, self.err = self._capsys.readouterr()
        return code

    def betest(self, *words: str) -> int:
        code = betest(list(words))
        self.out, self.err = self._capsys.readouterr()
        return code

    def data(self, *words: str) -> dict[str, Any]:
        assert self.vss(*words, "--json") == 0, self.out
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Console:
    return Console(capsys)


def snapshot(place: Path) -> dict[str, bytes]:
    """Every file below ``place`` but those of a lab that every start changes."""
    changing = ("state.json", "events.jsonl", ".lock")
    return {
        str(path.relative_to(place)): path.read_bytes()
        for path in sorted(place.rglob("*"))
        if path.is_file() and path.name not in changing and path.suffix != ".img"
    }


# -- what the commands do ------------------------------------------------------------------------------------------------------


def test_a_lab_is_made_shown_run_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    monkeypatch.chdir(tmp_path)
    assert console.vss("lab", "create", "mine", "--seed", "5") == 0
    assert console.out == (
        "lab LAB01 made in mine (template exchange, seed 5)\n"
        "edit mine/lab.toml to change it, 'vss lab show mine' to look at it\n"
    )
    assert console.vss("lab", "show", "mine") == 0
    for expected in (
        "machine LAB01, clock 00:00:0",
        "volume D: 48.0 MiB",
        "provider 'Copy-on-write",
        "writer 'SG1'",
        "mail-flow",
    ):
        assert expected in console.out
    made = console.data("lab", "create", "other")
    assert (made["machine"], made["seed"], made["events"] > 0) == ("LAB01", 0, True)


@pytest.mark.slow
def test_every_command_of_the_group_has_text_and_data(lab: Path, console: Console) -> None:
    assert console.vss("lab", "run", "lab", "--for", "2m") == 0
    assert console.out.startswith("workload 'mail-flow': operations ")
    assert console.data("lab", "run", "lab", "--for", "10s")["seconds"] == 10
    facts = console.data("lab", "show", "lab")
    (database, _) = facts["writers"][0]["databases"]
    assert database["state"] == "mounted"
    assert console.vss("lab", "flip-bit", "lab", database["path"], "16384", "--bit", "3") == 0
    assert console.out == f"bit 3 of byte 16384 of {database['path']} is flipped on the disk\n"
    assert console.data("lab", "flip-bit", "lab", database["path"], "16384", "--bit", "3")["bit"] == 3
    assert console.data("lab", "check", "lab")["problems"] == []
    assert console.data("lab", "lose", "lab", "d:")["volume"] == "d:"
    assert console.vss("lab", "show", "lab") == 0
    assert "volume D: 8.0 MiB LOST" in console.out
    assert console.vss("lab", "check", "lab") == ExitCode.INVARIANT
    assert "volume D: is lost\n" in console.out
    assert console.vss("lab", "check", "lab", "--json") == ExitCode.INVARIANT
    assert console.vss("lab", "replace", "lab", "D:") == 0
    assert console.out == "volume D: has a new, empty disk\n"
    assert console.vss("lab", "replace", "lab", "D:") == ExitCode.USAGE
    assert "replacing it would destroy its files" in console.err
    assert console.vss("lab", "lose", "lab", "D:") == 0
    assert console.data("lab", "replace", "lab", "D:")["volume"] == "D:"


def test_shadow_copies_are_shown(lab: Path, console: Console) -> None:
    assert console.betest("--lab", "lab", "/Snapshot", "/P") == 0
    assert console.vss("lab", "show", "lab") == 0
    assert console.out.count("\nshadow copy ") == 2


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("250 ms", 0.25), ("2d", 172800), ("3min", 180)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 weeks", "m", "5m later"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a duration such as 90s"):
        parse_duration(text)


def test_a_lost_image_stops_the_machine_and_the_disk_can_be_given_up(lab: Path, console: Console) -> None:
    (lab / "volumes" / "D.img").unlink()

    assert console.vss("lab", "show", "lab") == ExitCode.NOT_FOUND
    assert "the image of volume D:, " in console.err
    assert "vss lab lose" in console.err

    assert console.vss("lab", "lose", "lab", "D:") == 0
    assert console.vss("lab", "replace", "lab", "D:") == 0
    assert console.vss("lab", "show", "lab") == 0


def test_a_dropped_observer_is_a_warning(lab: Path, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    from vss.lab.life import Life

    monkeypatch.setattr(Life, "warnings", ["an observer of events was dropped: ValueError: no"])

    assert console.vss("lab", "show", "lab") == 0
    assert console.err == "warning: an observer of events was dropped: ValueError: no\n"
    assert console.betest("--lab", "lab", "/Snapshot") == 0
    assert "warning: an observer" in console.err


# -- bad input -----------------------------------------------------------------------------------------------------------------

BAD = [
    (("vss", "lab", "show", "nowhere"), ExitCode.NOT_FOUND, "nowhere is not a lab: expected lab.toml there"),
    (("vss", "lab", "create", "lab"), ExitCode.USAGE, "lab exists and is not an empty directory"),
    (("vss", "lab", "create", "new", "--template", "none"), ExitCode.NOT_FOUND, "no lab template 'none'"),
    (("vss", "lab", "create", "new", "--sede", "3"), ExitCode.USAGE, "No such option '--sede'"),
    (("vss", "lab", "create", "lab/lab.toml/x"), ExitCode.UNEXPECTED, "a lab cannot be made there"),
    (("vss", "lab", "shwo", "lab"), ExitCode.USAGE, "shwo"),
    (
        ("vss", "lab", "run", "lab", "--for", "soon"),
        ExitCode.USAGE,
        "expected a duration such as 90s, 5m or 1h30m, found 'soon'",
    ),
    (("vss", "lab", "lose", "lab", "X:"), ExitCode.NOT_FOUND, "the machine has no volume X:: found D:, L:"),
    (("vss", "lab", "replace", "lab", "D:"), ExitCode.USAGE, "volume D: is not lost"),
    (("vss", "lab", "flip-bit", "lab", r"D:\none.edb", "0"), ExitCode.NOT_FOUND, "none.edb"),
    (("vss", "lab", "flip-bit", "lab", r"D:\none.edb", "0", "--bit", "8"), ExitCode.USAGE, "--bit"),
    (("vss", "admin", "list", "shadows", "--lab", "lab", "--for", "X:"), ExitCode.NOT_FOUND, "no volume X:"),
    (("vss", "verify", "nowhere"), ExitCode.NOT_FOUND, "nowhere"),
    (("vss", "schema", "labs"), ExitCode.USAGE, "labs"),
    (("betest", "--lab", "nowhere", "/B", "/D", "sets"), ExitCode.NOT_FOUND, "nowhere is not a lab"),
    (("betest", "--lab", "lab", "/B", "/D", "lab/sets"), ExitCode.USAGE, "lies inside the lab"),
    (("betest", "--lab", "lab", "/B", "/D", "lab/volumes/../../lab"), ExitCode.USAGE, "lies inside the lab"),
    (("betest", "--lab", "lab", "/B", "/D", "link/sets"), ExitCode.USAGE, "lies inside the lab"),
    (("betest", "--lab", "lab", "/B", "/D", "file"), ExitCode.USAGE, "is a file"),
    (("betest", "--lab", "lab", "/B", "/D", "sets", "/Q"), ExitCode.USAGE, "/Q"),
    (("betest", "--lab", "lab", "/B", "/T", "HALF", "/D", "sets"), ExitCode.USAGE, "HALF"),
    (("betest", "--lab", "lab", "/B", "/D", "sets", "--provider", "tape"), ExitCode.NOT_FOUND, "no provider 'tape'"),
    (("betest", "--lab", "lab", "/B", "/D", "sets", "--component", "Nobody:x"), ExitCode.NOT_FOUND, "Nobody"),
    (
        ("betest", "--lab", "lab", "/B", "/D", "sets", "--component", "Microsoft Exchange Writer:SG9"),
        ExitCode.NOT_FOUND,
        "SG9",
    ),
    (("betest", "--lab", "lab", "/R", "/D", "nowhere"), ExitCode.NOT_FOUND, "nowhere"),
]


@pytest.mark.parametrize(
    ("words", "code", "said"), BAD, ids=[" ".join(words[:3]) + f" #{n}" for n, (words, *_) in enumerate(BAD)]
)
def test_bad_input_is_named_and_leaves_everything_as_it_was(
    lab: Path, console: Console, words: tuple[str, ...], code: ExitCode, said: str
) -> None:
    Path("file").touch()
    Path("link").symlink_to("lab", target_is_directory=True)
    before = snapshot(Path())

    program, *rest = words
    found = getattr(console, program)(*rest)

    assert (found, said in console.err) == (code, True), console.err
    assert console.err.startswith(("error: ", "Usage"))
    assert "Traceback" not in console.err
    assert snapshot(Path()) == before
    assert console.vss("lab", "check", "lab") == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_may_not_be_written_takes_no_backup(lab: Path, console: Console) -> None:
    closed = Path("closed")
    closed.mkdir(mode=0o500)
    assert console.betest("--lab", "lab", "/B", "/D", "closed/sets") == ExitCode.USAGE
    assert "closed" in console.err
    assert list(closed.iterdir()) == []


def explode() -> Any:
    raise ImportError("no module named tape")


class Undeclared:
    VSS_API = "1.0"

    @hookimpl
    def vss_register_writers(self, registry: Any) -> None:
        raise RuntimeError("not ready")


def test_a_plugin_that_does_not_load_is_named_where_it_is_needed(
    lab: Path, console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = load(extra=[Candidate(Origin("tape", "vss_tape", "vss-tape", "0.1"), explode), Candidate.of("bad", Undeclared())])
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: host)
    vss.cli.loading._warn_once.cache_clear()
    text = (lab / "lab.toml").read_text()

    assert console.vss("lab", "show", "lab") == 0  # nothing of it is needed
    assert "warning: trouble with plugins: tape (vss-tape 0.1), bad; 'vss plugins --all' says why" in console.err

    (lab / "lab.toml").write_text(text.replace('"copy-on-write"', '"tape"'))
    assert console.vss("lab", "show", "lab") == ExitCode.PLUGIN_FAILED
    assert "provider 'tape' may belong to plugin tape (vss-tape 0.1), which failed to load at stage import" in console.err
    assert "asked for by providers[0].kind in lab.toml" in console.err
    vss.cli.loading._warn_once.cache_clear()


def test_a_configuration_edited_into_nonsense_names_the_key(lab: Path, console: Console) -> None:
    path = lab / "lab.toml"
    good = path.read_text()
    for old, new, said in (
        ('name = "D:"', 'name = "data"', "`$.volumes[0].name`"),
        ("seed = 4", 'seed = "four"', "`$.machine.seed`"),
        ('writer = "SG1"', 'writer = "SG7"', "the lab has no writer 'SG7': found SG1"),
        ("mailboxes = 8", "mailboxs = 8", "options of workload 'mail-flow'"),
        ('storage_group = "', 'storage_grup = "', "storage_grup"),
        ('kind = "exchange"', 'kind = "exchang"', "no writer is named 'exchang'"),
    ):
        path.write_text(good.replace(old, new))
        assert console.vss("lab", "show", "lab") in (ExitCode.USAGE, ExitCode.NOT_FOUND)
        assert said in console.err
    path.write_text(good)
    assert console.vss("lab", "check", "lab") == 0


def size_shown(console: Console) -> int:
    """Return the size of D: as the next start of the lab has it."""
    return next(int(each["size_bytes"]) for each in console.data("lab", "show", "lab")["volumes"] if each["name"] == "D:")


@pytest.mark.slow
def test_a_grown_volume_keeps_its_size_and_a_new_disk_has_that_of_the_configuration(lab: Path, console: Console) -> None:
    configuration = (lab / "lab.toml").read_bytes()

    assert console.vss("lab", "grow", "lab", "D:", "12MiB") == 0

    assert (lab / "lab.toml").read_bytes() == configuration
    assert size_shown(console) == 12 << 20 == (lab / "volumes" / "D.img").stat().st_size
    os.truncate(lab / "volumes" / "D.img", 10 << 20)  # longer than configured, shorter than it was
    assert console.vss("lab", "show", "lab") == ExitCode.USAGE
    assert "superblock at offset" in console.err
    assert console.vss("lab", "lose", "lab", "D:") == 0
    assert console.vss("lab", "replace", "lab", "D:") == 0
    assert size_shown(console) == 8 << 20 == (lab / "volumes" / "D.img").stat().st_size


@pytest.mark.slow
def test_a_volume_grows_unless_it_has_shadow_copy_storage(lab: Path, console: Console) -> None:
    assert console.vss("lab", "grow", "lab", "D:", "12MiB") == 0
    assert console.out == "volume D: has 12582912 bytes\n"
    assert console.data("lab", "grow", "lab", "D:", "16 MiB")["size_bytes"] == 16 << 20
    assert size_shown(console) == 16 << 20
    assert console.vss("lab", "grow", "lab", "D:", "1MiB") == ExitCode.USAGE
    assert "expected a size of at least 16777216 bytes" in console.err
    assert console.vss("admin", "add", "shadowstorage", "--lab", "lab", "/for=D:", "/on=D:", "/maxsize=8MB") == 0
    assert console.vss("lab", "grow", "lab", "D:", "20MiB") == ExitCode.USAGE
    assert "cannot grow: it has shadow copy storage" in console.err
    assert console.data("lab", "check", "lab")["problems"] == []
