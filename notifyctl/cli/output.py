"""Data to stdout in the format asked for; everything else to stderr.

A noun describes its records once, as `Field`s over the attributes of its dataclass; table, plain, JSON, NDJSON, CSV,
Markdown and id are made from that. Data is never markup, and control characters never reach a terminal.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

SHORT_ID = 8
PAGE = 50
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Kind(StrEnum):
    """How a value is shown."""

    TEXT = "text"
    ID = "id"
    TIME = "time"
    JSON = "json"
    BOOL = "bool"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Field:
    """One attribute of a record.

    `name` is the attribute and the JSON name. `title` puts it into the table under that heading; `show` makes the
    table's text from the whole record where the value itself is not what a person wants to read.
    """

    name: str
    kind: Kind = Kind.TEXT
    title: str | None = None
    show: Callable[[Any], str] | None = None


def iso(milliseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def escaped(text: str) -> str:
    """Return `text` with control and direction-changing characters made visible."""
    return _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class Output:
    """Where a command puts its records and its remarks."""

    def __init__(self, form: str | None, *, quiet: bool = False, utc: bool = False) -> None:
        self.on_terminal = sys.stdout.isatty()
        self.form = form or ("table" if self.on_terminal else "plain")
        self.asked_form = form
        self.quiet = quiet
        self.utc = utc

    # Remarks

    def say(self, text: str) -> None:
        """Tell the person something that is not data."""
        if not self.quiet:
            sys.stderr.write(f"{escaped_lines(text)}\n")
            sys.stderr.flush()

    # Data

    def write(self, text: str) -> None:
        """Write a line of data as it is."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def document(self, value: Any) -> None:
        """Write one JSON document, whatever the format (for commands whose data is a document)."""
        self.write(json.dumps(value, ensure_ascii=False, indent=2 if self.on_terminal else None, default=str))

    def records(self, rows: Iterable[Any], fields: Sequence[Field], *, id_name: str = "id") -> None:
        """Write many records."""
        {
            "json": self._json_array,
            "ndjson": self._ndjson,
            "csv": self._csv,
            "id": lambda rows, _: self._ids(rows, id_name),
            "plain": self._plain,
            "markdown": self._markdown,
            "table": self._table,
        }.get(self.form, self._plain)(rows, fields)

    def record(self, row: Any, fields: Sequence[Field], *, id_name: str = "id") -> None:
        """Write one record: an object in JSON, a line a field in table and plain."""
        if self.form == "json":
            self.write(json.dumps(self.as_json(row, fields), ensure_ascii=False))
        elif self.form in ("table", "plain"):
            shown = [(field.name, self.text(row, field)) for field in fields]
            width = max(len(name) for name, _ in shown)
            self.write("\n".join(f"{name:<{width}}  {value}" for name, value in shown))
        else:
            self.records([row], fields, id_name=id_name)

    def as_json(self, row: Any, fields: Sequence[Field]) -> dict[str, Any]:
        """Return the record as JSON knows it."""
        return {field.name: _json_value(getattr(row, field.name), field.kind) for field in fields}

    def text(self, row: Any, field: Field) -> str:
        """Return the field's full text: never cut; empty is `-`."""
        value = getattr(row, field.name)
        if value is None or value == "":
            return "-"
        if field.kind is Kind.TIME:
            return self.time(value) if self.form == "table" else iso(value)
        if field.kind is Kind.BOOL:
            return "yes" if value else "no"
        if isinstance(value, (dict, list, tuple)):
            return escaped(json.dumps(value, ensure_ascii=False))
        return escaped(str(value))

    def time(self, milliseconds: int | None) -> str:
        """Return a moment for people, in local time or UTC, to the second."""
        if milliseconds is None:
            return "-"
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
        moment = moment if self.utc else moment.astimezone()
        return moment.strftime("%Y-%m-%d %H:%M:%S") + ("Z" if self.utc else "")

    # Formats

    def _json_array(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        written = False
        for row in rows:
            sys.stdout.write(",\n" if written else "[\n")
            sys.stdout.write(json.dumps(self.as_json(row, fields), ensure_ascii=False))
            written = True
        self.write("\n]" if written else "[]")

    def _ndjson(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        for row in rows:
            sys.stdout.write(json.dumps(self.as_json(row, fields), ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def _csv(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow([field.name for field in fields])
        for row in rows:
            writer.writerow([_csv_value(getattr(row, field.name), field.kind) for field in fields])
        sys.stdout.flush()

    def _ids(self, rows: Iterable[Any], id_name: str) -> None:
        for row in rows:
            sys.stdout.write(f"{getattr(row, id_name)}\n")
        sys.stdout.flush()

    def _plain(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from tabulate import tabulate

        heads = [field.name for field in fields]
        table = [[self.text(row, field) for field in fields] for row in rows]
        # Without disable_numparse an id like 12345678 is printed as 1.23457e+07.
        self.write(tabulate(table, heads, tablefmt="plain", disable_numparse=True))

    def _markdown(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from tabulate import tabulate

        heads = [field.name for field in fields]
        table = [[self.text(row, field).replace("|", "\\|") for field in fields] for row in rows]
        self.write(tabulate(table, heads, tablefmt="pipe", disable_numparse=True))

    def _table(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from rich.table import Table
        from rich.text import Text

        shown = [field for field in fields if field.title is not None]
        table = Table(box=None, pad_edge=False, show_edge=False, header_style="bold")
        for field in shown:
            numeric = field.kind is Kind.NUMBER
            fixed = field.kind in (Kind.ID, Kind.TIME, Kind.NUMBER)
            table.add_column(
                Text(field.title or ""),
                justify="right" if numeric else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=SHORT_ID if field.kind is Kind.ID else (None if fixed else 4),
            )
        for row in rows:
            table.add_row(*(Text(self._cell(row, field)) for field in shown))
        self.rich(table)

    def _cell(self, row: Any, field: Field) -> str:
        if field.show is not None:
            return escaped(field.show(row))
        text = self.text(row, field)
        return text[:SHORT_ID] if field.kind is Kind.ID and text != "-" else text

    def rich(self, renderable: Any) -> None:
        """Print a rich renderable to stdout; without a terminal it has no colour."""
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False, soft_wrap=False).print(renderable)


def escaped_lines(text: str) -> str:
    """Return `text` escaped line by line."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def _json_value(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    if kind is Kind.TIME:
        return iso(value)
    if kind is Kind.JSON and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _csv_value(value: Any, kind: Kind) -> str:
    if value is None:
        return ""
    if kind is Kind.TIME:
        return iso(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
