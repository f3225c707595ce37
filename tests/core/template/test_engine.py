"""The engine behind its module: any other that takes its place has to pass these."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.template.counted import OUTPUT_MAX
from notifyctl.core.template.engine import Engine
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.language import FUNCTIONS
from notifyctl.core.template.rules import FILTERS
from notifyctl.core.template.unit import Unit

GOLDEN = [
    ("text", "text"),
    ("", ""),
    (None, ""),
    (True, "true"),
    (False, "false"),
    (0, "0"),
    (-7, "-7"),
    (2**53 + 1, "9007199254740993"),
    (2**63 - 1, "9223372036854775807"),
    (-(2**63), "-9223372036854775808"),
    (2**64, "18446744073709551616"),
    (10**40, "1" + "0" * 40),
    (1.0, "1"),
    (-0.0, "0"),
    (0.1, "0.1"),
    (12.5, "12.5"),
    (1 / 3, "0.3333333333333333"),
    (1e22, "10000000000000000000000"),
    (1e-7, "0.0000001"),
    (1.5e300, "15" + "0" * 299),
    ([1, None, True, "a", 0.5], '[1, null, true, "a", 0.5]'),
    ({"a": {"b": []}, "ä": "<"}, '{"a": {"b": []}, "ä": "<"}'),
]


def printed(text: str, escaped: bool = False, **values: Any) -> str:
    return Engine().render(Unit("t", "body", text, escaped), values)


def error(text: str, **values: Any) -> TemplateError:
    with pytest.raises(TemplateError) as caught:
        printed(text, **values)
    return caught.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ n + 1 }} {{ n * 2 }} {{ -n }}", "{n1} {n2} -{n}"),
        ("{{ n > 5 }} {{ -n < 5 }} {{ n == m }}", "true true true"),
        ("{{ [n, 1]|sum }} {{ [n, 3]|min }} {{ [n, 3]|sort }}", "{n1} 3 [3, {n}]"),
        ("{{ n|tojson }} {{ [n]|tojson }} {{ n|string }} {{ n|abs }}", "{n} [{n}] {n} {n}"),
        ("{{ n is number }} {{ n is string }} {{ n|plural(one='a', other='b') }}", "true false b"),
        ("{{ '%d'|format(n) }}", "{n}"),
    ],
)
@pytest.mark.parametrize("n", [2**63, 10**20, 2**126])
def test_large_integers_are_numbers(text: str, said: str, n: int) -> None:
    """As text they would be put behind one another by `*`, be less than no number, and be quoted in JSON."""
    rendered = Engine(FUNCTIONS).render(Unit("t", "body", text), {"n": n, "m": n})
    assert rendered == said.replace("{n1}", str(n + 1)).replace("{n2}", str(2 * n)).replace("{n}", str(n))


@pytest.mark.parametrize(
    ("text", "said", "variable"),
    [
        ("{{ o.total|round(2) }}", "o.total|round(2): cannot round value (string)", "o.total"),
        ("{{ count + 1 }}", "count + 1: tried to use + operator", "count"),
        ("{% for i in n %}{% endfor %}", "n: number is not iterable", "n"),
        ("{{ count|join(', ') }}", "count|join(', '): there is no list to be joined", "count"),
        ("{{ count|plural(other='x') }}", "count|plural(other='x'): it takes a number, which text is not", "count"),
        ("{{ plural(o.total, other='x') }}", "plural(o.total, other='x'): it takes a number", "o.total"),
        ("{% include 'p' %}{% set a = n|replace('', 'x') %}", "n|replace('', 'x'): there is nothing", "n"),
        ("{{ rows[5].a }}", "rows[5].a has no value", None),
        ("{% for r in rows %}{{ loop.previtem.a }}{% endfor %}", "loop.previtem.a has no value", "loop.previtem.a"),
        ("{{ (count + 1) * n }}", "(count + 1): tried to use + operator", "count"),
    ],
)
def test_values_of_which_something_cannot_be_made_are_named(text: str, said: str, variable: str | None) -> None:
    """An amount that was given as text is what a dead letter has to name: neither engine nor filters do."""
    unit = Unit("t", "body", f"x\n {text}", includes={"p": Unit("p", "body", "-")})
    values = {"o": {"total": "12.5"}, "count": "3", "n": 3, "rows": [{"a": 1}]}
    with pytest.raises(TemplateError) as caught:
        Engine(FUNCTIONS).render(unit, values)
    assert caught.value.reason.startswith(said)
    assert (caught.value.line, caught.value.variable) == (2, variable)


@pytest.mark.parametrize(
    "text", ["{{ l.append(1) }}", "{{ o.items() }}", "{{ o.l.index }}", "{{ l._items }}", "{{ l() }}"]
)
def test_lists_and_objects_have_their_items_and_nothing_else(text: str) -> None:
    """Nothing of Python's is reached by them; what was tried is named with its place."""
    found = error(text, l=[1], o={"l": [1]})
    assert (found.line, found.column) in ((1, 4), (1, 5))
    assert any(each in found.reason for each in ("no function", "has no value", "not callable"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ l == l }} {{ o.l == [1, 2] }} {{ [1, 2] == o.l }} {{ o.l != l }}", "true true true true"),
        ("{{ [2, 3] in l }} {{ [2] in l }} {{ o.l < [1, 3] }} {{ o.l is in([[1, 2]]) }}", "true false true true"),
        ("{{ l[-1] }} {{ l[1][0] }} {{ l[::-1] }} {{ l[5:] }} {{ l[9]|default('-') }}", "[2, 3] 2 [[2, 3], 1] [] -"),
        (
            "{{ l is sequence }} {{ l is mapping }} {{ l is string }} {{ e|length }} {{ not e }}",
            "true false false 0 true",
        ),
        ("{% set a, b = o.l %}{{ b }}{{ l|first }}{{ l|list|length }}{{ o.l|sum }}{{ o.l|join('-') }}", "21231-2"),
        ("{{ l }} {{ l|tojson }} {{ o }} {{ [1]|tojson }}", '[1, [2, 3]] [1, [2, 3]] {"l": [1, 2]} [1]'),
    ],
)
def test_lists_are_lists_wherever_they_come_from(text: str, said: str) -> None:
    """Those that are given and those that a template makes: compared, sliced, gone through and printed alike."""
    assert printed(text, l=[1, [2, 3]], o={"l": [1, 2]}, e=[]) == said


