"""What is wrong with a file as a whole, looked for before its first row is taken: then nothing is written."""

from __future__ import annotations

import codecs
import csv
import io
from collections import deque
from typing import Any

from notifyctl.core.rowfile.rows import LONGEST
from notifyctl.services.rowfiles.csv_rows import CsvRows
from notifyctl.services.rowfiles.lines import Lines, refuse_encoding

_STEP = 1 << 16
_BEGINNING = 8


def check(stream: io.BufferedReader[Any], name: str, *, quoted: bool, delimiter: str) -> None:
    """Read it to its end. Raises UsageError that names file, line and byte for bytes that are no text in UTF-8.

    With `quoted` a quote that is never closed is named by its line, too.
    """
    text, quotes = _Decoding(name), _Quotes(delimiter)
    while chunk := stream.read(_STEP):
        text.decode(chunk)
        quotes.see(chunk)
    text.decode(b"")
    if not quoted or not quotes.any or (quotes.surround_cells and text.longest <= LONGEST):
        return
    stream.seek(0)
    if text.longest > LONGEST or not _is_sound(stream, delimiter):
        stream.seek(0)
        for _ in CsvRows(Lines(stream, name), delimiter):
            pass


def _is_sound(stream: io.BufferedReader[Any], delimiter: str) -> bool:
    """Return whether every quote is closed, as the parser of the rows sees it; quicker than reading them."""
    csv.field_size_limit(LONGEST)
    lines = io.TextIOWrapper(stream, "utf-8-sig", newline="\n")
    try:
        deque(csv.reader(lines, delimiter=delimiter, strict=True), maxlen=0)
    except csv.Error:
        return False
    finally:
        lines.detach()
    return True


class _Quotes:
    """Sees whether each quote begins or ends a whole cell, as nearly all do: then each is closed, and none is parsed.

    It looks at the ends of what stands between them. A carriage return in the middle of a line ends a row for the
    parser of the rows, and NUL may: what is with them, it has to say.
    """

    def __init__(self, delimiter: str) -> None:
        apart = delimiter.encode()
        self.any = False
        # Nothing stands behind a quote that is doubled, and behind the last one.
        self._behind, self._before = {apart, b"\n", b"\r", b""}, {apart, b"\n", b""}
        self._rest = b"\n"
        self._is_outside = True
        self._surround, self._returns = True, 0

    @property
    def surround_cells(self) -> bool:
        """Whether all do, of what was seen; False where it is not certain."""
        return self._surround and self._is_outside and self._rest[:1] in self._behind and not self._returns

    def see(self, chunk: bytes) -> None:
        """Go on with the next part."""
        self.any = self.any or b'"' in chunk
        if not self._surround:
            return
        if b"\r" in chunk or self._rest.endswith(b"\r"):
            self._returns += chunk.count(b"\r") - (self._rest[-1:] + chunk).count(b"\r\n")
        between = (self._rest + chunk).split(b'"')
        last = between.pop()
        outside = between[not self._is_outside :: 2]
        self._is_outside = self._is_outside != bool(len(between) % 2)
        begins, ends = {each[:1] for each in outside}, {each[-1:] for each in outside}
        self._surround = begins <= self._behind and ends <= self._before and b"\0" not in chunk
        self._rest = last if len(last) < 2 else last[:1] + last[-1:]


class _Decoding:
    """Where in a file one is: in which line, behind how many of its bytes, and with what the line begins.

    `longest` is a line's length, of those that do not end in the part in which they begin, or of all these together.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._line, self._bytes, self._beginning = 1, 0, b""
        self.longest = 0

    def decode(self, chunk: bytes) -> None:
        """Go on with the next part, nothing at the end. Raises UsageError for what is no text in UTF-8."""
        kept = self._decoder.getstate()[0]  # a character that the part before began
        try:
            self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            bad = (kept + chunk)[error.start]
            self._pass(chunk[: max(error.start - len(kept), 0)])
            behind = self._bytes - max(len(kept) - error.start, 0)
            beginning = self._beginning[:behind] + (kept + chunk)[error.start :]
            refuse_encoding(self._name, self._line, behind + 1, bad, beginning)
        self._pass(chunk)

    def _pass(self, chunk: bytes) -> None:
        if ends := chunk.count(b"\n"):
            self.longest = max(self.longest, self._bytes + chunk.index(b"\n"))
            self._line += ends
            chunk = chunk[chunk.rindex(b"\n") + 1 :]
            self._bytes, self._beginning = 0, b""
        self._bytes += len(chunk)
        self.longest = max(self.longest, self._bytes)
        self._beginning = (self._beginning + chunk[:_BEGINNING])[:_BEGINNING]
