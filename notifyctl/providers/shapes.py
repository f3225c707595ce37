"""What options an API takes: tables of fields, each with a check, put together from small functions.

A check takes where a value stands and the value, and raises InvalidMessage for what the API would refuse. Null is
nothing, everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from notifyctl.providers.contract import InvalidMessage

FieldCheck = Callable[[str, Any], None]
Table = Mapping[str, FieldCheck]

_NUMBER = (int, float)


def text(path: str, value: Any) -> None:
    """Take texts."""
    _require(isinstance(value, str), path, "must be text")


def flag(path: str, value: Any) -> None:
    """Take booleans."""
    _require(isinstance(value, bool), path, "must be true or false")


def whole(path: str, value: Any) -> None:
    """Take whole numbers."""
    _require(isinstance(value, int) and not isinstance(value, bool), path, "must be a whole number")


def number(path: str, value: Any) -> None:
    """Take numbers."""
    _require(isinstance(value, _NUMBER) and not isinstance(value, bool), path, "must be a number")


def anything(path: str, value: Any) -> None:
    """Take whatever is JSON."""


def one_of(*words: str) -> FieldCheck:
    """Take these words, in any case."""
    known = {word.casefold() for word in words}

    def check(path: str, value: Any) -> None:
        _require(isinstance(value, str) and value.casefold() in known, path, f"must be {' or '.join(words)}")

    return check


def matching(pattern: str, meaning: str) -> FieldCheck:
    """Take texts that match all of `pattern` (digits are ASCII's); `meaning` ends the sentence "must be"."""
    compiled = re.compile(pattern, re.ASCII)

    def check(path: str, value: Any) -> None:
        _require(isinstance(value, str) and compiled.fullmatch(value) is not None, path, f"must be {meaning}")

    return check


def each(inner: FieldCheck) -> FieldCheck:
    """Take lists."""

    def check(path: str, value: Any) -> None:
        _require(isinstance(value, list | tuple), path, "must be a list")
        for number, item in enumerate(value):
            inner(f"{path}.{number}", item)

    return check


def values(inner: FieldCheck) -> FieldCheck:
    """Take objects with any keys."""

    def check(path: str, value: Any) -> None:
        for key, item in _object(path, value).items():
            inner(f"{path}.{key}", item)

    return check


def fields(table: Table, spelled: Callable[[str], str] = str) -> FieldCheck:
    """Take objects with the fields of `table` and no others; `spelled` turns a name into the table's spelling."""

    def check(path: str, value: Any) -> None:
        for key, item in _object(path, value).items():
            inner = table.get(spelled(key))
            if inner is None:
                raise InvalidMessage(f"{path}.{key}: unknown{meant(spelled(key), table)}")
            if item is not None:
                inner(f"{path}.{key}", item)

    return check


def meant(name: str, names: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the one that was probably meant, or nothing."""
    near = get_close_matches(name, list(names), n=1)
    return f", perhaps {near[0]}" if near else ""


def _object(path: str, value: Any) -> Mapping[str, Any]:
    _require(isinstance(value, Mapping) and all(isinstance(key, str) for key in value), path, "must be an object")
    return value  # type: ignore[no-any-return]  # just looked at


def _require(fine: bool, path: str, what: str) -> None:
    if not fine:
        raise InvalidMessage(f"{path}: {what}")
