"""From a template and values to what a notification says: the content that `core.content` has payloads of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Channel
from notifyctl.core.template import html, language, plaintext
from notifyctl.core.template.engine import Engine
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import UNSET, Source, Variable, VariableType, unfit
from notifyctl.core.template.unit import Unit, UnitSet
from notifyctl.core.template.values import TakenValues

NO_TEXT = "(no text)"
"""What stands beside HTML that says nothing, not even its subject: a mail's part is never empty."""
SUBJECT_LONGEST = 998
"""Characters of a subject when it is rendered: a line of a mail has no more."""


class Renderer:
    """Renders templates; one for a process, shared by its threads. It keeps what was compiled, by what it says.

    `tag` is the language of who reads it, None where nobody knows: the template's own language is taken.
    """

    def __init__(self) -> None:
        self._engine = Engine(language.FUNCTIONS)

    def render(self, source: Source, values: Mapping[str, Any], tag: str | None = None) -> dict[str, Any]:
        """Return the content: email {subject, text, html}, sms {body}, push {title, body, image, data}.

        What the template does not have is left out; a mail with HTML always has a text. Raises TemplateError, which
        names the template, the part, and the variable where one is missing or of a wrong type.
        """
        spoken = language.chosen(source, tag)
        taken = checked_values(source, values)
        parts = _parts(source, spoken)
        said, styled = parts.at_once(taken), parts.may_have_styles
        if said is None or not parts.holds or len(said) < len(parts.units):
            with language.Speaking(spoken or "en"):
                said, styled = self._engine.render_others(parts, taken, said), True
        if source.channel is Channel.EMAIL:
            return _mail(source, said, styled=styled)
        return _FINISH[source.channel](source, said)

    def render_part(self, source: Source, part: str, values: Mapping[str, Any], tag: str | None = None) -> str:
        """Return one part alone, as it is rendered. Raises TemplateError."""
        spoken = language.chosen(source, tag)
        with language.Speaking(spoken or "en"):
            return self._engine.render(unit(source, part, spoken), checked_values(source, values))

    def check(self, source: Source) -> None:
        """Raise TemplateError unless all parts in all languages are written as templates are."""
        for tag in (source.language, *source.variants):
            for name in part_names(source, tag):
                self.check_part(source, name, tag)

    def check_part(self, source: Source, part: str, tag: str | None = None) -> None:
        """Raise TemplateError unless a part in a language is written as templates are."""
        self._engine.check(unit(source, part, tag))


def part_names(source: Source, tag: str | None) -> list[str]:
    """Return the names of the parts that say something in a language, one of the data as `data.key`."""
    return [each.part for each in _parts(source, tag).units]


def _parts(source: Source, tag: str | None) -> UnitSet:
    """Return the parts that say something in a language, as the engine renders them."""
    known: UnitSet | None = source.made.get(("parts", tag))
    if known is not None:
        return known
    names: list[str] = []
    for name, text in source.in_language(tag).items():
        if isinstance(text, Mapping):
            names += [f"{name}.{key}" for key in text]
        elif text:
            names.append(name)
    found = source.made["parts", tag] = UnitSet(unit(source, name, tag) for name in names)
    return found


def checked_values(source: Source, values: Mapping[str, Any]) -> TakenValues:
    """Return what `supplied` does, as the engine takes it. Raises TemplateError."""
    try:
        return TakenValues(supplied(source, values))
    except TemplateError as error:
        raise error.at(source.name, "") from None


def supplied(source: Source, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values with the defaults of those that are not given. Raises TemplateError for a type that is wrong.

    What is not declared is let through.
    """
    particular = _particular(source)
    if not particular:
        return values
    found = dict(values)
    for variable in particular:
        if variable.name not in found and variable.default is not UNSET:
            found[variable.name] = variable.default
        if variable.name in found:
            _check(source, variable, found[variable.name])
    return found


def unit(source: Source, part: str, tag: str | None) -> Unit:
    """Return a part in a language with what it includes, as the engine renders it; `data.key` is one of the data."""
    found = source.made.get((part, tag))
    if found is None:
        found = Unit(source.name, part, _text(source, part, tag), part == "html", _included(source, part, tag))
        source.made[part, tag] = found
    return found


def _particular(source: Source) -> list[Variable]:
    """Return the variables of which more is declared than the name."""
    known: list[Variable] | None = source.made.get("particular")
    if known is None:
        every = source.every_variable.values()
        known = [each for each in every if each.type is not VariableType.ANY or each.default is not UNSET]
        source.made["particular"] = known
    return known


def _check(source: Source, variable: Variable, value: Any) -> None:
    if value is None and variable.default is None:
        return
    if wrong := unfit(value, variable.type):
        as_text = isinstance(value, str) and variable.type in (VariableType.ARRAY, VariableType.OBJECT)
        hint = f"--var '{variable.name}:=JSON'" if as_text else None
        raise TemplateError(f"{variable.name} {wrong}", template=source.name, variable=variable.name, hint=hint)


def _text(source: Source, part: str, tag: str | None) -> str:
    """Return a part's text; what is included has a body at least, which stands in for other parts."""
    parts = source.in_language(tag)
    name, _, key = part.partition(".")
    text = parts.get(name, {}).get(key) if key else parts.get(name)
    return str(text or parts.get("body") or "")


def _included(source: Source, part: str, tag: str | None) -> Mapping[str, Unit]:
    return {name: unit(each, part, language.chosen(each, tag)) for name, each in source.includes.items()}


def _mail(source: Source, parts: Mapping[str, str], *, styled: bool) -> dict[str, Any]:
    """Return what a mail says; `styled`: there may be a style sheet in its HTML."""
    content: dict[str, Any] = {}
    if "subject" in parts:
        content["subject"] = _one_line(source, parts["subject"])
    markup, text = parts.get("html", ""), parts.get("body", "")
    if not markup:
        content["text"] = text
        return content
    try:
        markup = html.inline(markup) if styled else markup
        if not text or text.isspace():
            text = plaintext.text(markup) or content.get("subject") or NO_TEXT
    except TemplateError as error:
        raise error.at(source.name, "html") from None
    content["text"], content["html"] = text, markup
    return content


def _one_line(source: Source, subject: str) -> str:
    text = subject.strip()
    if not text.isprintable() and len(text.splitlines()) > 1:  # no line end can be printed
        raise TemplateError("has more than one line", template=source.name, part="subject")
    if len(text) > SUBJECT_LONGEST:
        raise TemplateError(f"is longer than {SUBJECT_LONGEST} characters", template=source.name, part="subject")
    return text


def _sms(source: Source, parts: dict[str, Any]) -> dict[str, Any]:
    return {"body": parts.get("body", "")}


def _push(source: Source, parts: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {name: parts[name] for name in ("title", "body", "image") if parts.get(name)}
    data = {name.removeprefix("data."): text for name, text in parts.items() if name.startswith("data.")}
    return {**content, "data": data} if data else content


_FINISH = {Channel.SMS: _sms, Channel.PUSH: _push}
