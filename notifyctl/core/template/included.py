"""Which other templates a text includes, extends or imports."""

from __future__ import annotations

from notifyctl.core.template.expression import Construct
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.grammar import parse, walk

_INCLUDING = frozenset({Construct.INCLUDE, Construct.EXTENDS, Construct.IMPORT, Construct.FROM})


def included(source: str) -> set[str]:
    """Return their names; none for what is no template, of which whoever checks it says why."""
    try:
        return {node.name for node in walk(parse(source)) if node.kind in _INCLUDING}
    except TemplateError:
        return set()
