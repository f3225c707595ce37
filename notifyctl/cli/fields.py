"""What a record's fields are, and how programs get their values."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import shown

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class FieldKind(StrEnum):
    """How a field's value is written and aligned; `times` are names, each with a moment, `words` have no blanks."""

    TEXT = "text"
    ID = "id"
    TIME = "time"
    TIMES = "times"
    JSON = "json"
    BOOL = "bool"
    NUMBER = "number"
    WORDS = "words"


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of a record.

    `name` is the attribute and the JSON name. `title` puts it into the table under that heading; `show` makes the
    table's text from the whole record where the value itself is not what a person wants to read.
    """

    name: str
    kind: FieldKind = FieldKind.TEXT
    title: str | None = None
    show: Callable[[Any], str] | None = None


def iso(milliseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds; a moment that no calendar has as its number."""
    try:
        moment = EPOCH + milliseconds * MILLISECOND
    except OverflowError:
        return str(milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_value(value: Any, kind: FieldKind) -> Any:
    """Return a value as JSON has it."""
    if value is None:
        return None
    if kind is FieldKind.TIME:
        return iso(value)
    if kind is FieldKind.TIMES:
        return {name: iso(moment) for name, moment in value.items()}
    if kind is FieldKind.JSON and isinstance(value, str):
        return shown(value, value)
    return value


def csv_value(value: Any, kind: FieldKind) -> str:
    """Return a value as a cell of CSV."""
    if value is None:
        return ""
    if kind is FieldKind.TIME:
        return iso(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind is FieldKind.TIMES:
        value = json_value(value, kind)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else str(value)
