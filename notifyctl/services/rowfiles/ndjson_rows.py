"""NDJSON: an object a line, split at the byte LF alone, each with the keys that it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson

from notifyctl.core.json_codec import canonical, exact, is_too_deep
from notifyctl.core.rowfile.rows import LONGEST, BadRow, FileRow
from notifyctl.core.template.source import described
from notifyctl.services.rowfiles.lines import TOO_LONG, Lines

_FLAT = frozenset({str, int, bool, type(None)})


class NdjsonRows:
    """Reads the rows. Raises UsageError for bytes that are no text in UTF-8; an empty line is no row.

    Numbers are kept as they are written, integers of any length. What JSON does not have is refused (NaN, a number
    beyond a float's range), and what readers differ in (a key given twice, half a surrogate pair).
    """

    header = None

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[FileRow | BadRow]:
        lines = self._lines
        while line := lines.next():
            if len(line) > LONGEST:
                lines.skip() if not line.endswith(b"\n") else None
                yield BadRow(lines.number, TOO_LONG, "")
            elif not line.isspace():
                yield self._row(line)

    def _row(self, line: bytes) -> FileRow | BadRow:
        if (sure := _surely(line)) is not None:
            return FileRow(self._lines.number, sure)
        text = self._lines.text(line).rstrip("\r\n")
        try:
            value = _DECODER.decode(text)
            if (why := _unfit(value)) is None:
                return FileRow(self._lines.number, value)
        except RecursionError:
            why = "it is nested too deep"
        except json.JSONDecodeError as error:
            why = f"it is not JSON: {error.msg}, at character {error.pos + 1}"
        except ValueError as error:
            why = f"it is not JSON: {error}"
        return BadRow(self._lines.number, why, text)


def _surely(line: bytes) -> dict[str, Any] | None:
    """Return the object that a line is where nothing can be wrong with it, at a fraction of the time.

    Every key has a colon. Where a text has no more of them than its keys and values together, no key is there twice.
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if type(value) is not dict or b"\\u" in line or not _FLAT.issuperset(map(type, value.values())):
        return None
    colons = line.count(b":") - len(value)
    if colons:
        colons -= sum(key.count(":") for key in value)
        colons -= sum(each.count(":") for each in value.values() if type(each) is str)
    return None if colons else value


def _unfit(value: Any) -> str | None:
    if not isinstance(value, dict):
        return f"it is {described(value)}, not an object"
    if is_too_deep(value):
        return "it is nested too deep"
    try:
        canonical(value).encode()
    except UnicodeEncodeError:
        return "it holds half a surrogate pair, which is no character"
    except ValueError as error:
        return str(error)
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} is given twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_float=exact)
