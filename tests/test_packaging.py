"""The wheel contains exactly the package files; it, an editable install and a third party's writer work in fresh environments.

Works without a package index: the build back end and the dependencies are those of the running environment, lent to the fresh
one by a path file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "vss/": "vss/",
    "providers/vss_providers/": "vss_providers/",
    "writers/vss_writers/": "vss_writers/",
    "requestors/vss_requestors/": "vss_requestors/",
}

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    """Run to the end, without the caller's Python settings; a failure shows all output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VSS_", "PIP_"))}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INDEX": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tree_files() -> list[str]:
    """The files of the tree: what git tracks or would."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs the git checkout: its list of files is what the wheel is compared with")
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    return sorted(name for name in listing.split("\0") if name and (ROOT / name).is_file())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree to build in, so that building leaves nothing in ours."""
    copy = tmp_path_factory.mktemp("tree")
    for name in tree_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", output, cwd=tree)
    (built,) = output.glob("*.whl")
    return built


def environment(directory: Path) -> Path:
    """Make a fresh environment that borrows the running one's libraries; return its Python."""
    venv.create(directory, with_pip=False, symlinks=True)
    python = directory / "bin" / "python"
    target = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=directory).strip()
    borrowed = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (Path(target) / "borrowed.pth").write_text("\n".join(borrowed) + "\n", encoding="utf-8")
    return python


def install(python: Path, *arguments: str | Path, cwd: Path) -> None:
    """Install into an environment by the running one's pip."""
    pytest.importorskip("pip", reason="installs by pip")
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        *arguments,
        cwd=cwd,
    )


def script(python: Path, name: str) -> Path:
    return python.parent / name


def test_the_wheel_contains_exactly_the_package_files(wheel: Path) -> None:
    expected = [
        name.replace(source, target, 1)
        for name in tree_files()
        for source, target in PACKAGES.items()
        if name.startswith(source)
    ]

    with zipfile.ZipFile(wheel) as archive:
        found = [name for name in archive.namelist() if ".dist-info/" not in name]

    assert sorted(found) == sorted(expected)
    assert {f"{target}py.typed" for target in PACKAGES.values()} <= set(found)


def test_the_wheel_declares_scripts_and_plugins(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt")]
        lines = archive.read(name).decode().splitlines()

    assert {"vss = vss.cli.main:main", "betest = vss.cli.main:betest"} <= set(lines)
    assert lines[lines.index("[vss.plugins]") + 1 :][:3] == [
        "vss-providers = vss_providers.plugin",
        "vss-requestors = vss_requestors.plugin",
        "vss-writers = vss_writers.plugin",
    ]


def test_the_source_distribution_is_complete_enough_to_build_the_same_wheel(tree: Path, wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", tmp_path, cwd=tree)
    (archive,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(archive, tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", cwd=unpacked)

    (again,) = (tmp_path / "again").glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert sorted(second.namelist()) == sorted(first.namelist())


def plugins_of(python: Path, cwd: Path) -> dict[str, dict[str, object]]:
    document = json.loads(run(script(python, "vss"), "plugins", "--all", "--json", cwd=cwd))
    assert document["problems"] == []
    return {each["name"]: each for each in document["plugins"]}


def origins(python: Path, modules: Sequence[str], cwd: Path) -> list[Path]:
    """Where a fresh Python finds these modules."""
    program = f"import {', '.join(modules)}; print('\\n'.join(m.__file__ for m in ({', '.join(modules)},)))"
    return [Path(line) for line in run(python, "-c", program, cwd=cwd).splitlines()]


def test_the_installed_wheel_works_without_the_sources_and_takes_a_third_partys_writer(
    wheel: Path, tree: Path, tmp_path: Path
) -> None:
    python = environment(tmp_path / "environment")
    install(python, wheel, cwd=tmp_path)

    built_in = plugins_of(python, tmp_path)
    assert sorted(built_in) == ["vss-providers", "vss-requestors", "vss-writers"]
    assert {each["distribution"] for each in built_in.values()} == {"vss-lab"}
    assert all(path.is_relative_to(tmp_path) for path in origins(python, ["vss", "vss_writers"], tmp_path))

    install(python, tree / "examples" / "vss-writer-notes", cwd=tmp_path)

    notes = plugins_of(python, tmp_path)["notes"]
    assert (notes["status"], notes["distribution"], notes["origin"]) == ("ok", "vss-writer-notes", "entry point")
    assert notes["registered"] == {"writer": ["notes"]}
    run(python, "-c", MAKE_LAB, cwd=tmp_path)
    backup = run(
        script(python, "betest"), "--lab", "lab", "--backup", "--type", "full", "--destination", "sets", "--json", cwd=tmp_path
    )
    assert json.loads(backup.splitlines()[-1])["schema"] == "vss.cli/1"
    (copied,) = (tmp_path / "sets").glob("*/files/D/Notes/today.txt")
    assert copied.read_text(encoding="utf-8") == "milk"


MAKE_LAB = r"""
from pathlib import Path
from vss.lab.world import create_lab, run_in_lab
from vss.plugins import plugin_host
from vss.real import RealFiles

CONFIGURATION = r'''
[[volumes]]
name = "D:"
size = "4 MiB"
[[providers]]
kind = "copy-on-write"
[[writers]]
name = "diary"
kind = "notes"
options = { directory = 'D:\Notes' }
'''

async def write(lab):
    await lab.writer("diary").add("today", "milk")

registry = plugin_host().registry
create_lab(RealFiles(), Path("lab"), CONFIGURATION, registry)
run_in_lab(RealFiles(), Path("lab"), write, registry)
"""


def test_an_editable_install_finds_all_four_packages(tree: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "environment")
    install(python, "-e", tree, cwd=tmp_path)

    found = origins(python, ["vss", "vss_providers", "vss_writers", "vss_requestors"], tmp_path)

    assert all(path.is_relative_to(tree) for path in found)
    assert sorted(plugins_of(python, tmp_path)) == ["vss-providers", "vss-requestors", "vss-writers"]
