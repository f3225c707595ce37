"""Templates that print nothing but members of what they are given, rendered without the engine.

Most are such, and handing values to the engine costs more than all else of a rendering. All parts of a notification
are written as one function of Python once, in which what several of them print is looked up once; what that writes is
what the engine writes, to the byte. Whatever is unusual about a template or its values is left to the engine, which
knows what to print, or what is wrong and how to say it: a value that is missing or is printed as JSON, a condition that
is more than members, and what is large in any way.

Of templates there are but constants in that function: their texts and the names of members, as `repr` writes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from notifyctl.core.template.emitter import Emitter, Loop, Spot, Unusual, flat
from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.grammar import Body, walk
from notifyctl.core.template.rules import FUNCTIONS
from notifyctl.core.template.values import Escape, TakenValues, number, printed

if TYPE_CHECKING:
    from notifyctl.core.template.unit import Unit

SHORT = 100
"""How many characters a text may have of which the loops' steps are bound enough: all such have as many as `ROOM`."""
LONGEST = 250_000
"""How many characters a part may have: with four bytes each they are as much as the engine allows."""
_PATH_LONGEST = 6
_INCLUDES_DEEPEST = 8

Shorthand = Callable[[Mapping[str, Any], Escape | None], dict[str, str]]
"""Writes parts, by their names, with values; how HTML escapes them, None where nothing in them has to be."""


def shorthand(units: Sequence[Unit]) -> Shorthand | None:
    """Return how parts are rendered without the engine: those that can be; None where none can."""
    emitter, usual = Emitter(), [unit for unit in units if _is_usual(unit)]
    if not usual:
        return None
    said = [f"{unit.part!r}: {_written(unit, emitter)}" for unit in usual]
    emitter.write(1, f"return {{{', '.join(said)}}}")
    space: dict[str, Any] = {"__builtins__": {}, **_KNOWN}
    exec(compile("\n".join(flat(emitter.lines)), "<parts>", "exec"), space)  # noqa: S102 - of constants, see above
    made: Shorthand = space["write"]
    return made


def _is_usual(unit: Unit) -> bool:
    try:
        _written(unit, Emitter())
    except Unusual:
        return False
    return True


def _written(unit: Unit, emitter: Emitter) -> str:
    """Write a part; return the name of what it says. Raises Unusual where the engine has to write it."""
    emitter.nodes = 0
    said, name = _Template(unit, emitter, 0).whole(Spot({}, None)), emitter.name()
    emitter.write(1, f"{name} = f{said!r}")
    emitter.write(1, f"if len({name}) > {LONGEST}: raise Unusual")
    return name


def run(found: Shorthand, values: TakenValues) -> dict[str, str] | None:
    """Return what it says with these values; None where the engine has to decide."""
    try:
        return found(values.plain, values.escape)
    except (Unusual, KeyError, TypeError):  # what has no value, or no members
        return None


