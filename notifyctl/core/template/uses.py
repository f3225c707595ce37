"""Which values a template takes from outside, nested names and members of a loop's items too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.grammar import Body
from notifyctl.core.template.rules import FUNCTIONS

ITEM = "[]"
"""In a path, any item of a list: `{% for i in order.items %}{{ i.name }}` takes `order`, `items`, `[]`, `name`."""

Path = tuple[str, ...]


class Use(NamedTuple):
    """A value that is taken at a place of the source; `optional` where it may be missing, `called` like a method."""

    path: Path
    place: int
    optional: bool
    called: bool = False

    def __str__(self) -> str:
        """Write the path as a template does, an item of a list as `[]`."""
        return ".".join(self.path).replace(f".{ITEM}", ITEM)


def uses(tree: Body) -> list[Use]:
    """Return what a template takes from outside, in the order of its source."""
    found: list[Use] = []
    _Walk(found).body(tree, {})
    return sorted(found, key=lambda use: use.place)


_Scope = dict[str, Path | None]
"""What names stand for here: a path into what is given, or None for what the template made itself."""


class _Walk:
    def __init__(self, found: list[Use]) -> None:
        self._found = found

    def body(self, nodes: Body, scope: _Scope) -> None:
        for node in nodes:
            self._statement(node, scope)

    def _statement(self, node: Node, scope: _Scope) -> None:
        match node.kind:
            case Construct.FOR:
                self._for(node, scope)
            case Construct.SET:
                self._set(node, scope)
            case Construct.WITH:
                self._inner(node, {**scope, **self._bound(node, scope)})
            case Construct.MACRO | Construct.CALL_BLOCK:
                scope[node.name] = None
                self._values(node.nodes, scope)
                self._inner(node, {**scope, **dict.fromkeys((*node.names, "caller"))})
            case Construct.IMPORT | Construct.FROM:
                scope.update(dict.fromkeys(node.names))
            case Construct.IF:
                self._values(node.nodes, scope)
                self._inner(node, scope)  # what is set in a condition holds behind it
            case _:
                self._values(node.nodes, scope)
                self._inner(node, dict(scope))

    def _inner(self, node: Node, scope: _Scope) -> None:
        for body in node.bodies:
            self.body(body, scope)

    def _for(self, node: Node, scope: _Scope) -> None:
        listed = self._value(node.nodes[0], scope)
        inner = {**scope, "loop": None, **dict.fromkeys(node.names)}
        if listed is not None and len(node.names) == 1:
            inner[node.names[0]] = (*listed, ITEM)
        self._values(node.nodes[1:], inner)
        self.body(node.bodies[0], inner)
        self.body(node.bodies[1], dict(scope))

    def _set(self, node: Node, scope: _Scope) -> None:
        path = self._value(node.nodes[0], scope) if node.nodes else None
        self._inner(node, dict(scope))
        for name in node.names:
            if "." not in name:
                scope[name] = path if len(node.names) == 1 and not node.bodies else None

    def _bound(self, node: Node, scope: _Scope) -> _Scope:
        return {name: self._value(value, scope) for name, value in zip(node.names, node.nodes, strict=True)}

    def _values(self, nodes: tuple[Node, ...], scope: _Scope) -> None:
        for node in nodes:
            self._value(node, scope)

    def _value(self, node: Node, scope: _Scope, *, optional: bool = False, called: bool = False) -> Path | None:
        """Note what an expression takes; return the path if it is one."""
        path = self._path(node, scope)
        if path is not None:
            self._found.append(Use(path, node.start, optional, called))
            self._values(tuple(_indexes(node)), scope)
            return path
        for number, each in enumerate(node.nodes):
            called = number == 0 and node.kind is Construct.CALL
            if called and each.kind is Construct.NAME:
                continue
            self._value(each, scope, optional=number == 0 and _may_be_missing(node), called=called)
        return None

    def _path(self, node: Node, scope: _Scope) -> Path | None:
        if node.kind is Construct.NAME:
            own: Path = (node.name,)
            return scope.get(node.name, None if node.name in FUNCTIONS else own)
        if node.kind not in (Construct.MEMBER, Construct.ITEM) or not node.nodes:
            return None
        before = self._path(node.nodes[0], scope)
        return None if before is None else (*before, _member(node))


def _member(node: Node) -> str:
    if node.kind is Construct.MEMBER:
        return ITEM if node.name.isdigit() else node.name
    index = node.nodes[1] if len(node.nodes) > 1 else node
    quoted = index.kind is Construct.LITERAL and index.name[:1] in ("'", '"')
    return index.name[1:-1] if quoted else ITEM


def _indexes(node: Node) -> Iterator[Node]:
    while node.kind in (Construct.MEMBER, Construct.ITEM):
        yield from node.nodes[1:]
        node = node.nodes[0]


def _may_be_missing(node: Node) -> bool:
    if node.kind is Construct.FILTER:
        return node.name in ("default", "d")
    return node.kind is Construct.TEST and node.name in ("defined", "undefined")
