"""The statements of the template language: from a source to its tree, without the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from notifyctl.core.template.expression import Construct, Expressions, Node, refused
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.tokens import at

Body = tuple[Node, ...]


def parse(source: str) -> Body:
    """Return the tree of a template. Raises TemplateError, with line and column, for what is none."""
    try:
        return _Statements(source).template()
    except RecursionError:
        raise TemplateError("is nested too deep") from None


def walk(nodes: Body) -> Iterator[Node]:
    """Yield every node of a tree, those that are around others first."""
    for node in nodes:
        yield node
        yield from walk(node.nodes)
        for body in node.bodies:
            yield from walk(body)


class _Statements(Expressions):
    def template(self) -> Body:
        body, _ = self._body()
        return body

    def _body(self, *ends: str) -> tuple[Body, str]:
        """Take statements until a tag that begins with one of `ends`; return them and which it was, its name taken."""
        found: list[Node] = []
        start = self.token.start
        while True:
            token = self.take()
            if token.kind == "text":
                found.append(Node(Construct.TEXT, token.start, token.end))
            elif token.kind == "end":
                if ends:
                    raise at(self.source, start, f"expected {{% {ends[-1]} %}}")
                return tuple(found), ""
            elif token.text == "{{":
                expression = self.expression()
                self._close()
                found.append(Node(Construct.OUTPUT, token.start, self._before(), nodes=(expression,)))
            else:
                name = self.name("a statement").text
                if name in ends:
                    return tuple(found), name
                found.append(self._statement(name, token.start))

    def _statement(self, name: str, start: int) -> Node:
        parse = _STATEMENTS.get(name)
        if parse is None:
            raise at(self.source, self._last(), f"there is no statement {name}")
        self.deeper()
        node = parse(self)
        self.higher()
        return Node(node.kind, start, self._before(), node.name, node.nodes, node.names, node.bodies)

    def _last(self) -> int:
        return self._tokens[self._next - 1].start

    def _close(self) -> None:
        if self.token.kind != "close":
            self.fail("expected the end of the tag")
        self.take()

    def _closed(self, *ends: str) -> tuple[Body, str]:
        """Take the end of this tag and the statements behind it, until a tag of `ends`, its name taken."""
        self._close()
        return self._body(*ends)

    def _whole(self, end: str) -> Body:
        """Take the end of this tag, the statements behind it, and the tag that ends them."""
        body, _ = self._closed(end)
        self._close()
        return body

    def _for(self) -> Node:
        names = self._targets("in")
        self.expect("in")
        nodes = [self.disjunction()]
        if self.skip("if"):
            nodes.append(self.expression())
        if self.at("recursive"):
            self.fail("a loop cannot call itself")
        body, end = self._closed("else", "endfor")
        orelse: Body = ()
        if end == "else":
            orelse, _ = self._closed("endfor")
        self._close()
        return self._node(Construct.FOR, nodes=tuple(nodes), names=names, bodies=(body, orelse))

    def _if(self) -> Node:
        nodes, bodies = [self.disjunction()], []
        body, end = self._closed("elif", "else", "endif")
        bodies.append(body)
        count = 0
        while end == "elif":
            count = self._count(count)
            nodes.append(self.disjunction())
            body, end = self._closed("elif", "else", "endif")
            bodies.append(body)
        if end == "else":
            body, _ = self._closed("endif")
            bodies.append(body)
        self._close()
        return self._node(Construct.IF, nodes=tuple(nodes), bodies=tuple(bodies))

    def _set(self) -> Node:
        names = self._targets("=", dotted=True)
        if self.skip("="):
            start = self.token.start
            values = [self.expression()]
            while self.skip(","):
                values.append(self.expression())
            whole = values[0] if len(values) == 1 else Node(Construct.TUPLE, start, self._before(), nodes=tuple(values))
            self._close()
            return self._node(Construct.SET, nodes=(whole,), names=names)
        nodes = (self.filters(self._nothing()),) if self.at("|") else ()
        return self._node(Construct.SET, nodes=nodes, names=names, bodies=(self._whole("endset"),))

    def _with(self) -> Node:
        names: list[str] = []
        nodes: list[Node] = []
        while self.token.kind != "close":
            if names:
                self.expect(",")
            names.append(self.name().text)
            self.expect("=")
            nodes.append(self.expression())
        return self._node(Construct.WITH, nodes=tuple(nodes), names=tuple(names), bodies=(self._whole("endwith"),))

    def _block(self) -> Node:
        name = self.name("the block's name").text
        body, _ = self._closed("endblock")
        if self.token.kind == "name":
            self.take()
        self._close()
        return self._node(Construct.BLOCK, name, bodies=(body,))

    def _extends(self) -> Node:
        node = self._node(Construct.EXTENDS, self._named())
        self._close()
        return node

    def _include(self) -> Node:
        name = self._named()
        if self.skip("ignore"):
            self.expect("missing")
        self._context()
        self._close()
        return self._node(Construct.INCLUDE, name)

    def _import(self) -> Node:
        name = self._named()
        self.expect("as")
        alias = self.name().text
        self._context()
        self._close()
        return self._node(Construct.IMPORT, name, names=(alias,))

    def _from(self) -> Node:
        name = self._named()
        self.expect("import")
        names: list[str] = []
        asked: list[Node] = []
        while True:
            found = self.name()
            asked.append(Node(Construct.LITERAL, found.start, found.end, found.text))
            names.append(self.name().text if self.skip("as") else found.text)
            if not self.skip(","):
                break
        self._context()
        self._close()
        return self._node(Construct.FROM, name, nodes=tuple(asked), names=tuple(names))

    def _macro(self) -> Node:
        name = self.name("the macro's name").text
        names, defaults = self._parameters()
        return self._node(Construct.MACRO, name, nodes=defaults, names=names, bodies=(self._whole("endmacro"),))

    def _call(self) -> Node:
        names: tuple[str, ...] = ()
        defaults: tuple[Node, ...] = ()
        if self.at("("):
            names, defaults = self._parameters()
        called = self.expression()
        if called.kind is not Construct.CALL:
            raise refused(self.source, called, "a call block calls a macro")
        body = self._whole("endcall")
        return self._node(Construct.CALL_BLOCK, nodes=(called, *defaults), names=names, bodies=(body,))

    def _filter_block(self) -> Node:
        first = self._filter(self._nothing())
        nodes = (self.filters(first),)
        return self._node(Construct.FILTER_BLOCK, nodes=nodes, bodies=(self._whole("endfilter"),))

    def _autoescape(self) -> Node:
        nodes = (self.expression(),)
        return self._node(Construct.AUTOESCAPE, nodes=nodes, bodies=(self._whole("endautoescape"),))

    def _do(self) -> Node:
        nodes = (self.expression(),)
        self._close()
        return self._node(Construct.DO, nodes=nodes)

    def _jump(self) -> Node:
        self._close()
        return self._node(Construct.JUMP)

    def _parameters(self) -> tuple[tuple[str, ...], tuple[Node, ...]]:
        self.expect("(")
        names: list[str] = []
        defaults: list[Node] = []
        while not self.at(")"):
            names.append(self.name("a parameter").text)
            if self.skip("="):
                defaults.append(self.expression())
            if not self.at(")"):
                self.expect(",")
        self.take()
        return tuple(names), tuple(defaults)

    def _targets(self, end: str, *, dotted: bool = False) -> tuple[str, ...]:
        """Take the names that are bound: `a`, `a, b`, `(a, b)`, and where `dotted`, `a.b`."""
        names: list[str] = []
        while not self.at(end) and self.token.kind != "close" and not self.at("|"):
            if self.skip("(", ")", ","):
                continue
            name = self.name("a variable").text
            while dotted and self.skip("."):
                name += "." + self.name("a member").text
            names.append(name)
        if not names:
            self.fail("expected a variable")
        return tuple(names)

    def _named(self) -> str:
        """Take the name of a template, which must be written out: by it the version is found that is included."""
        token = self.take()
        if token.kind != "string":
            raise at(self.source, token.start, "the name of the template must be written here, in quotes")
        return token.text[1:-1]

    def _context(self) -> None:
        if self.skip("with", "without"):
            self.expect("context")

    def _nothing(self) -> Node:
        return Node(Construct.LITERAL, self.token.start, self.token.start)

    def _node(
        self,
        kind: Construct,
        name: str = "",
        *,
        nodes: tuple[Node, ...] = (),
        names: tuple[str, ...] = (),
        bodies: tuple[Body, ...] = (),
    ) -> Node:
        return Node(kind, 0, 0, name, nodes, names, bodies)


_STATEMENTS: dict[str, Callable[[_Statements], Node]] = {
    "for": _Statements._for,
    "if": _Statements._if,
    "set": _Statements._set,
    "with": _Statements._with,
    "block": _Statements._block,
    "extends": _Statements._extends,
    "include": _Statements._include,
    "import": _Statements._import,
    "from": _Statements._from,
    "macro": _Statements._macro,
    "call": _Statements._call,
    "filter": _Statements._filter_block,
    "autoescape": _Statements._autoescape,
    "do": _Statements._do,
    "break": _Statements._jump,
    "continue": _Statements._jump,
}
