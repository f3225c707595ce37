"""Which of the rows that say the same a row is, in memory that does not grow with the file."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from notifyctl.core.errors import NotifyctlError
from notifyctl.services.rowfiles.scratch import scratch

_BITS = 1 << 26
_PENDING = 20_000


class Ordinals:
    """Counts digests (16 bytes, evenly distributed), exactly.

    They stand in a temporary file. A Bloom filter (B. H. Bloom, 1970; two bits of 2^26 a digest, 8 MiB) knows of nearly
    all that are new that they are; only the others are looked up there.
    """

    def __init__(self) -> None:
        self._filter = bytearray(_BITS // 8)
        self._pending: dict[bytes, int] = {}
        self._file = scratch("CREATE TABLE seen (digest BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")

    def next(self, digest: bytes) -> int:
        """Return how often this digest has come, this time included."""
        bits = int.from_bytes(digest[:8], "little")
        one, other = bits % _BITS, (bits >> 32) % _BITS
        is_new = not (self._filter[one >> 3] >> (one & 7) & 1 and self._filter[other >> 3] >> (other & 7) & 1)
        self._filter[one >> 3] |= 1 << (one & 7)
        self._filter[other >> 3] |= 1 << (other & 7)
        times = 1 if is_new else self._before(digest) + 1
        self._pending[digest] = times
        if len(self._pending) >= _PENDING:
            self._write()
        return times

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def _before(self, digest: bytes) -> int:
        if (times := self._pending.get(digest)) is not None:
            return times
        with closing(self._file.execute("SELECT times FROM seen WHERE digest = ?", (digest,))) as found:
            row = found.fetchone()
        return 0 if row is None else int(row[0])

    def _write(self) -> None:
        try:
            self._file.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", sorted(self._pending.items()))
        except sqlite3.Error as error:
            raise NotifyctlError(f"the temporary file that tells rows apart cannot be written: {error}") from error
        self._pending.clear()
