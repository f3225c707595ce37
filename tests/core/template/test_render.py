"""From a template and values to the content of a notification."""

from __future__ import annotations

from typing import Any

import pytest

from notifyctl.core import content
from notifyctl.core.model import Channel
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import Source, variables

LAYOUT = Source(
    "base",
    Channel.EMAIL,
    {
        "html": "<html><head><style>p{color:red}</style></head><body>{% block main %}{% endblock %}</body></html>",
        "body": "{% block main %}{% endblock %}\n-- \nAcme",
    },
)


def rendered(source: Source, values: dict[str, Any], tag: str | None = None) -> dict[str, Any]:
    return Renderer().render(source, values, tag)


def mail(**parts: str) -> Source:
    return Source("welcome", Channel.EMAIL, parts, includes={"base": LAYOUT})


def test_only_the_html_is_escaped() -> None:
    """A part is escaped because it is HTML, whatever the template is called."""
    source = mail(subject="Hi {{ n }}", body="Dear {{ n }}", html="<p>{{ n }}</p>")
    assert rendered(source, {"n": "<b>&"}) == {
        "subject": "Hi <b>&",
        "text": "Dear <b>&",
        "html": "<p>&lt;b&gt;&amp;</p>",
    }
    sms = Source("page.html", Channel.SMS, {"body": "{{ n }}"})
    assert rendered(sms, {"n": "<b>&"}) == {"body": "<b>&"}


@pytest.mark.parametrize(
    ("channel", "parts"),
    [
        (Channel.EMAIL, {"subject": "{{ n }}", "html": "<p>{{ n }}</p>"}),
        (Channel.SMS, {"body": "{{ n }}"}),
        (
            Channel.PUSH,
            {"title": "{{ n }}", "body": "b", "image": "https://x.example/{{ n }}", "data": {"k": "{{ n }}"}},
        ),
    ],
)
def test_what_is_rendered_is_a_payload_of_the_channel(channel: Channel, parts: dict[str, Any]) -> None:
    """The content has the fields that payloads have, so that it goes the way of what was written by hand."""
    said = rendered(Source("t", channel, parts), {"n": "Ada"})
    assert content.build(channel, data=said) == {**said, "v": 1}
    assert "Ada" in str(said)


def test_a_layout_is_used_by_the_text_and_by_the_html() -> None:
    """Each part extends the same part of the layout; styles are put at their elements."""
    body = '{% extends "base" %}{% block main %}Hi {{ n }}{% endblock %}'
    said = rendered(mail(body=body, html=body.replace("Hi", "<p>Hi</p>")), {"n": "A&B"})
    assert said["text"] == "Hi A&B\n-- \nAcme"
    assert '<p style="color: red;">Hi</p> A&amp;B' in said["html"]


def test_defaults_stand_in_and_types_are_kept_to() -> None:
    """A variable that is not given has its default, and one of a wrong type is named."""
    declared = variables(["name", {"name": "count", "type": "integer", "default": 3}])
    source = Source("t", Channel.SMS, {"body": "{{ name }} {{ count }}"}, variables=declared)
    assert rendered(source, {"name": "A"}) == {"body": "A 3"}
    with pytest.raises(TemplateError, match="t: count is text, not an integer") as caught:
        rendered(source, {"name": "A", "count": "3"})
    assert caught.value.variable == "count"


def test_a_variable_without_a_value_is_named_with_its_place() -> None:
    """The operator reads which variable is missing, in which part of which template, and where."""
    with pytest.raises(TemplateError) as caught:
        rendered(Source("t", Channel.SMS, {"body": "Hi,\nä {{ order.total }}"}), {"order": {}})
    error = caught.value
    assert (error.template, error.part, error.line, error.column) == ("t", "body", 2, 6)
    assert error.variable == "order.total"
