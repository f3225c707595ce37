"""Styles that stay in the sheet of a mail and give way to those that are put at the elements: these are stronger."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

MOST_LOOKED_AT = 1_000
"""Kinds of elements and rules that are compared, each with each: more are no mail's."""

_COMMENT = re.compile(r"/\*.{0,10000}?\*/", re.DOTALL)
_QUERY = re.compile(r"@media[^{}]{0,500}\{((?:[^{}]{0,2000}\{[^{}]{0,5000}\}){0,500})[^{}]{0,2000}\}", re.IGNORECASE)
_RULE = re.compile(r"(?<![^{};])([^{};]{1,2000})\{([^{}]{0,5000})\}")
_DECLARATION = re.compile(r"(?:^|[{;])\s*([a-zA-Z-]{1,60})\s*:([^;{}]{0,1000})")
_DYNAMIC = re.compile(r":(hover|active|focus(?:-within|-visible)?|visited|target|checked)(?![\w-])", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"\[[^\]]{0,500}\]")
_SIMPLE = re.compile(r"[.#]?[\w-]+")
_COMBINATOR = re.compile(r"[\s>+~]")


class StyledElement(NamedTuple):
    """An element as far as selectors ask after it, `{"a", ".button", "#top"}`, and the styles that it says itself."""

    names: frozenset[str]
    style: str


def element(tag: str, given: dict[str, str]) -> StyledElement:
    """Return an element of a tag with these attributes."""
    names = {tag.lower(), *(f".{each}" for each in given.get("class", "").split())}
    return StyledElement(frozenset(names | ({f"#{given['id']}"} if given.get("id") else set())), given.get("style", ""))


def overridden(sheets: Iterable[tuple[int, str]], elements: Iterable[StyledElement]) -> Iterator[tuple[int, str]]:
    """Yield what of style sheets, each with its line, gives way to what stands at the elements, where that is sure."""
    queries, rules, usual = list[tuple[int, str]](), list[_Rule](), list[str]()
    for line, sheet in sheets:
        text, at = _COMMENT.sub(lambda found: " " + "\n" * found[0].count("\n"), sheet), 0
        for query in _QUERY.finditer(text):
            queries.append((line + text.count("\n", 0, query.start()), query[1]))
            usual.append(text[at : query.start()])
            at = query.end()
        usual.append(text[at:])
        rules += islice(_rules(line, _QUERY.sub(_passed_over, text)), MOST_LOOKED_AT - len(rules))
    there = list(dict.fromkeys(elements))
    known = {name for text in (*usual, *(each.style for each in there)) for name, _ in _declarations(text)}
    for line, said in queries:
        names = {name for name, value in _declarations(said) if "important" not in value and name in known}
        if names:
            yield line, _told("@media", names)
    yield from _dynamic(rules, there[:MOST_LOOKED_AT])


class _Rule(NamedTuple):
    """A rule: what its selectors ask after, what it says, and the state that each of them asks for, `:hover` say."""

    line: int
    subjects: list[frozenset[str]]
    said: dict[str, str]
    when: str | None

    def may_be_of(self, one: StyledElement) -> bool:
        return any(names <= one.names for names in self.subjects)


def _rules(line: int, sheet: str) -> Iterator[_Rule]:
    for found in _RULE.finditer(sheet):
        above = line + sheet.count("\n", 0, found.start(1) + len(found[1]) - len(found[1].lstrip()))
        selectors = [each.strip() for each in found[1].split(",") if each.strip()]
        states = [_DYNAMIC.search(each) for each in selectors]
        when = states[0][0].lower() if states and states[0] and all(states) else None
        yield _Rule(above, [_subject(each) for each in selectors], dict(_declarations(found[2])), when)


def _subject(selector: str) -> frozenset[str]:
    """Return what a selector asks after of the element itself: nothing of those around it, and of its attributes."""
    plain = _COMBINATOR.split(_ATTRIBUTE.sub("", selector))[-1].partition(":")[0]
    return frozenset(each.lower() if each[0] not in ".#" else each for each in _SIMPLE.findall(plain))


def _dynamic(rules: list[_Rule], elements: list[StyledElement]) -> Iterator[tuple[int, str]]:
    """Yield the rules for states of elements that say something else than stands there already."""
    passing = [each for each in rules if each.when is not None]
    at = {one: _standing(one, [each for each in rules if each.when is None]) for one in (elements if passing else ())}
    for each in passing:
        names = {
            name
            for one, standing in at.items()
            if each.may_be_of(one)
            for name, value in each.said.items()
            if "important" not in value and standing.get(name, value) != value
        }
        if names:
            yield each.line, _told(each.when or "", names)


def _standing(one: StyledElement, rules: Iterable[_Rule]) -> dict[str, str]:
    """Return what will stand at an element."""
    found: dict[str, str] = {}
    for each in rules:
        if each.may_be_of(one):
            found |= each.said
    return found | dict(_declarations(one.style))


def _told(what: str, names: Iterable[str]) -> str:
    return f"what {what} says of {', '.join(sorted(names))} gives way to the styles at the elements: add !important"


def _declarations(rules: str) -> list[tuple[str, str]]:
    return [(name.lower(), value.strip().lower()) for name, value in _DECLARATION.findall(rules)]


def _passed_over(found: re.Match[str]) -> str:
    """Return what ends a rule, and has as many lines."""
    return "}" + "\n" * found[0].count("\n")
