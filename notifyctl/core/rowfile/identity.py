"""What makes a row the same row when a file comes again, in part, in another order or form: never its line."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from notifyctl.core.json_codec import canonical

ROW, LINE, REASON, TEXT = "_row", "_line", "_reason", "_text"
"""The columns that a file of rejected rows has besides its own; `_text` is what has to be corrected first.

Of NDJSON that is a line that is no object, of a spreadsheet which cells are not certain.
"""
UNCORRECTED = f"what {TEXT} says is not corrected: when it is, take {TEXT} out of the row"
OURS = frozenset({ROW, LINE, REASON, TEXT})
DIGEST_BYTES = 16
_TEXTS = frozenset({str})


def digest(said: Any) -> bytes:
    """Return what is the same for rows that say the same, in whatever order: SHA-256 of their JSON, cut to 128 bits."""
    if type(said) is dict and _TEXTS.issuperset(map(type, said.values())):
        try:
            return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()[:DIGEST_BYTES]
        except orjson.JSONEncodeError:  # half a surrogate pair
            pass
    return hashlib.sha256(canonical(said).encode(errors="surrogatepass")).digest()[:DIGEST_BYTES]


def identity(batch: str, same: bytes, ordinal: int) -> str:
    """Return the key of the row that is the `ordinal`th of its batch's with that digest."""
    return f"{batch}/{same.hex()}/{ordinal}"
