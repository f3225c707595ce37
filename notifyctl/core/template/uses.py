"""Which values a template takes from outside, nested names and members of a loop's items too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.grammar import Body
from notifyctl.core.template.rules import FUNCTIONS, member_of_each

ITEM = "[]"
"""In a path, any item of a list: `{% for i in order.items %}{{ i.name }}` takes `order`, `items`, `[]`, `name`."""

Path = tuple[str, ...]


class Use(NamedTuple):
    """A value that is taken at a place of the source; `optional` where it may be missing, `called` like a method.

    `within` are the names of the templates that are included in a row to that source.
    """

    path: Path
    place: int
    optional: bool
    called: bool = False
    within: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write the path as a template does, an item of a list as `[]`."""
        return ".".join(self.path).replace(f".{ITEM}", ITEM)


Included = Callable[[tuple[str, ...]], Body | None]
"""Returns what templates of these names include in a row, None where there is no such one."""


def uses(tree: Body, included: Included = lambda within: None) -> list[Use]:
    """Return what a template takes from outside, in the order of its source.

    What it includes, by `included`, sees what is bound where that is.
    """
    found: list[Use] = []
    _Walk(found, included).body(tree, {})
    return sorted(found, key=lambda use: (len(use.within), use.place))


_Scope = dict[str, Path | None]
"""What names stand for here: a path into what is given, or None for what the template made itself."""


class _Walk:
    def __init__(self, found: list[Use], included: Included, within: tuple[str, ...] = ()) -> None:
        self._found = found
        self._included = included
        self._within = within
        self._known: tuple[Path, ...] = ()  # what has a value here, as a condition says

    def body(self, nodes: Body, scope: _Scope) -> None:
        for node in nodes:
            self._statement(node, scope)

    @contextmanager
    def _knowing(self, paths: tuple[Path, ...]) -> Iterator[None]:
        before, self._known = self._known, self._known + paths
        try:
            yield
        finally:
            self._known = before

    def _statement(self, node: Node, scope: _Scope) -> None:
        match node.kind:
            case Construct.FOR:
                self._for(node, scope)
            case Construct.INCLUDE | Construct.EXTENDS:
                self._other(node, scope)
            case Construct.SET:
                self._set(node, scope)
            case Construct.WITH:
                self._inner(node, {**scope, **self._bound(node, scope)})
            case Construct.MACRO | Construct.CALL_BLOCK:
                scope[node.name] = None
                self._values(node.nodes, scope)
                self._inner(node, {**scope, **dict.fromkeys((*node.names, "caller"))})
            case Construct.IMPORT | Construct.FROM:
                self._other(node, {})
                scope.update(dict.fromkeys(node.names))
            case Construct.IF:
                self._if(node, scope)
            case _:
                self._values(node.nodes, scope)
                self._inner(node, dict(scope))

    def _inner(self, node: Node, scope: _Scope) -> None:
        for body in node.bodies:
            self.body(body, scope)

    def _other(self, node: Node, scope: _Scope) -> None:
        """Note what another template takes where it is included."""
        within = (*self._within, node.name)
        tree = self._included(within)
        if tree is not None:
            other = _Walk(self._found, self._included, within)
            other._known = self._known
            other.body(tree, dict(scope))

    def _if(self, node: Node, scope: _Scope) -> None:
        before: tuple[Path, ...] = ()
        for test, body in zip(node.nodes, node.bodies, strict=False):
            with self._knowing(before):
                self._value(test, scope)
                with self._knowing(self._defined(test, scope)):
                    self.body(body, scope)  # what is set in a condition holds behind it
            before += self._defined(test, scope, so=False)
        with self._knowing(before):
            for body in node.bodies[len(node.nodes) :]:
                self.body(body, scope)

    def _defined(self, test: Node, scope: _Scope, *, so: bool = True) -> tuple[Path, ...]:
        """Return what has a value where a condition is true, or is not."""
        if test.kind is Construct.UNARY and test.name == "not":
            return self._defined(test.nodes[0], scope, so=not so)
        if test.kind is Construct.BINARY and test.name == ("and" if so else "or"):
            return tuple(path for each in test.nodes for path in self._defined(each, scope, so=so))
        if test.kind is Construct.TEST and test.name in ("defined", "undefined"):
            path = self._path(test.nodes[0], scope)
            says = (test.name == "defined") is not bool(test.names)
            return (path,) if path is not None and says is so else ()
        return ()

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
        if path is not None and node.kind in _PATHS:
            is_known = any(path[: len(each)] == each for each in self._known)
            self._found.append(Use(path, node.start, optional or is_known, called, self._within))
            self._beside(node, scope)
        elif node.kind is Construct.CONDITIONAL:
            self._choice(node, scope)
        elif node.kind is Construct.BINARY and node.name in ("and", "or"):
            self._value(node.nodes[0], scope)
            with self._knowing(self._defined(node.nodes[0], scope, so=node.name == "and")):
                self._value(node.nodes[1], scope)
        else:
            self._operands(node, scope)
        return path

    def _operands(self, node: Node, scope: _Scope) -> None:
        for number, each in enumerate(node.nodes):
            called = number == 0 and node.kind is Construct.CALL
            if not called or each.kind is not Construct.NAME:
                self._value(each, scope, optional=number == 0 and _may_be_missing(node), called=called)

        if (member := member_of_each(node)) is not None and (listed := self._path(node.nodes[0], scope)) is not None:
            path = (*listed, ITEM, *_attribute(member.name))
            self._found.append(Use(path, node.nodes[0].start, optional=False, within=self._within))

    def _choice(self, node: Node, scope: _Scope) -> None:
        value, test, *otherwise = node.nodes
        self._value(test, scope)
        with self._knowing(self._defined(test, scope)):
            self._value(value, scope)
        with self._knowing(self._defined(test, scope, so=False)):
            self._values(tuple(otherwise), scope)

    def _beside(self, node: Node, scope: _Scope) -> None:
        """Note what a path takes beside what it leads to: what its items are chosen by."""
        while node.kind in (Construct.MEMBER, Construct.ITEM):
            self._values(node.nodes[1:], scope)
            node = node.nodes[0]
        if node.kind is not Construct.NAME:
            self._operands(node, scope)

    def _path(self, node: Node, scope: _Scope) -> Path | None:
        if node.kind is Construct.NAME:
            own: Path = (node.name,)
            return scope.get(node.name, None if node.name in FUNCTIONS else own)
        step = _step(node)
        before = self._path(node.nodes[0], scope) if step is not None else None
        return None if before is None or step is None else (*before, *step)


