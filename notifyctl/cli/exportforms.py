"""The forms of an export, written to a file as rows come: CSV, NDJSON, Parquet. All are UTF-8, whatever the locale."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any, BinaryIO

import orjson

from notifyctl.cli.output import Field, FieldKind, escaped, iso, obeyed_by_none
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import lenient
from notifyctl.core.spreadsheet import harmless

FORMS = ("csv", "ndjson", "parquet")
GROUP_BYTES = 8 * 1024 * 1024
"""How much of a Parquet file is one group of rows, which is held in memory."""
PORTION = 250
PORTION_CHARS = 1024 * 1024
"""How many rows are made Arrow's at once, and how much text."""


@dataclass(frozen=True, slots=True)
class ExportColumn:
    """A field of an export, and how its value is found in a row."""

    field: Field
    value: Callable[[Any], Any]

    @property
    def name(self) -> str:
        """Its name, in every form."""
        return self.field.name


Put = Callable[[BinaryIO, Sequence[ExportColumn], Iterable[Any]], int]
"""Writes the rows to a file; returns how many there were."""


def columns(fields: Iterable[Field], reckoned: dict[str, Callable[[Any], Any]] | None = None) -> list[ExportColumn]:
    """Return the columns of these fields: attributes of a row, but for those that are reckoned of it."""
    return [ExportColumn(field, (reckoned or {}).get(field.name) or attrgetter(field.name)) for field in fields]


def put(form: str, *, raw: bool, on_terminal: bool) -> Put:
    """Return what writes a form. Raises UsageError for Parquet where it cannot be written.

    `raw`: cells of CSV as they are, also what a spreadsheet would run. `on_terminal`: nothing that it would obey.
    """
    if form == "ndjson":
        return _put_ndjson
    if form == "parquet":
        _arrow()
        return _put_parquet
    as_cell = _as_it_is if raw else harmless
    shown = (lambda text: escaped(as_cell(text))) if on_terminal else as_cell
    return lambda file, of, rows: _put_csv(file, of, rows, shown)


# CSV


def _put_csv(file: BinaryIO, of: Sequence[ExportColumn], rows: Iterable[Any], as_cell: Callable[[str], str]) -> int:
    lines = csv.writer(_Lines(file))
    lines.writerow([column.name for column in of])
    kinds = {**_CELLS, FieldKind.WORDS: lambda words: as_cell(" ".join(words))}
    cells = [(column.value, kinds.get(column.field.kind) or as_cell) for column in of]
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007
        lines.writerow(["" if (found := value(row)) is None else cell(found) for value, cell in cells])
    return number


class _Lines:
    """Takes the lines of a csv writer: with its CRLF it quotes a lone CR as well, here they end in LF."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write((line.removesuffix("\r\n") + "\n").encode(errors="backslashreplace"))


def _as_it_is(text: str) -> str:
    return text


_CELLS: dict[FieldKind, Callable[[Any], str]] = {
    FieldKind.TIME: iso,
    FieldKind.BOOL: lambda value: "true" if value else "false",
    FieldKind.NUMBER: str,
}


# NDJSON


def _put_ndjson(file: BinaryIO, of: Sequence[ExportColumn], rows: Iterable[Any]) -> int:
    parts = [(json.dumps(column.name), column.value, _VALUES.get(column.field.kind, _quoted)) for column in of]
    number = 0
    for number, row in enumerate(rows, 1):  # noqa: B007
        said = [f"{name}:{'null' if (found := value(row)) is None else text(found)}" for name, value, text in parts]
        file.write(f"{obeyed_by_none('{' + ','.join(said) + '}')}\n".encode())
    return number


_quoted = json.JSONEncoder(ensure_ascii=False).encode


def _embedded(text: str) -> str:
    """Return stored JSON as it is; a text where it is none."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        value = lenient(text, text)
        try:
            return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            return _quoted(text)
    return text.replace("\n", " ").replace("\r", " ")  # in JSON they stand only between values


_VALUES: dict[FieldKind, Callable[[Any], str]] = {
    FieldKind.TIME: lambda value: f'"{iso(value)}"',
    FieldKind.BOOL: lambda value: "true" if value else "false",
    FieldKind.NUMBER: str,
    FieldKind.JSON: _embedded,
    FieldKind.WORDS: lambda words: json.dumps(words, ensure_ascii=False, separators=(",", ":")),
}


# Parquet


def _put_parquet(file: BinaryIO, of: Sequence[ExportColumn], rows: Iterable[Any]) -> int:
    arrow, parquet = _arrow()
    schema = arrow.schema([(column.name, _type(arrow, column.field.kind)) for column in of])
    values = [column.value for column in of]
    number, group, room = 0, list[Any](), GROUP_BYTES
    with parquet.ParquetWriter(file, schema) as writer:
        for portion in _portions(values, rows):
            cells = [
                arrow.array(found, each.type) for each, found in zip(schema, zip(*portion, strict=True), strict=True)
            ]
            group.append(arrow.record_batch(cells, schema))
            number, room = number + len(portion), room - group[-1].nbytes
            if room < 0:
                writer.write_table(arrow.Table.from_batches(group))
                group, room = [], GROUP_BYTES
        if group:
            writer.write_table(arrow.Table.from_batches(group))
    return number


def _portions(values: Sequence[Callable[[Any], Any]], rows: Iterable[Any]) -> Iterator[list[list[Any]]]:
    """Yield the values of a few rows at a time: as Python has them they need several times what Arrow needs."""
    portion, room = list[list[Any]](), PORTION_CHARS
    for row in rows:
        portion.append([value(row) for value in values])
        room -= sum(len(each) for each in portion[-1] if isinstance(each, str))
        if len(portion) == PORTION or room < 0:
            yield portion
            portion, room = [], PORTION_CHARS
    if portion:
        yield portion


def _type(arrow: Any, kind: FieldKind) -> Any:
    types = {
        FieldKind.TIME: lambda: arrow.timestamp("ms", "UTC"),
        FieldKind.BOOL: arrow.bool_,
        FieldKind.NUMBER: arrow.int64,
        FieldKind.WORDS: lambda: arrow.list_(arrow.string()),
    }
    return types.get(kind, arrow.string)()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            f"-o parquet needs pyarrow, which cannot be loaded: {error}", "pip install 'notifyctl[parquet]'"
        ) from error
    return pyarrow, parquet
