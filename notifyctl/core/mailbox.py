"""Mailboxes as people write them, `anna@example.org` or `Anna <anna@example.org>`, taken apart: one parser for all.

Source: RFC 5322, 3.2 (quoted pairs, comments, atoms, quoted strings) and 3.4 (mailboxes), with the characters beyond
ASCII that RFC 6532 adds. What it leaves to obsolete mail (routes, blanks inside of a domain) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from notifyctl.core.frozen import dataclass
from notifyctl.core.patterns import pattern

_CONTROL = pattern(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_TOKEN = pattern(
    r"""(?P<blank>\ +)
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<literal>\[[^\[\]\\\ ]*\])
      | (?P<atom>[^\ ()<>\[\]:;@\\,."]+)
      | (?P<special>[<>\[\]:;@,.(])""",
    re.VERBOSE,
)
_PAIR = pattern(r"\\(.)")
_IN_COMMENT = pattern(r"[^()\\]+|\\.|[()]")
_NEEDS_PAIR = pattern(r'(["\\])')
_WRITTEN = pattern(r'[ <"(\\]')


class NoMailbox(ValueError):
    """A text that is no single mailbox; it says why."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address, and the name that stands before it, or an empty one.

    The address is in its shortest spelling: no comments, and quotes around the local part only where it needs them.
    """

    address: str
    name: str = ""


class _Token(NamedTuple):
    kind: str
    said: str
    apart: bool
    """Whether a blank or a comment stands before it."""


def parse(text: str) -> Mailbox:
    """Return the one mailbox that a text is; raise NoMailbox where it is none, or several."""
    text = text.strip()
    if _CONTROL.search(text):
        raise NoMailbox("must be on one line, without control characters")
    tokens = _tokens(text)
    opening = [at for at, each in enumerate(tokens) if (each.kind, each.said) == ("special", "<")]
    if not opening:
        return Mailbox(_address(tokens))
    if len(opening) > 1 or (tokens[-1].kind, tokens[-1].said) != ("special", ">"):
        raise NoMailbox("not an e-mail address: one stands in < >, at the end")
    [at] = opening
    return Mailbox(_address(tokens[at + 1 : -1]), _name(tokens[:at]))


def is_bare(text: str) -> bool:
    """Return whether a text is an address alone, if it is a mailbox at all: as most are."""
    return not _WRITTEN.search(text)


def bare_address(text: str) -> str:
    """Return the address of a mailbox; a text that is none as it is."""
    if is_bare(text):
        return text
    try:
        return parse(text).address
    except NoMailbox:
        return text


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at, apart = 0, False
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise NoMailbox(f"not an e-mail address: {text[at]!r} stands alone")
        at, kind, said = found.end(), str(found.lastgroup), found[str(found.lastgroup)]
        if said == "(" and kind == "special":
            at = _end_of_comment(text, at)
        if kind == "blank" or (said == "(" and kind == "special"):
            apart = True
            continue
        tokens.append(_Token(kind, _PAIR.sub(r"\1", said) if kind == "quoted" else said, apart))
        apart = False
    return tokens


def _end_of_comment(text: str, at: int) -> int:
    """Return where the comment ends whose parenthesis stands before `at`; there may be others within."""
    depth = 1
    for found in _IN_COMMENT.finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    raise NoMailbox("not an e-mail address: a ( is not closed")


def _name(tokens: Sequence[_Token]) -> str:
    """Return the words of a name. Punctuation that can mean nothing else is taken as well, as people write it."""
    if any(each.kind == "special" and each.said not in ".,:;" for each in tokens):
        raise NoMailbox('not an e-mail address: a name with < > or @ in it stands in "quotes"')
    words = "".join(f" {each.said}" if each.apart and number else each.said for number, each in enumerate(tokens))
    return words.strip()


def _address(tokens: Sequence[_Token]) -> str:
    signs = [at for at, each in enumerate(tokens) if (each.kind, each.said) == ("special", "@")]
    if len(signs) != 1:
        raise NoMailbox("not an e-mail address: it needs one @")
    [at] = signs
    return f"{_local_part(tokens[:at])}@{_domain(tokens[at + 1 :])}"


def _local_part(tokens: Sequence[_Token]) -> str:
    if len(tokens) != 1 or tokens[0].kind != "quoted":
        return _dotted(tokens, "before")
    said = tokens[0].said
    plain = all(_is_atom(part) for part in said.split("."))
    escaped = _NEEDS_PAIR.sub(r"\\\1", said)
    return said if plain else f'"{escaped}"'


def _domain(tokens: Sequence[_Token]) -> str:
    if len(tokens) == 1 and tokens[0].kind == "literal" and tokens[0].said != "[]":
        return tokens[0].said
    return _dotted(tokens, "after")


def _dotted(tokens: Sequence[_Token], side: str) -> str:
    """Return atoms with a dot between each two (RFC 5322, 3.2.3)."""
    kinds = ["." if (each.kind, each.said) == ("special", ".") else each.kind for each in tokens]
    whole = not any(each.apart for each in tokens[1:])
    if not whole or len(kinds) % 2 == 0 or set(kinds[::2]) != {"atom"} or set(kinds[1::2]) - {"."}:
        raise NoMailbox(f"not an e-mail address: {side} the @ stand words with single dots between")
    said = "".join(each.said for each in tokens)
    if any(char.isspace() for char in said):  # those beyond ASCII are none of RFC 5322's
        raise NoMailbox("not an e-mail address: it has a blank in it")
    return said


def _is_atom(text: str) -> bool:
    found = _TOKEN.fullmatch(text)
    return found is not None and found.lastgroup == "atom"
