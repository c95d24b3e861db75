"""Damage to answers: what ``corrupt``, ``partial``, ``omit``, ``flip`` and ``short`` make of a value on its way to the caller.

Answers are bytes, sequences, frozen dataclasses (the writer metadata document) or anything else; a kind of damage that a value
cannot have leaves it as it is, so that the plan and not the damage decides what is tried. The damaged value is a new one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from vss.ids import GUID_NULL, Guid
from vss.io_faults import corrupted, flipped
from vss.simulation.fault_grammar import Fault
from vss.simulation.fault_words import parse_part, parse_size

OVERSIZE = 1 << 20
_BAD_TEXT = "\x00\x1f\ufffe"
_OUTSIDE = "..\\..\\outside"
_FOREIGN = Guid(int=0xDEAD << 112)


def damaged(fault: Fault, value: Any) -> Any:
    """Return what arrives of ``value``."""
    match fault.effect:
        case "partial":
            first, of = parse_part(fault.argument)
            return _first_part(value, first, of)
        case "omit":
            return _without(value, fault.argument)
        case "flip":
            at = parse_size(fault.parameter("at") or "0B")
            return flipped(value, at, int(fault.parameter("bits") or 1)) if isinstance(value, bytes) else value
        case "short":
            return value[: len(value) // 2] if isinstance(value, bytes) else value
        case _:
            return _corrupted(value, fault.parameter("kind") or "bitflip")


def _corrupted(value: Any, kind: str) -> Any:
    if kind == "wrong_type":
        return "corrupt"
    if isinstance(value, bytes):
        return corrupted(value, kind)
    if isinstance(value, (list, tuple)):
        return _corrupted_items(value, kind)
    if is_dataclass(value) and not isinstance(value, type):
        return _corrupted_document(value, kind)
    return value


def _corrupted_items(items: Any, kind: str) -> Any:
    match kind:
        case "empty":
            return items[:0]
        case "duplicate_id":
            return items + items[:1]
        case _:
            return items


def _corrupted_document(document: Any, kind: str) -> Any:
    values = {field.name: getattr(document, field.name) for field in fields(document) if field.init}
    change = _DOCUMENT_DAMAGE.get(kind)
    return document if change is None else replace(document, **change(values))


def _changed(values: Mapping[str, Any], is_due: Callable[[Any], bool], change: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the first field of ``values`` that is due, changed; nothing where none is."""
    return next(({name: change(value)} for name, value in values.items() if is_due(value)), {})


def _enum_out_of_range(values: Mapping[str, Any]) -> dict[str, Any]:
    return _changed(values, lambda value: isinstance(value, Enum), lambda _: 9999)


def _paths_outside(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(_with_path(each) for each in value)
        for name, value in values.items()
        if isinstance(value, tuple) and any(is_dataclass(each) for each in value)
    }


def _with_path(item: Any) -> Any:
    names = [field.name for field in fields(item)]
    changes: dict[str, Any] = {"path": _OUTSIDE} if "path" in names else {}
    if "files" in names:
        changes["files"] = tuple(_with_path(each) for each in item.files)
    return replace(item, **changes)


def _doubled(values: Mapping[str, Any]) -> dict[str, Any]:
    return _changed(values, lambda value: isinstance(value, tuple) and bool(value), lambda value: (*value, value[0]))


_DOCUMENT_DAMAGE: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "oversize": lambda values: _changed(values, lambda value: isinstance(value, str), lambda value: value + "x" * OVERSIZE),
    "bad_xml": lambda values: _changed(values, lambda value: isinstance(value, str), lambda value: value + _BAD_TEXT),
    "wrong_path": _paths_outside,
    "duplicate_id": _doubled,
    "unknown_enum": _enum_out_of_range,
    "foreign_id": lambda values: _changed(
        values, lambda value: isinstance(value, Guid) and value != GUID_NULL, lambda _: _FOREIGN
    ),
    "nan": lambda values: _changed(values, lambda value: type(value) is int, lambda _: math.nan),
    "empty": lambda values: {name: () for name, value in values.items() if isinstance(value, tuple)},
}
"""For each kind what it changes of a document's fields."""


def _first_part(value: Any, first: int, of: int) -> Any:
    if isinstance(value, (list, tuple, bytes)):
        return value[: len(value) * first // of]
    if is_dataclass(value) and not isinstance(value, type):
        tuples = {
            field.name: getattr(value, field.name)
            for field in fields(value)
            if field.init and isinstance(getattr(value, field.name), tuple)
        }
        return replace(value, **{name: each[: len(each) * first // of] for name, each in tuples.items()})
    return value


def _without(value: Any, pattern: str) -> Any:
    if isinstance(value, (list, tuple)):
        return type(value)(each for each in value if not fnmatchcase(_name_of(each), pattern))
    if is_dataclass(value) and not isinstance(value, type):
        kept = {
            field.name: _without(getattr(value, field.name), pattern)
            for field in fields(value)
            if field.init and isinstance(getattr(value, field.name), tuple)
        }
        return replace(value, **kept)
    return value


def _name_of(item: Any) -> str:
    for attribute in ("full_path", "component_name", "name", "snapshot_id"):
        if hasattr(item, attribute):
            return str(getattr(item, attribute))
    return str(item)
