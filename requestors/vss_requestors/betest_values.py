"""Values of ``betest`` options as a person writes them, and Click's complaint where they mean nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from vss.errors import InvalidArgumentError
from vss_requestors.sizes import parse_rate

T = TypeVar("T")

Callback = Callable[[click.Context, click.Parameter, Any], Any]


def rate(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Bytes a second."""
    if value is None:
        return None
    try:
        return parse_rate(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def one(parse: Callable[[str], T]) -> Callback:
    """A value that may be left out."""

    def callback(context: click.Context, option: click.Parameter, value: str | None) -> T | None:
        return None if value is None else _parsed(parse, value)

    return callback


def many(parse: Callable[[str], T]) -> Callback:
    """A value of an option that may be repeated."""

    def callback(context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[T, ...]:
        return tuple(_parsed(parse, each) for each in value)

    return callback


def _parsed(parse: Callable[[str], T], value: str) -> T:
    try:
        return parse(value)
    except InvalidArgumentError as error:
        raise click.BadParameter(error.message) from error
