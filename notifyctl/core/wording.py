"""What a template says: its parts, its variables and its languages, as people give them and as they are stored."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from notifyctl.core import names
from notifyctl.core.content import canonical
from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.patterns import pattern

NAME_MAX = 100
SUBJECT_MAX = 255
TEXT_MAX = 1_000_000
"""How many characters a part may have: more would never be rendered."""

VALUE_DEEPEST = 50
"""Levels of lists and objects that a value of a variable may have."""
_TOO_DEEP = f"lists and objects in one another deeper than {VALUE_DEEPEST} levels"
_NUL = pattern(r"(?<!\\)(?:\\\\)*\\u0000")
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*", re.ASCII)
_UUID = pattern(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_VARIABLE = pattern(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


class TemplateKind(StrEnum):
    """What a template is for: to be sent, or to be a part of others."""

    MESSAGE = "message"
    LAYOUT = "layout"
    PARTIAL = "partial"


class TemplateState(StrEnum):
    """What can be done with a template: sent by it, nothing while it is disabled, or first publish it."""

    ACTIVE = "active"
    DISABLED = "disabled"
    DRAFT = "draft"


@dataclass(frozen=True, slots=True)
class Template:
    """A template without its text. `published_version` is 0 before the first one, `draft_version` waits for that.

    Times are milliseconds since the epoch.
    """

    id: str
    name: str
    message_type: str
    kind: str
    is_active: bool
    category: str | None
    published_version: int
    draft_version: int | None
    created_by: str
    username: str | None
    created_at: int
    updated_at: int

    @property
    def channel(self) -> Channel:
        """The channel."""
        return Channel(self.message_type)

    @property
    def state(self) -> TemplateState:
        """What it can be used for: a draft only before it was ever published."""
        if not self.is_active:
            return TemplateState.DISABLED
        return TemplateState.ACTIVE if self.published_version else TemplateState.DRAFT


PARTS: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject", "body", "html"),
    Channel.SMS: ("body",),
    Channel.PUSH: ("title", "body", "image", "data"),
}
"""The parts of a channel's templates, in the order in which they are shown."""

TemplateParts = Mapping[str, Any]
"""TemplateParts by name: each a template, but for `data`, an object of them."""


@dataclass(frozen=True, slots=True)
class Wording:
    """What a template says in one version: its parts, in `language`, and those of other languages by their tags.

    `variables` are what it is rendered from: names, or objects with name, type, default, example.
    """

    parts: TemplateParts
    variables: tuple[Any, ...] = ()
    language: str | None = None
    variants: Mapping[str, TemplateParts] | None = None

    def is_same(self, other: Wording) -> bool:
        """Whether another one says the same: as JSON has it, where 1, 1.0 and true are three things."""
        return self == other and _written(self.variables) == _written(other.variables)

    def with_parts(self, given: TemplateParts, variant: str | None = None) -> Wording:
        """Return it with parts replaced, in its own language or in another; an empty part is taken away."""
        if variant is None or variant == self.language:
            return replace(self, parts=_merged(self.parts, given))
        others = dict(self.variants or {})
        others[variant] = _merged(others.get(variant, {}), given)
        return replace(self, variants={tag: parts for tag, parts in others.items() if parts} or None)


def template_name(text: str) -> str:
    """Return a template's name as it is stored. Raises UsageError."""
    if len(text) > NAME_MAX or not _NAME.fullmatch(text) or _UUID.fullmatch(text):
        raise UsageError(
            f"{text[:NAME_MAX]!r} is no name of a template",
            f"a name is like welcome, order.shipped or layouts/base: at most {NAME_MAX} letters, digits, - _ . /",
        )
    return text


def variables(value: Any, where: str) -> tuple[Any, ...]:
    """Return declarations of variables; raise UsageError, which begins with `where`, for what is none."""
    if not isinstance(value, list):
        raise UsageError(f"{where}: must be an array of names or objects", _VARIABLES_HINT)
    seen: set[str] = set()
    for each in value:
        name = each.get("name") if isinstance(each, dict) else each
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"{where}: {json.dumps(name, ensure_ascii=False)} is no name of a variable", _VARIABLES_HINT
            )
        if name in seen:
            raise UsageError(f"{where}: {name} is declared twice")
        seen.add(name)
        if (wrong := _unwritable(each)) is not None:
            raise UsageError(f"{where}: {name}: its default or example holds {wrong}")
    return tuple(value)


