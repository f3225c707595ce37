"""Templates as files: what is read of what was written is the same again."""

# ruff: noqa: E501 - one file a line

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifyctl.core.errors import UsageError
from notifyctl.core.model import Channel
from notifyctl.core.template.frontmatter import TemplateFile, files, parse, templates, write
from notifyctl.core.wording import TemplateKind, Wording

WELCOME = """---
template: welcome
channel: email
category: onboarding
language: en
subject: Hi {{ name }}
variables:
- name
- name: count
  type: integer
  default: 3
---
Dear {{ name }},

bye
"""

_TOO_LARGE = "t.txt:4: variables: a: its default or example holds a number that is too large, or none"
_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_text = st.text(_letters, min_size=1, max_size=40)
_odd = st.sampled_from(
    ["no", "yes", "on", "null", "~", "true", "1", "1e5", "0x1f", "1_000", "2026-03-29", "12:30", "---", "- a", "a: b",
     "# a", "\r\n", "a\r\nb\r\n", " a ", "'", '"', "|", ">", "@x", "`", "%", "{{ a }}", "{% if a %}", "ü😀", "\x85", "\u2028", "\ufeff"]
)  # fmt: skip
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_letters)
    | _odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text | _odd, inner, max_size=3),
    max_leaves=8,
)
_said = _text | _odd
_variable = st.builds(
    lambda default, example: {"name": "x", "type": "any", "default": default, "example": example}, _json, _json
)
_parts = st.fixed_dictionaries({"body": _said}, optional={"subject": _said, "html": _said})


@settings(max_examples=60, deadline=None)
@given(
    parts=_parts,
    variable=_variable,
    language=st.sampled_from([None, "en", "no", "zh-Hant"]),
    others=st.dictionaries(st.sampled_from(["de", "pt-BR", "nn"]), _parts, max_size=2),
    category=st.none() | st.sampled_from(["news", "no", "1"]),
    kind=st.sampled_from(TemplateKind),
)
def test_what_was_written_is_read_again(
    parts: dict[str, Any],
    variable: dict[str, Any],
    language: str | None,
    others: dict[str, Any],
    category: str | None,
    kind: TemplateKind,
) -> None:
    """Any text, any line ends, any example: pulled and pushed again, nothing changes."""
    said = Wording(parts, (variable, "y"), language, others or None)
    one = TemplateFile("layouts/no.1", Channel.EMAIL, said, kind, category)
    push = Wording({"title": "no", "body": "x", "data": {"on": "yes", "n": "1"}})
    two = TemplateFile("on", Channel.PUSH, push)
    assert templates(files(one) | files(two)) == [one, two]


@given(body=st.text(_letters))
def test_the_body_is_kept_to_the_byte(body: str) -> None:
    """Also if it looks like a front matter, ends without a newline, or has the line ends of Windows."""
    assert parse(write({"template": "t"}, body), "f") == ({"template": "t"}, body)


def test_a_file_reads_as_one_writes_it() -> None:
    """The one of docs/templates.md; the files are named by the template and the language."""
    found = templates(
        {
            "welcome.txt": WELCOME,
            "welcome.html": "<p>\r\n",
            "welcome@no.txt": "---\ntemplate: welcome\nvariant: no\n---\nHei",
        }
    )
    declared = ("name", {"name": "count", "type": "integer", "default": 3})
    parts = {"subject": "Hi {{ name }}", "body": "Dear {{ name }},\n\nbye\n", "html": "<p>\r\n"}
    said = Wording(parts, declared, "en", {"no": {"body": "Hei"}})
    assert found == [TemplateFile("welcome", Channel.EMAIL, said, category="onboarding")]
    again = files(found[0])
    assert sorted(again) == ["welcome.html", "welcome.txt", "welcome@no.txt"]
    assert again["welcome.txt"] == WELCOME


