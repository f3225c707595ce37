"""Of what in a template an error is: the expression as it was written, and the value that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator

from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.grammar import walk
from notifyctl.core.template.rules import FUNCTIONS
from notifyctl.core.template.tokens import position
from notifyctl.core.template.unit import Unit


def expression(unit: Unit, begin: int, end: int) -> Node | None:
    """Return the innermost expression of a template that holds these places, None if none does."""
    found = None
    for node in walk(unit.tree):
        if node.kind in _EXPRESSIONS and node.start <= begin and end <= node.end:
            found = node
    return found


def shown(unit: Unit, node: Node) -> str:
    """Return an expression as it was written, or its beginning."""
    return short(unit.text[node.start : node.end].strip())


def short(text: str) -> str:
    """Return a text, or its beginning."""
    return text if len(text) <= _SHOWN_MOST else f"{text[:_SHOWN_MOST]}..."


def variable(unit: Unit, node: Node) -> str | None:
    """Return the name of the value that an expression is about, where that is one: `o.total` of `o.total|round`."""
    within = (node,) if node.kind in (Construct.NAME, Construct.MEMBER) else node.nodes
    paths = {unit.text[each.start : each.end].strip() for each in within}
    named = [path for path in paths if PATH.fullmatch(path)]
    return named[0] if len(named) == 1 else None


def of_filter(error: TemplateError, unit: Unit) -> TemplateError:
    """Return what a filter of this program refused with its place and its value, where it is called at one place."""
    name, _, reason = error.reason.partition(": ")
    calls = [(each, node) for each in _all(unit) for node in walk(each.tree) if _calls(node, name)]
    if error.line is not None or len(calls) != 1:
        return error
    [(where, node)] = calls
    given = node.nodes[node.kind is Construct.CALL :][:1]
    line, column = position(where.text, node.start)
    return TemplateError(
        f"{shown(where, node)}: {reason}",
        template=where.template,
        part=where.part,
        line=line,
        column=column,
        variable=error.variable or (variable(where, given[0]) if given else None),
        hint=error.hint,
    )


def of_call(unit: Unit) -> TemplateError:
    """Return that something is called that is no function, with its place, where only one thing may be meant."""
    calls = [(each, node) for each in _all(unit) for node in walk(each.tree) if _is_of_a_value(node)]
    if len(calls) != 1:
        return TemplateError("calls what is no function", template=unit.template, part=unit.part)
    [(where, node)] = calls
    line, column = position(where.text, node.start)
    reason = f"{shown(where, node.nodes[0])} is no function: values have no methods"
    return TemplateError(reason, template=where.template, part=where.part, line=line, column=column)


def _is_of_a_value(node: Node) -> bool:
    return node.kind is Construct.CALL and (
        node.nodes[0].kind is Construct.MEMBER or node.nodes[0].name not in FUNCTIONS
    )


def _all(unit: Unit) -> Iterator[Unit]:
    """Yield a template and what it includes, each once."""
    found = {unit.key: unit}
    todo = [unit]
    while todo:
        for each in todo.pop().includes.values():
            if each.key not in found:
                found[each.key] = each
                todo.append(each)
    yield from found.values()


def _calls(node: Node, name: str) -> bool:
    if node.kind is Construct.CALL:
        return node.nodes[0].name == name
    return node.kind is Construct.FILTER and node.name == name


PATH = re.compile(r"[^\W\d]\w*(\.\w+)*")
"""A name, or a member of one."""
_SHOWN_MOST = 40
_EXPRESSIONS = frozenset(
    {
        *(Construct.NAME, Construct.LITERAL, Construct.MEMBER, Construct.ITEM, Construct.CALL, Construct.FILTER),
        *(Construct.TEST, Construct.UNARY, Construct.BINARY, Construct.CONDITIONAL, Construct.SLICE),
    }
)
