"""An XLSX workbook (ECMA-376) as far as its first sheet's cells: its parts, shared texts and formats of dates.

It is read whole, so it is bounded: in what its directory promises and in what comes out. It is XML without a document
type, so that no entity can expand.
"""

from __future__ import annotations

import io
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple
from xml.parsers import expat

from notifyctl.core.errors import UsageError

MOST_UNPACKED = 50_000_000
"""Bytes that a workbook may have, packed and unpacked."""

Attributes = Mapping[str, str]
Started = Callable[[str, Attributes], None]
Ended = Callable[[str, str], None]

_AS_CSV = "export it as CSV"
_STEP = 1 << 16
_ENCRYPTED = b"\xd0\xcf\x11\xe0"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_HALF = re.compile(r"[\ud800-\udfff]")
# Formats that every workbook knows (18.8.30), and what in others is for the eye alone: texts, colours, conditions.
_DATES = frozenset({*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59)})
_PERCENTAGES = frozenset({9, 10})
_EXPONENT = re.compile(r"E[+-]0+", re.IGNORECASE)
_FOR_THE_EYE = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]|General', re.IGNORECASE)


# What the standard library's reader of zips raises for those that are none, or no longer.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
    OSError,
    NotImplementedError,
)


class _DocumentType(Exception):
    """It has one, with entities perhaps."""


