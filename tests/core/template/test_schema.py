"""What a template takes, for applications."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from notifyctl.core.model import Channel
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import supplied
from notifyctl.core.template.schema import json_schema
from notifyctl.core.template.source import Source, VariableType, variables

VALUES: dict[VariableType, list[Any]] = {
    VariableType.ANY: ["x", 1, None, []],
    VariableType.STRING: ["x", ""],
    VariableType.NUMBER: [1, 1.5],
    VariableType.INTEGER: [1, 2.0],
    VariableType.BOOLEAN: [True],
    VariableType.ARRAY: [[], [1]],
    VariableType.OBJECT: [{}, {"a": 1}],
    VariableType.DATE: ["2026-03-29", "2026-03-29T01:30:00Z"],
}


def test_required_is_what_has_no_default() -> None:
    """Defaults and examples are told, and what an included layout takes is among them."""
    footer = Source("footer", Channel.SMS, {"body": "{{ city }}"}, variables=variables(["city"]))
    declared = variables(["name", {"name": "n", "type": "integer", "default": 1, "example": 3}])
    schema = json_schema(Source("t", Channel.SMS, {"body": ""}, variables=declared, includes={"footer": footer}))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "t",
        "type": "object",
        "properties": {"city": {}, "name": {}, "n": {"type": "integer", "default": 1, "examples": [3]}},
        "required": ["city", "name"],
        "additionalProperties": True,
    }


@pytest.mark.parametrize("kind", VariableType)
def test_the_schema_takes_what_the_template_takes(kind: VariableType) -> None:
    """Whatever passes one of the two passes the other, so that an application can check before it submits."""
    source = Source("t", Channel.SMS, {"body": ""}, variables=variables([{"name": "x", "type": kind.value}]))
    validator = jsonschema.Draft202012Validator(json_schema(source))
    for of, values in VALUES.items():
        for value in values:
            if kind is VariableType.DATE and of is VariableType.STRING:
                continue  # formats are told, not checked by every validator
            try:
                supplied(source, {"x": value})
                taken = True
            except TemplateError:
                taken = False
            if kind is VariableType.DATE and isinstance(value, str):
                taken = True
            assert validator.is_valid({"x": value}) == taken, (of, value)
            assert not taken or of is not kind or value in VALUES[kind]
