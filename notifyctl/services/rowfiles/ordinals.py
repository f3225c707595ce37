"""Which of the rows that say the same a row is, in memory that does not grow with the file."""

from __future__ import annotations

import os
import sqlite3
from array import array
from collections.abc import Iterator
from contextlib import closing
from tempfile import SpooledTemporaryFile

from notifyctl.core.errors import NotifyctlError
from notifyctl.services.rowfiles.scratch import scratch

BYTES = 16
"""How long a digest is."""
_WORDS = 1 << 20
_PENDING = 20_000
_SEARCHES, _ALIKE = 256, 1_000
_STEP = BYTES << 16
_IN_MEMORY = 1 << 20


class Ordinals:
    """Counts digests (`BYTES`, evenly distributed), exactly.

    Mostly all differ. Then they only stand one behind the other in a temporary file, but for the last ones. A Bloom
    filter (B. H. Bloom, 1970; four bits of a word of 64, of 2^20 words, 8 MiB) knows of nearly all that are new that
    they are; the few others are looked for in the file from its beginning. When it was searched often, or many came
    twice, an index takes its place.
    """

    def __init__(self) -> None:
        self._filter = array("Q", bytes(8 * _WORDS))
        self._pending: dict[bytes, int] = {}
        self._alike: dict[bytes, int] = {}
        self._searches = 0
        self._file = SpooledTemporaryFile[bytes](_IN_MEMORY)
        self._index: sqlite3.Connection | None = None

    def next(self, digest: bytes) -> int:
        """Return how often this digest has come, this time included."""
        bits = int.from_bytes(digest[:8], "little")
        place = bits >> 44
        mask = 1 << (bits & 63) | 1 << (bits >> 6 & 63) | 1 << (bits >> 12 & 63) | 1 << (bits >> 18 & 63)
        word = self._filter[place]
        if word & mask == mask:
            times = self._before(digest) + 1
        else:
            self._filter[place] = word | mask
            times = 1
        self._pending[digest] = times
        if len(self._pending) >= _PENDING:
            self._write()
        return times

    def close(self) -> None:
        """Remove the files."""
        self._file.close()
        if self._index is not None:
            self._index.close()

    def _before(self, digest: bytes) -> int:
        times = self._pending.get(digest) or self._alike.get(digest)
        if times is not None:
            return times
        try:
            if self._index is None and self._searches < _SEARCHES:
                self._searches += 1
                return int(self._is_written(digest))
            return self._indexed(digest)
        except (OSError, sqlite3.Error) as error:
            raise _unwritten(error) from error

    def _indexed(self, digest: bytes) -> int:
        with closing(self._indexing().execute("SELECT times FROM seen WHERE digest = ?", (digest,))) as found:
            row = found.fetchone()
        return 0 if row is None else int(row[0])

    def _is_written(self, digest: bytes) -> bool:
        for part in self._written():
            place = part.find(digest)
            while place >= 0:
                if place % BYTES == 0:
                    return True
                place = part.find(digest, place + 1)
        return False

    def _written(self) -> Iterator[bytes]:
        """Yield what stands in the file, in parts of whole digests."""
        self._file.seek(0)
        while part := self._file.read(_STEP):
            yield part

    def _write(self) -> None:
        try:
            if self._index is None:
                self._alike |= {digest: times for digest, times in self._pending.items() if times > 1}
                self._file.seek(0, os.SEEK_END)
                self._file.write(b"".join([digest for digest, times in self._pending.items() if times == 1]))
            if self._index is not None or len(self._alike) > _ALIKE:
                self._put(self._pending)
        except (OSError, sqlite3.Error) as error:
            raise _unwritten(error) from error
        self._pending.clear()

    def _indexing(self) -> sqlite3.Connection:
        """Return the index, made of what there is by now where there was none."""
        if self._index is None:
            self._index = scratch("CREATE TABLE seen (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
            for part in self._written():
                self._put(dict.fromkeys([part[at : at + BYTES] for at in range(0, len(part), BYTES)], 1))
            self._put(self._alike)
            self._alike.clear()
        return self._index

    def _put(self, times: dict[bytes, int]) -> None:
        self._indexing().executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", sorted(times.items()))


def _unwritten(error: Exception) -> NotifyctlError:
    return NotifyctlError(f"the temporary file that tells rows apart cannot be written: {error}")
