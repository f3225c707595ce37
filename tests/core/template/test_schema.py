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
            try:
                supplied(source, {"x": value})
                taken = True
            except TemplateError:
                taken = False
            assert validator.is_valid({"x": value}) == taken, (of, value)
            assert not taken or of is not kind or value in VALUES[kind]


@pytest.mark.parametrize(
    ("text", "is_date"),
    [
        ("2026-03-29", True),
        ("2026-03-29T01:30", True),
        ("2026-03-29 01:30:59.5+0200", True),
        ("2024-02-29", True),
        ("2000-02-29T00:00:00-03:30", True),
        ("2026-02-29", False),
        ("1900-02-29", False),
        ("2026-04-31", False),
        ("2026-03-29T25:00", False),
        ("2026-03-29T01:60Z", False),
        ("2026-3-29", False),
        ("29.03.2026", False),
        ("", False),
    ],
)
def test_a_date_is_one_of_the_calendar_for_the_schema_too(text: str, is_date: bool) -> None:
    """Whether a validator looks at formats or not."""
    source = Source("t", Channel.SMS, {"body": ""}, variables=variables([{"name": "x", "type": "date"}]))
    assert jsonschema.Draft202012Validator(json_schema(source)).is_valid({"x": text}) == is_date
    if is_date:
        supplied(source, {"x": text})
    else:
        with pytest.raises(TemplateError, match="not a date"):
            supplied(source, {"x": text})
