"""Spreadsheets: a cell is the text that it shows, or its row is refused; nothing that was lost is guessed."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.rowfile.rows import BadRow, FileRow, RowForm
from notifyctl.services.rowfiles.opening import opened
from notifyctl.services.rowfiles.rejects import Rejects
from tests.support.workbook import cell, number, packed, parts, sheet, text, workbook

HEADER = [text("user"), text("body")]


def _read(folder: Path, data: bytes, name: str = "x.xlsx") -> list[FileRow | BadRow]:
    path = folder / name
    path.write_bytes(data)
    with opened(str(path)) as file:
        assert file.form is RowForm.XLSX
        assert list(file.columns or []) == ["user", "body"]
        return list(file.rows)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the examples of a property, which share a file."""
    return tmp_path_factory.mktemp("sheets")


TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="_\ufffe\uffff")
) | st.just("a\nb")


@given(rows=st.lists(st.tuples(TEXT, TEXT), max_size=5), shared=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_texts_are_read_as_they_are(folder: Path, rows: list[tuple[str, str]], shared: bool) -> None:
    """Of its own or shared; a row without cells is none, and the numbers of the others stay."""
    texts = [each for row in rows for each in row]
    kinds = [cell("s", str(at)) for at in range(len(texts))] if shared else [text(each) for each in texts]
    cells = [
        [kind if each else "" for kind, each in zip(kinds[at : at + 2], texts[at : at + 2], strict=True)]
        for at in range(0, len(texts), 2)
    ]
    shared_texts = [f'<t xml:space="preserve">{_escaped(each)}</t>' for each in texts]
    found = _read(folder, workbook([HEADER, *cells], shared_texts))
    wanted = [(line, list(row)) for line, row in enumerate(rows, 2) if any(row)]
    assert [(each.line, each.cells) for each in found] == wanted
    assert all(isinstance(each, FileRow) for each in found)


def _escaped(value: str) -> str:
    return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**11), max_value=10**11))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_are_the_digits_that_a_spreadsheet_shows(folder: Path, value: object) -> None:
    """A spreadsheet writes 17 digits of a double, 19.989999999999998 for 19.99, and shows fewest."""
    shortest = float(str(value))
    [row] = _read(folder, workbook([HEADER, [text("anna"), number(f"{shortest:.17g}".replace("e-", "E-"))]]))
    assert isinstance(row, FileRow)
    assert float(row.cells[1]) == shortest  # type: ignore[index]
    assert re.fullmatch(r"-?\d+(\.\d{1,3})?", str(row.cells[1]))  # type: ignore[index]


KNOWN = [
    (number("447700900123"), "447700900123"),
    (number("0"), "0"),
    (number("999999999999999"), "999999999999999"),
    (number("1.1000000000000001"), "1.1"),
    (number("1E-3"), "0.001"),
    (number("12", 3), "12"),
    (number("4155552345", 4), "4155552345"),
    (number("12", 7), "12"),
    (cell("b", "1"), "true"),
    (cell("b", "0"), "false"),
    (cell("s", "0"), "rich & plain"),
    (text("=1+1"), "=1+1"),
    (text("+447700900123"), "+447700900123"),
    (text("a_x000D_b_x005F_x000D_ _xD83D__xDE00_ _xD83D_ _x0g00_"), "a\rb_x000D_ \U0001f600 _xD83D_ _x0g00_"),
    (text("_xD83D__xDE00_"), "\U0001f600"),
    ("", ""),
    ("<c{r}/>", ""),
    ('<c{r} t="n"/>', ""),
]


@pytest.mark.parametrize(("written", "read"), KNOWN)
def test_a_cell_is_what_it_shows(tmp_path: Path, written: str, read: str) -> None:
    """Of each kind that there is (ST_CellType)."""
    rich = "<r><t>rich </t></r><r><rPr><b/></rPr><t>&amp; plain</t></r><rPh sb='0' eb='1'><t>aside</t></rPh>"
    [row] = _read(tmp_path, workbook([HEADER, [text("anna"), written]], [rich]))
    assert row == FileRow(2, ["anna", read])


LOST = [
    (number("4477009001234567"), "B2 is the number 4477009001234567, which may have lost digits"),
    (number("4.47700900123457E+17"), "which may have lost digits: format the column as text"),
    (number("4.47700900123E+11"), "may have lost digits"),
    (number("0.30000000000000004"), "may have lost digits"),
    (number("nan"), "may have lost digits"),
    (number("x"), "is no number"),
    (number("47484", 1), "B2 is a date or time, stored as 47484"),
    (number("47484.5", 2), "is a date or time"),
    (number("700900123", 4), "B2 is shown with zeros before 700900123 that it does not have"),
    (number("0.5", 5), "B2 is a percentage, stored as 0.5"),
    (number("0.5", 6), "is a percentage"),
    (cell("d", "2030-01-01T00:00:00"), "is a date or time"),
    (cell("str", "Anna", "A1"), "B2 is a formula: paste its value in its place"),
    (cell("n", "", "1+1"), "is a formula"),
    ('<c{r}><f t="shared" si="0"/><v>2</v></c>', "is a formula"),
    (cell("e", "#N/A"), "B2 is an error of the spreadsheet (#N/A)"),
    (cell("s", "7"), "refers to a text that is not there"),
]


@pytest.mark.parametrize(("written", "said"), LOST)
def test_a_cell_that_is_not_certain_refuses_its_row(tmp_path: Path, written: str, said: str) -> None:
    """With the cell's name and what to do; the next row is read."""
    [bad, good] = _read(tmp_path, workbook([HEADER, [text("anna"), written], [text("bob"), text("x")]]))
    assert isinstance(bad, BadRow)
    assert said in bad.reason
    assert good == FileRow(3, ["bob", "x"])


