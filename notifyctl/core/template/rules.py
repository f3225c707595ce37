"""What a template may do, decided before the engine sees it, and what is watched while it is rendered.

The engine counts steps, but not what lists of lists come to when they are printed, nor lists that are added to
themselves: forty doublings fill the memory. So what a template builds out of values takes plain ones only; where that
cannot be read off, a filter is put around the value that refuses others. And the engine's own recursion is as deep as
a thread's stack may be short: nothing may call itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from notifyctl.core.template.expression import Construct, Node, refused
from notifyctl.core.template.grammar import Body, walk

FUNCTIONS = frozenset({"range", "namespace", "plural"})
"""What can be called by its name alone; no variable has such a name."""
FILTERS = frozenset(
    {
        *("abs", "batch", "bool", "capitalize", "d", "default", "dictsort", "e", "escape", "filesizeformat", "first"),
        *("float", "format", "indent", "int", "items", "join", "last", "length", "count", "lines"),
        *("list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "safe"),
        *("select", "selectattr", "slice", "sort", "split", "string", "striptags", "sum", "title", "tojson", "trim"),
        *("truncate", "unique", "upper", "urlencode", "wordwrap", "plural"),
    }
)
TESTS = frozenset(
    {
        *("boolean", "defined", "divisibleby", "endingwith", "eq", "equalto", "even", "false", "float", "ge", "gt"),
        *("greaterthan", "in", "integer", "iterable", "le", "lessthan", "lt", "mapping", "ne", "none", "number", "odd"),
        *("sequence", "startingwith", "string", "true", "undefined"),
    }
)
GUARD = "_plain"
"""The filter that refuses what is no text, number, boolean or null."""
TEXT_GUARD = "_text"
"""The filter that makes text of those, as they print."""
SHOWN_GUARD = "_shown"
"""The filter that makes text of any value, as it prints: what is before a filter that is for texts."""
EACH_SHOWN_GUARD = "_each_shown"
"""The filter that does so with the items of a list: what is before `map` with such a filter."""
ABSENT_GUARD = "_absent"
"""The filter that says that there is no value: where another filter would take that for an empty one."""
PRESENT_GUARD = "_present"
"""The filter that does so, and lets any value through: where the value is not one of those that are given."""
WEIGHED_GUARD = "_weighed"
"""The filter that counts a text before it is gone through, which the engine's own count leaves out."""
COMPARED_GUARD = "_compared"
"""The same with what lists hold, too."""
LISTED_GUARD = "_listed"
"""The same before filters that compare the items of a list with each other."""
EACH_GUARD = "_each"
"""The filter that refuses a list with an item that lacks a member: the engine would take that for null."""
FORMAT_GUARD = "_formatted"
"""The filter that does so with null and booleans, and refuses lists and objects: what `format` puts in."""
CALLS_DEEPEST = 20
"""Macros that may call one another in a row."""

_WHOLE = frozenset({"default", "d", "select", "reject"})  # their arguments become no part of something larger
_PLAIN_OPERATORS = frozenset({"+", "*", "~"})
_PLAIN_RESULTS = frozenset({"-", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "+", "*", "~"})
_TEXT_FILTERS = frozenset(
    {
        *("capitalize", "escape", "e", "format", "join", "lower", "replace", "string", "title", "tojson", "trim"),
        *("upper", "urlencode", "filesizeformat", "plural"),
    }
)
_OF_TEXTS = frozenset(
    {
        *("capitalize", "e", "escape", "indent", "lower", "safe", "striptags", "title", "trim"),
        *("truncate", "upper", "wordwrap"),
    }
)
_OF_ANYTHING = frozenset({"tojson", "urlencode"})
_LENIENT = frozenset(
    {
        *("abs", "count", "dictsort", "format", "join", "length", "lines", "list", "max", "min", "round", "sort"),
        *("split", "tojson", "urlencode"),
    }
)
"""Filters that take what has no value for an empty one, or do not name it."""
_BY_NAME = {"truncate": "length", "wordwrap": "width"}
_STAYING: Mapping[str, tuple[str, ...]] = {
    SHOWN_GUARD: ("string",),
    ABSENT_GUARD: ("defined",),
    WEIGHED_GUARD: ("not string",),
    COMPARED_GUARD: ("number", "boolean", "none", "undefined"),
}
_TEXTS = _TEXT_FILTERS | _OF_TEXTS
_PICKING = frozenset({"default", "d", "first", "last"})
_PERHAPS = _PICKING | {"max", "min"}
_COMPARISONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "not in"})
_GOING_THROUGH = frozenset(
    {
        *("endingwith", "eq", "equalto", "ge", "greaterthan", "gt", "in", "iterable", "le", "lessthan", "lt", "ne"),
        "startingwith",
    }
)
_COMPARING = frozenset({"dictsort", "max", "min", "sort", "unique"})
_CONVERSION = re.compile("%[^a-zA-Z%]*[a-zA-Z%]")
_DIGITS = 3
"""How many digits a place in a text may have that is soon found."""
_SHORT = 200
"""How many characters an expression may have that is written twice."""
_PLAIN_FILTERS = _TEXT_FILTERS | {"abs", "count", "float", "int", "length", "round"}
_DISPLAYS = frozenset({Construct.LIST, Construct.TUPLE, Construct.MAP})
_OWN = frozenset({"string", "plural", "replace"})  # what is before them has to be plain too


