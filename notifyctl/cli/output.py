"""Data to stdout in the format asked for; everything else to stderr.

A noun describes its records once, as `Field`s over the attributes of its dataclass; table, plain, JSON, YAML, NDJSON,
CSV, Markdown and id are made from that. Data is never markup, and control characters never reach a terminal.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from notifyctl.cli.fields import EPOCH, MILLISECOND, csv_value, json_value
from notifyctl.cli.fields import Field as Field
from notifyctl.cli.fields import FieldKind as FieldKind
from notifyctl.cli.fields import iso as iso
from notifyctl.cli.formats import OBEYED, UNSAFE, as_yaml_text, stdout_is_unicode
from notifyctl.cli.wrapping import hanging
from notifyctl.core.errors import UsageError
from notifyctl.core.patterns import pattern
from notifyctl.core.spreadsheet import harmless

if TYPE_CHECKING:
    from rich.text import Text

SHORT_ID = 8
PAGE = 50
_MARKDOWN = pattern(r"[\\`*\[\]<>|~&#]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


def _found(rows: Iterable[Any]) -> Iterable[Any]:
    """Return the rows, the first of which is there: what fails at once fails before a heading is printed."""
    rest = iter(rows)
    return chain(list(islice(rest, 1)), rest)


def escaped(text: str) -> str:
    """Return `text` with control and direction-changing characters made visible."""
    return OBEYED.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class Output:
    """Where a command puts its records and its remarks."""

    def __init__(
        self,
        form: str | None,
        *,
        quiet: bool = False,
        utc: bool = False,
        fields: Sequence[str] | None = None,
        raw: bool = False,
    ) -> None:
        self.on_terminal = sys.stdout.isatty()
        self.form = form or ("table" if self.on_terminal else "plain")
        self.asked_form = form
        self.quiet, self.utc = quiet, utc
        self.fields, self.raw = fields, raw

    # Remarks

    def say(self, text: str) -> None:
        """Tell the person something that is not data."""
        if not self.quiet and text:
            sys.stderr.write(f"{escaped_lines(text)}\n")
            sys.stderr.flush()

    # Data

    def write(self, text: str) -> None:
        """Write a line of data as it is."""
        self._put(text)

    def _put(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def hanging(self, head: str, text: str) -> None:
        """Write a line, what would be obeyed in it escaped; what a terminal has no room for stands below `text`."""
        self._put(self._hung(escaped(self._seen(head)), escaped(self._seen(text))))

    def _hung(self, head: str, text: str) -> str:
        return hanging(head, text, get_terminal_size().columns) if self.on_terminal else head + text

    def _seen(self, text: str) -> str:
        """Return a text as it may be seen."""
        return text

    def write_exactly(self, text: str) -> None:
        """Write data as it is, no line end added; what a terminal would obey is escaped there."""
        sys.stdout.write(escaped_lines(text) if self.on_terminal else text)
        sys.stdout.flush()

    def document(self, value: Any) -> None:
        """Write one document, as YAML or else as JSON (for commands whose data is a document)."""
        if self.fields is not None:
            value = {name: value[name] for name in self._known(list(value))}
        if self.form == "yaml":
            self.write(as_yaml_text(value).rstrip("\n"))
        else:
            self.write(as_json_text(value, indent=2 if self.on_terminal and self.form != "ndjson" else None))

    def records(self, rows: Iterable[Any], fields: Sequence[Field], *, id_name: str = "id") -> None:
        """Write many records."""
        {
            "json": self._json_array,
            "yaml": self._yaml_list,
            "ndjson": self._ndjson,
            "csv": self._csv,
            "id": lambda rows, _: self._ids(rows, fields, id_name),
            "plain": self._plain,
            "markdown": self._markdown,
            "table": self._table,
        }.get(self.form, self._plain)(_found(rows), self._chosen(fields))

    @property
    def tells(self) -> bool:
        """Whether a person is told what became of a record, who asked for no format."""
        return self.on_terminal and self.asked_form is None and self.fields is None

    def record(self, row: Any, fields: Sequence[Field], *, id_name: str = "id", told: str | None = None) -> None:
        """Write one record: an object in JSON, a line a field in table and plain.

        `told`: what became of it, which a person at a terminal gets instead unless a format was asked for.
        """
        if told is not None and self.tells:
            self.write(escaped(told))
            return
        self._record(row, fields, id_name)

    def _record(self, row: Any, fields: Sequence[Field], id_name: str) -> None:
        chosen = self._chosen(fields)
        if self.form == "json":
            self.write(as_json_text(self.as_json(row, chosen)))
        elif self.form == "yaml":
            self.write(as_yaml_text(self.as_json(row, chosen)).rstrip("\n"))
        elif self.form == "plain":
            self.write("\n".join(f"{field.name}\t{self.text(row, field)}" for field in chosen))
        elif self.form == "table":
            width = max(len(field.name) for field in chosen)
            # It was looked through whole: a part of what is broken over lines may look like an address.
            told = (self._hung(f"{field.name:<{width}}  ", self._seen(self.text(row, field))) for field in chosen)
            self._put("\n".join(told))
        else:
            self.records([row], fields, id_name=id_name)

    def _chosen(self, fields: Sequence[Field]) -> Sequence[Field]:
        """Return the fields of `--fields`, in its order; each has a place in the table, too."""
        if self.fields is None:
            return fields
        by_name = {field.name: field for field in fields}
        found = [by_name[name] for name in self._known(list(by_name))]
        return [replace(field, title=field.title or field.name.upper()) for field in found]

    def _known(self, names: Sequence[str]) -> Sequence[str]:
        return known_fields(self.fields or (), names)

    def require_fields(self, fields: Sequence[Field]) -> None:
        """Raise UsageError for a field of `--fields` that is none of these: before something is done."""
        self._known([field.name for field in fields])

    def as_json(self, row: Any, fields: Sequence[Field]) -> dict[str, Any]:
        """Return the record as JSON knows it."""
        return {field.name: json_value(getattr(row, field.name), field.kind) for field in fields}

    def text(self, row: Any, field: Field) -> str:
        """Return the field's full text: never cut; empty is `-`."""
        value = getattr(row, field.name)
        if value is None or value == "":
            return "-"
        if field.kind is FieldKind.TIME:
            return self.time(value) if self.form == "table" else iso(value)
        if field.kind is FieldKind.BOOL:
            return "yes" if value else "no"
        if field.kind is FieldKind.TIMES:
            return self._times(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, (dict, list, tuple)):
            return escaped(json.dumps(value, ensure_ascii=False))
        return escaped(str(value))

    def _times(self, moments: Mapping[str, int]) -> str:
        if self.form == "table":
            told = ", ".join(f"{name} until {self.time(moment)}" for name, moment in moments.items())
            return escaped(told) or "-"
        return escaped(json.dumps(json_value(moments, FieldKind.TIMES), ensure_ascii=False)) if moments else "-"

    def clock(self, moment: int, now: int) -> str:
        """Return a moment of the next day as a time of day, another with its date."""
        at, today = (datetime.fromtimestamp(ms / 1_000, UTC) for ms in (moment, now))
        if not self.utc:
            at, today = at.astimezone(), today.astimezone()
        return at.strftime("%H:%M" if (at - today).days == 0 else "%Y-%m-%d %H:%M")

    def time(self, milliseconds: int | None) -> str:
        """Return a moment for people, in local time or UTC, to the second."""
        if milliseconds is None:
            return "-"
        try:
            moment = EPOCH + milliseconds * MILLISECOND
            moment = moment if self.utc else moment.astimezone()
        except (OverflowError, ValueError, OSError):
            return str(milliseconds)
        return moment.strftime("%Y-%m-%d %H:%M:%S") + self._zone(moment)

    def _zone(self, moment: datetime) -> str:
        """Return how a moment's zone is told: not at all where it is the local one of today."""
        if self.utc:
            return "Z"
        usual = datetime.now(UTC).astimezone().utcoffset()
        return "" if moment.utcoffset() == usual else moment.isoformat()[-6:]

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
        writer.writerow([field.name for field in fields])
        for row in rows:
            writer.writerow([self._csv_cell(getattr(row, field.name), field.kind) for field in fields])
        sys.stdout.flush()

    def _csv_cell(self, value: Any, kind: FieldKind) -> str:
        text = csv_value(value, kind)
        if isinstance(value, str) and not self.raw:
            text = harmless(text)
        return escaped(text) if self.on_terminal else text  # a file gets every byte, a terminal none that it would obey

    def _ids(self, rows: Iterable[Any], fields: Sequence[Field], id_name: str) -> None:
        kind = next((field.kind for field in fields if field.name == id_name), FieldKind.ID)
        for row in rows:
            value = getattr(row, id_name)
            if value is not None:
                sys.stdout.write(f"{iso(value) if kind is FieldKind.TIME else escaped(str(value))}\n")
        sys.stdout.flush()

    def _plain(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        # A tab within a value is escaped: those that are left stand between two.
        sys.stdout.write("\t".join(field.name for field in fields) + "\n")
        for row in rows:
            sys.stdout.write("\t".join(self.text(row, field) for field in fields) + "\n")
        sys.stdout.flush()

    def _yaml_list(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        written = False
        for row in rows:
            sys.stdout.write(as_yaml_text([self.as_json(row, fields)]))
            written = True
        sys.stdout.write("" if written else "[]\n")
        sys.stdout.flush()

    def _markdown(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from tabulate import tabulate

        heads = [field.name for field in fields]
        table = [[_MARKDOWN.sub(r"\\\g<0>", self.text(row, field)) for field in fields] for row in rows]
        self.write(tabulate(table, heads, tablefmt="pipe", disable_numparse=True))

    def _table(self, rows: Iterable[Any], fields: Sequence[Field]) -> None:
        from rich.console import Console

        from notifyctl.cli.tables import Column, table, width

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
        drawn = table(columns, cells, Console().width)
        # Wider than the terminal where ids and numbers alone are: no id is ever cut.
        self.rich(drawn, max(Console().width, width(drawn)))

    def _cell(self, row: Any, field: Field) -> str:
        if field.show is not None:
            return escaped(field.show(row))
        if field.kind is FieldKind.TIME:
            return self._short_time(getattr(row, field.name))
        text = self.text(row, field)
        return text[:SHORT_ID] if field.kind is FieldKind.ID and text != "-" else text

    def rich(self, renderable: Any, width: int | None = None) -> None:
        """Print a rich renderable to stdout; without a terminal it has no colour."""
        from rich.console import Console

        Console(width=width, highlight=False, markup=False, emoji=False, soft_wrap=False).print(renderable)

    def rich_lines(self, lines: Iterable[Text]) -> None:
        """Print rich lines; what is to be pasted is not broken by us."""
        from rich.console import Console

        console = Console(highlight=False, markup=False, emoji=False)
        for line in lines:
            console.print(line, soft_wrap=bool(line.no_wrap))


class _CsvLines:
    """Takes the lines of a csv writer: with its CRLF it quotes a lone CR as well, here they end in LF."""

    def write(self, line: str) -> int:
        """Write one line to stdout."""
        return sys.stdout.write(line.removesuffix("\r\n") + "\n")


def as_json_text(value: Any, indent: int | None = None) -> str:
    """Return JSON as people read it, but with what a terminal would obey written as escapes."""
    return obeyed_by_none(json.dumps(value, ensure_ascii=not stdout_is_unicode(), indent=indent, default=str))


def obeyed_by_none(text: str) -> str:
    """Return JSON in which what a terminal would obey is written as escapes."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def known_fields(wanted: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """Return the fields that are wanted; raise UsageError for one that is not among `names`."""
    for name in wanted:
        if name not in names:
            raise UsageError(f"--fields: there is no field {name!r}", f"there are: {', '.join(names)}")
    return wanted


def escaped_lines(text: str) -> str:
    """Return `text` escaped line by line."""
    return "\n".join(escaped(line) for line in text.split("\n"))
