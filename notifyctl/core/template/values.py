"""What passes between a template and its engine: values as JSON has them, and how each of them prints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from json.encoder import encode_basestring as _quoted
from typing import Any

from notifyctl.core import json_codec
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.wording import VALUE_DEEPEST

Escape = Callable[[str], str]

DEEPEST = VALUE_DEEPEST
_LARGEST = 2**127
_SMALL = 32 * 1024
# The first of them stands in what the others become.
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;"), ("/", "&#x2f;"))
_MACRO = {"name", "arguments", "caller"}  # what the engine says of one


class ObjectValue:
    """An object as a template sees it: its members and nothing else, where a dict would have its methods too.

    `items` says to the engine that it is a mapping; as a member that is not there it is undefined like any other.
    """

    __slots__ = ("_asked", "_members")

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self._asked = False

    def __getitem__(self, name: str) -> Any:
        try:
            return self._members[name]
        except KeyError:
            self._asked = True
            raise

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectValue) and self._members == other._members

    def __hash__(self) -> int:
        return hash(frozenset(self._members))

    def __str__(self) -> str:
        return as_json(self)

    @property
    def items(self) -> None:
        """Nothing: only that it is there counts, unless it was looked for as a member just before."""
        asked, self._asked = self._asked, False
        if asked:
            raise AttributeError("items")


class ListValue:
    """A list as a template sees it: its items and nothing else, where a list would have its methods too.

    The engine asks for those that it needs; a tuple it would convert whole wherever its name stands.
    """

    __slots__ = ("_items",)

    def __init__(self, items: tuple[Any, ...]) -> None:
        self._items = items

    def __getitem__(self, place: Any) -> Any:
        return self._items[place]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ListValue) and self._items == other._items

    def __hash__(self) -> int:
        return hash(self._items)

    def __str__(self) -> str:
        return as_json(self)


Sequence.register(ListValue)  # which tells the engine that it is one
LISTS = (list, tuple, ListValue)
"""What a list may be that comes from the engine: one that a template made, or one that it was given."""


class LargeInteger(str):
    """An integer that the engine has no room for, by its digits: within lists and objects it is printed as one."""

    __slots__ = ()


class TakenValues:
    """The values of one notification, looked through once for all its parts. Raises TemplateError for unfit ones.

    `plain` are they as `json` gives them; `small` says that they are few and short, `escape` how HTML escapes the texts
    among them, None where nothing in them has to be escaped.
    """

    __slots__ = ("_taken", "escape", "plain", "small")

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.plain = values
        self.escape: Escape | None
        self._taken: dict[str, Any] | None = None
        written = json_codec.at_once(values)
        if written is None:
            self.small, self.escape = False, escaped
            _ = self.taken
            return
        text = written.decode()
        self.small = len(written) <= _SMALL
        self.escape = _escape(text)
        # A null may have been no number; what opens often may be too deep.
        if "null" in text or (_nests(text) and text.count("{") + text.count("[") > DEEPEST):
            _ = self.taken

    @property
    def taken(self) -> dict[str, Any]:
        """Return them as the engine takes them, which costs something."""
        if self._taken is None:
            self._taken = {name: _given(value, name, 0) for name, value in self.plain.items()}
        return self._taken


def given(values: Mapping[str, Any] | TakenValues) -> TakenValues:
    """Return values, looked through. Raises TemplateError for one that JSON does not have."""
    return values if isinstance(values, TakenValues) else TakenValues(values)


def as_json(value: Any, indent: int = 0) -> str:
    """Return a value as JSON, objects and whatever the engine makes of lists too; its numbers as they print alone.

    With `indent` each member stands on a line of its own, so many spaces further to the right.
    """
    found: list[str] = []
    _write_json(value, found.append, "\n" if indent else "", indent)
    return "".join(found)


def _write_json(value: Any, write: Callable[[str], object], end: str, indent: int) -> None:
    if isinstance(value, (ObjectValue, dict)):
        members = ((f"{_quoted(_name(name))}: ", value[name]) for name in value)
        _write_members("{}", members, write, end, indent)
    elif isinstance(value, LISTS):
        _write_members("[]", (("", each) for each in value), write, end, indent)
    elif isinstance(value, str):
        write(value if isinstance(value, LargeInteger) else _quoted(value))
    elif value is None or isinstance(value, (bool, int, float)):
        write("null" if value is None else printed(value))
    else:
        raise TemplateError(f"a {type(value).__name__} cannot be printed")


def _name(of: Any) -> str:
    """Return the name of a member: that of one which a template made may be no text."""
    return "null" if of is None else printed(of)


def _write_members(
    brackets: str, members: Iterable[tuple[str, Any]], write: Callable[[str], object], end: str, indent: int
) -> None:
    inner = end and end + " " * indent
    before, between = brackets[0] + inner, f",{inner or ' '}"
    for name, value in members:
        write(f"{before}{name}")
        _write_json(value, write, inner, indent)
        before = between
    write(brackets if before is not between else end + brackets[1])


def printed(value: Any) -> str:
    """Return what `{{ }}` prints."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict) and value.keys() == _MACRO:
        raise TemplateError("a macro cannot be printed")
    return value if isinstance(value, str) else as_json(value)


