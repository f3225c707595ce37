"""Filters see values as they print, wherever those come from, and are done in a time that grows with their input."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.template.engine import Engine
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.filters import wordwrap
from notifyctl.core.template.language import FUNCTIONS
from notifyctl.core.template.unit import Unit

OF_TEXTS = ("upper|lower", "trim", "safe", "e", "indent(2)", "striptags", "truncate(length=90)", "wordwrap(width=90)")
WAYS = (
    "[x]|sort|first",
    "[x]|min",
    "[x]|reverse|last",
    "([x]|list)[0]",
    "{'a': x}.a",
    "{'a': x}['a']",
    "[x][0]",
    "namespace(a=x).a",
    "[x][0:1]|first",
    "lo|map(attribute='x')|first",
    "(o|dictsort)[0][1]",
    "o|items|list|first|last",
    "[x]|select('eq', x)|first",
    "[[x]]|batch(1)|first|first|first",
    "(x or x)",
)
PRINTED = [(None, ""), (True, "true"), (2.0, "2"), (1e-7, "0.0000001"), (2**70, str(2**70)), ("a b", "a b")]


def printed(text: str, escaped: bool = False, **values: Any) -> str:
    return Engine(FUNCTIONS).render(Unit("t", "body", text, escaped), values)


def error(text: str, **values: Any) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        printed(text, **values)
    return caught.value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("value", "text"), PRINTED)
def test_a_filter_for_texts_reads_a_value_as_it_prints_by_whatever_way_it_comes(
    way: str, value: Any, text: str
) -> None:
    """Neither `None` nor `True` stands in a mail because its value was picked out of a list."""
    for name in OF_TEXTS:
        assert printed(f"{{{{ ({way})|{name} }}}}", x=value, o={"x": value}, lo=[{"x": value}]) == text, name


@pytest.mark.parametrize(("value", "text"), [*PRINTED, ([None, 1.0], "[null, 1]"), ({"a": None}, '{"a": null}')])
def test_so_it_does_where_it_goes_through_a_list(value: Any, text: str) -> None:
    """`map` gives the items to another filter, to which the same rule holds."""
    for name in ("'upper')|map('lower'", "'trim'", "'safe'", "'striptags'", "'indent', 2", "'truncate', length=90"):
        assert printed(f"{{{{ l|map({name})|join(';') }}}}", l=[value, "x"]) == f"{text};x", name
        assert printed(f"{{{{ l|map(attribute='m')|map({name})|join }}}}", l=[{"m": value}]) == text, name
    assert printed("{% for x in l|map('title') %}{{ x }};{% endfor %}", l=[None, "a"]) == ";A;"


def test_what_has_no_value_is_named_by_whatever_way_it_comes() -> None:
    """An empty list has no first item, which is an error and no empty text; nor is a filter's name a variable's."""
    for name in ("title", "trim", "e", "urlencode", "tojson"):
        found = error(f"{{{{ ([]|sort|first)|{name} }}}}")
        assert ("has no value" in found.reason, found.variable, found.line) == (True, None, 1), name
    assert error("{{ []|max }}").reason == "[]|max has no value"
    assert error("{{ l[i]|batch(2)|list }}", l=[], i=3).reason == "what batch is given has no value"
    assert error("{{ l[i] }}", l=[], i=3).reason == "l[i] has no value"
    assert "`" not in error("{{ (l[0] if l[i] else 7)|capitalize }}", l=[], i=3).reason
    assert error("{{ l|map('title')|list }}").variable == "l"
    assert error("{{ o.l|map('title')|list }}", o={}).variable == "o.l"
    assert printed("{{ l|map('title')|list }}", l=None) == "[]"


def test_what_is_safe_stays_so() -> None:
    """A guard returns the text that it was given, mark and all."""
    assert printed("{{ (['<b>'|safe]|first)|trim }}", escaped=True) == "<b>"
    assert printed("{{ (['<b>']|first)|trim }}", escaped=True) == "&lt;b&gt;"
    assert printed("{% macro m() %}<i>{% endmacro %}{{ m()|trim }}", escaped=True) == "<i>"


def test_json_has_the_numbers_that_print_and_may_stand_in_html() -> None:
    """An id of twenty digits is no text in it, and what ends a script or an attribute is written otherwise."""
    value = {"id": 2**70, "n": 2.0, "small": 1e-7, "large": 1e22, "t": "<&'>\"é", "z": None, "l": [], "o": {}}
    text = printed("{{ x|tojson }}", True, x=value)
    assert json.loads(text) == value
    assert not set("<&'>") & set(text)
    assert '"id": 1180591620717411303424, "n": 2, "small": 0.0000001, "large": 10000000000000000000000,' in text
    assert printed("{{ x }}", x=value["id"]) == str(2**70)
    assert printed("{{ x }}", x={"id": 2**70}) == '{"id": 1180591620717411303424}'
    assert printed("{{ x|tojson(indent=2) }}", x={"a": [1, {}], "b": 2}) == json.dumps({"a": [1, {}], "b": 2}, indent=2)
    assert "indent" in error("{{ x|tojson(indent=1000) }}", x=1).reason


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4),
        st.text("a &=é/", max_size=4),
        max_size=3,
    )
)
def test_an_object_becomes_a_query_that_reads_back(values: dict[str, str]) -> None:
    """Each name and value by itself, whatever they have in them."""
    text = printed("{{ o|urlencode }}", o=values)
    assert parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)) == list(values.items())


def test_values_in_a_query_print_by_the_rule() -> None:
    """What is null is left out."""
    query = printed("{{ o|urlencode }}", o={"a": True, "n": None, "c": 2.0, "l": [None]})
    assert query == "a=true&c=2&l=%5Bnull%5D"


@given(st.text("ab- \n", max_size=30), st.integers(1, 8), st.booleans(), st.booleans())
def test_a_text_is_wrapped_without_loss_and_no_line_is_longer(text: str, width: int, cut: bool, hyphens: bool) -> None:
    """What is lost are blanks at the ends of lines; a word is longer than a line only if it may not be cut."""
    lines = wordwrap(text, width, cut, None, hyphens).split("\n")
    assert "".join(lines).replace(" ", "") == text.replace("\n", "").replace(" ", "")
    assert all(len(line) <= width or (not cut and " " not in line.strip()) for line in lines)


def test_words_are_wrapped_as_jinja_does() -> None:
    """In letters, not in bytes; each line for itself."""
    assert printed("{{ 'one two three'|wordwrap(width=7) }}") == "one two\nthree"
    assert printed("{{ 'éé éé'|wordwrap(width=5) }}") == "éé éé"
    assert printed("{{ '😀😀😀 😀'|wordwrap(width=3) }}") == "😀😀😀\n😀"
    assert printed("{{ 'a well-known one'|wordwrap(width=7) }}") == "a well-\nknown\none"
    assert printed("{{ 'a\n\nb c'|wordwrap(width=1, wrapstring='|') }}") == "a||b|c"
    assert "width" in error("{{ 'a'|wordwrap(width='x') }}").reason


def test_tags_are_stripped_and_nothing_else() -> None:
    """A sign that is no tag's is part of what somebody wrote."""
    for markup, text in (
        ("<p>a</p> <b>b</b><br>c", "a bc"),
        ("5 < 6 & 7 &lt; 8", "5 < 6 & 7 < 8"),
        (" a\n<!-- x <b> -->b&nbsp;c<!-- never ends", "a b c"),
        ("&amp;lt;", "&lt;"),
    ):
        assert printed("{{ x|striptags }}", x=markup) == text, markup
        assert printed("{% filter striptags %}{{ x }}{% endfilter %}", x=markup) == text, markup
    assert printed("{{ '&lt;b&gt;'|striptags }}", escaped=True) == "&lt;b&gt;"


