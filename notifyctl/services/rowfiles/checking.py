"""What is wrong with a file as a whole, looked for before its first row is taken: then nothing is written."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from notifyctl.services.rowfiles.csv_rows import CsvRows
from notifyctl.services.rowfiles.lines import Lines, refuse_encoding

_STEP = 1 << 17


def check(stream: BinaryIO, name: str, *, quoted: bool, delimiter: str) -> None:
    """Read it to its end. Raises UsageError that names file, line and byte for bytes that are no text in UTF-8.

    With `quoted` a quote that is never closed is named by its line, too. Where quotes come in pairs, none can be open.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, quotes, line = 1, 0, b""
    while chunk := stream.read(_STEP):
        _decode(decoder, chunk, name, number, line)
        quotes += chunk.count(b'"')
        if ends := chunk.count(b"\n"):
            number, line = number + ends, chunk[chunk.rindex(b"\n") + 1 :]
        elif len(line) <= 4 * _STEP:
            line += chunk
    _decode(decoder, b"", name, number, line)
    if quoted and quotes % 2:
        stream.seek(0)
        for _ in CsvRows(Lines(stream, name), delimiter):
            pass


def _decode(decoder: codecs.IncrementalDecoder, chunk: bytes, name: str, number: int, before: bytes) -> None:
    """Decode the next part of a file, which goes on in the line with that number, behind what stands `before` there."""
    held = decoder.getstate()[0]
    try:
        decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        data = before + chunk
        # `error` counts from what the decoder had kept of the chunk before.
        at = len(before) - len(held) + error.start
        number += data.count(b"\n", len(before), max(at, 0))
        begin = data.rfind(b"\n", 0, at) + 1
        refuse_encoding(name, number, data[begin:], at - begin)
