"""``vss doctor``: what this machine can do, and why not. Looks only; changes nothing but a scratch file where asked to try.

Each check answers with a status: ``ok``, ``absent`` (something optional is not there; what will be left out is said) or
``broken`` (something the product needs is missing). Exit code 3 when anything is broken.
"""

from __future__ import annotations

import locale
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import click

from vss.cli.output import json_option, print_json, table
from vss.cli.version import version
from vss.exit_codes import ExitCode
from vss.plugins import plugin_host
from vss.plugins.loader import DISTRIBUTION

_PYTHON_MIN = (3, 11)
_FICLONE = 0x40049409  # ioctl of linux/fs.h: share the blocks of another file
_BTRFS = "btrfs"

_PROGRAMS = {
    "vshadowinfo": "diff areas read by libvshadow (Debian package libvshadow-utils)",
    "esedbinfo": "databases read by libesedb (Debian package libesedb-utils)",
    "pg_verifybackup": "PostgreSQL manifests (Debian package postgresql)",
    "sha256sum": "manifests checked by coreutils",
}
_MODULES = {
    "dissect.esedb": "databases read by dissect",
    "dissect.volume": "diff areas read by dissect",
    "pyvshadow": "diff areas read by libvshadow",
    "pyesedb": "databases read by libesedb",
    "impacket": "databases read by impacket",
    "psycopg": "the PostgreSQL writer (extra 'postgres')",
    "mfusepy": "copy-on-write over FUSE (extra 'fuse')",
    "distributed": "campaigns over Dask (extra 'dask')",
}


class Check(NamedTuple):
    """One answer."""

    name: str
    status: str
    detail: str


@click.command()
@json_option
@click.option(
    "--at",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=None,
    help="Where labs and backup sets will be; default is the temporary directory.",
)
def doctor(as_json: bool, directory: Path | None) -> ExitCode:
    """What this machine can do, and why not."""
    where = directory or Path(tempfile.gettempdir())
    found = list(checks(where))
    if as_json:
        print_json("doctor", checks=[check._asdict() for check in found])
    else:
        click.echo(table(found, ("what", "status", "detail")))
    return ExitCode.WARNINGS if any(check.status == "broken" for check in found) else ExitCode.OK


def checks(where: Path) -> Iterator[Check]:
    """Run every check, in the order of the report; ``where`` is the directory to try file systems in."""
    yield python_check(sys.version_info[:3])
    yield Check(DISTRIBUTION, "ok", version())
    yield requirements_check()
    yield plugins_check()
    yield encoding_check(getattr(sys.stdout, "encoding", None) or "", locale.getlocale()[1] or "")
    yield Check("processors", "ok", str(os.cpu_count() or 1))
    yield space_check(where)
    yield reflink_check(where, share_blocks)
    yield btrfs_check(where)
    yield fuse_check(Path("/dev/fuse"))
    yield postgres_check(Path("/usr/lib/postgresql"))
    for name, purpose in _PROGRAMS.items():
        yield program_check(name, purpose)
    for name, purpose in _MODULES.items():
        yield module_check(name, purpose)


def python_check(found: tuple[int, ...]) -> Check:
    """Whether Python is recent enough."""
    text = ".".join(map(str, found))
    if found >= _PYTHON_MIN:
        return Check("python", "ok", text)
    return Check("python", "broken", f"expected {'.'.join(map(str, _PYTHON_MIN))} or newer, found {text}")


def requirements_check(distribution: str = DISTRIBUTION) -> Check:
    """Whether everything that the distribution requires is installed."""
    try:
        lines = requires(distribution) or []
    except PackageNotFoundError:
        return Check("requirements", "absent", f"{distribution} is not installed; 'pip install -e .' in the checkout does it")
    names = [_leading_name(line) for line in lines if "extra ==" not in line]
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        return Check("requirements", "broken", f"not installed: {', '.join(missing)}")
    return Check("requirements", "ok", ", ".join(f"{name} {version_of(name)}" for name in names))


