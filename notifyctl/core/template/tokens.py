"""The words of a template: text, and within `{{ }}` and `{% %}` what its language is made of."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from typing import NamedTuple

from notifyctl.core.template.failure import TemplateError

TOKENS_MOST = 20_000
"""How many words a part may have inside of its tags."""


class Word(NamedTuple):
    """`kind` is text, open, close, name, string, number, operator or end; `start` and `end` are places."""

    kind: str
    text: str
    start: int
    end: int


_OPEN = re.compile(r"\{\{[-+]?|\{%[-+]?|\{#")
_RAW = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_RAW = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_WORD = re.compile(
    r"""(?P<name>[^\W\d]\w*)
    |(?P<number>0[xXbBoO][0-9a-fA-F_]+|[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<operator>\*\*|//|==|!=|<=|>=|[-+*/%~<>=.,:|()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_CLOSE = {"{{": re.compile(r"[-+]?\}\}"), "{%": re.compile(r"[-+]?%\}")}
_BLANK = re.compile(r"\s*")


def tokens(source: str) -> list[Word]:
    """Return the words of a template; comments and what is raw are text. Raises TemplateError with line and column."""
    found: list[Word] = []
    for token in _tokens(source):
        found.append(token)
        if len(found) > TOKENS_MOST:
            raise at(source, token.start, f"has more than {TOKENS_MOST:,} words of the template language")
    return found


def at(source: str, place: int, reason: str) -> TemplateError:
    """Return the error that something is wrong at this place."""
    line, column = position(source, place)
    return TemplateError(reason, line=line, column=column)


def position(source: str, place: int) -> tuple[int, int]:
    """Return line and column, from 1."""
    return source.count("\n", 0, place) + 1, place - source.rfind("\n", 0, place)


def _tokens(source: str) -> Iterator[Word]:
    place = 0
    while opening := _OPEN.search(source, place):
        if opening.start() > place:
            yield Word("text", "", place, opening.start())
        mark = opening[0][:2]
        if mark == "{#":
            place = _after(source, "#}", opening.end(), opening.start(), "the comment")
        elif mark == "{%" and (raw := _RAW.match(source, opening.start())):
            closing = _END_RAW.search(source, raw.end())
            if closing is None:
                raise at(source, opening.start(), "{% raw %} has no {% endraw %}")
            place = closing.end()
            yield Word("text", "", raw.end(), closing.start())
        else:
            yield Word("open", mark, opening.start(), opening.end())
            place = yield from _inside(source, opening.end(), mark)
    if place < len(source):
        yield Word("text", "", place, len(source))
    yield Word("end", "", len(source), len(source))


def _after(source: str, mark: str, place: int, start: int, what: str) -> int:
    found = source.find(mark, place)
    if found < 0:
        raise at(source, start, f"{what} has no end")
    return found + len(mark)


def _inside(source: str, place: int, mark: str) -> Generator[Word, None, int]:
    """Yield the words of one tag; return the place behind it."""
    start, closing, depth = place, _CLOSE[mark], 0
    while True:
        place = _BLANK.match(source, place).end()  # type: ignore[union-attr]
        if depth == 0 and (end := closing.match(source, place)):
            yield Word("close", mark, place, end.end())
            return end.end()
        word = _WORD.match(source, place)
        if word is None:
            raise _unreadable(source, place, start)
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(word[0], 0)
        yield Word(word.lastgroup or "", word[0], place, word.end())
        place = word.end()


def _unreadable(source: str, place: int, start: int) -> TemplateError:
    if place >= len(source):
        return at(source, start, "the tag has no end")
    if source[place] in "\"'":
        return at(source, place, "the text has no closing quote")
    return at(source, place, f"unexpected {source[place]!r}")