def test_the_name_of_a_long_list_costs_no_more_than_that_of_a_short_one() -> None:
    """A line of an order that says how many there are asked for all of them, each time."""
    text = "{% for i in range(2000) %}{{ rows|length }}{{ o.rows[1].a }}{% if rows %}{% endif %}{% endfor %}"
    rows = [{"a": i} for i in range(3000)]
    began = time.process_time()
    printed(text, rows=rows, o={"rows": rows})
    assert time.process_time() - began < 2, "a fifth of what it takes to go through them"


@pytest.mark.parametrize(("value", "text"), GOLDEN)
def test_each_value_prints_by_the_rule(value: Any, text: str) -> None:
    """What a value prints as is stated in the module, and holds whatever the engine's version prints."""
    assert printed("{{ x }}", x=value) == text


@pytest.mark.parametrize(("value", "text"), [each for each in GOLDEN if not isinstance(each[0], (list, dict))])
def test_values_become_text_by_the_same_rule(value: Any, text: str) -> None:
    """Whoever joins a value to a text gets what printing it would give."""
    assert printed("{{ '<' ~ x ~ '>' }}", x=value) == f"<{text}>"
    assert printed("{{ [x, 'end']|join(' ') }}", x=value) == f"{text} end"
    assert printed("{{ x|string }}", x=value) == text