def escaped(text: str) -> str:
    """Return a text as HTML has it."""
    for character, name in _ESCAPES:
        if character in text:
            text = text.replace(character, name)
    return text


def _escape(text: str) -> Escape | None:
    """Return how HTML escapes the texts in compact JSON; None where there is nothing to be escaped."""
    if "&" in text or "<" in text or ">" in text or "'" in text or "\\" in text:  # a backslash stands before a quote
        return escaped
    return _with_slashes if "/" in text else None


def _nests(text: str) -> bool:
    """Return whether there may be lists or objects in an object that compact JSON writes."""
    return "[" in text or '":{' in text


def _with_slashes(text: str) -> str:
    return text.replace("/", "&#x2f;")  # what a link has, and often nothing else


def joined(values: Any, attribute: str | None = None) -> list[str]:
    """Return the values, or that member of each, as they print."""
    if not isinstance(values, LISTS):
        raise TemplateError("join: there is no list to be joined")
    if attribute is not None:
        if (reason := lacking(values, attribute)) is not None:
            raise TemplateError(f"join: the list {reason}")
        path = str(attribute).split(".")
        values = [_member(each, path) for each in values]
    return [printed(value) for value in values]


def is_marked(text: str) -> bool:
    """Whether a text is marked as safe."""
    return hasattr(text, "__html__")


def lacking(values: Any, attribute: Any) -> str | None:
    """Return why not each of some values has a member, `a.b` that of a member; None where each has it."""
    if not isinstance(values, LISTS):
        return None
    path = str(attribute).split(".")
    for number, each in enumerate(values, 1):
        try:
            _member(each, path)
        except (LookupError, TypeError, ValueError):
            return f"has no {attribute} in item {number}"
    return None


def _member(value: Any, path: list[str]) -> Any:
    for name in path:
        value = value[int(name) if isinstance(value, LISTS) else name]
    return value


def replaced(text: str, old: str, new: str, most: int) -> str:
    """Return the text with `old` replaced, of at most that many characters."""
    if not old:
        raise TemplateError("replace: there is nothing to be replaced")
    if len(text) + text.count(old) * (len(new) - len(old)) > most:
        raise TemplateError("replace: the text becomes too long")
    return text.replace(old, new)


def unfit(value: Any) -> str | None:
    """Return why a value cannot become a part of another one, or None."""
    if value is None or isinstance(value, (str, int, float)):
        return None
    return "is a list or an object, which cannot become a part of another value"


def number(value: float) -> str:
    """Return a number with the fewest digits that read back as the same one, without an exponent: `2` for `2.0`."""
    text = json_codec.number(value)
    if "e" not in text and text[-1].isdigit():  # as nearly all
        return text.removesuffix(".0") if value else "0"
    if not math.isfinite(value):
        raise TemplateError("a number is too large, or no number")
    return format(Decimal(text), ".0f" if value.is_integer() else "f")


def _given(value: Any, name: str, depth: int) -> Any:
    """Return a value as the engine takes it."""
    if type(value) is str and value.isascii():  # nearly all of them
        return value
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return _text(value, name)
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value < _LARGEST else LargeInteger(int(value))
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TemplateError(f"{name} is {value}, which is no number of JSON", variable=name)
        return float(value)
    if depth >= DEEPEST:
        raise TemplateError(f"{name} is nested too deep", variable=name)
    if isinstance(value, (list, tuple)):
        return ListValue(tuple(_given(each, name, depth + 1) for each in value))
    if isinstance(value, Mapping):
        return ObjectValue({_text(key, name): _given(each, name, depth + 1) for key, each in value.items()})
    raise TemplateError(f"{name} is a {type(value).__name__}, which JSON does not have", variable=name)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TemplateError(f"{name} has a name of a member that is no text", variable=name)
    text = value if type(value) is str else str.__str__(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise TemplateError(f"{name} holds half a character, which is no text", variable=name) from None
    return text
