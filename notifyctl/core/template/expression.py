"""The expressions of the template language, parsed as the engine parses them.

Only so can be known, before the engine sees a template, what it names and how deep it goes: the engine's own parser
ends the process where an expression is too long.
"""

from __future__ import annotations

from enum import StrEnum

from notifyctl.core.frozen import dataclass
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.tokens import Word, at, tokens

DEEPEST = 30
"""Levels of expressions in expressions, and of blocks in blocks."""
LONGEST = 200
"""Operators, members, filters or branches in one row."""


class Construct(StrEnum):
    """What a node is."""

    NAME = "name"
    LITERAL = "literal"
    MEMBER = "member"
    ITEM = "item"
    CALL = "call"
    KEYWORD = "keyword"
    FILTER = "filter"
    TEST = "test"
    UNARY = "unary"
    BINARY = "binary"
    CONDITIONAL = "conditional"
    LIST = "list"
    TUPLE = "tuple"
    MAP = "map"
    SLICE = "slice"
    TEXT = "text"
    OUTPUT = "output"
    FOR = "for"
    IF = "if"
    SET = "set"
    WITH = "with"
    BLOCK = "block"
    EXTENDS = "extends"
    INCLUDE = "include"
    IMPORT = "import"
    FROM = "from"
    MACRO = "macro"
    CALL_BLOCK = "call block"
    FILTER_BLOCK = "filter block"
    AUTOESCAPE = "autoescape"
    DO = "do"
    JUMP = "jump"


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a template, from `start` to `end` of its source.

    `name` is a variable's, member's, filter's, operator's; `nodes` its expressions; `names` what it binds; `bodies`
    the statements in it.
    """

    kind: Construct
    start: int
    end: int
    name: str = ""
    nodes: tuple[Node, ...] = ()
    names: tuple[str, ...] = ()
    bodies: tuple[tuple[Node, ...], ...] = ()


class Expressions:
    """Parses expressions out of the words of a template. Each method takes what it parses, and goes behind it."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._tokens = tokens(source)
        self._next = 0
        self._depth = 0

    @property
    def token(self) -> Word:
        """The word that is next."""
        return self._tokens[self._next]

    def take(self) -> Word:
        """Return the next word and go behind it."""
        token = self.token
        self._next += token.kind != "end"
        return token

    def skip(self, *texts: str) -> Word | None:
        """Go behind the next word if it is one of these names or operators."""
        return self.take() if self.at(*texts) else None

    def at(self, *texts: str) -> bool:
        """Whether the next word is one of these names or operators."""
        return self.token.text in texts and self.token.kind in ("name", "operator")

    def expect(self, text: str) -> Word:
        """Go behind the next word, which must be this."""
        return self.skip(text) or self.fail(f"expected {text}")

    def name(self, what: str = "a name") -> Word:
        """Return the next word, which must be a name."""
        return self.take() if self.token.kind == "name" else self.fail(f"expected {what}")

    def fail(self, expected: str) -> Word:
        """Raise that the next word is not what must be there."""
        token = self.token
        shown = {"end": "the end of the template", "close": "the end of the tag", "text": "text"}.get(
            token.kind, repr(token.text[:40])
        )
        raise at(self.source, token.start, f"unexpected {shown}, {expected}")

    def deeper(self) -> None:
        """Count one level more."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise at(self.source, self.token.start, f"is nested deeper than {DEEPEST} levels")

    def higher(self) -> None:
        """Count one level less."""
        self._depth -= 1

    def expression(self) -> Node:
        """Take an expression with its conditions: `a if b else c`."""
        self.deeper()
        found, count = self.disjunction(), 0
        while self.skip("if"):
            count = self._count(count)
            test = self.disjunction()
            nodes = (found, test, self.expression()) if self.skip("else") else (found, test)
            found = Node(Construct.CONDITIONAL, found.start, nodes[-1].end, nodes=nodes)
        self.higher()
        return found

    def disjunction(self) -> Node:
        """Take an expression without conditions, as `for` and `if` have them."""
        return self._row(0)

    def arguments(self) -> tuple[Node, ...]:
        """Take what stands in parentheses behind a function or a filter, the opening one is next."""
        self.expect("(")
        found: list[Node] = []
        while not self.at(")"):
            found.append(self._argument())
            if not self.at(")"):
                self.expect(",")
        self.take()
        return tuple(found)

    def filters(self, target: Node) -> Node:
        """Take the filters and tests behind an expression."""
        count = 0
        while self.at("|", "is"):
            count = self._count(count)
            target = self._filter(target) if self.skip("|") else self._test(target)
        return target

    def _count(self, count: int) -> int:
        if count >= LONGEST:
            raise at(self.source, self.token.start, f"has more than {LONGEST} operators in one row")
        return count + 1

    def _row(self, level: int) -> Node:
        """Take what the operators of this level join; they are as in Python, but for `~`, and `**` goes left."""
        if level == len(_LEVELS):
            return self._postfix(self._negated())
        if _LEVELS[level] == ("not",):
            return self._not(level)
        found, count = self._row(level + 1), 0
        while (operator := self._operator(_LEVELS[level])) is not None:
            count = self._count(count)
            right = self._row(level + 1)
            found = Node(Construct.BINARY, found.start, right.end, operator, (found, right))
        return found

    def _not(self, level: int) -> Node:
        first, count = self.token, 0
        while self.skip("not"):
            count = self._count(count)
        found = self._row(level + 1)
        return Node(Construct.UNARY, first.start, found.end, "not", (found,)) if count else found

    def _operator(self, texts: tuple[str, ...]) -> str | None:
        if "in" in texts and self.at("not"):
            self.take()
            self.expect("in")
            return "not in"
        found = self.skip(*texts)
        return found.text if found else None

    def _negated(self) -> Node:
        first, count = self.token, 0
        while self.skip("-"):
            count = self._count(count)
        found = self._primary()
        return Node(Construct.UNARY, first.start, found.end, "-", (found,)) if count else found

    def _postfix(self, found: Node) -> Node:
        count = 0
        while self.at(".", "[", "("):
            count = self._count(count)
            if self.at("("):
                arguments = self.arguments()
                found = Node(Construct.CALL, found.start, self._before(), nodes=(found, *arguments))
            elif self.skip("."):
                found = self._member(found)
            else:
                found = self._item(found)
        return self.filters(found)

    def _before(self) -> int:
        return self._tokens[self._next - 1].end

    def _member(self, target: Node) -> Node:
        token = self.take()
        if token.kind not in ("name", "number"):
            raise at(self.source, token.start, "expected the name of a member")
        return Node(Construct.MEMBER, target.start, token.end, token.text, (target,))

    def _item(self, target: Node) -> Node:
        self.expect("[")
        parts: list[Node] = []
        sliced = False
        while not self.at("]"):
            if self.skip(":"):
                sliced = True
            else:
                parts.append(self.expression())
                if not self.at("]", ":"):
                    self.fail("expected ]")
        end = self.take().end
        return Node(Construct.SLICE if sliced else Construct.ITEM, target.start, end, nodes=(target, *parts))

    def _filter(self, target: Node) -> Node:
        name = self.name("a filter").text
        nodes = self.arguments() if self.at("(") else ()
        return Node(Construct.FILTER, target.start, self._before(), name, (target, *nodes))

    def _test(self, target: Node) -> Node:
        self.expect("is")
        negated = self.skip("not") is not None
        name = self.name("a test").text
        nodes: tuple[Node, ...] = ()
        if self.at("("):
            nodes = self.arguments()
        elif self._begins_operand():
            nodes = (self._postfix_alone(),)
        return Node(Construct.TEST, target.start, self._before(), name, (target, *nodes), ("not",) if negated else ())

    def _begins_operand(self) -> bool:
        token = self.token
        if token.kind in ("string", "number"):
            return True
        return (token.kind == "name" and token.text not in _RESERVED) or self.at("[", "{")

    def _postfix_alone(self) -> Node:
        """Take the argument of a test that stands without parentheses."""
        found, count = self._primary(), 0
        while self.at(".", "[", "("):
            count = self._count(count)
            if self.skip("."):
                found = self._member(found)
            elif self.at("["):
                found = self._item(found)
            else:
                arguments = self.arguments()
                found = Node(Construct.CALL, found.start, self._before(), nodes=(found, *arguments))
        return found

    def _argument(self) -> Node:
        token = self.token
        if token.kind == "operator" and token.text in ("*", "**"):
            raise at(self.source, token.start, "arguments are written one by one, not with *")
        following = self._tokens[min(self._next + 1, len(self._tokens) - 1)]
        if token.kind == "name" and following.kind == "operator" and following.text == "=":
            self.take()
            self.take()
            value = self.expression()
            return Node(Construct.KEYWORD, token.start, value.end, token.text, (value,))
        return self.expression()

    def _primary(self) -> Node:
        token = self.take()
        if token.kind == "name":
            kind = Construct.LITERAL if token.text in _CONSTANTS else Construct.NAME
            if kind is Construct.NAME and token.text in _RESERVED:
                raise at(self.source, token.start, f"unexpected {token.text!r}, expected a value")
            return Node(kind, token.start, token.end, token.text)
        if token.kind == "number":
            return Node(Construct.LITERAL, token.start, token.end, token.text)
        if token.kind == "string":
            while self.token.kind == "string":
                self.take()
            return Node(Construct.LITERAL, token.start, self._before(), self.source[token.start : self._before()])
        if token.kind == "operator" and token.text in _BRACKETS:
            return self._display(token)
        self._next -= token.kind != "end"
        self.fail("expected a value")
        raise AssertionError  # `fail` never returns

    def _display(self, opening: Word) -> Node:
        closing, kind = _BRACKETS[opening.text]
        nodes: list[Node] = []
        commas = 0
        while not self.at(closing):
            nodes.append(self.expression())
            if kind is Construct.MAP:
                self.expect(":")
                nodes.append(self.expression())
            if self.at(closing):
                break
            self.expect(",")
            commas += 1
        end = self.take().end
        if kind is Construct.TUPLE and len(nodes) == 1 and not commas:
            return Node(nodes[0].kind, opening.start, end, nodes[0].name, nodes[0].nodes, nodes[0].names)
        return Node(kind, opening.start, end, nodes=tuple(nodes))


def refused(source: str, node: Node, reason: str) -> TemplateError:
    """Return the error that this node is not allowed."""
    return at(source, node.start, reason)


_LEVELS: tuple[tuple[str, ...], ...] = (
    ("or",),
    ("and",),
    ("not",),
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("~",),
    ("*", "/", "//", "%"),
    ("**",),
)
_BRACKETS = {"(": (")", Construct.TUPLE), "[": ("]", Construct.LIST), "{": ("}", Construct.MAP)}
_CONSTANTS = frozenset({"true", "false", "none", "True", "False", "None"})
_RESERVED = frozenset({"and", "or", "not", "in", "is", "if", "else"})