def check(source: str, tree: Body) -> None:
    """Raise TemplateError for what no template may do."""
    for node in walk(tree):
        if node.kind is Construct.FILTER and node.name not in FILTERS:
            raise refused(source, node, f"there is no filter {node.name}")
        if node.kind is Construct.FILTER and node.name in _BY_NAME and _by_place(node):
            example = f"{node.name}({_BY_NAME[node.name]}=20)"
            raise refused(source, node, f"{node.name} takes its arguments by name, as in {example}")
        if node.kind is Construct.TEST and node.name not in TESTS:
            raise refused(source, node, f"there is no test {node.name}")
    callables = {node.name for node in walk(tree) if node.kind is Construct.MACRO}
    callables |= {name for node in walk(tree) if node.kind in (Construct.IMPORT,) for name in node.names}
    _check_names(source, tree, callables)
    _check_calls(source, tree)


def guarded(source: str, tree: Body, mark: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the source with its guards, and where something was put in: the place in it, and how many characters.

    A guard knows which value it is at by `mark` and the place in the source, and whether that has a value at all: the
    engine passes null for what is undefined.
    """
    places: list[tuple[int, int, str]] = []
    for number, (node, guard, member) in enumerate(_watched(tree)):
        twice = _twice(source, node)
        where = f"'{mark}:{node.start}:{node.end}'"
        begin, filler, end = "((", "", ")"
        defined = ",true" if node.kind is Construct.LITERAL else ""
        if _is_path(node):
            defined = f",({source[node.start : node.end]}) is defined"
        if guard in _STAYING and twice:
            # A text stays what it is, marked as safe or not, and costs nothing.
            stays = " or ".join(f"{twice} is {test}" for test in _STAYING[guard])
            begin, end, defined = f"({twice} if {stays} else ((", "))", f",{twice} is defined"
        elif not defined and _may_be_undefined(node):
            filler = f"|default({where})"  # the guard takes its own place in the source for no value
        if member is not None:
            defined = f",{source[member.start : member.end]}{defined}"
        places += [
            (node.start, -number, begin),
            (node.end, number, f"){filler}|{guard}({where}{defined}){end}"),
        ]
    found: list[str] = []
    added: list[tuple[int, int]] = []
    last = length = 0
    for place, _, text in sorted(places, key=_nesting):
        found += [source[last:place], text]
        length += place - last
        added.append((length, len(text)))
        length += len(text)
        last = place
    return "".join([*found, source[last:]]), tuple(added)


def _nesting(place: tuple[int, int, str]) -> tuple[int, int, int]:
    """Order what is put in at one place: what closes before what opens, the inner closing first, the outer opening."""
    at, number, text = place
    closes = text[0] == ")"
    return at, 0 if closes else 1, -number


def _watched(tree: Body) -> Iterator[tuple[Node, str, Node | None]]:
    """Yield what has to be looked at, by which guard, those that are around others first.

    And of what each item has to have a member, which.
    """
    seen: set[tuple[int, int]] = set()
    for node in walk(tree):
        if (watched := _watched_before(node)) is not None:
            seen.add((watched[0].start, watched[0].end))
            yield watched
        for each in filter(_may_be_long, _weighed(node)):
            if (each.start, each.end) not in seen:
                seen.add((each.start, each.end))
                compared = node.kind in (Construct.BINARY, Construct.TEST) and node.name != "iterable"
                yield each, COMPARED_GUARD if compared else WEIGHED_GUARD, None
        acting = "~" if _puts_texts_in(node) else _acting(node)
        guard, known = _GUARDS.get((node.kind, acting), (GUARD, _is_plain))
        for each in _parts(node):
            if node.kind in _DISPLAYS and each.kind in _DISPLAYS:
                continue  # what that one is made of is watched in its turn
            if not known(each) and (each.start, each.end) not in seen:
                seen.add((each.start, each.end))
                yield each, guard, None


def _watched_before(node: Node) -> tuple[Node, str, Node | None] | None:
    """Return what a filter is put behind, where that has to be looked at, with the guard and the member."""
    if node.kind is not Construct.FILTER or node.nodes[0].end == node.nodes[0].start:
        return None
    of = node.nodes[0]
    if node.name in _OF_TEXTS:  # the engine would print what is no text as Python does
        is_text = _is_text(of) or (of.kind is Construct.FILTER and of.name in _TEXTS)
        return None if is_text else (of, SHOWN_GUARD, None)
    if node.name == "map" and _acting(node) in _OF_TEXTS:
        return of, EACH_SHOWN_GUARD, None
    if (member := member_of_each(node)) is not None:
        return of, EACH_GUARD, member
    if node.name in _COMPARING:
        return of, LISTED_GUARD, None
    if node.name in _LENIENT and _is_simple(of) and of.end - of.start <= _SHORT:
        return of, ABSENT_GUARD, None
    return (of, PRESENT_GUARD, None) if node.name in _OF_ANYTHING and _may_be_undefined(of) else None


def _puts_texts_in(node: Node) -> bool:
    """Whether it is a `format` that is seen to put in texts only: then numbers are put in as they print."""
    if node.kind is not Construct.FILTER or node.name != "format" or node.nodes[0].kind is not Construct.LITERAL:
        return False
    return all(each[-1] in "s%" for each in _CONVERSION.findall(node.nodes[0].name))


def _acting(node: Node) -> str:
    """Return the name of a filter, of `map` that of the one which it is for."""
    is_for_another = node.kind is Construct.FILTER and node.name == "map" and len(node.nodes) > 1
    return node.nodes[1].name[1:-1] if is_for_another else node.name


def _weighed(node: Node) -> tuple[Node, ...]:
    """Return what is compared or gone through, in which one is looked for, and what is looked for."""
    if node.kind is Construct.FOR:
        return node.nodes[:1]
    if not _is_weighing(node):
        return ()
    return node.nodes[: 2 if node.kind is Construct.ITEM else 1]


def _is_weighing(node: Node) -> bool:
    """Whether values are compared, or one is looked for within another; with what is written there that is short."""
    if node.kind is Construct.ITEM:
        return not any(_is_short(each) for each in node.nodes[1:])
    if node.kind is Construct.BINARY:
        return node.name in _COMPARISONS and not any(_is_short(each) for each in node.nodes)
    comparing = node.kind is Construct.TEST and node.name in _GOING_THROUGH
    return comparing and not any(_is_short(each) for each in node.nodes)


def _is_short(node: Node) -> bool:
    """Whether it is a constant, and no large one."""
    if node.kind is not Construct.LITERAL:
        return False
    return len(node.name) <= (_SHORT if node.name[:1] in ("'", '"') else _DIGITS)


def _may_be_long(node: Node) -> bool:
    """Whether a value may be a long text that was not counted when it was made."""
    if node.kind is Construct.LITERAL:
        return node.name[:1] in ("'", '"')
    return _may_be_undefined(node)


def _may_be_undefined(node: Node) -> bool:
    """Whether an expression may have no value where all that it is made of has one."""
    if node.kind is Construct.FILTER:
        return node.name in _PERHAPS
    if node.kind is Construct.BINARY:
        return node.name in ("and", "or")
    return node.kind in (Construct.NAME, Construct.MEMBER, Construct.ITEM, Construct.CONDITIONAL)


def member_of_each(node: Node) -> Node | None:
    """Return the name of a member that a filter takes of each item, which has to have it."""
    if node.name in ("selectattr", "rejectattr"):
        member, test = (*node.nodes[1:3], None, None)[:2]
        member = None if test is not None and test.name[1:-1] in ("defined", "undefined") else member
    elif node.name in ("map", "sum", "sort", "unique"):
        named = {each.name: _value(each) for each in node.nodes[1:] if each.kind is Construct.KEYWORD}
        member = None if "default" in named else named.get("attribute")
    else:
        return None
    return member if member is not None and member.kind is Construct.LITERAL and "," not in member.name else None


def _twice(source: str, node: Node) -> str | None:
    """Return what is written twice: an expression that costs nothing, and makes nothing."""
    text = source[node.start : node.end]
    return f"({text})" if _is_simple(node) and len(text) <= _SHORT else None


def _is_simple(node: Node) -> bool:
    """Whether an expression only picks one of the values that are there."""
    picks = node.kind in (Construct.NAME, Construct.LITERAL, Construct.MEMBER, Construct.ITEM, Construct.CONDITIONAL)
    picks |= node.kind is Construct.FILTER and node.name in _PICKING
    picks |= node.kind is Construct.BINARY and node.name in ("and", "or", *_COMPARISONS)
    picks |= node.kind is Construct.TEST or (node.kind is Construct.UNARY and node.name == "not")
    return picks and not _is_weighing(node) and all(_is_simple(_value(each)) for each in node.nodes)


def _parts(node: Node) -> tuple[Node, ...]:
    """Return what has to be plain because of this node."""
    if node.kind in _DISPLAYS:
        return node.nodes
    if node.kind is Construct.BINARY and node.name in _PLAIN_OPERATORS:
        return node.nodes
    if node.kind is Construct.FILTER and node.name not in _WHOLE:
        own = node.nodes[:1] if node.name in _OWN and node.nodes[0].end > node.nodes[0].start else ()
        return own + tuple(_value(each) for each in node.nodes[1:])
    if node.kind is Construct.CALL and node.nodes[0].name in ("namespace", "plural"):
        return tuple(_value(each) for each in node.nodes[1:])
    if node.kind is Construct.SET and any("." in name for name in node.names):
        return node.nodes
    return ()


def _is_path(node: Node) -> bool:
    """Whether it is a name, or a member of one: short, and nothing is called to know it."""
    while node.kind is Construct.MEMBER:
        node = node.nodes[0]
    return node.kind is Construct.NAME


def _is_text(node: Node) -> bool:
    if node.kind is Construct.LITERAL:
        return node.name[:1] in ("'", '"')
    if node.kind is Construct.BINARY:
        return node.name == "~"
    return node.kind is Construct.FILTER and node.name in _TEXT_FILTERS


def _value(node: Node) -> Node:
    return node.nodes[0] if node.kind is Construct.KEYWORD else node


def _is_plain(node: Node) -> bool:
    if node.kind in (Construct.LITERAL, Construct.UNARY, Construct.TEST):
        return True
    if node.kind is Construct.BINARY:
        return node.name in _PLAIN_RESULTS
    return node.kind is Construct.FILTER and node.name in _PLAIN_FILTERS


def _by_place(node: Node) -> bool:
    return any(each.kind is not Construct.KEYWORD for each in node.nodes[1:])


def _is_formatted(node: Node) -> bool:
    """Whether `format` writes it as it prints: a text, or a number that is written there."""
    return _is_text(node) or (node.kind is Construct.LITERAL and node.name[:1].isdigit())


_GUARDS = {
    (Construct.BINARY, "~"): (TEXT_GUARD, _is_text),
    (Construct.FILTER, "~"): (TEXT_GUARD, _is_text),
    (Construct.FILTER, "format"): (FORMAT_GUARD, _is_formatted),
}


def _check_names(source: str, tree: Body, callables: set[str]) -> None:
    """Refuse functions, macros, modules and the loop as values: they are called, or asked for a member."""
    called = {id(node.nodes[0]) for node in walk(tree) if node.kind is Construct.CALL}
    asked = {id(node.nodes[0]) for node in walk(tree) if node.kind is Construct.MEMBER}
    modules = {name for node in walk(tree) if node.kind is Construct.IMPORT for name in node.names}
    for node in walk(tree):
        if node.kind is Construct.CALL and node.nodes[0].kind not in (Construct.NAME, Construct.MEMBER):
            raise refused(source, node, "calls what is no function")
        if node.kind is Construct.MEMBER and node.nodes[0].name in modules and id(node) not in called:
            raise refused(source, node, f"{node.nodes[0].name}.{node.name} is a macro: call it")
        if node.kind is not Construct.NAME:
            continue
        if node.name == "self":
            raise refused(source, node, "self is not there: set a variable, or a block, and print that twice")
        if node.name == "loop" and id(node) not in asked:
            raise refused(source, node, "loop is asked for a member, as in loop.index")
        if node.name in modules and id(node) not in asked:
            raise refused(source, node, f"{node.name} is asked for a macro, as in {node.name}.button()")
        if node.name in (callables - modules) | FUNCTIONS and id(node) not in called:
            raise refused(source, node, f"{node.name} is a function: call it")


def _check_calls(source: str, tree: Body) -> None:
    """Refuse macros that call themselves, be it by way of others, and calls that go too deep."""
    macros = {node.name: node for node in walk(tree) if node.kind is Construct.MACRO}
    calls = {name: _called(node) & macros.keys() for name, node in macros.items()}
    for name, node in macros.items():
        reached, row = {name}, {name}
        for depth in range(len(macros) + 1):
            row = {each for caller in row for each in calls[caller]}
            if name in row:
                raise refused(source, node, f"the macro {name} calls itself")
            if row and depth >= CALLS_DEEPEST:
                raise refused(source, node, f"the macro {name} calls more than {CALLS_DEEPEST} others in a row")
            reached |= row


def _called(macro: Node) -> set[str]:
    return {node.nodes[0].name for node in walk((macro,)) if node.kind is Construct.CALL}