def test_what_an_array_formula_fills_is_of_a_formula(tmp_path: Path) -> None:
    """Its cells have values alone; what it covers stands with the first."""
    first = '<c{r}><f t="array" ref="B2:B3">A1:A2</f><v>1</v></c>'
    found = _read(tmp_path, workbook([HEADER, [text("a"), first], [text("b"), number("2")], [text("c"), number("3")]]))
    assert [type(each) for each in found] == [BadRow, BadRow, FileRow]


def test_many_array_formulas_take_no_longer_than_many_cells(tmp_path: Path) -> None:
    """One for each row, as people fill a column: none is compared with all others."""
    formula = '<c{r}><f t="array" ref="B%d:C%d">A1:A2</f><v>1</v></c>'
    rows = [[text("a"), formula % (line, line)] for line in range(2, 6_002)]
    found = _read(tmp_path, workbook([HEADER, *rows]))
    assert [type(each) for each in found] == [BadRow] * 6_000


def test_a_cell_outside_of_the_header_refuses_its_row(tmp_path: Path) -> None:
    """It is in no column."""
    [row] = _read(tmp_path, workbook([HEADER, [text("a"), "", text("x")]]))
    assert row == BadRow(2, "C2 stands in no column of the header (x)", row.cells)


def test_the_first_sheet_that_is_shown_is_read(tmp_path: Path) -> None:
    """Hidden ones are not meant."""
    of = parts([HEADER, [text("a"), text("b")]], (), [("Old", "hidden"), ("Older", "veryHidden"), ("New", "visible")])
    assert _read(tmp_path, packed(of)) == [FileRow(2, ["a", "b"])]


def _changed(part: str, content: str | bytes | None, rows: Sequence[Sequence[str]] = (HEADER,)) -> bytes:
    of: dict[str, str | bytes] = dict(parts(rows))
    if content is None:
        del of[part]
    else:
        of[part] = content
    return packed(of)


SHEET = "xl/worksheets/sheet1.xml"
BOMB = b'<?xml version="1.0"?><worksheet><sheetData>' + b" " * 50_000_000 + b"</sheetData></worksheet>"
ENTITY = '<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a "b">]><worksheet>&a;</worksheet>'


def _lying(data: bytes, part: str) -> bytes:
    """Let the directory say that a part has a hundred bytes."""
    directory = data.rindex(b"PK\x01\x02", 0, data.rindex(part.encode()))
    at = directory + 24
    return data[:at] + (100).to_bytes(4, "little") + data[at + 4 :]


BROKEN = {
    "no zip": (lambda: b"user,body\n", "it is no XLSX workbook"),
    "old": (lambda: b"\xd0\xcf\x11\xe0" + b"\0" * 600, "it is no XLSX workbook"),
    "cut short": (lambda: workbook([HEADER])[:-30], "it is no XLSX workbook"),
    "another zip": (lambda: packed({"a.txt": "x"}), "cannot be read"),
    "bomb": (lambda: _changed(SHEET, BOMB), "it has more than 50 MB when it is unpacked"),
    "lying bomb": (lambda: _lying(_changed(SHEET, BOMB), SHEET), "it is damaged"),
    "entities": (lambda: _changed(SHEET, ENTITY), "it has a document type"),
    "no sheet": (lambda: _changed(SHEET, None), "it has no sheet"),
    "no XML": (lambda: _changed(SHEET, "<worksheet><sheetData>"), "it is damaged"),
    "damaged at its end": (lambda: _changed(SHEET, sheet([HEADER] * 9_000) + "<"), "it is damaged"),
    "empty": (lambda: workbook([]), "its first sheet is empty"),
    "twice": (lambda: workbook([[text("a"), text("a")]]), "row 1: the header: 'a' is there twice"),
    "nameless": (lambda: workbook([[], [text("a"), "", text("b")]]), "row 2: the header: column 2 has no name"),
    "formula in the header": (lambda: workbook([[cell("str", "a", "B1")]]), "row 1: A1 is a formula"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_workbook_is_refused_before_its_first_row(tmp_path: Path, case: str) -> None:
    """With its name, and without unpacking what nobody can hold."""
    made, said = BROKEN[case]
    path = tmp_path / "x.xlsx"
    path.write_bytes(made())
    with pytest.raises(UsageError) as raised, opened(str(path)):
        pass
    assert said in raised.value.message
    assert str(path) in raised.value.message


def test_a_directory_that_lies_is_found_while_unpacking() -> None:
    """What the test above takes for a lie is one: the reader of zips gives no more than was promised."""
    data = _lying(_changed(SHEET, BOMB), SHEET)
    assert zipfile.ZipFile(io.BytesIO(data)).getinfo(SHEET).file_size == 100


def test_rejected_rows_are_written_as_csv(tmp_path: Path) -> None:
    """Corrected there, they are sent as CSV."""
    path = tmp_path / "x.xlsx"
    path.write_bytes(workbook([HEADER, [text("anna"), cell("n", "2", "1+1")]]))
    with opened(str(path)) as file, Rejects(str(tmp_path / "r.csv"), file) as rejects:
        [bad] = file.rows
        assert isinstance(bad, BadRow)
        rejects.write(bad)
    said = "B2 is a formula: paste its value in its place"
    assert (tmp_path / "r.csv").read_text() == f"_row,_line,_reason,_text,user,body\n,2,{said},{said},anna,2\n"


def test_stdin_can_be_a_workbook(tmp_path: Path) -> None:
    """Where it is said."""
    data = workbook([HEADER, [text("a"), text("b")]])
    with opened("-", io.BytesIO(data), form=RowForm.XLSX) as file:
        assert list(file.rows) == [FileRow(2, ["a", "b"])]
