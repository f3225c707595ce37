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

_STEP = 1 << 17
_BEGINNING = 8


def check(stream: io.BufferedReader[Any], name: str, *, quoted: bool, delimiter: str) -> None:
    """Read it to its end. Raises UsageError that names file, line and byte for bytes that are no text in UTF-8.

    With `quoted` a quote that is never closed is named by its line, too.
    """
    text, has_quotes = _Decoding(name), False
    while chunk := stream.read(_STEP):
        text.decode(chunk)
        has_quotes = has_quotes or b'"' in chunk
    text.decode(b"")
    if not (quoted and has_quotes):
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
