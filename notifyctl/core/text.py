"""Text from outside, made safe to store and to show."""

from __future__ import annotations

from notifyctl.core.patterns import pattern

STORED_RESPONSE_BYTES = 2_048
STORED_MESSAGE_CHARS = 300

_ASCII_CONTROL = bytes({*range(0x20), 0x7F} - set(b"\t\n"))
_CONTROL = pattern(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean(text: str, limit_bytes: int = STORED_RESPONSE_BYTES) -> str:
    """Return `text` without control characters (tab and newline stay) and at most `limit_bytes` of UTF-8."""
    if text.isascii():  # as most is: a fifth of the time
        return text.encode().translate(None, _ASCII_CONTROL)[:limit_bytes].decode()
    return _CONTROL.sub("", text).encode()[:limit_bytes].decode(errors="ignore")


def one_line(text: str, limit: int = STORED_MESSAGE_CHARS) -> str:
    """Return `text` cleaned, on one line, at most `limit` characters."""
    if len(text) <= limit and text.isascii() and text.isprintable() and " " not in text:  # an id, say, or nothing
        return text
    line = " ".join(clean(text, limit * 8).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def word(text: str) -> str:
    """Return a text as one word of a command that people are told, and paste into a shell."""
    from shlex import quote  # few commands tell of one

    return quote(text)
