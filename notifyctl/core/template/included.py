"""Which other templates a text includes, extends or imports."""

from __future__ import annotations

from notifyctl.core.template.expression import Construct
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.grammar import parse, walk

_INCLUDING = frozenset({Construct.INCLUDE, Construct.EXTENDS, Construct.IMPORT, Construct.FROM})


def included(source: str) -> set[str]:
    """Return their names; none for what is no template, of which whoever checks it says why."""
    return {name for name, _ in named(source)}


def named(source: str) -> list[tuple[str, int]]:
    """Return them each with the place where it is named, in the order of the source."""
    try:
        return [(node.name, node.start) for node in walk(parse(source)) if node.kind in _INCLUDING]
    except TemplateError:
        return []
