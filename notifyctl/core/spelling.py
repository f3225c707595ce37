"""An address in what others said of it: as it is written, grouped, escaped or encoded."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from notifyctl.core.address import fold
from notifyctl.core.mailbox import bare_address
from notifyctl.core.model import Channel

HIDDEN = "(address)"
"""What stands in texts where an address was that is sealed."""

_NUMBER = re.compile(r"\+([0-9]{5,})", re.ASCII)
_NO_DIGITS = re.compile("[^0-9]+")
_PLUS = r"(?:\+|%2b|\\u002b|&#43;|&#x2b;|&plus;)?"
_BETWEEN = r"(?:[ ()./\u00a0-]|%20){0,3}"
_ESCAPES = ("%", "\\", "&")


def without(address: str, text: str) -> str:
    """Return a text without an address.

    However it is spelled there: in capitals, a number in groups, a domain in ASCII; as in a URL (RFC 3986), in JSON
    (RFC 8259, 7) or in HTML.
    """
    if (number := _NUMBER.fullmatch(address)) is not None:
        digits, text = number[1], text.replace(address, HIDDEN)
        # Nearly always that was all: a pattern for each number would take a thousand times as long.
        return _dialled(digits).sub(HIDDEN, text) if digits in _NO_DIGITS.sub("", text) else text
    spelled = _spelled(address)
    text = _any_of(map(re.escape, spelled)).sub(HIDDEN, text)
    # Most texts escape nothing, and this pattern is a large one.
    return _escaped(spelled).sub(HIDDEN, text) if any(each in text for each in _ESCAPES) else text


def _spelled(address: str) -> tuple[str, ...]:
    bare = bare_address(address)
    both = {address, bare, fold(Channel.EMAIL, bare)} if "@" in address else {address}
    return tuple(sorted({unicodedata.normalize(form, each) for each in both for form in ("NFC", "NFD")} - {""}))


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(sorted(patterns, key=len, reverse=True)), re.IGNORECASE)


def _dialled(digits: str) -> re.Pattern[str]:
    return re.compile(_PLUS + _BETWEEN.join(digits), re.IGNORECASE)


def _escaped(spelled: tuple[str, ...]) -> re.Pattern[str]:
    return _any_of("".join(map(_character, each)) for each in spelled)


@lru_cache(1_024)
def _character(char: str) -> str:
    ways = {way for each in {char, char.lower(), char.upper()} for one in each for way in _ways(one)}
    return f"(?:{'|'.join(sorted(ways))})"


def _ways(char: str) -> tuple[str, ...]:
    from html import escape  # it brings a table of all entities, which most commands have no use for

    units = char.encode("utf-16-be", "surrogatepass").hex()
    in_json = "".join(rf"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_url = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))
    in_html = re.escape(escape(char)), rf"&#0*{ord(char)};", rf"&#x0*{ord(char):x};"
    in_form = r"\+" if char == " " else in_url
    return re.escape(char), rf"\\{re.escape(char)}", in_json, in_url, in_form, *in_html