@pytest.mark.parametrize(("value", "text"), [each for each in GOLDEN if not isinstance(each[0], str)])
def test_filters_for_texts_read_a_value_as_it_prints(value: Any, text: str) -> None:
    """A name that is null is no `None` in a mail, nor a list what Python would write."""
    for name in ("trim", "safe", "indent(2)", "title|safe|lower"):
        expected = text.lower() if "lower" in name else text
        assert printed(f"{{{{ x|{name} }}}}", x=value) == expected, name
        assert printed(f"{{{{ o.x|{name} }}}}", o={"x": value}) == expected, name
        assert printed(f"{{{{ l[0]|{name} }}}}", l=[value]) == expected, name
        assert printed(f"{{{{ y|default(x)|{name} }}}}", x=value) == expected, name
        assert printed(f"{{{{ (x if t else y)|{name} }}}}", x=value, y=1, t=True) == expected, name
    assert printed("{{ x|upper }}{{ x|lower }}", x=value) == text.upper() + text.lower()
    assert printed("{% for x in l %}{{ x|trim }};{% endfor %}", l=[value, value]) == f"{text};{text};"


@pytest.mark.parametrize(("value", "text"), [(None, ""), (True, "true"), (2.0, "2"), (2**70, str(2**70))])
def test_what_is_put_into_a_text_or_a_link_prints_by_the_rule(value: Any, text: str) -> None:
    """`format` and `urlencode`; numbers may still be formatted, and an object is the query of a link."""
    assert printed("{{ '<%s>'|format(x) }}", x=value) == f"<{text}>"
    assert printed("{{ x|urlencode }}", x=value) == text
    assert printed("{{ '%05.1f %d'|format(2.25, n) }} {{ o|urlencode }}", n=3, o={"a": "b c"}) == "002.2 3 a=b%20c"


def test_filters_for_texts_name_what_has_no_value_and_keep_what_is_safe() -> None:
    """Nothing is an empty text in silence, and HTML that was made by the template is not escaped again."""
    for text, name in (("{{ x|upper }}", "x"), ("\n {{ o.x|trim }}", "o.x"), ("{{ l[3]|title }}", "l[3]")):
        found = error(text, o={}, l=[])
        assert f"{name} has no value" in found.reason
        assert (found.line, found.column) == (1 + text.count("\n"), 4 + text.count("\n"))
    made = "{% set s %}<b>{{ n }}</b>{% endset %}{% macro m() %}<i>{{ n }}</i>{% endmacro %}"
    expected = "<b>&lt;</b><i>&lt;</i>&lt;"
    assert printed(made + "{{ s|trim }}{{ m()|trim }}{{ n|trim }}", True, n="<") == expected


@pytest.mark.parametrize("name", [each for each in dir(dict) if not each.startswith("_")])
def test_a_name_without_a_value_is_no_method_of_the_dict_of_values(name: str) -> None:
    """`items` is what many a mail lists: missing, it is named like any other, and nothing of Python's is called."""
    for other in ({}, {"other": 1}, {"other": None}):
        for text in ("{{ %s }}", "{%% for i in %s %%}x{%% endfor %%}", "{%% if %s %%}x{%% endif %%}", "{{ %s.x }}"):
            assert error(text % name, **other).variable == name
        assert printed(f"{{{{ {name} is defined }}}} {{{{ {name}|default('d') }}}}", **other) == "false d"
        assert "is unknown" in error(f"{{{{ {name}('other') }}}}", **other).reason
        assert printed(f"{{% set {name} = 1 %}}{{{{ {name} }}}}", **other) == "1"
    assert printed(f"{{{{ {name} }}}}{{{{ other }}}}", **{name: "here", "other": 1}) == "here1"
    included = Unit("p", "body", f"{{{{ {name} is defined }}}}{{{{ other }}}}")
    outer = Unit("t", "body", "{% include 'p' %}{{ range(2)|list }}", includes={"p": included})
    engine = Engine()
    for _ in range(2):
        assert engine.render(outer, {"other": 1, "range": 5}) == "false1[0, 1]"
        with pytest.raises(TemplateError, match="other has no value"):
            engine.render(outer, {"more": 1})


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_every_filter_that_may_be_written_is_there(name: str) -> None:
    """What is not would be found only when it is sent."""
    engine = Engine({"plural": lambda value, **forms: "x"})
    try:
        engine.render(Unit("t", "body", f"{{{{ x|{name} }}}}"), {"x": "a"})
    except TemplateError as problem:
        assert "unknown" not in problem.reason


