"""Rows of a spreadsheet: each cell as the text that it is, and none whose value is not certain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from notifyctl.core.errors import UsageError
from notifyctl.core.rowfile.columns import unfit_header
from notifyctl.core.rowfile.identity import TEXT
from notifyctl.core.rowfile.rows import LONGEST, BadRow, FileRow
from notifyctl.services.rowfiles.lines import TOO_LONG
from notifyctl.services.rowfiles.workbook import Attributes, NumberFormat, RichText, Workbook, unescaped

_PLACE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6})")
_RANGE = re.compile(r"([A-Z]{1,3})([1-9]\d{0,6}):([A-Z]{1,3})([1-9]\d{0,6})")
_SURE_DIGITS = 15
"""A double has so many that are certain; of more, a spreadsheet keeps zeros."""
_MOST_COLUMNS = 16_384
PLAIN = NumberFormat(False, False, 0)
_AS_TEXT = "format the column as text and enter it again"

SheetRow = tuple[int, dict[int, str], list[str]]
"""Its number, its cells by their columns from 0 on, and what is not certain of them."""


class XlsxRows:
    """Reads the rows below a header, which is the first row that has cells, of the first sheet that is shown.

    Cells are texts as those of CSV: TRUE is `true`, a number its digits, whatever is shown around them. A row is
    refused with a cell whose value is not certain: a formula, an error, a date or time, a percentage, a number of more
    digits than a spreadsheet keeps, or with zeros in front that are only shown. Rows without cells are none; hidden
    ones are like the others. Raises UsageError for what is wrong with the workbook.
    """

    def __init__(self, book: Workbook) -> None:
        self._book = book
        self.size = book.size(book.sheet)
        self.read = 0
        for _ in book.walk(book.sheet, lambda *_: None, lambda *_: None):
            pass  # damaged behind some rows, it is known before the first is taken
        self._rows = self._found()
        self.header = self._header()

    def __iter__(self) -> Iterator[FileRow | BadRow]:
        width = len(self.header)
        for line, cells, faults in self._rows:
            row = [cells.get(at, "") for at in range(width)]
            outside = [at for at in cells if at >= width]
            faults += [f"{_letters(at)}{line} stands in no column of the header ({cells[at][:40]})" for at in outside]
            if faults:
                # As CSV it would say something certain: what is not stands there until somebody has looked at it.
                yield BadRow(
                    line, "; ".join(faults), {TEXT: "; ".join(faults), **dict(zip(self.header, row, strict=True))}
                )
            elif sum(len(each) for each in row) > LONGEST // 4 and len("".join(row).encode()) > LONGEST:
                yield BadRow(line, TOO_LONG, "")
            else:
                yield FileRow(line, row)

    def _header(self) -> Sequence[str]:
        name = self._book.name
        for line, cells, faults in self._rows:
            names = [cells.get(at, "") for at in range(max(cells, default=-1) + 1)]
            wrong = "; ".join(faults) if faults else unfit_header(names)
            if wrong is not None:
                raise UsageError(f"{name}: row {line}: {wrong}", "every column has a name of its own")
            return names
        raise UsageError(f"{name}: its first sheet is empty: the first row names the columns", "export it as CSV")

    def _found(self) -> Iterator[SheetRow]:
        sheet = _Sheet(self._book)
        for read in self._book.walk(self._book.sheet, sheet.started, sheet.ended):
            self.read = read
            yield from sheet.rows
            sheet.rows.clear()
        yield from sheet.rows


class _Sheet:
    """Hears of a sheet's elements and puts rows together."""

    def __init__(self, book: Workbook) -> None:
        self.rows: list[SheetRow] = []
        self._book = book
        self._text = RichText()
        self._line = 0
        self._at = -1
        self._cells: dict[int, str] = {}
        self._faults: list[str] = []
        self._spilled: list[tuple[int, int, int, int]] = []
        self._type = self._value = ""
        self._style = 0
        self._is_formula = False

    def started(self, tag: str, has: Attributes) -> None:
        """Hear of an element."""
        self._text.started(tag, has)
        if tag == "row":
            number = has.get("r", "")
            self._line = int(number) if number.isdecimal() and len(number) < 8 else self._line + 1
            self._at, self._cells, self._faults = -1, {}, []
            self._spilled = [each for each in self._spilled if each[3] >= self._line]
        elif tag == "c":
            place = _PLACE.fullmatch(has.get("r", ""))
            self._at = _number(place[1]) if place else self._at + 1
            self._type, style = has.get("t", "n"), has.get("s", "0")
            self._style = int(style) if style.isdecimal() else 0
            self._value, self._is_formula = "", False
        elif tag == "f":
            self._is_formula = True
            area = _RANGE.fullmatch(has.get("ref", "")) if has.get("t") == "array" else None
            if area is not None and area.group(1, 2) != area.group(3, 4):
                self._spilled.append((_number(area[1]), int(area[2]), _number(area[3]), int(area[4])))

    def ended(self, tag: str, text: str) -> None:
        """Hear of its end."""
        self._text.ended(tag, text)
        if tag == "v":
            self._value = text
        elif tag == "is":
            self._value = self._text.taken()
        elif tag == "c":
            self._cell()
        elif tag == "row" and (self._cells or self._faults):
            self.rows.append((self._line, self._cells, self._faults))

    def _cell(self) -> None:
        place = f"{_letters(self._at)}{self._line}"
        if self._at >= _MOST_COLUMNS:
            self._faults.append(f"{place} stands beyond the last column of any sheet")
            return
        value, fault = self._said()
        if value:
            self._cells[self._at] = value
        if fault is not None:
            self._faults.append(f"{place} {fault}")

    def _said(self) -> tuple[str, str | None]:
        """Return what a cell says, and what is not certain about that."""
        kind, value = self._type, self._value
        if self._is_formula or any(a <= self._at <= c and b <= self._line <= d for a, b, c, d in self._spilled):
            return value, "is a formula: paste its value in its place"
        if kind == "s":
            known = value.strip()
            if known.isdecimal() and len(known) < 9 and int(known) < len(self._book.texts):
                return self._book.texts[int(known)], None
            return "", "refers to a text that is not there" if known else None
        if kind in ("str", "inlineStr"):
            return unescaped(value) if kind == "str" else value, None
        if kind == "e":
            return value, f"is an error of the spreadsheet ({value})"
        if kind == "b":
            return ("true" if value.strip() == "1" else "false") if value else "", None
        formats = self._book.formats
        return _number_of(value.strip(), formats[self._style] if self._style < len(formats) else PLAIN, kind)


