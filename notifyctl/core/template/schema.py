"""What a template takes, as a JSON Schema: from it an application's types and checks are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from notifyctl.core.template.source import DATE, UNSET, Source, Variable, VariableType

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(source: Source) -> dict[str, Any]:
    """Return the schema of the object of variables; what has no default is required, what is not declared allowed."""
    variables = source.every_variable
    return {
        "$schema": DIALECT,
        "title": source.name,
        "type": "object",
        "properties": {name: _property(each) for name, each in variables.items()},
        "required": [name for name, each in variables.items() if each.default is UNSET],
        "additionalProperties": True,
    }


def _property(variable: Variable) -> dict[str, Any]:
    said = dict(_TYPES[variable.type])
    if variable.default is None and "type" in said:
        said["type"] = [said["type"], "null"]  # a default of null is a value that may be given too
    if variable.default is not UNSET:
        said["default"] = variable.default
    if variable.example is not UNSET:
        said["examples"] = [variable.example]
    return said


_TYPES: Mapping[VariableType, Mapping[str, Any]] = {
    VariableType.ANY: {},
    **{each: {"type": each.value} for each in VariableType if each not in (VariableType.ANY, VariableType.DATE)},
    # Not `format`: a time without its zone is none of those, and few validators look at it.
    VariableType.DATE: {"type": "string", "pattern": f"^({DATE})$"},
}
