"""From a file's name to its rows: the form comes from the name or is said, never from what is in it."""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from notifyctl.core.errors import NotifyctlError, UsageError
from notifyctl.core.rowfile.rows import BadRow, FileRow, RowForm
from notifyctl.services.rowfiles import checking
from notifyctl.services.rowfiles.csv_rows import CsvRows
from notifyctl.services.rowfiles.lines import Lines
from notifyctl.services.rowfiles.ndjson_rows import NdjsonRows

_BY_NAME = {".csv": RowForm.CSV, ".ndjson": RowForm.NDJSON, ".jsonl": RowForm.NDJSON, ".xlsx": RowForm.XLSX}
_STEP = 1 << 17
_TAB = frozenset({"tab", r"\t", "\t"})


@dataclass(frozen=True)
class RowFile:
    """An open file of rows. `columns` are the names in its header, None where every row names its own.

    Iterating it raises UsageError for what is wrong with the file as a whole (its encoding, a quote that is never
    closed, a compressed file that is cut short): of a regular file that is known before the first row is given.
    """

    name: str
    form: RowForm
    delimiter: str
    columns: Sequence[str] | None
    rows: Iterator[FileRow | BadRow]
    read: Callable[[], int]
    """How many bytes of the file have been read."""
    size: int | None
    """How many it has; None where nobody knows."""


@contextmanager
def opened(
    name: str, stdin: BinaryIO | None = None, *, form: RowForm | None = None, delimiter: str | None = None
) -> Iterator[RowFile]:
    """Yield the rows of a file; `-` is `stdin`. Raises UsageError for what cannot be read, naming the file.

    A name that ends in `.gz` is of a file compressed by gzip.
    """
    known = form or _form(name)
    apart, called = _delimiter(delimiter, known), "stdin" if name == "-" else name
    with ExitStack() as stack:
        raw = _raw(name, stdin, stack)
        if known is RowForm.XLSX:
            yield _sheet(name, called, raw)
            return
        size = _size(raw)
        counted = _Counted(raw, 0 if size is None else raw.tell())
        stream: io.BufferedReader[Any] = io.BufferedReader(counted, _STEP)
        if _is_packed(name):
            stream = io.BufferedReader(_unzipped(stream, called), _STEP)
        if size is not None:
            checking.check(stream, called, quoted=known is RowForm.CSV, delimiter=apart)
            stream.seek(0)
        lines = Lines(stream, called)
        reader = CsvRows(lines, apart) if known is RowForm.CSV else NdjsonRows(lines)
        yield RowFile(name, known, apart, reader.header, iter(reader), counted.tell, size)


def _sheet(name: str, called: str, raw: BinaryIO) -> RowFile:
    from notifyctl.services.rowfiles.workbook import Workbook
    from notifyctl.services.rowfiles.xlsx_rows import XlsxRows

    if _is_packed(name):
        raise UsageError(f"{name}: a workbook is compressed already", "gunzip it")
    reader = XlsxRows(Workbook(raw, called))
    return RowFile(name, RowForm.XLSX, ",", reader.header, iter(reader), lambda: reader.read, reader.size)


def _form(name: str) -> RowForm:
    suffix = Path(name[:-3] if _is_packed(name) else name).suffix.lower()
    if name == "-":
        raise UsageError("-f -: in which form stdin is, nothing says", "--format csv or --format ndjson")
    if suffix not in _BY_NAME:
        known = ", ".join(_BY_NAME)
        raise UsageError(
            f"{name}: in which form it is, its name does not say: {known} do, and .gz behind them",
            f"--format {RowForm.CSV} or --format {RowForm.NDJSON}",
        )
    return _BY_NAME[suffix]


def _is_packed(name: str) -> bool:
    return name.lower().endswith(".gz")


def _delimiter(given: str | None, form: RowForm) -> str:
    if given is None:
        return ","
    if form is not RowForm.CSV:
        raise UsageError(f"--delimiter is for CSV, the file is {form}")
    if given in _TAB:
        return "\t"
    if len(given) != 1 or not given.isprintable() or given == '"' or given.isalnum():
        raise UsageError(f"--delimiter: {given!r} is no delimiter", "one character like ';', or tab")
    return given


def _raw(name: str, stdin: BinaryIO | None, stack: ExitStack) -> BinaryIO:
    if name == "-":
        if stdin is None:
            raise UsageError("-f: stdin is closed")
        return stdin
    try:
        raw = stack.enter_context(Path(name).expanduser().open("rb", buffering=0))
    except OSError as error:
        raise UsageError(f"-f: {name}: {error.strerror}") from error
    except (ValueError, RuntimeError) as error:  # NUL in a name, no home
        raise UsageError(f"-f: {name!r}: {error}") from error
    return raw


def _size(raw: BinaryIO) -> int | None:
    """Return the bytes of a regular file, which can be read twice."""
    try:
        found = os.fstat(raw.fileno())
        return found.st_size - raw.tell() if stat.S_ISREG(found.st_mode) else None
    except (OSError, ValueError):
        return None


class _Counted(io.RawIOBase):
    """A file from where it stands, and how much of it was read."""

    def __init__(self, raw: BinaryIO, begin: int) -> None:
        self._raw = raw
        self._begin = begin
        self._read = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._read

    def seek(self, offset: int, whence: int = 0) -> int:
        self._read = self._raw.seek(self._begin + offset, whence) - self._begin
        return self._read

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self._raw.read(len(buffer)) or b""
        except OSError as error:
            raise UsageError(f"-f: {error.strerror}") from error
        buffer[: len(data)] = data
        self._read += len(data)
        return len(data)


def _unzipped(stream: io.BufferedReader[Any], name: str) -> _Unzipped:
    found = _Unzipped(stream, name)
    if not stream.peek(1):  # what was compressed has a member at least (RFC 1952, 2.2)
        raise found.fault("it is cut short")
    return found


class _Unzipped(gzip.GzipFile):
    """A file compressed by gzip, of one member or several, whose faults say what is wrong with which file."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._name = name
        self._line = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            data = self.read1(len(buffer))
        except EOFError:
            raise self.fault("it is cut short") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise self.fault(f"it cannot be unpacked: {error}") from None
        buffer[: len(data)] = data
        self._line += data.count(b"\n")
        return len(data)

    def fault(self, why: str) -> NotifyctlError:
        """Return what is wrong with it, and behind which line."""
        where = f"behind line {self._line}: " if self._line else ""
        return UsageError(f"{self._name}: {where}{why}", "gzip -t says the same: get the file again")
