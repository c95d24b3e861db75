"""The console scripts as a person runs them: real processes, real files, real signals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The one object that ``--json`` printed."""
        document: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return document


class Shell:
    """Runs the installed scripts in a directory of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("VSS_")}

    def command(self, words: Sequence[str]) -> list[str]:
        script = SCRIPTS / words[0]
        if not script.exists():
            pytest.skip(f"needs the installed console script {words[0]}")
        return [str(script), *words[1:]]

    def run(self, *words: str) -> Done:
        done = subprocess.run(
            self.command(words),
            cwd=self.place,
            env=self.environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str) -> Done:
        done = self.run(*words)
        assert done.code == 0, f"{words}\n{done.out}\n{done.err}"
        return done


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
