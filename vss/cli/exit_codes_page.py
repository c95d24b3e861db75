"""``docs/exit-codes.md``, made from the table: ``python -m vss.cli.exit_codes_page > docs/exit-codes.md``."""

from __future__ import annotations

import inspect
import re

from vss import errors
from vss.exit_codes import ExitCode

_ROW = re.compile(r"^\s+([A-Z_]+) = (\d+)  # (.+)$", re.MULTILINE)

_HEAD = """\
# Exit codes

Both commands, `vss` and `betest`, end with one of these. A code that is not here is a failure. Of several errors at once the
first decides. Generated from `vss/exit_codes.py` and `vss/errors.py`.

| Code | Name | Means | Raised as |
|---|---|---|---|
"""


def meanings() -> dict[ExitCode, str]:
    """Return what the comments of the table say."""
    return {ExitCode(int(number)): text for _, number, text in _ROW.findall(inspect.getsource(ExitCode))}


def page() -> str:
    """Return the whole page."""
    interrupted = [f"`{errors.Interrupted.__name__}`"]  # its code depends on the signal
    raised: dict[ExitCode, list[str]] = {ExitCode.INTERRUPTED: interrupted, ExitCode.TERMINATED: interrupted}
    for name, value in sorted(vars(errors).items()):
        if isinstance(value, type) and issubclass(value, errors.VssError) and value is not errors.Interrupted:
            raised.setdefault(value.exit_code, []).append(f"`{name}`")
    rows = [f"| {code.value} | {code.name} | {text} | {', '.join(raised.get(code, []))} |" for code, text in meanings().items()]
    return _HEAD + "\n".join(row.replace("|  |", "| |") for row in rows) + "\n"


if __name__ == "__main__":  # pragma: no cover - writes the page that a test compares
    print(page(), end="")  # noqa: T201 - its whole purpose
