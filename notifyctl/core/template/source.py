"""What a template is: its parts in its languages, its variables, and what it includes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import field
from enum import Enum, StrEnum
from functools import cached_property
from typing import Any

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.patterns import pattern


class VariableType(StrEnum):
    """What a variable holds; ANY is what a bare name declares. A date is text, as in `2026-03-29`."""

    ANY = "any"
    STRING = "string"
    NUMBER = "number"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"
    DATE = "date"


class Unset(Enum):
    """That there is no default, or no example: null could be one."""

    UNSET = "unset"


UNSET = Unset.UNSET


@dataclass(frozen=True, slots=True)
class Variable:
    """One that a template is rendered from. Without a default it has to be given."""

    name: str
    type: VariableType = VariableType.ANY
    default: Any = UNSET
    example: Any = UNSET


@dataclass(frozen=True)
class Source:
    """One version of a template, with the versions of what it includes.

    `parts` are texts by name (email: subject, body, html; sms: body; push: title, body, image, and data, an object of
    texts), in `language`; `variants` those of other languages by their tags: what a variant does not have, it has from
    `parts`. `includes` has what `{% include %}`, `{% extends %}` and `{% import %}` may name, each pinned to its
    version by being that version. `marketing` says whether its category is of that kind.
    """

    name: str
    channel: Channel
    parts: Mapping[str, Any]
    language: str | None = None
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: tuple[Variable, ...] = ()
    includes: Mapping[str, Source] = field(default_factory=dict)
    category: str | None = None
    marketing: bool = False

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What was made of it, for those who make that."""
        return {}

    @cached_property
    def every_variable(self) -> Mapping[str, Variable]:
        """Its variables and, where it does not declare them itself, those of what it includes, by name."""
        found: dict[str, Variable] = {}
        for each in self.includes.values():
            found |= each.every_variable
        return found | {each.name: each for each in self.variables}

    def in_language(self, tag: str | None) -> Mapping[str, Any]:
        """Return the parts in the language of that tag, which is one of `variants` or the template's own."""
        variant = self.variants.get(tag or "", {})
        return {**self.parts, **variant} if variant else self.parts


def variables(declared: Any, where: str = "variables") -> tuple[Variable, ...]:
    """Return the variables that a JSON array declares, or its text: an element is a name or an object.

    Raises UsageError, which begins with `where`, for what declares none.
    """
    if isinstance(declared, str):
        declared = _json(declared, where)
    if declared is None:
        return ()
    if not isinstance(declared, (list, tuple)):
        raise UsageError(f"{where}: must be an array of names or objects", _HINT)
    found = tuple(_variable(each, where) for each in declared)
    names = [each.name for each in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{where}: {twice} is declared twice")
    return found


def declared(found: Iterable[Variable]) -> list[Any]:
    """Return variables as they are stored: a name where there is nothing else to say."""
    return [_declaration(each) for each in found]


def unfit(value: Any, kind: VariableType) -> str | None:
    """Return why a value is not of that type, or None: `is text, not an integer`."""
    if _FITS[kind](value):
        return None
    return f"is {described(value)}, not {_ARTICLES[kind]}"


def described(value: Any) -> str:
    """Return what a JSON value is, for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a number" if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return "text" if value else "empty text"
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, (list, tuple)) else type(value).__name__


_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LEAP = "([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DAY = (
    "[0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    f"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29"
)
_HOUR = "([01][0-9]|2[0-3])"
DATE = rf"({_DAY})([T ]{_HOUR}:[0-5][0-9](:([0-5][0-9]|60)(\.[0-9]+)?)?(Z|[+-]{_HOUR}:?[0-5][0-9])?)?"
"""A date of the calendar, and perhaps a time, as a pattern that JSON Schema has, too."""
_DATE = pattern(DATE, re.ASCII)
_FIELDS = ("name", "type", "default", "example")
_RESERVED = frozenset(
    {"true", "false", "none", "True", "False", "None", "and", "or", "not", "in", "is", "if", "else"}
) | {"loop", "self", "range", "namespace", "plural"}
_HINT = """["name", {"name": "count", "type": "integer", "default": 1, "example": 3}]"""

_ARTICLES: Mapping[VariableType, str] = {
    VariableType.ANY: "anything",
    VariableType.STRING: "text",
    VariableType.NUMBER: "a number",
    VariableType.INTEGER: "an integer",
    VariableType.BOOLEAN: "a boolean",
    VariableType.ARRAY: "an array",
    VariableType.OBJECT: "an object",
    VariableType.DATE: "a date like 2026-03-29",
}


def _is_integer(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and value.is_integer()  # 3.0 is an integer in JSON Schema
    )


_FITS: Mapping[VariableType, Any] = {
    VariableType.ANY: lambda value: True,
    VariableType.STRING: lambda value: isinstance(value, str),
    VariableType.NUMBER: lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    VariableType.INTEGER: _is_integer,
    VariableType.BOOLEAN: lambda value: isinstance(value, bool),
    VariableType.ARRAY: lambda value: isinstance(value, (list, tuple)),
    VariableType.OBJECT: lambda value: isinstance(value, Mapping),
    VariableType.DATE: lambda value: isinstance(value, str) and _DATE.fullmatch(value) is not None,
}


def _json(text: str, where: str) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{where}: is not JSON", _HINT) from None


def _variable(given: Any, where: str) -> Variable:
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        raise UsageError(f"{where}: {described(given)} declares no variable", _HINT)
    name = given.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
        shown = json.dumps(name, ensure_ascii=False, default=str)
        raise UsageError(f"{where}: {shown} is no name of a variable", _HINT)
    if unknown := sorted(str(key) for key in given if key not in _FIELDS):
        raise UsageError(f"{where}: {name}: there is no {', '.join(unknown)}", f"it has {', '.join(_FIELDS)}")
    kind = _type(given.get("type"), f"{where}: {name}")
    found = Variable(name, kind, given.get("default", UNSET), given.get("example", UNSET))
    for what, value in (("default", found.default), ("example", found.example)):
        if value not in (UNSET, None) and (wrong := unfit(value, kind)):
            raise UsageError(f"{where}: {name}: its {what} {wrong}")
    return found


def _type(given: Any, where: str) -> VariableType:
    if given is None:
        return VariableType.ANY
    try:
        return VariableType(given)
    except ValueError:
        types = ", ".join(VariableType)
        raise UsageError(f"{where}: there is no type {json.dumps(given, default=str)}", f"it is of {types}") from None


def _declaration(variable: Variable) -> Any:
    said: dict[str, Any] = {"name": variable.name}
    if variable.type is not VariableType.ANY:
        said["type"] = variable.type.value
    for what, value in (("default", variable.default), ("example", variable.example)):
        if value is not UNSET:
            said[what] = value
    return said if len(said) > 1 else variable.name
