"""The documents and machines stay light: heavy libraries are imported where they are used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_importing_documents_and_machines_imports_neither_lxml_nor_networkx() -> None:
    modules = "xml, selection, selection_file, file_sets, dependencies, machine_paths"
    code = f"import sys, vss.machines; from vss.documents import {modules}; print({{'lxml', 'networkx'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"
