"""What a template declares, and which of its modules know the engine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import notifyctl
from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import UNSET, Source, Variable, VariableType, declared, variables

PACKAGE = Path(notifyctl.__file__).parent


def test_one_module_knows_the_engine() -> None:
    """Another engine takes its place by another `engine.py`; the language itself is parsed without it."""
    users = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(r"^\s*(import|from) minijinja", path.read_text("utf-8"), re.MULTILINE)
    }
    assert users == {"core/template/engine.py"}


def test_elements_are_names_or_objects() -> None:
    """Both as the column stores them, an array of JSON, and as a list."""
    stored = ["name", {"name": "n", "type": "integer", "default": 0}, {"name": "o", "example": {"a": 1}}]
    found = (
        Variable("name"),
        Variable("n", VariableType.INTEGER, 0),
        Variable("o", VariableType.ANY, UNSET, {"a": 1}),
    )
    assert variables(stored) == variables(json.dumps(stored)) == found
    assert declared(found) == stored
    assert variables(None) == variables("") == variables([]) == ()


@given(
    st.lists(
        st.builds(Variable, st.from_regex(r"\A[a-z]{6}\Z"), default=st.sampled_from([UNSET, None, 1, "x", [1]])),
        unique_by=lambda each: each.name,
        max_size=5,
    )
)
def test_what_was_declared_is_read_again(found: list[Variable]) -> None:
    """Null is a default of its own, other than none."""
    assert list(variables(declared(found))) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "variables: is not JSON"),
        ("{}", "variables: must be an array of names or objects"),
        ([1], "variables: an integer declares no variable"),
        (["a b"], 'variables: "a b" is no name of a variable'),
        (["loop"], 'variables: "loop" is no name of a variable'),
        (["a", {"name": "a"}], "variables: a is declared twice"),
        ([{"name": "a", "typ": "x"}], "variables: a: there is no typ"),
        ([{"name": "a", "type": "int"}], 'variables: a: there is no type "int"'),
        ([{"name": "a", "type": "integer", "default": "1"}], "variables: a: its default is text, not an integer"),
        ([{"name": "a", "type": "date", "example": "29.3."}], "variables: a: its example is text, not a date like"),
    ],
)
def test_what_declares_nothing_is_refused(given: Any, message: str) -> None:
    """The message names the variable and what is wrong with it."""
    with pytest.raises(UsageError) as caught:
        variables(given)
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    ("subject", "reason"), [("a\nb", "has more than one line"), ("{{ n }}" * 300, "is longer than 998 characters")]
)
def test_a_subject_is_one_line(subject: str, reason: str) -> None:
    """A second line would be a header of the sender's choice."""
    source = Source("t", Channel.EMAIL, {"subject": subject, "body": "x"})
    with pytest.raises(TemplateError, match=f"t subject: {reason}"):
        Renderer().render(source, {"n": "abcd"})
    injected = Source("t", Channel.EMAIL, {"subject": "{{ n }}", "body": "x"})
    for value in ("a\r\nBcc: x@y.example", "a\u2028b", "a\x0bb"):
        with pytest.raises(TemplateError, match="more than one line"):
            Renderer().render(injected, {"n": value})
