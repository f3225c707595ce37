"""Values are looked through as what JSON writes of them: quickly, and with the answers of who looks at each."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notifyctl.core import json_codec
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.values import DEEPEST, TakenValues, number

NAMES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;", "'": "&#x27;", "/": "&#x2f;"}

_characters = st.sampled_from([*NAMES, "\\", "a", "ä", "\n", "\x01", "{", "[", "]", ":", "null", '":{'])
_texts = st.lists(_characters, max_size=6).map("".join)
_scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | _texts
_values = st.recursive(
    _scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(_texts, each, max_size=3), max_leaves=8
)
_members = st.dictionaries(_texts, _values, max_size=4)


def _every(value: Any) -> list[Any]:
    """Return a value with all that is in it."""
    inside = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(found for each in inside for found in _every(each))]


@given(_members)
def test_each_text_is_escaped_as_character_by_character(values: dict[str, Any]) -> None:
    """How texts are escaped is decided once for all of them, and is right for each."""
    try:
        escape = TakenValues(values).escape
    except TemplateError:
        return
    for text in (each for each in _every(values) if isinstance(each, str)):
        assert (text if escape is None else escape(text)) == "".join(NAMES.get(each, each) for each in text)


@given(_members)
def test_what_is_no_number_is_refused_and_null_is_not(values: dict[str, Any]) -> None:
    """JSON writes both alike."""
    has_number = all(math.isfinite(each) for each in _every(values) if isinstance(each, float))
    try:
        TakenValues(values)
    except TemplateError:
        assert not has_number
    else:
        assert has_number


@pytest.mark.parametrize("kind", ["list", "object", "both", "beside many"])
@pytest.mark.parametrize("levels", [DEEPEST - 1, DEEPEST, DEEPEST + 1, DEEPEST + 20])
def test_values_are_as_deep_as_the_engine_takes(kind: str, levels: int) -> None:
    """By levels of lists and objects, however many of them stand beside each other."""
    opening = {"list": "[", "object": '{"a":', "both": '[{"a":', "beside many": "["}[kind]
    inner = "[" * (levels - 1) if kind == "both" else opening * levels
    closing = "".join("}" if each == "{" else "]" for each in reversed(inner) if each in "{[")
    values = {"x": json.loads(f"{inner}1{closing}"), "many": [[]] * 60 if kind == "beside many" else 0}
    if kind == "both":
        values = {"x": {"a": values["x"]}}
    if levels <= DEEPEST:
        TakenValues(values)
    else:
        with pytest.raises(TemplateError, match="nested too deep"):
            TakenValues(values)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e16)
@example(9007199254740993.0)
@example(5e-324)
@example(-0.0)
@example(1e22)
@example(0.1 + 0.2)
def test_a_number_has_the_digits_that_python_writes(value: float) -> None:
    """Whatever writes them: the fewest that read back as it, and nothing behind a point where there is nothing."""
    plain = format(Decimal(repr(value)), "f")
    whole, _, places = plain.partition(".")
    expected = whole if not places.strip("0") else plain
    assert number(value) == ("0" if not value else expected)


def test_a_number_that_was_written_otherwise_prints_as_any_other() -> None:
    """What an operator gives is read with its places (`json_codec.Exact`), which templates do not print."""
    given_so = json_codec.exact("1.50")
    assert type(given_so) is not float
    assert number(given_so) == "1.5"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_not_printed(value: float) -> None:
    """Not as null either."""
    with pytest.raises(TemplateError, match="no number"):
        number(value)
