"""What a log may say of people: ids, and of an address a keyed hash, so that the same one is known again."""

from __future__ import annotations

import re
from collections.abc import Callable

from notifyctl.core.patterns import pattern

_INFO = b"notifyctl addresses in logs 1"
_DIGITS = 12

# First what is no address though it looks like one: the name by which a URL logs in. Then mail, phones, and tokens of
# devices, which are long words; ids and digests are shorter.
_ADDRESS = pattern(
    r"(?P<login>\b[a-z][a-z0-9+.\-]*://[^\s/@]*@)"
    r"|[^\s<>\"(),:;\[\]{}=|/\\]+@[^\s<>\"'(),:;\[\]{}=|/\\]*[^\s<>\"'(),:;\[\]{}=|/\\.]"
    r"|\+\d[\d ().\-]{5,}\d"
    r"|(?<![\w.:\-])\d{10,12}(?![\w\-])"
    r"|(?<![\w:\-])[\w:\-]{100,}(?![\w:\-])",
    re.IGNORECASE,
)
# What a database adds to an error: whole rows, and what is in them.
_ROW = pattern(r"(?:\n|\\n)(?:DETAIL|CONTEXT): .*?(?=(?:\n|\\n)(?:HINT|CONTEXT|DETAIL|\[SQL)|$)", re.DOTALL)


def derived(encryption_key: bytes) -> bytes:
    """Return the key that hashes addresses, of an encryption key."""
    import hmac  # loads OpenSSL, which few lines need

    return hmac.digest(encryption_key, _INFO, "sha256")


def hashed(address: str, key: bytes | None) -> str:
    """Return what stands for an address: the same for the same one in any case; without a key only that it is one."""
    import hmac

    if key is None:
        return "<address>"
    address = address.lstrip("'")
    same = re.sub(r"[ ().\-]", "", address) if address.startswith("+") else address.casefold()
    return f"<address {hmac.digest(key, same.encode(), 'sha256').hex()[:_DIGITS]}>"


def without_rows(text: str) -> str:
    """Return an error's words without the rows that a database quotes in it."""
    return _ROW.sub("", text) if "DETAIL: " in text or "CONTEXT: " in text else text


def without_people(text: str, key: Callable[[], bytes | None]) -> str:
    """Return a line with hashes for addresses, and without the rows that a database's errors quote."""
    return _ADDRESS.sub(lambda found: found[0] if found["login"] else hashed(found[0], key()), without_rows(text))
