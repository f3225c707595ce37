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
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from notifyctl.core.json_codec import lenient

SHORT_ID = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
PAGE = 50
# Control characters, those that change the direction of text, and halves of surrogate pairs, which no encoding has.
_UNSAFE = r"\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(rf"[\x00-\x1f{_UNSAFE}]")
_UNSAFE_IN_JSON = re.compile(rf"[{_UNSAFE}]")
_MARKDOWN = re.compile(r"[\\`*\[\]<>|~&#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_OUTER_BLANKS = re.compile(r"^ +| +$")


class FieldKind(StrEnum):
    """How a field's value is written and aligned."""

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
    kind: FieldKind = FieldKind.TEXT
    title: str | None = None
    show: Callable[[Any], str] | None = None


def iso(milliseconds: int) -> str:
    """Return ISO 8601 in UTC with milliseconds; a moment that no calendar has as its number."""
    try:
        moment = _EPOCH + milliseconds * _MILLISECOND
    except OverflowError:
        return str(milliseconds)
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
        self.write(as_json_text(value, indent=2 if self.on_terminal else None))

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
            self.write(as_json_text(self.as_json(row, fields)))
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
        if field.kind is FieldKind.TIME:
            return self.time(value) if self.form == "table" else iso(value)
        if field.kind is FieldKind.BOOL:
            return "yes" if value else "no"
        if isinstance(value, (dict, list, tuple)):
            return escaped(json.dumps(value, ensure_ascii=False))
        return escaped(str(value))

    def time(self, milliseconds: int | None) -> str:
        """Return a moment for people, in local time or UTC, to the second."""
        if milliseconds is None:
            return "-"
        try:
            moment = _EPOCH + milliseconds * _MILLISECOND
            moment = moment if self.utc else moment.astimezone()
        except (OverflowError, ValueError, OSError):
            return str(milliseconds)
        return moment.strftime("%Y-%m-%d %H:%M:%S") + ("Z" if self.utc else "")

    def _short_time(self, milliseconds: int | None) -> str:
        """Return a moment as a table has room for it: the time today, else the day, in other years the date."""
        if milliseconds is None:
            return "-"
        full = self.time(milliseconds)
        today = self.time(int(datetime.now(UTC).timestamp() * 1_000))
        if full[:10] == today[:10]:
            return full[11:]
        return f"{full[5:16]}{full[19:]}" if full[:4] == today[:4] else full[:10]

    # Formats

    def _json_array(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        written = False
        for row in rows:
            sys.stdout.write(",\n" if written else "[\n")
            sys.stdout.write(as_json_text(self.as_json(row, fields)))
            written = True
        self.write("\n]" if written else "[]")

    def _ndjson(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        for row in rows:
            sys.stdout.write(as_json_text(self.as_json(row, fields)) + "\n")
        sys.stdout.flush()

    def _csv(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        writer = csv.writer(_CsvLines())
        shown = escaped if self.on_terminal else str  # a file gets every byte, a terminal none that it would obey
        writer.writerow([field.name for field in fields])
        for row in rows:
            writer.writerow([shown(_csv_value(getattr(row, field.name), field.kind)) for field in fields])
        sys.stdout.flush()

    def _ids(self, rows: Iterable[Any], id_name: str) -> None:
        for row in rows:
            value = getattr(row, id_name)
            sys.stdout.write(f"{'-' if value is None else escaped(str(value))}\n")
        sys.stdout.flush()

    def _plain(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from tabulate import tabulate

        heads = [field.name for field in fields]
        table = [[_kept(self.text(row, field)) for field in fields] for row in rows]
        # Without disable_numparse an id like 12345678 is printed as 1.23457e+07.
        self.write(tabulate(table, heads, tablefmt="plain", disable_numparse=True))

    def _markdown(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from tabulate import tabulate

        heads = [field.name for field in fields]
        table = [[_MARKDOWN.sub(r"\\\g<0>", self.text(row, field)) for field in fields] for row in rows]
        self.write(tabulate(table, heads, tablefmt="pipe", disable_numparse=True))

    def _table(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from rich.console import Console

        from notifyctl.cli.tables import Column, table

        shown = [field for field in fields if field.title is not None]
        columns = [
            Column(
                field.title or "",
                field.kind is FieldKind.NUMBER,
                field.kind in (FieldKind.ID, FieldKind.TIME, FieldKind.NUMBER),
            )
            for field in shown
        ]
        cells = [[self._cell(row, field) for field in shown] for row in rows]
        self.rich(table(columns, cells, Console().width))

    def _cell(self, row: Any, field: Field) -> str:
        if field.show is not None:
            return escaped(field.show(row))
        if field.kind is FieldKind.TIME:
            return self._short_time(getattr(row, field.name))
        text = self.text(row, field)
        return text[:SHORT_ID] if field.kind is FieldKind.ID and text != "-" else text

    def rich(self, renderable: Any) -> None:
        """Print a rich renderable to stdout; without a terminal it has no colour."""
        from rich.console import Console

        Console(highlight=False, markup=False, emoji=False, soft_wrap=False).print(renderable)


class _CsvLines:
    """Takes the lines of a csv writer: with its CRLF it quotes a lone CR as well, here they end in LF."""

    def write(self, line: str) -> int:
        """Write one line to stdout."""
        return sys.stdout.write(line.removesuffix("\r\n") + "\n")


def as_json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON as people read it, but with what a terminal would obey written as escapes."""
    text = json.dumps(value, ensure_ascii=not _stdout_is_unicode(), indent=indent, default=str)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def _stdout_is_unicode() -> bool:
    # None: something that takes text as it is stands in stdout's place.
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")


def _kept(text: str) -> str:
    """Return `text` with blanks at its ends made visible: tabulate strips them."""
    return _OUTER_BLANKS.sub(lambda match: "\\x20" * len(match.group()), text)


def escaped_lines(text: str) -> str:
    """Return `text` escaped line by line."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def _json_value(value: Any, kind: FieldKind) -> Any:
    if value is None:
        return None
    if kind is FieldKind.TIME:
        return iso(value)
    if kind is FieldKind.JSON and isinstance(value, str):
        return lenient(value, value)
    return value


def _csv_value(value: Any, kind: FieldKind) -> str:
    if value is None:
        return ""
    if kind is FieldKind.TIME:
        return iso(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)
