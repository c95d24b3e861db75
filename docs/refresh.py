"""Fills the generated parts of the documentation: ``python docs/refresh.py``. A test compares them with what they come from.

README.md: an excerpt of the demo's output, and the writer's state diagram. Whole pages: docs/states.md, docs/exit-codes.md,
docs/failures.md; docs/protocol.md and docs/concepts.md, whose rows name the tests that show them (``tests.protocol.pages``).
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from click.testing import CliRunner

from vss.cli.exit_codes_page import page
from vss.machines import diagram, writer
from vss.scenarios.catalogue import entries
from vss.scenarios.catalogue_page import catalogue_page

ROOT = Path(__file__).parent.parent
EXCERPT_LINES = 46
"""How much of the demo the README shows: its first act."""


def demo_excerpt() -> str:
    """Return the first lines of what ``vss demo`` prints."""
    from vss_requestors.demo.command import demo

    result = CliRunner().invoke(demo, [], catch_exceptions=False)
    lines = result.output.splitlines()
    return "\n".join([*lines[:EXCERPT_LINES], "…", *_verdicts(lines)]) + "\n"


def _verdicts(lines: Sequence[str]) -> list[str]:
    """Titles of the later acts, and the verdict."""
    return [line for line in lines[EXCERPT_LINES:] if line.startswith(("Act ", "Verdict"))]


def writer_diagram() -> str:
    """Return the writer's machine as Mermaid."""
    return diagram.mermaid(diagram.writer_edges(), writer.WriterState.STABLE.name)


def filled_readme(text: str, *, excerpt: str, states: str) -> str:
    """Return README.md with its generated blocks replaced."""
    text = re.sub(r"```text\n(?=```|The laboratory).*?```", lambda _: f"```text\n{excerpt}```", text, count=1, flags=re.DOTALL)
    return re.sub(r"```mermaid\n.*?```", lambda _: f"```mermaid\n{states}```", text, count=1, flags=re.DOTALL)


def protocol_pages() -> dict[str, str]:
    """Return the pages whose rows name tests, by file name; the tests are found beside the documentation."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    pages = importlib.import_module("tests.protocol.pages")
    return {"protocol.md": pages.protocol_page(), "concepts.md": pages.concepts_page()}


def main() -> None:
    """Rewrite the files."""
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    readme.write_text(filled_readme(text, excerpt=demo_excerpt(), states=writer_diagram()), "utf-8")
    (ROOT / "docs" / "states.md").write_text(diagram.document(), "utf-8")
    (ROOT / "docs" / "exit-codes.md").write_text(page(), "utf-8")
    (ROOT / "docs" / "failures.md").write_text(catalogue_page(entries()), "utf-8")
    for name, text in protocol_pages().items():
        (ROOT / "docs" / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
