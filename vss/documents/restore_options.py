"""The restore options string: ``"Subcomponent\\Path": "Name"="Value", "Name"="Value"``.

Names and component paths compare without case, values belong to the writer. Three names are the vendor's own and say what the
writer's schema must have: ``Authoritative`` (``All`` once, or ``Item:…`` repeatedly), ``Roll Forward`` (``None``, ``All`` or
``Partial:…``), ``New Component Name`` (logical path and name). A writer may agree with its requestors on another form, as some
do on XML; text that does not begin with a quotation mark is such a private form and is passed on unread. Source: VSS
documentation, "Setting VSS restore options".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vss.documents.model import BackupSchema
from vss.errors import InvalidArgumentError

_OPTION = re.compile(r'\s*(?:"(?P<part>[^"]*)"\s*:)?\s*"(?P<name>[^"]*)"\s*=\s*"(?P<value>[^"]*)"\s*')

AUTHORITATIVE = "Authoritative"
ROLL_FORWARD = "Roll Forward"
NEW_COMPONENT_NAME = "New Component Name"

_NEEDED = {
    AUTHORITATIVE.lower(): BackupSchema.AUTHORITATIVE_RESTORE,
    ROLL_FORWARD.lower(): BackupSchema.ROLLFORWARD_RESTORE,
    NEW_COMPONENT_NAME.lower(): BackupSchema.RESTORE_RENAME,
}


@dataclass(frozen=True, slots=True)
class RestoreOption:
    """One option, of the whole component or (``subcomponent``) of a part of it."""

    name: str
    value: str
    subcomponent: str = ""

    def is_named(self, name: str) -> bool:
        """Whether this is the option ``name``."""
        return self.name.lower() == name.lower()

    @property
    def needed_schema(self) -> BackupSchema:
        """The schema bit that a writer needs to know this option; NONE for its own options."""
        return _NEEDED.get(self.name.lower(), BackupSchema.NONE)


def is_private(text: str) -> bool:
    """Whether ``text`` is in a form of the writer's own."""
    return bool(text.strip()) and not text.lstrip().startswith('"')


def parse_restore_options(text: str) -> tuple[RestoreOption, ...]:
    """Return the options of ``text``, in the order given; nothing for an empty text.

    Raises:
        InvalidArgumentError: not in the grammar, or one of the vendor's names with a value that it cannot have.
    """
    found: list[RestoreOption] = []
    offset = 0
    while offset < len(text.rstrip()):
        match = _OPTION.match(text, offset)
        if match is None or not match["name"] or text[match.end() : match.end() + 1] not in ("", ","):
            found_text = text[offset : offset + 30].strip()
            raise InvalidArgumentError(
                f'restore options at character {offset + 1}: expected "Name"="Value", found {found_text!r}'
            )
        found.append(RestoreOption(match["name"], match["value"], match["part"] or ""))
        offset = match.end() + 1
        if offset == len(text) and text.endswith(","):
            raise InvalidArgumentError("restore options end with a comma, expected another option")
    _check_known(found)
    return tuple(found)


def render_restore_options(options: Iterable[RestoreOption]) -> str:
    """Return the options as text.

    Raises:
        InvalidArgumentError: a name, value or path holds a quotation mark, which the grammar cannot express.
    """
    parts = []
    for each in options:
        if '"' in each.name + each.value + each.subcomponent:
            raise InvalidArgumentError(f"restore option '{each.name}' holds a quotation mark")
        prefix = f'"{each.subcomponent}":' if each.subcomponent else ""
        parts.append(f'{prefix}"{each.name}"="{each.value}"')
    return ",".join(parts)


def _check_known(options: list[RestoreOption]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for each in options:
        key = (each.subcomponent.lower(), each.name.lower())
        before = seen.get(key)
        kind, colon, rest = each.value.partition(":")
        if each.is_named(AUTHORITATIVE):
            is_good = each.value.lower() == "all" or (kind.lower() == "item" and bool(colon and rest))
            is_second = before is not None and "all" in (before.lower(), each.value.lower())
            expected = "'All' once, or 'Item:…'"
        elif each.is_named(ROLL_FORWARD):
            is_good = each.value.lower() in ("none", "all") or (kind.lower() == "partial" and bool(colon and rest))
            is_second = before is not None
            expected = "'None', 'All' or 'Partial:…', once"
        else:
            is_good = not each.is_named(NEW_COMPONENT_NAME) or bool(each.value.rpartition("\\")[2])
            is_second = before is not None and each.is_named(NEW_COMPONENT_NAME)
            expected = "a logical path and component name, once"
        if not is_good or is_second:
            raise InvalidArgumentError(f"restore option '{each.name}': expected {expected}, found '{each.value}'")
        seen[key] = each.value