@pytest.mark.parametrize("name", sorted(FILTERS - {"default", "d"}))
@pytest.mark.parametrize("value", ["x", "o.x"])
def test_every_filter_names_what_has_no_value(name: str, value: str) -> None:
    """None of them takes it for an empty text or list: how many there are of nothing is no 0."""
    given = {
        **dict.fromkeys(("batch", "slice", "indent"), "(2)"),
        **dict.fromkeys(("select", "reject"), "('odd')"),
        **dict.fromkeys(("selectattr", "rejectattr"), "('a')"),
        "map": "('upper')",
        "plural": "(other='x')",
        "replace": "('a', 'b')",
        "format": "(1)",
        "split": "(',')",
    }
    assert error(f"{{{{ {value}|{name}{given.get(name, '')} }}}}", o={}).variable == value


@pytest.mark.parametrize("text", ["l|map(attribute='d.e')|join", "l|sum(attribute='n')", "l|join(attribute='n')"])
def test_a_member_of_each_item_is_there_or_named(text: str) -> None:
    """What an item of a list lacks is no empty text, and no 0; dots lead to members of members, for each filter."""
    whole = [{"n": 1, "d": {"e": "a"}}, {"n": 2, "d": {"e": "b"}}]
    assert printed(f"{{{{ {text} }}}}", l=whole) == {"map": "ab", "sum": "3", "joi": "12"}[text[2:5]]
    lacking = error(f"{{{{ {text} }}}}", l=[whole[0], {"d": {}}])
    assert re.search(r"l(ist)? has no (d\.e|n) in item 2$", lacking.reason)
    if "join(a" not in text:
        assert error(f"{{{{ {text} }}}}").variable == "l"
        assert (lacking.variable, lacking.line, lacking.column) == ("l", 1, 4)


def test_a_member_of_each_item_may_have_a_default_or_be_null() -> None:
    """Null is a value, and a place in a list is a member of it."""
    assert printed("{{ l|map(attribute='n', default='-')|join }}", l=[{}, {"n": 1}]) == "-1"
    assert printed("{{ l|map(attribute='n')|list }}", l=[{"n": None}]) == "[null]"
    assert printed("{{ l|map(attribute=1)|join }}", l=[[1, 2], [3, 4]]) == "24"
    assert printed("{{ l|selectattr('n', 'defined')|list|length }}", l=[{}, {"n": 1}]) == "1"
    assert printed("{{ l|rejectattr('n', 'undefined')|list|length }}", l=[{}, {"n": 1}]) == "1"


@pytest.mark.parametrize(
    "filters", ["selectattr('n')", "rejectattr('n', 'odd')", "sort(attribute='n')", "unique(attribute='n')"]
)
def test_filters_that_choose_by_a_member_do_not_pass_over_items_that_lack_it(filters: str) -> None:
    """An order's line would be missing in the mail, and nobody would know."""
    text = f"{{{{ l|{filters}|list|length }}}}"
    assert printed(text, l=[{"n": 2}, {"n": 4}]) == "2"
    assert "l has no n in item 2" in error(text, l=[{"n": 2}, {}]).reason


@pytest.mark.parametrize("name", ["truncate", "wordwrap"])
def test_filters_that_take_their_arguments_by_name_say_so(name: str) -> None:
    """In Jinja they may stand by their places; here that would fail when it is sent, and is refused at once."""
    found = error(f"{{{{ x|{name}(20) }}}}", x="y")
    assert "takes its arguments by name, as in" in found.reason
    assert found.line == 1
    by_name = {"truncate": "length", "wordwrap": "width"}[name]
    assert printed(f"{{{{ x|{name}({by_name}=20) }}}}", x="y") == "y"


_scalars = (
    st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5) | st.sampled_from("<&'\"")
)
_flat = st.dictionaries(st.sampled_from(["x", "y"]), _scalars, min_size=2)
_values = st.fixed_dictionaries(
    {"a": _scalars | _flat | st.lists(_scalars), "o": _flat, "l": st.lists(_scalars | _flat | st.lists(_scalars))}
)