_PATHS = frozenset({Construct.NAME, Construct.MEMBER, Construct.ITEM})
_OF_THE_SAME = frozenset(
    {"list", "reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"}
)  # what filters leave of a list
_ITEMS = frozenset({"first", "last", "max", "min"})


def _step(node: Node) -> Path | None:
    """Return by what an expression goes on from the path of its first one, if it does."""
    if node.kind in (Construct.MEMBER, Construct.ITEM):
        return (_member(node),)
    if node.kind is Construct.SLICE or (node.kind is Construct.FILTER and node.name in _OF_THE_SAME):
        return ()
    return (ITEM,) if node.kind is Construct.FILTER and node.name in _ITEMS else None


def _member(node: Node) -> str:
    if node.kind is Construct.MEMBER:
        return ITEM if node.name.isdigit() else node.name
    index = node.nodes[1] if len(node.nodes) > 1 else node
    quoted = index.kind is Construct.LITERAL and index.name[:1] in ("'", '"')
    return index.name[1:-1] if quoted else ITEM


def _attribute(written: str) -> Path:
    """Return the path of what a filter takes of each item: `a.b` is a member's member."""
    names = written.strip("'\"").split(".")
    return tuple(ITEM if name.isdigit() else name for name in names)


def _may_be_missing(node: Node) -> bool:
    if node.kind is Construct.FILTER:
        return node.name in ("default", "d")
    return node.kind is Construct.TEST and node.name in ("defined", "undefined")
