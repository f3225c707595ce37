"""What a template includes is what the language says, not what looks like it."""

from __future__ import annotations

import pytest

from notifyctl.core.template.included import included


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("{% include 'footer' %}", {"footer"}),
        (
            "{%- extends \"layouts/base\" -%}{% block a %}{% include 'b' ignore missing %}{% endblock %}",
            {"layouts/base", "b"},
        ),
        ("{% import 'm' as m %}{% from 'n' import x %}", {"m", "n"}),
        ("{% if a %}{% for i in l %}{% include 'deep' %}{% endfor %}{% endif %}", {"deep"}),
        ("{# {% include 'comment' %} #}{% raw %}{% include 'raw' %}{% endraw %}", set()),
        ('{{ "{#" }}{% include \'seen\' %}{{ "#}" }}', {"seen"}),
        ("{{ \"{% include 'text' %}\" }}", set()),
        ("{% include 'broken' ", set()),
    ],
)
def test_what_is_included(source: str, names: set[str]) -> None:
    """By it a version is pinned to the versions of others: one that is missed could not be rendered."""
    assert included(source) == names
