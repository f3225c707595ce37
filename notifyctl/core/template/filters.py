"""Filters of the template language that are not the engine's: what it would print otherwise, or too slowly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from urllib.parse import quote

from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.values import ObjectValue, as_json, printed

INDENT_MOST = 16
"""Spaces of `tojson(indent=N)`: they count like all that is printed, and nobody reads more."""
_LINE_USUAL = 79


def tojson(value: Any, indent: Any = None) -> str:
    """Return a value as JSON that may stand in HTML, in a script and in an attribute in single quotes."""
    if indent is True:
        indent = 2
    if indent not in (None, False) and (not isinstance(indent, int) or not 0 <= indent <= INDENT_MOST):
        raise TemplateError(f"tojson: indent is a number from 0 to {INDENT_MOST}")
    return as_json(value, indent or 0).translate(_UNSAFE)


def urlencode(value: Any) -> str:
    """Return what may stand in an address: of a text, and `a=1&b=2` of an object, without members that are null."""
    if not isinstance(value, (ObjectValue, dict)):
        return quote(printed(value))
    members = ((name, value[name]) for name in value)
    return "&".join(f"{quote(str(name))}={quote(printed(each))}" for name, each in members if each is not None)


def striptags(value: Any) -> str:
    """Return a text without its tags and comments, references as what they stand for, in one line."""
    text, kept, at = printed(value), list[str](), 0
    while (begin := text.find("<!--", at)) >= 0:
        kept.append(text[at:begin])
        end = text.find("-->", begin)
        at = end + 3 if end >= 0 else len(text)
    return " ".join(unescape(_TAG.sub("", "".join([*kept, text[at:]]))).split())


def wordwrap(
    value: Any,
    width: Any = _LINE_USUAL,
    break_long_words: Any = True,
    wrapstring: Any = None,
    break_on_hyphens: Any = True,
) -> str:
    """Return a text whose lines have at most so many characters, each of its own lines divided for itself."""
    if isinstance(width, bool) or not isinstance(width, int):
        raise TemplateError("wordwrap: width is a number, as in wordwrap(width=72)")
    lines = _LINE_END.split(printed(value))
    if not lines[-1]:
        lines.pop()
    width = max(width, 1)
    pieces = _HYPHENATED if break_on_hyphens else _WORD
    wrapped = (each for line in lines for each in _wrapped(line, width, pieces, whole=not break_long_words))
    return ("\n" if wrapstring is None else printed(wrapstring)).join(wrapped)


def _wrapped(line: str, width: int, pieces: re.Pattern[str], *, whole: bool) -> Iterator[str]:
    """Yield the lines of one; a word that is longer than they are stays `whole`, or is cut."""
    now: list[str] = []
    length, gap = 0, ""
    for piece in pieces.findall(line):
        if piece.isspace():
            gap = piece
            continue
        if length and length + len(gap) + len(piece) > width:
            yield "".join(now)
            now, length, gap = [], 0, ""
        elif len(gap) + len(piece) > width:  # how far the first word is indented
            gap = ""
        *full, rest = [piece] if whole else [piece[at : at + width] for at in range(0, len(piece), width)]
        yield from full
        now += (gap, rest)
        length += len(gap) + len(rest)
        gap = ""
    yield "".join(now)


BREAKS = "-" + "".join(each for each in map(chr, range(0x3001)) if each.isspace())
"""Behind what a line may end."""
_UNSAFE = {ord(each): f"\\u{ord(each):04x}" for each in "<>&'"}
_TAG = re.compile("<[^<>]*>")
_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"\s+|\S+")
_HYPHENATED = re.compile(r"\s+|-*[^\s-]+(?:-+(?=[^\s-])|-*)|-+")
