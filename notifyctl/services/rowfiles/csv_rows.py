"""CSV as RFC 4180 has it, with any delimiter; what ends a row is LF or CRLF. Nothing is guessed from the data."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator

from notifyctl.core.rowfile.columns import unfit_header
from notifyctl.core.rowfile.rows import LONGEST, BadRow, FileRow
from notifyctl.services.rowfiles.lines import TOO_LONG, Lines

_BLANK = frozenset({b"\n", b"\r\n", b"\r"})
_NUL = "it holds NUL (U+0000), which is no character of a text"
_CR = "a carriage return stands outside of quotes"
_AFTER_QUOTE = "text stands behind a closing quote; a quote in a cell is written twice"
_IN_CELL = "a quote stands in a cell that does not begin with one; such a cell stands in quotes, with its own doubled"


class _TooLong(Exception):
    """The row has more bytes than one may have."""


class CsvRows:
    """Reads the rows below a header. Raises UsageError for what is wrong with the file as a whole.

    An empty line is no row. `header` are the names in the first line, which it reads at once.
    """

    def __init__(self, lines: Lines, delimiter: str = ",") -> None:
        csv.field_size_limit(LONGEST)
        self._lines = lines
        self._delimiter = delimiter
        self._record = _Record(lines)
        self._reader = csv.reader(self._record, delimiter=delimiter, strict=True)
        plain, apart = f'[^"{re.escape(delimiter)}\r\n]*', re.escape(delimiter)
        cell = f'(?:"[^"]*(?:""[^"]*)*"|{plain})'
        self._well_formed = re.compile(f"{cell}(?:{apart}{cell})*(?:\r?\n)?")
        self.header = self._header()

    def __iter__(self) -> Iterator[FileRow | BadRow]:
        lines, delimiter, width = self._lines, self._delimiter, len(self.header)
        while line := lines.next():
            if line in _BLANK:
                continue
            cells = None if len(line) > LONGEST else _plain_cells(lines.text(line), delimiter)
            row = self._taken(line) if cells is None else FileRow(lines.number, cells)
            if isinstance(row, FileRow) and len(row.cells) != width:
                row = BadRow(row.line, _ragged(len(row.cells), width), row.cells)
            yield row

    def _header(self) -> list[str]:
        while line := self._lines.next():
            if line in _BLANK:
                continue
            row = self._taken(line)
            if isinstance(row, BadRow):
                hint = "line ends are LF or CRLF" if row.reason == _CR else None
                raise self._lines.fault(row.line, f"the header cannot be read: {row.reason}", hint)
            if (wrong := unfit_header(list(row.cells))) is not None:
                raise self._lines.fault(row.line, wrong, "every column has a name of its own")
            return list(row.cells)
        raise self._lines.fault(1, "it is empty: the first line of CSV names the columns")

    def _taken(self, line: bytes) -> FileRow | BadRow:
        """Return the row that begins with this line; one with quotes may have several."""
        record = self._record
        try:
            record.begin(line)
            cells = next(self._reader)
        except _TooLong:
            return self._passed_over()
        except csv.Error as error:
            return self._refused(_CR if "new-line" in str(error) else _AFTER_QUOTE)
        raw = "".join(record.pieces)
        if "\0" in raw:
            return BadRow(record.first, _NUL, cells)
        if any('"' in cell for cell in cells) and not self._well_formed.fullmatch(raw):
            return BadRow(record.first, _IN_CELL, raw.rstrip("\r\n"))
        return FileRow(record.first, cells)

    def _refused(self, why: str) -> BadRow:
        record = self._record
        if record.ended:
            raise self._unclosed(record.opened)
        raw = "".join(record.pieces).rstrip("\r\n")
        where = f" (the quote before it opens in line {record.first})" if len(record.pieces) > 1 else ""
        return BadRow(record.first, f"{why}{where}", raw)

    def _passed_over(self) -> BadRow:
        """Read to the end of a row that is too long, and keep none of it."""
        record, lines = self._record, self._lines
        while True:
            if not record.complete and lines.skip():
                record.turn(lines.number)
            record.complete = True
            if not record.quoted:
                return BadRow(record.first, TOO_LONG, "")
            lines.skip_to_quote()
            line = lines.next()
            if not line:
                raise self._unclosed(record.opened)
            record.complete = line.endswith(b"\n")
            record.track(line, lines.number)

    def _unclosed(self, line: int) -> Exception:
        return self._lines.fault(
            line, "the quote that opens here is never closed", "a quote in a cell is written twice"
        )


class _Record:
    """The lines of one row, as the reader asks for them, and where the quote opened that is open.

    `ended`: there was no further line. `complete`: the line read last has its end.
    """

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._next: bytes | None = None
        self.pieces: list[str] = []
        self.first = self.opened = self._size = 0
        self.quoted = self.ended = False
        self.complete = True

    def begin(self, line: bytes) -> None:
        """Begin a row with this line, which was just read."""
        self._next = line
        self.pieces = []
        self.first = self.opened = self._lines.number
        self.quoted = self.ended = False
        self._size = 0

    def __iter__(self) -> _Record:
        return self

    def __next__(self) -> str:
        line, self._next = self._next or self._lines.next(), None
        if not line:
            self.ended = True
            raise StopIteration
        self._size += len(line)
        self.complete = line.endswith(b"\n")
        self.track(line, self._lines.number)
        if self._size > LONGEST:
            self.pieces = []
            raise _TooLong
        text = self._lines.text(line)
        self.pieces.append(text)
        return text

    def track(self, line: bytes, number: int) -> None:
        """Take note of the quotes in a line; two in a row are one in a cell."""
        if b'"' in line and line.replace(b'""', b"").count(b'"') % 2:
            self.turn(number)
        elif self.quoted and b'"' in line.replace(b'""', b""):
            self.opened = number

    def turn(self, number: int) -> None:
        """Take note that a quote opens or closes in this line."""
        self.quoted = not self.quoted
        self.opened = number


def _plain_cells(line: str, delimiter: str) -> list[str] | None:
    """Return the cells of a line each of whose quotes surrounds a whole cell, as nearly all do; None for others."""
    if "\0" in line or ("\r" in line and "\r" in line[:-2]):
        return None
    text = line.rstrip("\r\n")
    if '"' not in text:
        return text.split(delimiter)
    cells: list[str] = []
    is_quoted = True
    for piece in f"{delimiter}{text}{delimiter}".split('"'):
        is_quoted = not is_quoted
        if is_quoted:
            cells.append(piece)
        elif piece != delimiter:
            if len(piece) < 2 or not (piece[0] == piece[-1] == delimiter):
                return None
            cells += piece[1:-1].split(delimiter)
    return None if is_quoted else cells  # what is open goes on in the next line


def _ragged(found: int, wanted: int) -> str:
    return f"it has {found} {'cell' if found == 1 else 'cells'}, the header has {wanted}"