class _Template:
    """Writes one template. `_blocks` are its blocks as templates that extend others fill them."""

    def __init__(self, unit: Unit, emitter: Emitter, depth: int) -> None:
        if depth > _INCLUDES_DEEPEST:
            raise Unusual
        self._unit = unit
        self._emitter = emitter
        self._depth = depth
        self._blocks: dict[str, tuple[Unit, Body]] = {}

    def whole(self, spot: Spot) -> str:
        """Write it; return what it says, as the inside of an f-string. Raises Unusual, as all here do."""
        unit = self._unit
        for _ in range(_INCLUDES_DEEPEST):
            own = [node for node in walk(unit.tree) if node.kind is Construct.BLOCK]
            if len({node.name for node in own}) < len(own):
                raise Unusual
            self._blocks = {**{node.name: (unit, node.bodies[0]) for node in own}, **self._blocks}
            if not unit.tree or unit.tree[0].kind is not Construct.EXTENDS:
                return self._inside(unit, unit.tree, spot)
            if any(node.kind not in (Construct.TEXT, Construct.BLOCK) for node in unit.tree[1:]):
                raise Unusual
            unit = self._other(unit, unit.tree[0])
        raise Unusual

    def _other(self, unit: Unit, node: Node) -> Unit:
        """Return the template that a tag names, where it says no more than that."""
        found = unit.includes.get(node.name)
        if found is None or not _NAMING.fullmatch(unit.text, node.start, node.end) or found.escaped != unit.escaped:
            raise Unusual
        return found

    def _sequence(self, unit: Unit, body: Body, spot: Spot) -> str:
        """Write statements one after the other; return what they say, as an expression."""
        return f"f{self._inside(unit, body, spot)!r}"

    def _inside(self, unit: Unit, body: Body, spot: Spot) -> str:
        """Write statements one after the other; return what they say, as the inside of an f-string."""
        said: list[str] = []
        for node in body:
            self._emitter.count()
            if node.kind is Construct.TEXT:
                said.append(_text(unit.text, node).replace("{", "{{").replace("}", "}}"))
            elif node.kind is Construct.OUTPUT:
                value = _member(node.nodes[0], spot)
                said.append(f"{{{self._printed(value, spot, escaped=unit.escaped)}}}")
            else:
                said.append(self._statement(unit, node, spot))
        return "".join(said)

    def _printed(self, value: str, spot: Spot, *, escaped: bool) -> str:
        """Write how a value is printed, unless it was before: texts as they are, which nearly all are."""
        emitter = self._emitter
        known = emitter.printed.get((value, escaped))
        if known is not None:
            return known
        if escaped:
            plain = self._printed(value, spot, escaped=False)
            name = emitter.name()
            emitter.write(spot.level, f"{name} = {plain} if escape is None else escape({plain})")
        else:
            name = emitter.name()
            emitter.write(spot.level, f"{name} = {value}")
            other = f"known({name}) or number({name}) if type({name}) is float else shown({name})"
            emitter.write(spot.level, f"if type({name}) is not str: {name} = {other}")
        if spot.level == spot.always:
            emitter.printed[value, escaped] = name
        return name

    def _statement(self, unit: Unit, node: Node, spot: Spot) -> str:
        """Write a statement; return what it says, as a part of the inside of an f-string."""
        match node.kind:
            case Construct.FOR:
                return f"{{{self._loop(unit, node, spot)}}}"
            case Construct.IF:
                return f"{{{self._choice(unit, node, spot)}}}"
            case Construct.BLOCK if not spot.items:
                return self._inside(*self._blocks[node.name], spot.within(0))
            case Construct.INCLUDE:
                included = _Template(self._other(unit, node), self._emitter, self._depth + 1)
                return included.whole(spot._replace(loop=None))
            case _:
                raise Unusual

    def _loop(self, unit: Unit, node: Node, spot: Spot) -> str:
        """Write a loop; return the name of what it says."""
        if len(node.names) != 1 or len(node.nodes) != 1 or node.names[0] in _RESERVED:
            raise Unusual
        emitter, level, over = self._emitter, spot.level, _member(node.nodes[0], spot)
        said, loop = emitter.name(), emitter.loops.get(over) if level == 1 else None
        if loop is None:
            loop = self._begun(over, level)
        spent = self._turn(unit, node, spot, loop, said)
        loop.before += [f"{said} = []", f"steps -= len({loop.items}) * {spent}", "if steps < 0: raise Unusual"]
        emitter.write(level, f"{said} = join({said})")
        if node.bodies[1]:
            emitter.write(level, f"if not {loop.items}:")
            emitter.write(level + 1, f"{said} = {self._sequence(unit, node.bodies[1], spot.within())}")
        return said

    def _begun(self, over: str, level: int) -> Loop:
        """Write that a list is gone through."""
        emitter = self._emitter
        loop = Loop(emitter, level)
        emitter.write(level, f"{loop.items} = {over}")
        emitter.write(level, f"if type({loop.items}) is not list and type({loop.items}) is not tuple: raise Unusual")
        emitter.lines.append(loop)
        if level == 1:
            emitter.loops[over] = loop
        return loop

    def _turn(self, unit: Unit, node: Node, spot: Spot, loop: Loop, said: str) -> int:
        """Write what is done with one item; return how many steps that is."""
        emitter, level, each = self._emitter, spot.level + 1, self._emitter.name()
        inner = spot.within()._replace(
            items={**spot.items, node.names[0]: loop.item}, loop=(loop.count, loop.items), always=level
        )
        others, nodes = (emitter.lines, emitter.printed), emitter.nodes
        emitter.lines, emitter.printed = loop.lines, loop.printed
        emitter.write(level, f"{each} = {self._sequence(unit, node.bodies[0], inner)}")
        emitter.write(level, f"if len({each}) > {SHORT}:")
        emitter.write(level + 1, f"room -= len({each})")
        emitter.write(level + 1, "if room < 0: raise Unusual")
        emitter.write(level, f"{said}.append({each})")
        emitter.lines, emitter.printed = others
        return 1 + emitter.nodes - nodes

    def _choice(self, unit: Unit, node: Node, spot: Spot) -> str:
        """Write conditions; return the name of what is said."""
        write, said = self._emitter.write, self._emitter.name()
        for test, body in zip(node.nodes, node.bodies, strict=False):
            write(spot.level, f"if {_test(unit.text, test, spot)}:")
            write(spot.level + 1, f"{said} = {self._sequence(unit, body, spot.within())}")
            write(spot.level, "else:")
            spot = spot.within()
        otherwise = node.bodies[len(node.nodes) :]
        write(spot.level, f"{said} = {self._sequence(unit, otherwise[0], spot) if otherwise else repr('')}")
        return said


