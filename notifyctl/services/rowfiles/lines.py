"""The lines of a file, each with its number: what ends them is the byte LF alone."""

from __future__ import annotations

from typing import NoReturn, Protocol

from notifyctl.core.errors import UsageError
from notifyctl.core.rowfile.rows import LONGEST

BOM = b"\xef\xbb\xbf"
TOO_LONG = f"it is longer than {LONGEST:,} bytes"
_STEP = 1 << 16
_OTHERS = {
    b"\x1f\x8b": ("is compressed by gzip", "give it a name that ends in .gz"),
    b"\xff\xfe": ("is UTF-16", "save it as UTF-8"),
    b"\xfe\xff": ("is UTF-16", "save it as UTF-8"),
    b"PK\x03\x04": ("is a spreadsheet or an archive", "--format xlsx, or save it as CSV"),
}


class ByteLines(Protocol):
    """What is read: bytes, by lines, or by what is at hand."""

    def readline(self, size: int = -1, /) -> bytes:
        """Return the next bytes up to and with an LF, at most `size`; none at the end."""
        ...

    def peek(self, size: int = 0, /) -> bytes:
        """Return the next bytes, some of them, and leave them there."""
        ...

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes."""
        ...


class Lines:
    """Reads a file line by line. `number` is that of the line read last, `name` what the file is called."""

    def __init__(self, stream: ByteLines, name: str) -> None:
        self.name = name
        self.number = 0
        self._stream = stream

    def next(self) -> bytes:
        """Return the next line with its end, or the first bytes of one that is too long; nothing after the last."""
        line = self._stream.readline(LONGEST + 1)
        if line:
            self.number += 1
            if self.number == 1:
                line = line.removeprefix(BOM) or self._stream.readline(LONGEST + 1)
        return line

    def skip(self) -> bool:
        """Pass over the rest of a line that is too long; return whether an odd number of quotes stands in there."""
        quotes = 0
        while part := self._stream.readline(_STEP):
            quotes += part.count(b'"')
            if part.endswith(b"\n"):
                break
        return quotes % 2 == 1

    def skip_to_quote(self) -> None:
        """Pass over the whole lines at hand as long as no quote stands in any."""
        while (at_hand := self._stream.peek(_STEP)) and b'"' not in at_hand and (ends := at_hand.rfind(b"\n") + 1):
            self.number += self._stream.read(ends).count(b"\n")

    def text(self, line: bytes) -> str:
        """Return the line as text. Raises UsageError that names file, line and byte."""
        try:
            return line.decode()
        except UnicodeDecodeError as error:
            refuse_encoding(self.name, self.number, error.start + 1, line[error.start], line)

    def fault(self, line: int, why: str, hint: str | None = None) -> UsageError:
        """Return what is wrong with the file as a whole, from that line on."""
        return UsageError(f"{self.name}: line {line}: {why}", hint)


def refuse_encoding(name: str, number: int, place: int, byte: int, line: bytes) -> NoReturn:
    """Raise UsageError for a byte that is in no text in UTF-8: which one of which line, which begins with `line`."""
    if number == 1 and (other := next((found for start, found in _OTHERS.items() if line.startswith(start)), None)):
        raise UsageError(f"{name}: line 1, byte 1: it {other[0]}, not text in UTF-8", other[1])
    raise UsageError(f"{name}: line {number}, byte {place}: 0x{byte:02x} is no text in UTF-8", "save the file as UTF-8")
