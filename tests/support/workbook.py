"""XLSX workbooks written by hand (ECMA-376), with what spreadsheets write and what they do not."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
STYLES = (
    '<numFmts count="4"><numFmt numFmtId="164" formatCode="dd\\.mm\\.yyyy"/>'
    '<numFmt numFmtId="165" formatCode="0.00 &quot;days&quot; [Red]"/>'
    '<numFmt numFmtId="166" formatCode="0000000000"/><numFmt numFmtId="167" formatCode="#,##0.0%;-0%"/></numFmts>'
    '<cellStyleXfs count="1"><xf numFmtId="14"/></cellStyleXfs>'
    '<cellXfs count="8"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/>'
    '<xf numFmtId="166"/><xf numFmtId="167"/><xf numFmtId="9"/><xf numFmtId="11"/></cellXfs>'
)
"""Styles 1 and 2 are of dates, 0, 3 and 7 of numbers, 4 of ten digits, 5 and 6 of percentages."""


def text(value: str) -> str:
    """Return a cell with a text of its own."""
    return f'<c{{r}} t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def number(value: str, style: int = 0) -> str:
    """Return a cell with a number, as it is written there."""
    return f'<c{{r}} s="{style}"><v>{value}</v></c>'


def cell(kind: str, value: str, formula: str | None = None) -> str:
    """Return a cell of a kind: s, str, b, e, d, n."""
    inner = "" if formula is None else f"<f>{escape(formula)}</f>"
    return f'<c{{r}} t="{kind}">{inner}<v>{escape(value)}</v></c>'


def sheet(rows: Sequence[Sequence[str]]) -> str:
    """Return a sheet of cells; an empty text is no cell."""
    written = []
    for line, row in enumerate(rows, 1):
        cells = [each.replace("{r}", f' r="{_letters(at)}{line}"') for at, each in enumerate(row) if each]
        written.append(f'<row r="{line}">{"".join(cells)}</row>')
    return f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(written)}</sheetData></worksheet>'


def parts(
    rows: Sequence[Sequence[str]], texts: Sequence[str] = (), sheets: Sequence[tuple[str, str]] = (("One", "visible"),)
) -> dict[str, str]:
    """Return the parts of a workbook whose last sheet has these rows, the others none."""
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
    named = "".join(
        f'<sheet name="{name}" sheetId="{at}" state="{state}" r:id="rId{at}"/>'
        for at, (name, state) in enumerate(sheets, 1)
    )
    related = "".join(
        f'<Relationship Id="rId{at}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{at}.xml"/>'
        for at in range(1, len(sheets) + 1)
    )
    shared = "".join(f"<si>{each}</si>" for each in texts)
    return {
        "_rels/.rels": f'{head}<Relationships xmlns="{_PACKAGE}"><Relationship Id="rId1" '
        f'Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{head}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{named}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{head}<Relationships xmlns="{_PACKAGE}">{related}<Relationship Id="rId98" '
        f'Type="{_OFFICE}/sharedStrings" Target="/xl/sharedStrings.xml"/><Relationship Id="rId99" '
        f'Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'{head}<sst xmlns="{_MAIN}">{shared}</sst>',
        "xl/styles.xml": f'{head}<styleSheet xmlns="{_MAIN}">{STYLES}</styleSheet>',
        **{f"xl/worksheets/sheet{at}.xml": head + sheet([]) for at in range(1, len(sheets))},
        f"xl/worksheets/sheet{len(sheets)}.xml": head + sheet(rows),
    }


def packed(of: Mapping[str, str | bytes]) -> bytes:
    """Return parts as a file."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in of.items():
            file.writestr(name, content)
    return data.getvalue()


def workbook(rows: Sequence[Sequence[str]], texts: Sequence[str] = ()) -> bytes:
    """Return a workbook of one sheet."""
    return packed(parts(rows, texts))


def _letters(at: int) -> str:
    return chr(65 + at) if at < 26 else chr(64 + at // 26) + chr(65 + at % 26)