# Expressions


def _member(node: Node, spot: Spot) -> str:
    """Return how the function calls a member. Raises Unusual for any other expression."""
    path: list[str] = []
    while node.kind is Construct.MEMBER and node.name.isidentifier():
        path.append(node.name)
        [node] = node.nodes
    if node.kind is not Construct.NAME or len(path) > _PATH_LONGEST:
        raise Unusual
    if node.name == "loop":
        return _of_loop(path, spot)
    if node.name in _RESERVED:
        raise Unusual
    members = "".join(f"[{each!r}]" for each in reversed(path))
    return f"{spot.items.get(node.name, f'given[{node.name!r}]')}{members}"


def _of_loop(path: list[str], spot: Spot) -> str:
    """Return what is known in a loop of where it is."""
    if spot.loop is None or len(path) != 1 or path[0] not in _COUNTS:
        raise Unusual
    count, items = spot.loop
    return _COUNTS[path[0]].format(count=count, items=items)


def _test(source: str, node: Node, spot: Spot) -> str:
    """Return how a condition is decided. Raises Unusual for one that is more than members."""
    if node.kind is Construct.UNARY and source[node.start : node.nodes[0].start].strip() == "not":  # once
        return f"(not {_test(source, node.nodes[0], spot)})"
    if node.kind is Construct.BINARY and node.name in ("and", "or"):
        left, right = (_test(source, each, spot) for each in node.nodes)
        return f"({left} {node.name} {right})"
    return f"is_true({_member(node, spot)})"


# Values


def _is_true(value: Any) -> bool:
    if value is None or type(value) in _SOUND:
        return bool(value)
    raise Unusual


def _shown(value: Any) -> str:
    """Return what a value that is no text prints as. Raises Unusual for what is printed as JSON."""
    if type(value) is int and -_EXACT < value < _EXACT:
        return str(value)
    if value is None or type(value) is bool:
        return printed(value)
    raise Unusual


def _number(value: float) -> str:
    if abs(value) >= _EXACT:
        raise Unusual
    if len(_numbers) >= _NUMBERS_MOST:
        _numbers.clear()
    text = _numbers[value] = number(value)
    return text


_numbers: dict[float, str] = {}
"""How numbers with a point print that were printed before: most are in several parts, and many in several mails."""
_NUMBERS_MOST = 10_000


_KNOWN: Mapping[str, Any] = {
    **{each.__name__: each for each in (enumerate, float, len, list, str, tuple, type)},
    "Unusual": Unusual,
    "is_true": _is_true,
    "join": "".join,
    "known": _numbers.get,
    "number": _number,
    "shown": _shown,
}


# Text


def _text(source: str, node: Node) -> str:
    """Return a text without the blanks that the tags beside it take away."""
    text = source[node.start : node.end]
    if source[node.start - 3 : node.start] in _TAKING_AFTER:
        text = text.lstrip(_BLANKS)
    if source[node.end : node.end + 3] in _TAKING_BEFORE:
        text = text.rstrip(_BLANKS)
    return text


_NAMING = re.compile(r"\{%[-+]?\s*\w+\s+(\"[^\"\\]*\"|'[^'\\]*')\s*[-+]?%\}")
_RESERVED = FUNCTIONS | {"loop", "self", "caller", "super"}
_COUNTS = {
    "index": "({count} + 1)",
    "index0": "{count}",
    "revindex": "(len({items}) - {count})",
    "revindex0": "(len({items}) - {count} - 1)",
    "length": "len({items})",
    "first": "({count} == 0)",
    "last": "({count} == len({items}) - 1)",
}
_EXACT = 2**53  # what is larger, the engine may have as an integer where it was none
_SOUND = frozenset({int, float, bool, str, list, tuple, dict})
_TAKING_AFTER = ("-}}", "-%}", "-#}")
_TAKING_BEFORE = ("{{-", "{%-", "{#-")
# What Unicode calls White_Space: Python's `strip` takes away more.
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
