"""JSON where every notification passes: by orjson, with the answers of the standard library's `json`.

orjson reads integers beyond 64 bits as floats, takes deeper nesting, and writes NaN as null; it refuses halves of
surrogate pairs, numbers too large for a float, and integers beyond 64 bits in what it writes. Wherever any of that may
be so, `json` decides.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

import orjson

from notifyctl.core.patterns import pattern

T = TypeVar("T")

LONGEST = 64 * 1024 * 1024
"""Characters (or bytes) of a text that `lenient` reads: more than any payload with its attachments has."""
DEEPEST = 200
"""Levels of nesting that are read: so few that whatever was read can be written again, too."""
MOST_PLACES = 400
"""Digits after a number's point that are stored: more than any float has."""

_SURE = frozenset({str, int, bool, type(None)})
_NESTS = frozenset({dict, list})
# Looked for in the text, which costs less than looking through the values; inside of strings they only cost time. With
# `find`: for `in`, bytes might be a number, and that they are none is an exception raised and caught, each time.
_LONG_INTEGER = b"0" * 19
_SURELY_NOT_DEEP = 100
_SURELY_A_FLOAT = 308
_NO_FLOAT = 2**1024 - 2**970  # rounds to infinity (IEEE 754)
_NULL = pattern(rb"null(?:$|[,}\]])")
_ALIKE = bytes.maketrans(b"123456789[", b"000000000{")
_ESCAPED_NUL = rb"\u0000"
_NOTHING_BUT_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
# Made once: `json.dumps` with arguments makes one for each call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SORTED = _NOTHING_BUT_JSON | orjson.OPT_SORT_KEYS


def decode(text: str | bytes, otherwise: Callable[[Any], Any] = json.loads) -> Any:
    """Return what `otherwise` would: `json.loads`, or a decoder of `json` that takes less.

    Raises ValueError and RecursionError as it does.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return otherwise(text)
    if type(value) is dict and _SURE.issuperset(map(type, value.values())):  # no number that became a float, not deep
        return value
    encoded = text.encode() if isinstance(text, str) else text
    alike = encoded.translate(_ALIKE)
    # A text that is short has no room for so many beginnings and their ends.
    may_be_deep = len(alike) > 2 * _SURELY_NOT_DEEP and alike.count(b"{") > _SURELY_NOT_DEEP
    return otherwise(text) if may_be_deep or alike.find(_LONG_INTEGER) >= 0 else value


def lenient(text: str | bytes | None, otherwise: Any = None) -> Any:
    """Return what a text says, or `otherwise` where it says nothing: it is absent, no JSON, too long or too deep.

    For what was stored, perhaps by other programs or damaged, and only has to be shown or looked through. Never raises.
    """
    if not text or len(text) > LONGEST:
        return otherwise
    try:
        value = decode(text)
    except (ValueError, RecursionError):
        return otherwise
    return otherwise if is_too_deep(value) else value


def shown(text: str | bytes, otherwise: Any) -> Any:
    """Return what a text says as `lenient` does, where that can be written as JSON again: not NaN, 1e999, "\\ud800"."""
    value = lenient(text, otherwise)
    try:
        encode(value)
    except ValueError:
        return otherwise
    return value


def stored(text: str | bytes | None, default: T) -> T:
    """Return what a text says where that is of the default's type, else the default; reads as `lenient` does."""
    value = lenient(text)
    return value if isinstance(value, type(default)) else default


def is_amiss(text: str | bytes | None, kind: type) -> bool:
    """Return whether a text says something that `stored` takes for nothing: no JSON, or a value of another kind."""
    if not text:
        return False
    value = lenient(text, ...)
    return value is not None and not isinstance(value, kind)