@pytest.mark.parametrize("text", ["a " * 100_000, "a" * 200_000, "a-" * 100_000, "-" * 200_000])
def test_wrapping_takes_a_time_that_grows_with_the_text(text: str) -> None:
    """A person's text is as long as he likes; letter by letter from each place on, it took minutes."""
    began = time.process_time()
    wordwrap(text, 1)
    assert time.process_time() - began < 2


def test_what_is_counted_is_the_value_that_it_was() -> None:
    """Places in texts and lists, comparisons and loops go on working, and name what has no value."""
    values: dict[str, Any] = {"s": "äöü", "l": [3, 1, 2], "o": {"a": "x", "b": {"c": 1}}, "k": "a", "n": 1, "z": None}
    for text, expected in (
        (
            "{{ s[0] }}{{ s[-1] }}{{ s[n] }}{{ l[n] }}{{ l[-1] }}{{ o[k] }}{{ o['b'][s|default('c')] is defined }}",
            "äüö12xfalse",
        ),
        (
            "{{ s == 'äöü' }}{{ s == o.a }}{{ l == l }}{{ o.b == o['b'] }}{{ z == z }}{{ k in o }}{{ n in l }}",
            "truefalsetruetruetruetruetrue",
        ),
        (
            "{% for c in s %}{{ c }}-{% endfor %}{% for i in l if i > n %}{{ i }}{% endfor %}",
            "ä-ö-ü-32",
        ),
        (
            "{{ l|sort|join }}{{ l|max }}{{ l|min }}{{ l|unique|join }}{{ o|dictsort|length }}",
            "123313122",
        ),
        ("{{ s is eq s }}{{ y is eq s }}{{ y is iterable }}{{ (l if n == 1 else s)[n] }}", "truefalsetrue1"),
    ):
        assert printed(text, **values) == expected, text
    for text, variable in (
        ("{{ o.y == k }}", "o.y"),
        ("{% for i in o.y %}{% endfor %}", "o.y"),
        ("{{ o.y[n] }}", "o.y"),
        ("{{ o.y|sort }}", "o.y"),
    ):
        assert error(text, **values).variable == variable
    assert error("{{ l[n][k] == s }}", **values).line == 1