def test_files_of_windows_are_read() -> None:
    """An editor may write a byte order mark and other line ends in the front matter too; the body's are kept."""
    text = "\ufeff---\r\ntemplate: t\r\nchannel: sms\r\n---\r\na\r\nb"
    assert templates({"t.txt": text}) == [TemplateFile("t", Channel.SMS, Wording({"body": "a\r\nb"}))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "t.txt:1: has no front matter"),
        ("---\ntemplate: t\n", "t.txt:1: the front matter has no end"),
        ("---\nchannel: sms\n---\n", "t.txt:1: does not say which template it is"),
        ("---\ntemplate: t\n---\n", "t.txt:1: '' is no channel"),
        ("---\ntemplate: t\nchannel: fax\n---\n", "t.txt:3: 'fax' is no channel"),
        ("---\ntemplate: t\nchannel: sms\nkind: x\n---\n", "t.txt:4: 'x' is no kind"),
        ("---\ntemplate: ../t\nchannel: sms\n---\n", "t.txt:2: '../t' is no name of a template"),
        ("---\ntemplate: t\nchannel: sms\nsubjekt: a\n---\n", "t.txt:4: there is no subjekt"),
        ("---\ntemplate: t\nchannel: sms\nsubject: [a]\n---\n", "t.txt:4: subject must be a text"),
        ("---\ntemplate: t\ntemplate: u\n---\n", "t.txt:3:1: template is there twice, or no name"),
        ("---\ntemplate: *a\n---\n", "t.txt:2:11: anchors and aliases are not read"),
        ("---\ntemplate: &a t\n---\n", "t.txt:2:11: anchors and aliases are not read"),
        ("---\ntemplate: !!python/name:os.system x\n---\n", "t.txt:2:11: tags are not read"),
        ("---\na: b: c\n---\n", "t.txt:2:5: is no YAML: mapping values are not allowed here"),
        ("---\n- a\n---\n", "t.txt:2: the front matter must have lines like template: NAME"),
        ("---\ntemplate: t\nchannel: sms\nlanguage: '!'\n---\n", "t.txt:4: '!' is no language tag"),
        ("---\ntemplate: t\nchannel: sms\nvariables: [{name: a, default: 1e400}]\n---\n", _TOO_LARGE),
        (
            "---\ntemplate: t\nchannel: sms\nvariables: x\n---\n",
            "t.txt:4: variables: must be an array of names or objects",
        ),
        ("---\ntemplate: t\nvariant: de\n---\n", "t.txt:2: there is no file of the template t"),
        ("---\na: " + "[" * 5000 + "]" * 5000 + "\n---\n", "t.txt:2:53: the front matter is nested too deep"),
    ],
)
def test_what_is_no_template_is_refused_with_its_file(text: str, message: str) -> None:
    """The operator reads which file, and where one is known which line."""
    with pytest.raises(UsageError) as caught:
        templates({"t.txt": text})
    assert caught.value.message == message


def test_files_that_contradict_each_other_are_refused() -> None:
    """Which of them holds would otherwise depend on the order of the directory."""
    variant = "---\ntemplate: welcome\nvariant: de\n---\n"
    for found, message in (
        ({"a.txt": WELCOME, "b.txt": WELCOME}, "the template welcome is in two files: a.txt and b.txt"),
        ({"welcome.txt": WELCOME, "a.txt": variant, "b.txt": variant}, "b.txt:3: welcome is in de in two files"),
        ({"welcome.html": "x"}, "welcome.html: there is no welcome.txt beside it"),
    ):
        with pytest.raises(UsageError) as caught:
            templates(found)
        assert caught.value.message == message


def test_a_place_in_a_text_is_one_of_the_file() -> None:
    """Behind a quote, within an indented text, below the front matter; where a text is folded its first line."""
    text = """---
template: t
channel: push
title: {{ a }}
image: 'https://{{ b }}'
data:
  one: |
    x
      {{ c }}
  two: "a\\tb"
  three: >
    x
    {{ d }}
---
body
 {{ e }}
"""
    [found] = templates({"d/t.txt": text.replace("{{ a }}", '"{{ a }}"')})
    shown = {name: place.at(2 if name in ("body", "data.one") else 1, 4) for (_, name), place in found.places.items()}
    assert {name: shown[name] for name in ("title", "image", "body")} == {
        "title": "d/t.txt:4:12",
        "image": "d/t.txt:5:12",
        "body": "d/t.txt:16:4",
    }
    assert (shown["data.one"], shown["data.two"]) == ("d/t.txt:9:8", "d/t.txt:10")
    assert found.places[None, "data.three"].at(2, 3) == "d/t.txt:11"