def _leading_name(requirement: str) -> str:
    end = next((at for at, letter in enumerate(requirement) if not (letter.isalnum() or letter in "._-")), len(requirement))
    return requirement[:end]


def _is_installed(name: str) -> bool:
    try:
        version_of(name)
    except PackageNotFoundError:
        return False
    return True


def plugins_check() -> Check:
    """Whether every plugin was loaded."""
    host = plugin_host()
    if host.problems:
        return Check("plugins", "broken", "; ".join(f"{each.origin.plugin}: {each.message}" for each in host.problems))
    return Check("plugins", "ok", ", ".join(record.origin.plugin for record in host.records if record.status == "ok"))


def encoding_check(output: str, locale_encoding: str) -> Check:
    """Whether timelines can be printed."""
    text = f"output {output or 'unknown'}, locale {locale_encoding or 'C'}"
    try:
        "█▒◆".encode(output or "ascii")
    except (UnicodeEncodeError, LookupError):
        return Check("encoding", "absent", f"{text}; timelines show question marks, set LC_ALL=C.UTF-8")
    return Check("encoding", "ok", text)


def space_check(where: Path) -> Check:
    """How much room there is."""
    free = shutil.disk_usage(where).free
    status = "ok" if free >= 1 << 30 else "absent"
    return Check("room", status, f"{free / (1 << 30):.1f} GiB free in {where}")


def share_blocks(source: int, target: int) -> None:
    """Make ``target`` (a file descriptor) share the blocks of ``source``."""
    import fcntl

    fcntl.ioctl(target, _FICLONE, source)


def reflink_check(where: Path, clone: Callable[[int, int], None]) -> Check:
    """Whether files can share blocks: tries it on two scratch files in ``where``."""
    try:
        with tempfile.TemporaryFile(dir=where) as source, tempfile.TemporaryFile(dir=where) as target:
            source.write(bytes(4096))
            source.flush()
            clone(target.fileno(), source.fileno())
    except OSError as error:
        return Check("reflink", "absent", f"files in {where} cannot share blocks: {error.strerror}")
    return Check("reflink", "ok", f"files in {where} can share blocks")


def btrfs_check(where: Path, mounts: Path = Path("/proc/self/mounts")) -> Check:
    """Whether ``where`` lies on btrfs."""
    try:
        lines = [line.split() for line in mounts.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        return Check("btrfs", "absent", f"the list of mounts cannot be read: {error.strerror}")
    under = [(len(fields[1]), fields[2]) for fields in lines if where.resolve().is_relative_to(fields[1])]
    kind = max(under)[1] if under else "unknown"
    return Check("btrfs", "ok" if kind == _BTRFS else "absent", f"{where} is on {kind}")


def fuse_check(device: Path) -> Check:
    """Whether user-space file systems can be mounted."""
    if not device.exists():
        return Check("fuse", "absent", f"there is no {device}")
    if not os.access(device, os.R_OK | os.W_OK):
        return Check("fuse", "absent", f"{device} is not ours to open")
    return Check("fuse", "ok", str(device))


def postgres_check(directory: Path) -> Check:
    """Whether a PostgreSQL server is installed: on the path, or where Debian puts it."""
    on_path = shutil.which("postgres")
    found = [on_path] if on_path else sorted(map(str, directory.glob("*/bin/postgres")))
    if found:
        return Check("postgres", "ok", found[-1])
    return Check("postgres", "absent", "no server found; tests of the PostgreSQL writer are skipped")


def program_check(name: str, purpose: str) -> Check:
    """Whether a program is on the path."""
    found = shutil.which(name)
    return Check(name, "ok", found) if found else Check(name, "absent", f"not on the path; left out: {purpose}")


def module_check(name: str, purpose: str) -> Check:
    """Whether a module can be imported; it is not."""
    try:
        is_there = find_spec(name) is not None
    except ModuleNotFoundError:  # the parent of a dotted name is missing
        is_there = False
    return Check(name, "ok", purpose) if is_there else Check(name, "absent", f"not installed; left out: {purpose}")