def _unwritable(declaration: Any) -> str | None:
    """Return what of a declaration cannot be stored as JSON, or None."""
    try:
        written = json.dumps(declaration, ensure_ascii=False, allow_nan=False)
        written.encode()
    except UnicodeEncodeError:
        return "half a character, which is no text"
    except ValueError:
        return "a number that is too large, or none"
    except RecursionError:
        return _TOO_DEEP
    if _NUL.search(written):
        return "NUL (U+0000), which is no character of a text"
    return _TOO_DEEP if _is_deep(declaration) else None


def _is_deep(declaration: Any) -> bool:
    """Whether a value of it is nested deeper than templates take."""
    level = [declaration]
    for _ in range(VALUE_DEEPEST + 1):
        level = [each for one in level if isinstance(one, (dict, list)) for each in _members(one)]
    return any(isinstance(each, (dict, list)) for each in level)


def _members(of: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return of.values() if isinstance(of, dict) else of


def _written(variables: tuple[Any, ...]) -> str:
    return json.dumps(variables, sort_keys=True, default=str)


def checked(channel: Channel, kind: TemplateKind, said: Wording) -> Wording:
    """Return what was given, languages in their usual spelling; raise UsageError for what the channel does not have."""
    language = names.language(said.language) if said.language else None
    variants = {names.language(tag): parts for tag, parts in (said.variants or {}).items()}
    if language in variants:
        raise UsageError(f"variant {language}: is the template's own language", "give those parts without --variant")
    for tag, parts in ((None, said.parts), *variants.items()):
        where = "" if tag is None else f"variant {tag}: "
        _check_parts(channel, parts, where)
    if kind is TemplateKind.MESSAGE and not (said.parts.get("body") or said.parts.get("html")):
        raise UsageError("the template has no body", "--body B, --body-file F" + _OR_HTML.get(channel, ""))
    if kind is not TemplateKind.MESSAGE and not any(said.parts.values()):
        raise UsageError(f"the {kind} has no text", "--body B or --body-file F" + _OR_HTML.get(channel, ""))
    return replace(said, language=language, variants=variants or None)


_OR_HTML = {Channel.EMAIL: ", --html-file F"}
_VARIABLES_HINT = """["name", {"name": "count", "type": "integer", "default": 1, "example": 3}]"""


_DATA_HINT = """--data '{"order": "{{ order.id }}"}'"""


def _merged(old: TemplateParts, new: TemplateParts) -> dict[str, Any]:
    return {name: value for name, value in {**old, **new}.items() if value not in ("", None, {})}


def _check_parts(channel: Channel, parts: TemplateParts, where: str) -> None:
    for name, value in parts.items():
        if name not in PARTS[channel]:
            hint = f"it has {', '.join(PARTS[channel])}"
            raise UsageError(f"{where}{name}: a template for {channel} has none", hint)
        if name == "data" and not isinstance(value, dict):
            raise UsageError(f"{where}data: must be an object of texts", _DATA_HINT)
        if name == "data" and (odd := next((key for key, each in value.items() if not isinstance(each, str)), None)):
            raise UsageError(f"{where}data.{odd}: must be a text, as all that a push carries", _DATA_HINT)
        text = canonical(value) if name == "data" else value
        if not isinstance(text, str) or len(text) > TEXT_MAX:
            raise UsageError(f"{where}{name}: must be a text of at most {TEXT_MAX:,} characters")
        _require_storable(text, f"{where}{name}")
    if len(parts.get("subject") or "") > SUBJECT_MAX:
        raise UsageError(f"{where}subject: is longer than {SUBJECT_MAX} characters")


def _require_storable(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{where}: holds bytes that are no text in UTF-8") from None
    if "\0" in text:
        raise UsageError(f"{where}: holds NUL (U+0000), which is no character of a text")