@given(values=_values, escaped=st.booleans())
def test_what_prints_without_being_asked_for_prints_the_same(values: dict[str, Any], escaped: bool) -> None:
    """Where a template prints members only, the engine's own way is taken; null, printed too, prevents that."""
    loop = "{% for i in l %}{{ loop.index }}{{ i }}{% else %}{{ a }}{% endfor %}"
    text = "{{ a }}|{{ o.x }}{{ o }}|{% if a %}.{% endif %}" + loop
    try:
        asked = printed(f"{text}{{{{ none }}}}", escaped, **values)
    except TemplateError as error:
        with pytest.raises(TemplateError, match=re.escape(error.reason)):
            printed(text, escaped, **values)
    else:
        assert printed(text, escaped, **values) == asked


@pytest.mark.parametrize(("value", "text"), GOLDEN)
@pytest.mark.parametrize(
    "template", ["{{ x }}", "{{ o.x }}", "{% for i in l %}{{ i }}{% endfor %}", "{{ x }}{{ none }}"]
)
def test_each_value_prints_by_the_rule_wherever_it_is(template: str, value: Any, text: str) -> None:
    """As a variable, as a member, as an item."""
    assert printed(template, x=value, o={"x": value}, l=[value]) == text


def test_html_is_escaped_where_it_is_printed_and_only_in_html() -> None:
    """The unit says whether it is HTML; its template's name does not."""
    text = "{{ x }} {{ x|safe }} {{ [x]|join }} {{ x ~ '>' }} {{ y }}"
    assert printed(text, x="<&\"'", y={"a": "<"}) == '<&"\' <&"\' <&"\' <&"\'> {"a": "<"}'
    found = printed(text, escaped=True, x="<b>", y={"a": "<"})
    assert found == "&lt;b&gt; <b> &lt;b&gt; &lt;b&gt;&gt; {&quot;a&quot;: &quot;&lt;&quot;}"


@pytest.mark.parametrize(
    ("text", "variable", "place"),
    [
        ("{{ x }}", "x", (1, 4)),
        ("a\n\n  {{ o.x }}", "o.x", (3, 6)),
        ("ä{{ o.x.y }}", "o.x", (1, 6)),
        ("{% if x %}{% endif %}", "x", (1, 7)),
        ("{% for a in x %}{% endfor %}", "x", (1, 13)),
        ("{{ x|upper }}", "x", (1, 4)),
        ("{{ 'a' ~ x }}", "x", (1, 10)),
        ("{{ 1 + o.x }}", "o.x", (1, 8)),
        ("{{ [1, x]|join }}", "x", (1, 8)),
        ("{{ 'a' ~ n ~ x }}", "x", (1, 14)),
        ("{% macro m(a) %}{{ a }}{% endmacro %}{{ m() }}", "a", (1, 20)),
        ("{% for a in l %}{{ a.x }}{% endfor %}", "a.x", (1, 20)),
    ],
)
def test_a_variable_without_a_value_is_named_where_it_stands(text: str, variable: str, place: tuple[int, int]) -> None:
    """Undefined is an error everywhere, never an empty text; line and column are those of the source."""
    found = error(text, o={}, l=[{}], n=None)
    assert (found.variable, (found.line, found.column)) == (variable, place)
    assert found.reason == f"{variable} has no value"


def test_what_may_be_missing_is_asked_for() -> None:
    """`default` and `is defined` are for what is not always there."""
    assert printed("{{ x|default('-') }}{{ o.a|default(1) }}{{ x is defined }}", o={}) == "-1false"


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [("a\n{{ foo bar }}", 2, 8), ("{% if 1 %}\n{{ 1", 2, 3), ("{{ 'a }}", 1, 4), ("x\n  {% nothing %}", 2, 6)],
)
def test_what_is_no_template_is_told_with_line_and_column(text: str, line: int, column: int) -> None:
    """The place is the one where the reading stopped making sense."""
    with pytest.raises(TemplateError) as caught:
        Engine().check(Unit("t", "body", text))
    assert (caught.value.line, caught.value.column) == (line, column)


