"""The file of rejected rows: what they said, why not, and who they are; it is read again like the one they are of.

Its own columns stand first, so that a row with too few cells, or too many, is the same row there.
"""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.json_codec import canonical
from notifyctl.core.rowfile.identity import LINE, REASON, ROW, TEXT
from notifyctl.core.rowfile.rows import BadRow, Cells, RowForm
from notifyctl.services.rowfiles.opening import RowFile

_FIRST = (ROW, LINE, REASON)


class Rejects:
    """Writes rows beside a file that takes its name when all are written: a context. Nobody else may read it.

    Raises UsageError where it cannot be made. Without a rejected row it holds none, rather than those of another run.
    """

    def __init__(self, path: str, rows: RowFile) -> None:
        self.written = 0
        self._broken = False
        self._rows = rows.name
        self._path = _place(path)
        self._beside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.part")
        self._ours = [] if rows.columns is None else [at for at, name in enumerate(rows.columns) if name in _FIRST]
        self._columns = rows.columns
        self._lines = _CsvEnds()
        delimiter = rows.delimiter if rows.form is RowForm.CSV else ","
        self._csv = None if rows.columns is None else csv.writer(self._lines, delimiter=delimiter)
        self._file = self._opened()
        self._unsure = rows.form is RowForm.XLSX
        if rows.columns is not None:
            self._put(self._row([*_FIRST, *([TEXT] if self._unsure else []), *self._theirs(rows.columns)]))

    def write(self, bad: BadRow) -> None:
        """Write a row; one that was rejected before keeps the line that it had first. Raises NotifyctlError."""
        self.written += 1
        line = str(_before(self._columns, bad.cells) or bad.line)
        if self._csv is None:
            self._put(_object(bad, line))
            return
        self._put(self._row([bad.identity, line, bad.reason, *self._cells(bad.cells)]))

    def _cells(self, cells: Cells) -> list[str]:
        columns = self._columns or []
        if isinstance(cells, Mapping):
            return [cells[TEXT], *(cells[name] for name in columns)]
        if not isinstance(cells, str):
            return [*([""] if self._unsure else []), *self._theirs(cells)]
        # Text that is no row must not become one here.
        return [] if not cells else [cells, ""] if len(self._theirs(columns)) == 1 else [cells]

    def __enter__(self) -> Rejects:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None and not self.written:
            self._file.close()
            self._beside.unlink(missing_ok=True)
            return
        if self._broken:  # what could not be written whole takes nobody's place, and is where the error says
            with suppress(OSError):
                self._file.close()
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self._path)
        except OSError as error:
            raise self._failed(error) from error

    def _opened(self) -> TextIO:
        try:
            if self._path.is_symlink() or (self._path.exists() and not self._path.is_file()):
                # A device must not be replaced, nor what somebody else's link points at.
                raise UsageError(f"--rejects: {self._path}: is no regular file")
            if self._path.exists() and Path(self._rows).exists() and self._path.samefile(self._rows):
                raise UsageError(f"--rejects: {self._path} is the file that is read", "name another file")
            descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise UsageError(f"--rejects: {self._path}: {why}") from error
        return os.fdopen(descriptor, "w", encoding="utf-8", newline="")

    def _row(self, cells: Sequence[Any]) -> str:
        assert self._csv is not None  # noqa: S101 - only of CSV
        self._csv.writerow(cells)
        return self._lines.taken()

    def _put(self, line: str) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> NotifyctlError:
        self._broken = True
        return NotifyctlError(f"--rejects: {self._path}: {error.strerror}", f"what there is of it: {self._beside}")

    def _theirs(self, cells: Sequence[str]) -> list[str]:
        """Return the cells without those that an earlier file of rejected rows had added."""
        return [cell for at, cell in enumerate(cells) if at not in self._ours]


class _CsvEnds:
    """Takes the lines of a csv writer: with its CRLF it quotes a lone CR as well, here they end in LF."""

    def __init__(self) -> None:
        self._line = ""

    def write(self, line: str) -> int:
        """Take a line."""
        self._line = line.removesuffix("\r\n") + "\n"
        return len(line)

    def taken(self) -> str:
        """Return the line taken last."""
        return self._line


def _place(path: str) -> Path:
    if path in ("", "-"):
        raise UsageError(f"--rejects: {path!r} names no file", "it is written beside what is told on stdout")
    try:
        place = Path(path).expanduser()
        return place.parent.resolve() / place.name
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"--rejects: {path!r}: {error}") from error


def _object(bad: BadRow, line: str) -> str:
    number = int(line) if line.isdecimal() and len(line) < 16 else line
    said: dict[str, Any] = {ROW: bad.identity, LINE: number, REASON: bad.reason}
    cells = bad.cells
    more = {name: cells[name] for name in cells if name not in _FIRST} if isinstance(cells, Mapping) else {TEXT: cells}
    return "{" + ", ".join(f"{canonical(name)}: {canonical(value)}" for name, value in (said | more).items()) + "}\n"


def _before(columns: Sequence[str] | None, cells: Cells) -> Any:
    """Return the line that a row had in the file where it was rejected first."""
    if isinstance(cells, Mapping):
        return cells.get(LINE)
    if columns is None or LINE not in columns or isinstance(cells, str):
        return None
    place = list(columns).index(LINE)
    return cells[place] if place < len(cells) else None