class Workbook:
    """An open workbook. Raises UsageError for what is none, damaged, encrypted or too large."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self.name = name
        data = _bounded(stream)
        if len(data) > MOST_UNPACKED:
            raise self._too_large()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except _DAMAGE as error:
            hint = "save it as .xlsx, without a password" if data.startswith(_ENCRYPTED) else _AS_CSV
            raise UsageError(f"{name}: it is no XLSX workbook", hint) from error
        if sum(each.file_size for each in self._zip.infolist()) > MOST_UNPACKED:
            raise self._too_large()
        if any(each.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for each in self._zip.infolist()):
            raise UsageError(f"{name}: it is packed in a way that no spreadsheet uses", _AS_CSV)
        self._unpacked = 0
        main = next(iter(self._related("", "officeDocument").values()), "xl/workbook.xml")
        self._main = main
        self.sheet = self._first_sheet()
        self.texts = self._texts()
        self.formats = self._formats()

    def size(self, part: str) -> int:
        """Return how many bytes a part has."""
        return self._zip.getinfo(part).file_size

    def walk(self, part: str, started: Started, ended: Ended) -> Iterator[int]:
        """Read a part: `started` hears of each element with its attributes, `ended` with the text right inside of it.

        Names are without their namespaces. Yields how many bytes have been read.
        """
        parser = _parser(started, ended)
        read = 0
        try:
            with self._zip.open(part) as file:
                while chunk := file.read(_STEP):
                    read += len(chunk)
                    self._unpacked += len(chunk)
                    if self._unpacked > 4 * MOST_UNPACKED:  # it is read twice, and its texts once
                        raise self._too_large()
                    parser.Parse(chunk, False)
                    yield read
            parser.Parse(b"", True)
        except _DocumentType:
            raise UsageError(f"{self.name}: {part}: it has a document type, as no workbook has", _AS_CSV) from None
        except (LookupError, RuntimeError) as error:  # missing, encrypted, of an unknown encoding
            raise UsageError(f"{self.name}: {part}: it cannot be read: {error}", _AS_CSV) from error
        except (expat.ExpatError, *_DAMAGE) as error:
            raise UsageError(f"{self.name}: {part}: it is damaged: {error}", _AS_CSV) from error

    def _too_large(self) -> UsageError:
        return UsageError(f"{self.name}: it has more than {MOST_UNPACKED // 1_000_000} MB when it is unpacked", _AS_CSV)

    def _has(self, part: str) -> bool:
        return part in self._zip.namelist()

    def _related(self, part: str, kind: str) -> dict[str, str]:
        """Return the parts that a part refers to as of that kind, by the names of the references."""
        folder, file = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{file}.rels")
        found: dict[str, str] = {}

        def started(tag: str, has: Attributes) -> None:
            if tag == "Relationship" and has.get("Type", "").rpartition("/")[2] == kind and "Target" in has:
                target = has["Target"]
                absolute = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
                found[has.get("Id", "")] = absolute

        if self._has(relations):
            _drain(self.walk(relations, started, _nothing))
        return found

    def _first_sheet(self) -> str:
        """Return the part of the first sheet that is not hidden."""
        sheets: list[tuple[str, bool]] = []

        def started(tag: str, has: Attributes) -> None:
            if tag == "sheet":
                sheets.append((has.get("id", ""), has.get("state", "visible") == "visible"))

        _drain(self.walk(self._main, started, _nothing))
        parts = self._related(self._main, "worksheet")
        shown = [parts[id_] for id_, visible in sheets if visible and self._has(parts.get(id_, ""))]
        if not shown:
            raise UsageError(f"{self.name}: it has no sheet with cells that is shown", _AS_CSV)
        return shown[0]

    def _texts(self) -> list[str]:
        texts: list[str] = []
        reader = RichText()

        def ended(tag: str, text: str) -> None:
            reader.ended(tag, text)
            if tag == "si":
                texts.append(reader.taken())

        for part in self._related(self._main, "sharedStrings").values():
            _drain(self.walk(part, reader.started, ended))
        return texts

    def _formats(self) -> list[NumberFormat]:
        """Return how the styles of cells show a number, in their order."""
        own: dict[int, NumberFormat] = {}
        styles: list[int] = []
        within: list[str] = []

        def started(tag: str, has: Attributes) -> None:
            if tag == "numFmt" and has.get("numFmtId", "").isdecimal():
                own[int(has["numFmtId"])] = number_format(has.get("formatCode", ""))
            elif tag == "cellXfs":
                within.append(tag)
            elif tag == "xf" and within:
                number = has.get("numFmtId", "0")
                styles.append(int(number) if number.isdecimal() else 0)

        def ended(tag: str, _: str) -> None:
            if tag == "cellXfs":
                within.pop()

        for part in self._related(self._main, "styles").values():
            _drain(self.walk(part, started, ended))
        return [own.get(number) or NumberFormat(number in _DATES, number in _PERCENTAGES, 0) for number in styles]


class NumberFormat(NamedTuple):
    """How a number is shown: as a date or time, as a percentage, with at least so many digits before the point."""

    is_date: bool
    is_percentage: bool
    digits: int


class RichText:
    """Puts together the runs of a text, without what says how it is pronounced."""

    def __init__(self) -> None:
        self._runs: list[str] = []
        self._aside = 0

    def started(self, tag: str, _: Attributes) -> None:
        """Hear of an element."""
        self._aside += tag == "rPh"

    def ended(self, tag: str, text: str) -> None:
        """Hear of its end."""
        self._aside -= tag == "rPh"
        if tag == "t" and not self._aside:
            self._runs.append(text)

    def taken(self) -> str:
        """Return what was put together, and begin anew."""
        text, self._runs = "".join(self._runs), []
        return unescaped(text)


def unescaped(text: str) -> str:
    """Return a text with its characters that XML has none for (ST_Xstring: `_x000D_`)."""
    if "_x" not in text:
        return text
    found = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)
    paired = found.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return _HALF.sub(lambda match: f"_x{ord(match[0]):04X}_", paired)  # no character: as it stands there


def _parser(started: Started, ended: Ended) -> expat.XMLParserType:
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    texts: list[list[str]] = []

    def start(name: str, attributes: Mapping[str, str]) -> None:
        texts.append([])
        started(name.rpartition(" ")[2], {key.rpartition(" ")[2]: value for key, value in attributes.items()})

    def end(name: str) -> None:
        ended(name.rpartition(" ")[2], "".join(texts.pop()))

    def data(text: str) -> None:
        if texts:
            texts[-1].append(text)

    def refuse(*_: object) -> None:
        raise _DocumentType

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    parser.StartDoctypeDeclHandler = refuse
    return parser


def number_format(code: str) -> NumberFormat:
    """Return what a format makes of a number (18.8.31); what is for the eye alone does not count."""
    bare = _FOR_THE_EYE.sub("", code)
    whole = _EXPONENT.sub("", bare.partition(";")[0]).partition(".")[0]
    is_date = re.search(r"[dmyhs]", bare, re.IGNORECASE) is not None
    return NumberFormat(is_date, "%" in bare, whole.count("0"))


def _nothing(_: str, __: str) -> None:
    """Hear of the end of an element that says nothing."""


def _drain(steps: Iterator[int]) -> None:
    for _ in steps:
        pass


def _bounded(stream: BinaryIO) -> bytes:
    """Return what a stream has, at most a byte more than is taken; a pipe gives it in portions."""
    data = bytearray()
    while len(data) <= MOST_UNPACKED and (chunk := stream.read(min(1 << 20, MOST_UNPACKED + 1 - len(data)))):
        data += chunk
    return bytes(data)
