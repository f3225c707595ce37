"""The query language of SendGrid's Email Activity: comparisons of fields, with AND, OR, NOT and parentheses.

Source: twilio.com/docs/sendgrid/for-developers/sending-email/getting-started-email-activity-api#query-reference.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

Test = Callable[[Mapping[str, str]], bool]

MAX_CHARS = 20_000

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*(?:\[(?:'[^']*'|\"[^\"]*\")\])?)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>!=|<=|>=|[=<>(),]))"
)
_COMPARE: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


class BadQuery(Exception):
    """The query is not in the language; the text says what is wrong."""


def parse(query: str, fields: frozenset[str]) -> Test:
    """Return the test that the query asks for; raise BadQuery where it is none, or names none of `fields`."""
    if len(query) > MAX_CHARS:
        raise BadQuery("invalid syntax: the query is too long")
    reader = _Reader(_tokens(query), fields)
    try:
        test = reader.either()
    except RecursionError:
        raise BadQuery("invalid syntax: the query is too deep") from None
    if reader.look():
        raise BadQuery(f"invalid syntax: unexpected {reader.look()!r}")
    return test


def _tokens(query: str) -> list[str]:
    found, position = [], 0
    query = query.strip()
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise BadQuery(f"invalid syntax: unexpected {query[position : position + 20]!r}")
        found.append(match[0].strip())
        position = match.end()
    return found


class _Reader:
    """Reads the tokens from the left; each method returns the test of what it read."""

    def __init__(self, tokens: list[str], fields: frozenset[str]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._at = 0

    def look(self) -> str:
        """Return the next token; empty at the end."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def either(self) -> Test:
        """Read tests between which stands OR."""
        tests = [self._all()]
        while self._took("OR"):
            tests.append(self._all())
        return lambda row: any(test(row) for test in tests)

    def _all(self) -> Test:
        tests = [self._one()]
        while self._took("AND"):
            tests.append(self._one())
        return lambda row: all(test(row) for test in tests)

    def _one(self) -> Test:
        if self._took("NOT"):
            test = self._one()
            return lambda row: not test(row)
        if self._took("("):
            test = self.either()
            self._need(")")
            return test
        return self._comparison()

    def _comparison(self) -> Test:
        field = self._next().replace('"', "'")
        if field not in self._fields:
            raise BadQuery(f"invalid syntax: {field!r} is not a known field")
        if self._took("LIKE"):
            like = re.compile(".*".join(map(re.escape, self._text().split("%"))), re.DOTALL | re.IGNORECASE)
            return lambda row: like.fullmatch(row[field]) is not None
        if self._took("IN"):
            values = self._list()
            return lambda row: row[field] in values
        if self._took("BETWEEN"):
            first = self._text()
            self._need("AND")
            last = self._text()
            return lambda row: first <= row[field] <= last
        compare = _COMPARE.get(self._next())
        if compare is None:
            raise BadQuery(f"invalid syntax: {field!r} is not compared")
        value = self._text()
        return lambda row: compare(row[field], value)

    def _list(self) -> list[str]:
        self._need("(")
        values = [self._text()]
        while self._took(","):
            values.append(self._text())
        self._need(")")
        return values

    def _text(self) -> str:
        self._took("TIMESTAMP")
        token = self._next()
        if token[:1] not in ("'", '"'):
            raise BadQuery(f"invalid syntax: {token!r} is not in quotes")
        return token[1:-1]

    def _next(self) -> str:
        token = self.look()
        self._at += 1
        return token

    def _took(self, word: str) -> bool:
        if self.look().upper() != word:
            return False
        self._at += 1
        return True

    def _need(self, word: str) -> None:
        if not self._took(word):
            raise BadQuery(f"invalid syntax: {word!r} is missing")
