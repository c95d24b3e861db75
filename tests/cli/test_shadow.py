"""Shadow copies at the command line: in images, exposed, reverted to, repaired; and the storage they take."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

import vss.cli.loading
from vss.cli.lab import in_lab
from vss.cli.main import main
from vss.cli.shadow_storage import _space, parse_maximum
from vss.coordinator.contexts import SnapshotContext
from vss.documents import BackupType
from vss.errors import InvalidArgumentError
from vss.exit_codes import ExitCode
from vss.ids import Guid
from vss.lab import Lab
from vss.lab.world import create_lab
from vss.plugins import Candidate, PluginHost, load
from vss.real import RealFiles

GOLDEN = Path(os.environ.get("VSS_GOLDEN", Path(__file__).parents[3] / "shared" / "golden")) / "vss" / "vss_1_vol.tar.gz"
LAB = """
[machine]
name = "EX1"

[[volumes]]
name = "D:"
size = "4 MiB"

[[volumes]]
name = "L:"
size = "4 MiB"

[[providers]]
kind = "{kind}"
"""


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> PluginHost:
    plugin = importlib.import_module("vss_providers.plugin")
    found = load([Candidate.of("vss-providers", plugin)], environment={}, is_strict=True)
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: found)
    return found


@pytest.fixture
def lab(tmp_path: Path, host: PluginHost) -> Path:
    """A lab on disk with one file on D: and one persistent shadow copy of it, which says before."""
    create_lab(RealFiles(), tmp_path / "lab", LAB.format(kind="copy-on-write"), host.registry)
    put(tmp_path / "lab", b"before")
    take(tmp_path / "lab")
    put(tmp_path / "lab", b"after" * 5000)
    return tmp_path / "lab"


def put(lab: Path, data: bytes) -> None:
    async def work(machine: Lab) -> None:
        file = await machine.files.open("D:\\file", write=True, create=True)
        await file.truncate(0)
        await file.pwrite(0, data)
        await file.sync()
        await file.close()

    in_lab(lab, work)


def content(lab: Path) -> bytes:
    async def work(machine: Lab) -> bytes:
        file = await machine.files.open("D:\\file")
        return await file.pread(0, 1 << 20)

    return in_lab(lab, work)


def take(lab: Path, context: SnapshotContext = SnapshotContext.APP_ROLLBACK) -> None:
    async def work(machine: Lab) -> None:
        async with machine.open_session() as session:
            session.initialize_for_backup()
            session.set_context(context)
            session.set_backup_state(select_components=False, bootable_system_state=False, backup_type=BackupType.COPY)
            await session.gather_writer_metadata()
            session.start_snapshot_set()
            await session.add_to_snapshot_set("D:")
            await session.prepare_for_backup()
            await session.do_snapshot_set()
            await session.backup_complete()
        await asyncio.sleep(60)

    in_lab(lab, work)


def shadow_id(lab: Path, capsys: pytest.CaptureFixture[str]) -> str:
    found: str = answer(capsys, "admin", "list", "shadows", "--lab", str(lab))["shadows"][0]["snapshot_id"]
    return found


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    document: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return document


def text(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(list(words)) == code
    out, err = capsys.readouterr()
    return out + err


def image_of(lab: Path) -> Path:
    return lab / "volumes" / "D.img"


# -- images --------------------------------------------------------------------------------------------------------------------


def test_an_image_is_listed_without_its_lab(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = shadow_id(lab, capsys)

    for words in (("shadow", "list", str(image_of(lab))), ("admin", "list", "shadows", "--image", str(image_of(lab)))):
        (found,) = answer(capsys, *words)["shadows"]
        assert found["snapshot_id"] == wanted
        assert found["attributes"] == ["Persistent", "No auto release", "Differential"]
        shown = text(capsys, *words)
        assert f"Shadow Copy ID: {{{wanted}}}" in shown
        assert "Number in the image: 1" in shown
    assert text(capsys, "shadow", "list", str(lab / "volumes" / "L.img")) == "No items found that satisfy the query.\n"


def test_where_the_shadow_copies_are_must_be_said_once(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("admin", "list", "shadows")
    assert "either --lab or --image" in text(capsys, *words, code=ExitCode.USAGE)
    both = text(capsys, *words, "--lab", str(lab), "--image", str(image_of(lab)), code=ExitCode.USAGE)
    assert "either" in both
    assert "for labs" in text(capsys, *words, "--image", str(image_of(lab)), "--for", "D:", code=ExitCode.USAGE)
    assert "does not exist" in text(capsys, *words, "--image", str(lab / "none.img"), code=ExitCode.USAGE)


def test_without_the_providers_package_images_cannot_be_read(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vss.cli.loading, "_host", lambda: load([], environment={}))
    shown = text(capsys, "admin", "list", "shadows", "--image", str(image_of(lab)), code=ExitCode.PLUGIN_FAILED)
    assert "package of the providers" in shown


def test_a_shadow_copy_is_exported_by_number_or_id(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = shadow_id(lab, capsys)
    first, second = tmp_path / "1.img", tmp_path / "2.img"
    export = ("shadow", "export", str(image_of(lab)))

    assert answer(capsys, *export, "--shadow", "1", "--out", str(first))["size_bytes"] == 4 << 20
    assert text(capsys, *export, "--shadow", wanted, "--out", str(second)) == f"{second}: {4 << 20} bytes\n"
    assert first.read_bytes() == second.read_bytes()
    assert b"before" in first.read_bytes()
    assert b"afterafter" not in first.read_bytes()
    assert "would be overwritten" in text(capsys, *export, "--shadow", "1", "--out", str(first), code=ExitCode.USAGE)
    for wrong in ("2", "0", "first", "00000000-0000-0000-0000-000000000001"):
        shown = text(capsys, *export, "--shadow", wrong, "--out", str(tmp_path / "3.img"), code=ExitCode.NOT_FOUND)
        assert "shadow copy" in shown
    nowhere = str(tmp_path / "none" / "3.img")
    assert "cannot be made" in text(capsys, *export, "--shadow", "1", "--out", nowhere, code=ExitCode.UNEXPECTED)
    assert not (tmp_path / "3.img").exists()
    shown = text(capsys, *export, "--shadow", "1", "--out", "x", "--offset", str(1 << 40), code=ExitCode.NOT_FOUND)
    assert "no volume starts at" in shown


def test_a_volume_may_start_anywhere_in_the_image(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = tmp_path / "disk.img"
    disk.write_bytes(bytes(1 << 20) + image_of(lab).read_bytes())

    (found,) = answer(capsys, "shadow", "list", str(disk), "--offset", str(1 << 20))["shadows"]

    assert found["snapshot_id"] == shadow_id(lab, capsys)
    assert answer(capsys, "shadow", "list", str(disk))["shadows"] == []


def test_a_truncated_image_is_an_error_that_names_the_place(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = image_of(lab).read_bytes()
    short = tmp_path / "short.img"
    out = tmp_path / "out.img"
    for length in range(8192, len(data), 333_333):
        short.write_bytes(data[:length])
        code = main(["shadow", "export", str(short), "--shadow", "1", "--out", str(out)])
        said = capsys.readouterr().err
        assert code == (0 if out.exists() else ExitCode.UNEXPECTED)
        if code:
            assert "offset 0x" in said
            assert "expected" in said
        else:
            out.unlink()


def test_saved_blocks_are_verified(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = answer(capsys, "shadow", "verify", str(image_of(lab)))["shadows"]
    assert found["saved"] == found["with_digest"] > 0
    assert "with a digest" in text(capsys, "shadow", "verify", str(image_of(lab)))
    data = bytearray(image_of(lab).read_bytes())
    at = data.index(b"before", 4 << 20)
    data[at] ^= 1
    image_of(lab).write_bytes(data)

    shown = text(capsys, "shadow", "verify", str(image_of(lab)), code=ExitCode.VERIFICATION_MISMATCH)

    assert f"image offset {at // 16384 * 16384:#x}" in shown


@pytest.mark.slow
def test_a_volume_that_windows_made_is_listed(host: PluginHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not GOLDEN.exists():
        pytest.skip(f"the Windows-made volume {GOLDEN.name} is not at hand")
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    (image,) = tmp_path.iterdir()
    place = ("--offset", str(0x2100000))

    found = answer(capsys, "shadow", "list", str(image), *place)["shadows"]

    assert [each["store_id"] for each in found] == [
        "bbaa765b-8204-11eb-90f4-080027768df7",
        "bbaa7663-8204-11eb-90f4-080027768df7",
    ]
    assert text(capsys, "shadow", "list", str(image), *place).count("stored on another volume") == 2
    out = tmp_path / "out.img"
    for words in (("export", str(image), "--shadow", "1", "--out", str(out)), ("verify", str(image))):
        assert "on another volume" in text(capsys, "shadow", *words, *place, code=ExitCode.UNSUPPORTED)
    assert not out.exists()
    image.unlink()


# -- labs ----------------------------------------------------------------------------------------------------------------------


def test_a_shadow_copy_is_exposed_and_taken_away(lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted, target = shadow_id(lab, capsys), tmp_path / "tree"

    shown = answer(capsys, "shadow", "expose", str(lab), str(target), "--shadow", wanted)
    assert (shown["files"], shown["size_bytes"]) == (1, 6)
    assert (target / "file").read_bytes() == b"before"
    assert "Exposed locally" in text(capsys, "admin", "list", "shadows", "--lab", str(lab))
    again = text(capsys, "shadow", "expose", str(lab), str(target), "--shadow", wanted, code=ExitCode.USAGE)
    assert "empty directory" in again
    assert "not exposed any more" in text(capsys, "shadow", "unexpose", str(lab), str(target))
    assert not target.exists()
    assert "Exposed" not in text(capsys, "admin", "list", "shadows", "--lab", str(lab))
    text(capsys, "shadow", "unexpose", str(lab), str(target), code=ExitCode.NOT_FOUND)
    assert "exposed as" in text(capsys, "shadow", "expose", str(lab), str(target), "--shadow", wanted)
    assert "is exposed as" in text(
        capsys, "admin", "delete", "shadows", "--lab", str(lab), "--all", code=ExitCode.SNAPSHOT_FAILED
    )
    text(capsys, "admin", "delete", "shadows", "--lab", str(lab), "--all", "--force")
    assert answer(capsys, "shadow", "unexpose", str(lab), str(target))["shadow"] == wanted
    assert not target.exists()
    for wrong, code in (("x", ExitCode.USAGE), (wanted, ExitCode.NOT_FOUND)):
        text(capsys, "shadow", "expose", str(lab), str(target), "--shadow", wrong, code=code)


def test_a_client_accessible_shadow_copy_is_not_exposed_and_nothing_stays(
    tmp_path: Path, host: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, target = tmp_path / "lab", tmp_path / "tree"
    create_lab(RealFiles(), lab, LAB.format(kind="system"), host.registry)
    put(lab, b"before")
    take(lab, SnapshotContext.CLIENT_ACCESSIBLE_WRITERS)
    wanted = shadow_id(lab, capsys)

    shown = text(capsys, "shadow", "expose", str(lab), str(target), "--shadow", wanted, code=ExitCode.SNAPSHOT_FAILED)

    assert "client accessible" in shown
    assert not target.exists()


def test_a_volume_is_reverted(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = shadow_id(lab, capsys)
    take(lab)

    assert answer(capsys, "shadow", "revert", str(lab), "--shadow", wanted)["volume"] == "D:"

    assert content(lab) == b"before"
    assert len(answer(capsys, "admin", "list", "shadows", "--lab", str(lab))["shadows"]) == 1
    put(lab, b"again")
    shown = text(capsys, "shadow", "revert", str(lab), "--shadow", wanted, "--force-dismount")
    assert shown == f"volume D: is as in shadow copy {wanted}\n"
    assert content(lab) == b"before"


def test_a_damaged_diff_area_is_erased(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repair = ("admin", "repair", "--lab", str(lab), "--for")
    assert "nothing to finish" in text(capsys, *repair, "D:", code=ExitCode.UNSUPPORTED)
    assert "no volume X:" in text(capsys, *repair, "X:", "--erase", code=ExitCode.USAGE)
    assert "is not a lab" in text(capsys, "admin", "repair", "--lab", str(lab / "none"), "--for", "D:", code=ExitCode.NOT_FOUND)
    data = bytearray(image_of(lab).read_bytes())
    data[4 << 20] ^= 1
    image_of(lab).write_bytes(data)
    said = text(capsys, "lab", "show", str(lab), code=ExitCode.UNEXPECTED)
    assert "catalog at offset 0x400000" in said

    assert answer(capsys, *repair, "D:", "--erase")["is_erased"] is True

    assert content(lab) == b"after" * 5000
    assert answer(capsys, "admin", "list", "shadows", "--lab", str(lab))["shadows"] == []


def test_a_revert_that_was_cut_short_is_finished(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from vss.volumes import ImageStore
    from vss.volumes.boot_record import volume_size_of
    from vss_providers.diff_area import DiffArea

    store = ImageStore.open(RealFiles(), image_of(lab))
    area = DiffArea(store, volume_size_of(store), Guid(int=1), lambda stores, loss: None)
    area.mark_revert(area.stack[0], is_reverting=True)
    store.close()

    assert "reverted to shadow copy" in text(capsys, "admin", "repair", "--lab", str(lab), "--for", "D:")
    assert content(lab) == b"before"


# -- storage -------------------------------------------------------------------------------------------------------------------


def test_storage_is_listed_in_the_vendors_layout(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = ("admin", "list", "shadowstorage", "--lab", str(lab))

    lines = text(capsys, *storage).splitlines()

    assert lines[0] == "Shadow Copy Storage association"
    assert lines[1].startswith("   For volume: (D:)\\\\?\\Volume{")
    assert lines[2].startswith("   Shadow Copy Storage volume: (D:)\\\\?\\Volume{")
    assert lines[3].startswith("   Used Shadow Copy Storage space: ")
    assert lines[4] == "   Allocated Shadow Copy Storage space: 1.00 MB (25%)"
    assert lines[5] == "   Maximum Shadow Copy Storage space: UNBOUNDED (100%)"
    (found,) = answer(capsys, *storage, "--for", "d:")["associations"]
    assert found["maximum_bytes"] is None
    assert text(capsys, *storage, "--for", "L:") == "No items found that satisfy the query.\n"
    assert text(capsys, *storage, "/on", "L:").startswith("No items")
    text(capsys, *storage, "--for", "X:", code=ExitCode.NOT_FOUND)


def test_storage_is_added_resized_and_deleted(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def call(verb: str, *words: str, code: int = 0) -> str:
        return text(capsys, "admin", verb, "shadowstorage", "--lab", str(lab), *words, code=code)

    assert "Successfully added" in call("add", "/for=L:", "/on=L:", "/maxsize=50%")
    (found,) = answer(capsys, "admin", "list", "shadowstorage", "--lab", str(lab), "--for", "L:")["associations"]
    assert found["maximum_bytes"] == 2 << 20
    assert "already" in call("add", "--for", "L:", code=ExitCode.SNAPSHOT_FAILED)
    assert "Successfully resized" in call("resize", "--for", "L:", "--maxsize", "3MB")
    assert "stored on L:, not on D:" in call("resize", "--for", "L:", "--on", "D:", code=ExitCode.USAGE)
    assert "at least" in call("resize", "--for", "L:", "--maxsize", "1KB", code=ExitCode.SNAPSHOT_FAILED)
    assert "delete the shadow copies first" in call("delete", "--for", "D:", code=ExitCode.SNAPSHOT_FAILED)
    assert "Successfully deleted" in call("delete", "--for", "L:", "--on", "L:")
    assert "no shadow copy storage" in call("delete", "--for", "L:", code=ExitCode.NOT_FOUND)
    assert "of its own" in call("add", "--for", "L:", "--on", "D:", code=ExitCode.UNSUPPORTED)
    assert "Successfully added" in call("add", "--for", "L:", "--inside", "--maxsize", "1MB")
    assert answer(capsys, "admin", "delete", "shadowstorage", "--lab", str(lab), "--for", "L:")["volume"] == "L:"


def test_storage_on_another_volume_is_added_listed_resized_and_deleted(
    tmp_path: Path, host: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = tmp_path / "lab"
    create_lab(RealFiles(), lab, LAB.format(kind="copy-on-write"), host.registry)

    def call(verb: str, *words: str, code: int = 0) -> str:
        return text(capsys, "admin", verb, "shadowstorage", "--lab", str(lab), *words, code=code)

    assert "Successfully added" in call("add", "/for=D:", "/on=L:", "/maxsize=2MB")
    listed = call("list", "/for=D:", "/on=L:")
    assert "For volume: (D:)" in listed
    assert "Shadow Copy Storage volume: (L:)" in listed
    assert "itself" in call("add", "--for", "L:", code=ExitCode.UNSUPPORTED)
    assert "Successfully resized" in call("resize", "--for", "D:", "--on", "L:", "--maxsize", "3MB")
    (found,) = answer(capsys, "admin", "list", "shadowstorage", "--lab", str(lab))["associations"]
    assert (found["storage_volume"], found["maximum_bytes"]) == ("L:", 3 << 20)
    assert "stored on L:, not on D:" in call("delete", "--for", "D:", "--on", "D:", code=ExitCode.USAGE)
    assert "Successfully deleted" in call("delete", "--for", "D:", "--on", "L:")
    assert "No items" in call("list")


def test_a_machine_without_a_differential_provider_has_no_storage(
    tmp_path: Path, host: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = tmp_path / "lab"
    create_lab(RealFiles(), lab, LAB.format(kind="clone"), host.registry)

    words = ("admin", "resize", "shadowstorage", "--lab", str(lab), "--for", "D:")
    assert "no provider" in text(capsys, *words, code=ExitCode.UNSUPPORTED)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("unbounded", 0), ("10%", 100), ("1.5 KB", 1536), ("3M", 3 << 20), ("2GB", 2 << 30), ("77", 77), ("1EB", 1 << 60)],
)
def test_a_maximum_is_a_size_or_a_share(given: str, expected: int) -> None:
    assert parse_maximum(given, 1000) == expected


@pytest.mark.parametrize("given", ["", "x", "-1", "0", "0%", "1XB", "1 2"])
def test_any_other_maximum_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_maximum(given, 1000)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, "0 bytes (0%)"), (1023, "1023 bytes (99%)"), (1024, "1.00 KB (100%)"), (5 << 29, "2.50 GB")]
)
def test_space_is_said_with_its_share(size: int, expected: str) -> None:
    assert _space(size, 1024).startswith(expected)
