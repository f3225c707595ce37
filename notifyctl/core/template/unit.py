"""What an engine renders: the texts of a template's parts, each with what it may include."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from notifyctl.core.template import grammar, rules, straight
from notifyctl.core.template.expression import Construct
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.html import surely_has_no_styles
from notifyctl.core.template.values import TakenValues

SOURCE_MAX = 500_000
"""How many characters the source of a part may have."""

_OF_DICTS = frozenset(name for name in dir(dict) if not name.startswith("_"))


@dataclass(frozen=True)
class Unit:
    """One text to be rendered: a part of a template; `includes` has what it may include, by name.

    `escaped` says that it is HTML.
    """

    template: str
    part: str
    text: str
    escaped: bool = False
    includes: Mapping[str, Unit] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """What tells it from others; the same for the same text."""
        known = hashlib.sha256(f"{self.template}\0{self.part}\0{self.escaped}\0".encode())
        known.update(self.text.encode(errors="surrogatepass"))
        for name in sorted(self.includes):
            known.update(f"\0{name}\0{self.includes[name].key}".encode())
        return known.hexdigest()[:32] + ("h" if self.escaped else "t")

    @cached_property
    def tree(self) -> grammar.Body:
        """What it is made of. Raises TemplateError for what no template may be."""
        try:
            if len(self.text) > SOURCE_MAX:
                raise TemplateError(f"is longer than {SOURCE_MAX:,} characters")
            _require_text(self.text)
            tree = grammar.parse(self.text)
            rules.check(self.text, tree)
        except TemplateError as error:
            raise error.at(self.template, self.part) from None
        return tree

    @cached_property
    def shadowing(self) -> frozenset[str]:
        """Names in it, and in what it includes, by which the engine finds a dict's methods where values have none."""
        own = {node.name for node in grammar.walk(self.tree) if node.kind is Construct.NAME}
        return frozenset(own & _OF_DICTS).union(*(each.shadowing for each in self.includes.values()))

    @cached_property
    def guarded(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """What the engine is given, and what was put in. Raises TemplateError as `tree` does."""
        return rules.guarded(self.text, self.tree, self.key)

    @cached_property
    def sources(self) -> frozenset[str]:
        """Its text, and those of all that it may include."""
        return frozenset({self.text}).union(*(each.sources for each in self.includes.values()))

    @cached_property
    def alone(self) -> UnitSet:
        """It as all that is rendered."""
        return UnitSet([self])


class UnitSet:
    """Units that are rendered with the same values, each by the name of its part.

    Those that can be are written without the engine, if that led to what the engine wrote when both were asked, the
    first time: `holds` says it, None before.
    """

    def __init__(self, units: Iterable[Unit]) -> None:
        self.units = tuple(units)
        self.holds: bool | None = None

    @cached_property
    def shorthand(self) -> straight.Shorthand | None:
        """How some of them, or all, are rendered without the engine. Raises TemplateError as `Unit.tree` does."""
        return straight.shorthand(self.units)

    @cached_property
    def may_have_styles(self) -> bool:
        """Whether there may be a style sheet in what is written without the engine."""
        texts = (text for each in self.units if each.escaped for text in each.sources)
        return not all(map(surely_has_no_styles, texts))

    def at_once(self, values: TakenValues) -> dict[str, str] | None:
        """Return what those say that are written without the engine; None where it has to be asked."""
        if self.holds is False or not values.small or self.shorthand is None:
            return None
        return straight.run(self.shorthand, values)


def _require_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise TemplateError("holds half a character, which is no text") from None
    if "\0" in text:
        raise TemplateError("holds NUL (U+0000), which is no character of a text")
