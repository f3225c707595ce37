"""Values as PostgreSQL's texts: made here, a tenth of what the driver takes for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

Value = str | int | bool | None


def array_literal(values: Sequence[Value]) -> str:
    """Return values as an array.

    Source: PostgreSQL, 8.15.6, "Array Input and Output Syntax".
    """
    if set(map(type, values)) == _TEXT:
        together = '","'.join(values)  # type: ignore[arg-type]
        if "\\" not in together and together.count('"') == 2 * (len(values) - 1):
            return f'{{"{together}"}}'
    return "{" + ",".join([_element(value) for value in values]) + "}"


def copy_lines(rows: Iterable[Sequence[Value]]) -> Iterator[bytes]:
    """Yield rows as what COPY reads, in UTF-8, many lines at a time.

    Source: PostgreSQL, COPY, "Text Format".
    """
    rest = iter(rows)
    while some := [*islice(rest, _LINES_AT_ONCE)]:
        yield "".join(_lines(some)).encode()


_LINES_AT_ONCE = 500


def _lines(rows: Sequence[Sequence[Value]]) -> list[str]:
    """Return lines by a pattern that has what all the rows say alike: most columns of most rows."""
    pattern, varying = list[str](), list[Sequence[Value]]()
    for values in zip(*rows, strict=True):
        first = values[0]
        if values.count(first) == len(values):
            pattern.append(_field(first).replace("%", "%%"))
        else:
            pattern.append("%s")
            varying.append(_fields(values))
    line = "\t".join(pattern) + "\n"
    return [line % each for each in zip(*varying, strict=True)] if varying else [line % ()] * len(rows)


def _fields(values: Sequence[Value]) -> Sequence[Value]:
    kinds = set(map(type, values))
    if kinds == _NUMBER:
        return values
    if kinds == _TEXT:
        together = "\0".join(values)  # type: ignore[arg-type]
        if not _is_special(together):
            return values
        if together.count("\0") == len(values) - 1:  # the server refuses any other
            return _escaped(together).split("\0")
    return [*map(_field, values)]


def _field(value: Value) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, str):
        return _escaped(value) if _is_special(value) else value
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)


def _is_special(text: str) -> bool:
    return "\\" in text or "\t" in text or "\n" in text or "\r" in text


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


_TEXT, _NUMBER = frozenset({str}), frozenset({int})


def _element(value: Value) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if '"' in value or "\\" in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value)