def test_members_of_objects_are_the_values_and_nothing_else() -> None:
    """An object may have members that are called like the methods of a dict."""
    order = {"items": [1, 2], "keys": "k", "get": None}
    assert printed("{{ o.items|length }}{{ o.keys }}{{ o['get'] }}", o=order) == "2k"
    assert printed("{% for k, v in o|items %}{{ k }}={{ v }};{% endfor %}", o={"a": 1, "b": None}) == "a=1;b=;"
    for text in ("{{ o.items }}", "{{ o.pop }}", "{{ l.append }}", "{{ s.upper }}"):
        assert "has no value" in error(text, o={}, l=[], s="").reason
    for text in ("{{ o.clear() }}", "{{ l.append(1) }}", "{{ s.upper() }}", "{{ o.items() }}"):
        error(text, o={}, l=[], s="")


def test_a_value_that_json_does_not_have_is_refused() -> None:
    """Only what JSON has gets in, so that nothing of Python does."""
    for value in (object(), {1, 2}, b"x", float("nan"), float("inf"), "\ud800", {1: 2}, print, [[object()]]):
        assert error("{{ x }}", x=value).variable == "x"


def test_output_is_cut_off_at_its_limit() -> None:
    """As many bytes as are allowed pass, one more does not."""
    assert len(printed("{{ x }}", x="a" * OUTPUT_MAX)) == OUTPUT_MAX
    assert "longer than" in error("{{ x }}a", x="a" * OUTPUT_MAX).reason
    assert "longer than" in error("{{ x }}", x="ä" * (OUTPUT_MAX // 2 + 1)).reason


def test_lists_in_lists_and_counting_in_loops_go_on_working() -> None:
    """What bounds the hostile ones leaves what mails need: tables, totals, macros, columns."""
    assert printed("{% for a, b in [('x', 1), ('y', 2)] %}{{ a }}{{ b }}{% endfor %}") == "x1y2"
    total = "{% set ns = namespace(t=0) %}{% for i in l %}{% set ns.t = ns.t + i.n %}{% endfor %}{{ ns.t }}"
    assert printed(total, l=[{"n": 1}, {"n": 2.5}]) == "3.5"
    assert printed("{{ l|sum(attribute='n') }} {{ l|map(attribute='n')|join('+') }}", l=[{"n": 1}, {"n": 2}]) == "3 1+2"
    macro = "{% macro button(url, text='Open') %}[{{ text }}]({{ url }}){{ caller() }}{% endmacro %}"
    assert printed(macro + "{% call button('u') %}!{% endcall %}") == "[Open](u)!"
    assert printed("{% for row in range(5)|batch(2) %}{{ row|join }};{% endfor %}") == "01;23;4;"
    assert printed("{{ 'a' + 'b' }}{{ 2 * 3 }}{{ 'ab' * 2 }}{{ 7 // 2 }}{{ 7 / 2 }}") == "ab6abab33.5"


def test_what_was_included_is_what_the_unit_has() -> None:
    """Names are looked up in the unit that includes, so that one name can be two versions in one rendering."""
    old, new = Unit("p", "body", "old"), Unit("p", "body", "new")
    middle = Unit("m", "body", "{% include 'p' %}", includes={"p": old})
    top = Unit("t", "body", "{% include 'm' %} {% include 'p' %}", includes={"m": middle, "p": new})
    engine = Engine()
    assert engine.render(top, {}) == "old new"
    broken = Unit("t", "body", "{% include 'q' %}", includes={"q": Unit("q", "body", "\n{{ x }}")})
    with pytest.raises(TemplateError) as caught:
        engine.render(broken, {})
    assert (caught.value.template, caught.value.line, caught.value.column) == ("q", 2, 4)
    assert caught.value.reason == "x has no value"


def test_threads_render_side_by_side() -> None:
    """One engine serves all threads, and none sees the values of another."""
    engine, unit = Engine(), Unit("t", "body", "{% for i in range(200) %}{{ x }}{% endfor %}")
    found: dict[int, set[str]] = {}

    def work(number: int) -> None:
        found[number] = {engine.render(unit, {"x": number}) for _ in range(50)}

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: {str(number) * 200} for number in range(4)}
