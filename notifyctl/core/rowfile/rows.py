"""What a file of rows comes to: rows, rows that cannot be meant, and drafts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from notifyctl.core.submission import Draft

LONGEST = 1 << 20
"""Bytes of a row, in all the lines that it has: a longer one is refused, so that no row needs more memory."""


class RowForm(StrEnum):
    """How rows are written. Of a spreadsheet the rejected rows are written as CSV."""

    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"


Cells = Sequence[str] | Mapping[str, Any] | str
"""What stands in a row: the cells of CSV, the object of NDJSON; the text itself where it is neither."""


class FileRow(NamedTuple):
    """A row, and the line where it begins (in a spreadsheet its number): of CSV cells, of NDJSON an object."""

    line: int
    cells: Sequence[str] | Mapping[str, Any]


class BadRow(NamedTuple):
    """A row that cannot be taken, and why; `identity` is empty where the row itself cannot be kept."""

    line: int
    reason: str
    cells: Cells
    identity: str = ""


class RowDraft(NamedTuple):
    """What a row submits. `identity` is the draft's key: a row that is corrected keeps it."""

    line: int
    identity: str
    draft: Draft
    cells: Cells