def is_too_deep(value: Any) -> bool:
    """Return whether a value is nested deeper than `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST + 1):
        level = [inner for each in level if isinstance(each, (dict, list)) for inner in _inside(each)]
        if not level:
            return False
    return True


def encode(value: Any) -> bytes:
    """Return compact JSON in UTF-8.

    Raises ValueError for NaN and its like, UnicodeEncodeError (one of them) for half a surrogate pair, TypeError for
    what JSON does not have, RecursionError for what is nested too deep.
    """
    try:
        written = orjson.dumps(value, option=_NOTHING_BUT_JSON)
    except orjson.JSONEncodeError:
        return _ENCODER.encode(value).encode()
    # In a file's base64 the four letters stand by chance, and the slow way would need several times its memory.
    unsure = written.find(b"null") >= 0 and _NULL.search(written) is not None
    return _ENCODER.encode(value).encode() if unsure else written


class Exact(float):
    """A number that was written otherwise than its float is, such as 1.50: it is stored as it was written."""

    __slots__ = ("written",)
    written: str


def exact(written: str) -> int | float:
    """Return the number that a JSON text writes with a point or an exponent; for `json`'s `parse_float`.

    An integer where PostgreSQL's `jsonb` prints one (1e3), so that it is one when it is read again. Raises ValueError
    for one that is too large, or has too many places.
    """
    try:
        text = _printed(Decimal(written))
    except ArithmeticError:
        raise ValueError("a number has an exponent that nobody can count with") from None
    if "." not in text:
        return int(text)
    value = Exact(text)
    if _printed(Decimal(float.__repr__(value))) == text:
        return float(text)
    value.written = text
    return value


def canonical(value: Any) -> str:
    """Return compact JSON with its keys in order, by code point, and characters as they are.

    Numbers are written as PostgreSQL's `jsonb` prints them: no exponent, the places after the point that were given, no
    negative zero. So SQL makes the same text of the same content. Raises as `encode` does, but for half a surrogate
    pair, which a text can hold, and ValueError for a number that is larger than any float, or has too many places.
    """
    at_once = _canonical_at_once(value)
    return _written(value) if at_once is None else at_once.decode()


quoted: Callable[[str], str] = json.encoder.encode_basestring
"""Returns a text as canonical JSON."""


def surely(value: Any) -> str | None:
    """Return canonical JSON of a value that has no U+0000 and is not too deep; None where that is not certain."""
    try:
        written = _canonical_at_once(value) or _written(value).encode()
    except (ValueError, RecursionError, TypeError):
        return None
    if written.find(_ESCAPED_NUL) >= 0 or written.find(b"null") >= 0:  # `in` takes twice as long
        return None
    return written.decode() if written.count(b"{") + written.count(b"[") <= DEEPEST else None


def _canonical_at_once(value: Any) -> bytes | None:
    """Return canonical JSON where orjson surely writes the same."""
    if not _is_sure(value):
        return None
    try:
        return orjson.dumps(value, option=_SORTED)
    except orjson.JSONEncodeError:  # an integer beyond 64 bits, half a surrogate pair, nested deep
        return None


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join([f"{quoted(key)}:{_written(value[key])}" for key in sorted(value)]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, float | int) and not isinstance(value, bool):
        return value.written if isinstance(value, Exact) else _number(value)
    return _ENCODER.encode(value)


def _number(value: float) -> str:
    # Whatever its class may be: an enumeration's members print their names.
    text = float.__repr__(value) if isinstance(value, float) else int.__repr__(value)
    is_plain = text[-1].isdigit() and "e" not in text and len(text) <= _SURELY_A_FLOAT and value
    return text if is_plain else _printed(Decimal(text))


def _printed(value: Decimal) -> str:
    if not value.is_finite():
        raise ValueError(f"{value} is no JSON")
    if value.adjusted() >= _SURELY_A_FLOAT and value.copy_abs() >= _NO_FLOAT:
        raise ValueError("a number is larger than any float")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > MOST_PLACES:
        raise ValueError(f"a number has more than {MOST_PLACES} places after the point")
    text = format(value, "f")
    return text if value else text.lstrip("-")


def _is_sure(value: Any) -> bool:
    """Return whether there is nothing in it that orjson would write in another way: all but numbers with a point."""
    if type(value) not in _NESTS:
        return type(value) in _SURE
    if type(value) is dict and _SURE.issuperset(map(type, value.values())):
        return True
    for each in value.values() if type(value) is dict else value:
        kind = type(each)
        if kind not in _SURE and (kind not in _NESTS or not _is_sure(each)):
            return False
    return True


def number(value: float) -> str:
    """Return a number as orjson writes it: with the fewest digits that read back as the same one; "null" for none."""
    return orjson.dumps(float(value)).decode()  # of its subclasses it knows nothing


def at_once(value: Any) -> bytes | None:
    """Return compact JSON as orjson writes it, NaN as null; None for what it does not write."""
    try:
        return orjson.dumps(value, option=_NOTHING_BUT_JSON)
    except orjson.JSONEncodeError:
        return None


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value
