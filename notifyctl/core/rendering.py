"""From a template to what a provider is to deliver: the one way, for what is sent, previewed and warned of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from notifyctl.core.content import VARIABLES
from notifyctl.core.model import Message
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import Source, Variable, VariableType, unfit

_WRITTEN = frozenset({VariableType.NUMBER, VariableType.INTEGER, VariableType.BOOLEAN})


def render(renderer: Renderer, source: Source, message: Message) -> Message:
    """Return the message with its text, in the language of who reads it. Raises TemplateError.

    What its payload says beside the variables goes along; of a push's data both, the payload's first.
    """
    values = message.content.get(VARIABLES, {})
    if type(values) is not dict and not isinstance(values, Mapping):
        raise TemplateError(f"{VARIABLES} must be an object", template=source.name)
    language = None if message.template is None else message.template.language
    content = renderer.render(source, _typed(source, values), language)
    for name, value in message.content.items():
        if name == VARIABLES:
            continue
        both = name in content and isinstance(value, Mapping) and isinstance(content[name], Mapping)
        content[name] = {**content[name], **value} if both else value
    return message.rendered(content)


def _typed(source: Source, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the values; a number or a truth value that was written as text, as on a command line, as what it is."""
    found: list[Variable] | None = source.made.get("written")
    if found is None:
        found = source.made["written"] = [each for each in source.every_variable.values() if each.type in _WRITTEN]
    if not found:
        return values
    read = {each.name: _read(values[each.name], each.type) for each in found if isinstance(values.get(each.name), str)}
    return {**values, **read} if read else values


def _read(text: str, kind: VariableType) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    # What is written as a number is one, also where another type was declared: that is what is told.
    return value if isinstance(value, (int, float)) or not unfit(value, kind) else text
