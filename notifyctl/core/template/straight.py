"""Which templates print nothing but members of what they are given.

The engine prints texts and most numbers as the rule says (`engine`), so that for those nobody has to be asked what each
value prints as; being asked costs more than all else of a rendering.
"""

from __future__ import annotations

from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.grammar import Body

_COUNTS = frozenset({"index", "index0", "revindex", "revindex0", "length"})
_WALKED = frozenset({Construct.TEXT, Construct.BLOCK, Construct.IF, Construct.EXTENDS, Construct.INCLUDE})


def printed_names(tree: Body) -> frozenset[str] | None:
    """Return the names that are printed as they are, where all that is printed is a name or a member; else None."""
    found: set[str] = set()
    return frozenset(found) if all(_is_straight(node, frozenset(), found) for node in tree) else None


def _is_straight(node: Node, items: frozenset[str], found: set[str]) -> bool:
    """Whether a statement prints only that; `items` are the names that stand for items of lists here."""
    if node.kind is Construct.OUTPUT:
        return _is_member(node.nodes[0], items, found)
    if node.kind is Construct.FOR:
        if len(node.names) != 1 or not _is_path(node.nodes[0]):
            return False
        body, orelse = node.bodies
        inner = items | {node.names[0]}
        return all(_is_straight(each, inner, found) for each in body) and all(
            _is_straight(each, items, found) for each in orelse
        )
    if node.kind not in _WALKED:
        return False
    return all(_is_straight(each, items, found) for body in node.bodies for each in body)


def _is_member(node: Node, items: frozenset[str], found: set[str]) -> bool:
    if node.kind is Construct.NAME:
        if node.name not in items:
            found.add(node.name)
        return True
    if node.kind is not Construct.MEMBER or not _is_path(node):
        return False
    return node.nodes[0].name != "loop" or node.name in _COUNTS


def _is_path(node: Node) -> bool:
    while node.kind is Construct.MEMBER:
        node = node.nodes[0]
    return node.kind is Construct.NAME