def test_join_and_replace_keep_what_is_safe_and_escape_the_rest() -> None:
    """In HTML only: a text between names, or instead of a line's end, may be markup; a name never is."""
    names, note = ["A & B", "<c>"], "x\n<y>"
    for text, html, plain in (
        ("{{ names|join('<br>'|safe) }}", "A &amp; B<br>&lt;c&gt;", "A & B<br><c>"),
        ("{{ names|join('<br>') }}", "A &amp; B&lt;br&gt;&lt;c&gt;", "A & B<br><c>"),
        ("{{ ['<i>'|safe, names[0]]|join }}", "<i>A &amp; B", "<i>A & B"),
        ("{{ names|map('e')|join('/'|safe) }}", "A &amp; B/&lt;c&gt;", "A &amp; B/&lt;c&gt;"),
        ("{{ note|replace('\n', '<br>'|safe) }}", "x<br>&lt;y&gt;", "x<br><y>"),
        ("{{ note|e|replace('\n', '<br>'|safe) }}", "x<br>&lt;y&gt;", "x<br>&lt;y&gt;"),
        ("{{ note|replace('\n', '<br>') }}", "x&lt;br&gt;&lt;y&gt;", "x<br><y>"),
        (
            "{% set s %}<b>{{ note }}</b>{% endset %}{{ s|replace('\n', ' & ') }}",
            "<b>x &amp; &lt;y&gt;</b>",
            "<b>x & <y></b>",
        ),
    ):
        given = text.replace("'\n'", "'\\n'")
        assert printed(given, True, names=names, note=note) == html, text
        assert printed(given, names=names, note=note) == plain, text


@pytest.mark.parametrize(("value", "text"), [each for each in PRINTED if each[0] != 1e-7])  # of that `format` decides
def test_forms_of_plurals_and_what_is_put_into_texts_print_by_the_rule(value: Any, text: str) -> None:
    """By whatever way they come; null is nothing, and no error that says that there is no value."""
    for template in (
        "{{ 2|plural(one='a', other=x) }}",
        "{{ '%s'|format([x]|first) }}",
        "{{ ['%s']|map('format', x)|join }}",
        "{{ ([x]|first) ~ '' }}",
        "{{ 'a'|replace('a', l[0]) }}",
        "{{ '%s'|format(l[0]) }}",
        "{{ ['', '']|join(l[0]) }}",
    ):
        assert printed(template, x=value, l=[value]) == text, template
    for template in (
        "{{ '%s'|format([]|first) }}",
        "{{ ([]|first) ~ '' }}",
        "{{ l[7] ~ '' }}",
        "{{ ''|replace('a', l[7]) }}",
    ):
        assert "has no value" in error(template, l=[]).reason, template
    assert error("{{ l[0]|map(attribute='a')|list }}", l=[]).line == 1
    assert printed("{{ l[0]|map(attribute='a')|list }}", l=[None]) == "[]"
    assert printed("{{ [0]|map('default', false)|list }}{{ {none: 1, true: 2} }}") == '[0]{"null": 1, "true": 2}'


def test_format_puts_texts_in_as_they_print() -> None:
    """Where all that it puts in are texts; to other conversions numbers are what they are."""
    assert printed("{{ '%s %5s%%'|format(x, x) }}", x=1e-7) == "0.0000001 0.0000001%"
    assert printed("{{ '<%s>'|format(x) }}", x=1e22) == "<10000000000000000000000>"
    assert printed("{{ '<%(a)s>'|format(a=x) }}", x=None) == "<>"
    assert printed("{{ '%.2f %d'|format(2.5, 3) }}") == "2.50 3"
