"""The types of what rows submit: text until its own field says otherwise; a JSON value has to be of its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from notifyctl.core import content, duration, when
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.submission import MOST_RETRIES
from notifyctl.core.template.source import described

CellReading = Callable[[Any], Any]

_TRUTH = {"true": True, "yes": True, "false": False, "no": False}
_KEPT = 1_000


def text(value: str) -> str:
    """Return a text as it is."""
    return value


def channel(value: str) -> Channel:
    """Return the channel of that name."""
    try:
        return Channel(value)
    except ValueError:
        raise UsageError(f"channel: {value[:40]!r} is none of {', '.join(Channel)}") from None


def moment(value: str) -> int:
    """Return milliseconds since the epoch."""
    return when.moment(value, "at")


def span(value: str) -> int:
    """Return milliseconds."""
    return duration.parse_ms(value)


def retries(value: str) -> int:
    """Return a number of retries that was written."""
    if not (value.isascii() and value.isdecimal() and len(value) <= 9):
        raise UsageError(f"max_retries: {value[:40]!r} is no number from 0 to {MOST_RETRIES:,}")
    return within(int(value))


def within(value: int) -> int:
    """Return a number of retries."""
    if not 0 <= value <= MOST_RETRIES:
        raise UsageError(f"max_retries: {value} is no number from 0 to {MOST_RETRIES:,}")
    return value


def truth(value: str) -> bool:
    """Return whether it says yes."""
    try:
        return _TRUTH[value.lower()]
    except KeyError:
        raise UsageError(f"critical: {value[:40]!r} is none of {', '.join(_TRUTH)}") from None


def any_json(value: str) -> Any:
    """Return the JSON that a cell is."""
    try:
        return content.as_given(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"it is not JSON: {error}") from None


def of_type(kind: type, name: str, read: CellReading) -> CellReading:
    """Return a reading that takes a JSON value of that type alone."""

    def reading(value: Any) -> Any:
        if type(value) is not kind:
            raise UsageError(f"{name}: is {described(value)}, not {_WORDS[kind]}")
        return read(value)

    return reading


def remembering(read: CellReading) -> CellReading:
    """Return the same reading, which does not read again what it read before: most rows say the same."""
    known: dict[str, Any] = {}

    def reading(value: str) -> Any:
        found = known.get(value)
        if found is None:
            if len(known) >= _KEPT:
                known.clear()
            found = known[value] = read(value)
        return found

    return reading


_WORDS: Mapping[type, str] = {str: "text", int: "an integer", bool: "a boolean", dict: "an object"}
_TEXTS = ("user", "template", "subject", "body", "html", "to", "provider", "category", "key")

WRITTEN: Mapping[str, CellReading] = {
    **dict.fromkeys(_TEXTS, text),
    "channel": channel,
    "data": content.parse_data,
    "at": moment,
    "in": span,
    "expires_in": span,
    "max_retries": retries,
    "critical": truth,
}
"""How a cell of CSV is read, by the option of `send` that it stands for."""
TYPED: Mapping[str, CellReading] = {
    **{name: of_type(str, name, read) for name, read in WRITTEN.items()},
    "data": of_type(dict, "data", dict),
    "max_retries": of_type(int, "max_retries", within),
    "critical": of_type(bool, "critical", bool),
}
"""How a value of JSON is."""
SPELLED = {"idempotency_key": "key"}
"""Other names of the same."""