def _number_of(written: str, shown: NumberFormat, kind: str) -> tuple[str, str | None]:
    """Return a number as text, and why that is not what its cell shows, as far as it matters."""
    if kind == "d" or (written and shown.is_date):
        return written, f"is a date or time, stored as {written}: format the column as text, write it as it is meant"
    if written and shown.is_percentage:
        return written, f"is a percentage, stored as {written}: format the column as text, write it as it is meant"
    text, fault = _digits(written)
    if fault is None and text and len(text.lstrip("-").partition(".")[0]) < shown.digits:
        return text, f"is shown with zeros before {text} that it does not have: {_AS_TEXT}"
    return text, fault


def _digits(written: str) -> tuple[str, str | None]:
    """Return a number as text, and whether digits of it may be lost."""
    if not written:
        return "", None
    try:
        value = float(written)
    except ValueError:
        return written, "is no number"
    text = str(int(value)) if value.is_integer() and abs(value) < 10**_SURE_DIGITS else repr(value)
    digits = text.lstrip("-").replace(".", "").lstrip("0")
    if "e" in text or "n" in text or len(digits) > _SURE_DIGITS or "e+" in written.lower():
        return written, f"is the number {written}, which may have lost digits: {_AS_TEXT}"
    return text, None


def _number(letters: str) -> int:
    found = 0
    for each in letters:
        found = found * 26 + ord(each) - 64
    return found - 1


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = chr(65 + rest) + text
    return text
