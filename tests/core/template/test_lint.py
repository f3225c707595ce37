"""What is wrong with a template is found before anybody is sent anything."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notifyctl.core.model import Channel
from notifyctl.core.template.grammar import parse
from notifyctl.core.template.lint import Remark, Severity, lint
from notifyctl.core.template.markup import dropped
from notifyctl.core.template.render import Renderer
from notifyctl.core.template.source import Source, variables
from notifyctl.core.template.uses import uses


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("{{ a }}{{ b.c.d }}", "a b.c.d"),
        ("{% for i in l %}{{ i.x }}{{ i.y.z }}{{ loop.index }}{% endfor %}{{ i }}", "l l[].x l[].y.z i"),
        ("{% for i in o.rows if i.on %}{% for j in i.cells %}{{ j }}{% endfor %}{% endfor %}",
         "o.rows o.rows[].on o.rows[].cells o.rows[].cells[]"),
        ("{% for k, v in o|items %}{{ k }}{{ v }}{% else %}{{ n }}{% endfor %}", "o n"),
        ("{% set x = a.b %}{{ x.c }}{% set y %}{{ q }}{% endset %}{{ y }}", "a.b a.b.c q"),
        ("{% if a %}{% set x = 1 %}{% endif %}{{ x }}", "a"),
        ("{% for i in l %}{% set x = i %}{% endfor %}{{ x }}", "l l[] x"),
        ("{% with x = a %}{{ x.y }}{% endwith %}{{ x }}", "a a.y x"),
        ("{% macro m(p, q=d) %}{{ p }}{{ q }}{{ g }}{% endmacro %}{{ m(a, q=b) }}", "d g a b"),
        ("{% call m(a) %}{{ c }}{% endcall %}", "a c"),
        ("{{ o['k'] }}{{ o[i] }}{{ l[0].x }}{{ l.0.x }}", "o.k o[] i l[].x l[].x"),
        ("{{ 'a' ~ b + c|join(d) }}{{ e if f else g }}", "b c d e f g"),
        ("{% from 'x' import m as n %}{% import 'y' as z %}{{ n(a) }}{{ z.b(c) }}", "a c"),
        ("{% raw %}{{ a }}{% endraw %}{# {{ b }} #}{{ range(c) }}{{ plural(d, other=e) }}", "c d e"),
        ("{{ [a, (b, {'k': c})] }}{{ -d }}{{ not e }}{{ f is divisibleby g }}", "a b c d e f g"),
        ("{% filter replace(a, 'b') %}{{ c }}{% endfilter %}{% block x %}{{ d }}{% endblock %}", "a c d"),
        ("{% for i in l[:n]|sort(attribute='x')|list %}{{ i.y }}{% endfor %}{{ (l|first).z }}{{ (l|last)[k] }}",
         "l l[].x n l[].y l[].z l l[][] l k"),
        ("{{ l|map(attribute='x.y')|join }}{{ o.r|sum(attribute=\"n\") }}{{ l|selectattr('on')|list|length }}",
         "l l[].x.y o.r o.r[].n l l[].on"),
        ("{{ l|map(attribute='0.k')|join }}{{ l|map(attribute='m', default='')|join }}{{ l|map('upper')|join }}",
         "l l[][].k l l"),
        ("{{ ns.a }}{% set ns = namespace(a=b) %}{% set ns.a = c %}{{ ns.a }}", "ns.a b c"),
    ],
)  # fmt: skip
def test_what_a_template_takes_is_known_by_its_whole_path(text: str, taken: str) -> None:
    """Nested names, members of a loop's items, names that end with their block: the engine's own function has none."""
    assert [str(use) for use in uses(parse(text))] == taken.split()


def remarks(source: Source, *languages: str) -> list[str]:
    return [f"{each.severity} {each.part}:{each.line} {each.message}" for each in lint(source, Renderer(), languages)]


def sms(body: str, declared: Any = (), **more: Any) -> Source:
    return Source("t", Channel.SMS, {"body": body}, variables=variables(list(declared)), **more)


def test_a_clean_template_has_no_remarks() -> None:
    """What is in order is not talked about."""
    parts = {"subject": "Hi {{ n }}", "body": "{{ n }}", "html": '<p>{{ n }}</p><img src="https://x.example" alt="">'}
    source = Source("t", Channel.EMAIL, parts, "en", {"de": parts}, variables(["n"]))
    assert lint(source, Renderer(), ["en", "de"]) == ()


def test_variables_are_declared_and_used() -> None:
    """Each is told once with its line; what a variable's example lacks is told too."""
    rows = {"name": "rows", "example": [{"name": "a", "price": 1}, {"name": "b"}]}
    body = "{{ a }}\n{{ o.x }}{{ a }}\n{% for r in rows %}{{ r.name }}{{ r.price }}{{ r.nothing }}{% endfor %}"
    assert remarks(sms(body, ["unused", {"name": "o", "example": {"y": 1}}, rows])) == [
        "error body:1 a is not declared",
        "warning body:2 o.x is not in the example of o",
        "warning body:3 rows[].price is not in the example of rows",
        "warning body:3 rows[].nothing is not in the example of rows",
        "warning variables:None unused is declared and not used",
    ]
    optional = sms("{{ o.x|default(1) }}{{ o.y is defined }}", [{"name": "o", "example": {"z": 1}}])
    assert remarks(optional) == []


def test_what_is_included_takes_and_declares_variables_too() -> None:
    """A footer's variables are the mail's, in whichever of the two they are declared."""
    footer = Source("footer", Channel.SMS, {"body": "{{ city }}{{ zip }}"}, variables=variables(["city"]))
    source = sms("{{ n }}{% include 'footer' %}", ["n"], includes={"footer": footer})
    assert remarks(source) == ["error body:None zip is not declared (in footer)"]
    assert remarks(sms("{% include 'header' %}")) == [
        "error body:None there is no template header that it could include"
    ]


@pytest.mark.parametrize(
    ("body", "remark"),
    [
        ("a\n{{ b", "error body:2 the tag has no end"),
        ("{{ a|nothing }}", "error body:1 there is no filter nothing"),
        ("{% if a %}", "error body:1 expected {% endif %}"),
        ("{% break %}", "error body:1 'break' must be placed inside a loop"),
    ],
)
def test_what_is_no_template_is_told_with_its_line(body: str, remark: str) -> None:
    """Both what this program and what the engine refuse."""
    assert remarks(sms(body)) == [remark]


def test_where_it_is_wrong_is_told_to_the_column() -> None:
    """Of what is no template, of a variable, and of a block that is shown nowhere."""
    assert [(each.line, each.column) for each in lint(sms("a\n  {{ b"), Renderer())] == [(2, 5)]
    assert [(each.line, each.column) for each in lint(sms("ä {{ b }}\n{{ 1 }} {{ f(1) }}"), Renderer())] == [
        (1, 6),
        (2, 12),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "{% if o.a is defined %}{{ o.a }}{{ o.a.b }}{% endif %}",
        "{% if o.a is defined and o.a.b %}{{ o.a.b }}{% else %}x{% endif %}",
        "{% if o.a is not defined or not o.a.b %}x{% else %}{{ o.a.b }}{% endif %}",
        "{% if not o.a is defined %}x{% elif o.a.b %}{{ o.a }}{% endif %}",
        "{{ o.a.b if o.a is defined else 'x' }}{{ 'x' if o.a is undefined else o.a.b }}",
        "{% for i in o.l %}{% if i.x is defined %}{{ i.x }}{% endif %}{% endfor %}",
    ],
)
def test_what_a_condition_asks_for_may_be_missing(body: str) -> None:
    """Within it, it is there."""
    assert remarks(sms(body, [{"name": "o", "example": {"l": [{}]}}])) == []
    elsewhere = sms(body.replace(" is defined", "").replace(" is not defined", "").replace(" is undefined", ""))
    assert [each for each in remarks(elsewhere) if each.startswith("error")]


def test_what_is_included_sees_what_is_bound_there() -> None:
    """A row of a table is a partial's; alone it may take what others set, and is no error."""
    row = Source("row", Channel.SMS, {"body": "{{ item.n }}{{ item.m }}"})
    rows = {"name": "rows", "example": [{"n": 1}]}
    source = sms("{% for item in rows %}{% include 'row' %}{% endfor %}", [rows], includes={"row": row})
    assert remarks(source) == ["warning body:None rows[].m is not in the example of rows (in row)"]
    assert [each.severity for each in lint(row, Renderer(), is_part=True)] == [Severity.WARNING]


def test_functions_macros_blocks_and_plurals_that_there_are_not_are_told() -> None:
    """All of them render nothing, or not at all, whatever the values are."""
    other = Source("m", Channel.SMS, {"body": "{% macro a() %}{% endmacro %}{% set v = 1 %}"})
    layout = Source("base", Channel.SMS, {"body": "{% block x %}{% endblock %}"})
    within = {"m": other, "base": layout}
    for body, expected in (
        ("{{ now() }}", ["error body:1 there is no function now"]),
        ("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ range(2) }}{% endcall %}", []),
        ("{% import 'm' as m %}\n{{ m.a() }}{{ m.b() }}", ["error body:2 there is no b in m"]),
        ("{% from 'm' import a as c, v, b %}{{ c() }}{{ v }}", ["error body:1 there is no b in m"]),
        (
            "{% extends 'base' %}\n{% block y %}1{% endblock %}\nhello",
            [
                "warning body:2 there is no block y in base: nothing of it is shown",
                "warning body:2 it stands outside of the blocks, where nothing is shown",
            ],
        ),
        ("{% extends 'base' %}\n{% set z = 1 %}\n{% block x %}{{ z }}{% block w %}{% endblock %}{% endblock %}", []),
        ("{{ 1|plural(one='a') }}", ["error body:1 plural: the form other is missing"]),
        (
            "{{ plural(1, ones='a', other='b') }}",
            ["error body:1 plural: there is no form ones, only zero, one, two, few, many, other"],
        ),
    ):
        assert remarks(sms(body, includes=within)) == expected, body


def test_an_item_that_lacks_what_a_filter_takes_of_each_is_told() -> None:
    """Sums, sorting and choosing fail with it; it is told once."""
    rows = {"name": "rows", "example": [{"a": 1}, {"b": 1}]}
    assert remarks(sms("{{ rows|sum(attribute='a') }}", [rows])) == [
        "warning body:1 rows[].a is not in the example of rows"
    ]


def test_long_text_messages_are_found_in_every_language() -> None:
    """They are measured with the examples, since it is those that fill a segment."""
    source = Source(
        "t",
        Channel.SMS,
        {"body": "{{ n }}"},
        "en",
        {"de": {"body": "{{ n }}" * 40}, "ru": {"body": "я" * 300}, "el": {"body": "x" * 1600}},
        variables([{"name": "n", "example": "0123456789"}]),
    )
    assert remarks(source) == [
        "warning ru:body:None is long, with the examples: 5 segments: 300 of 335, UCS-2 because of я",
        "error el:body:None is too long, with the examples: 11 segments: 1600 of 1683, GSM-7, and 10 at most",
    ]
    assert remarks(sms("{{ n }}" + "x" * 700, ["n"])) == [
        "warning body:None is long, without what is put in: 5 segments: 700 of 765, GSM-7"
    ]


def test_missing_variants_are_told() -> None:
    """A language that is asked for, a part of a variant, and the language of what is included."""
    layout = Source("base", Channel.EMAIL, {"body": "{% block x %}{% endblock %}"}, "en")
    parts = {"subject": "S", "body": "{% extends 'base' %}"}
    source = Source("t", Channel.EMAIL, parts, "en", {"de": {"subject": "D"}}, includes={"base": layout})
    assert remarks(source, "en", "de", "fr") == [
        "warning de:body:None is missing: its readers get the one in en",
        "warning de:body:None includes base, which has no de",
        "warning fr:body:None there is no variant fr",
    ]


@pytest.mark.parametrize(
    ("markup", "remark"),
    [
        ("<p>\n<script>x</script>", "2 mail programs drop <script>"),
        ("<form action='x'></form>", "1 mail programs drop <form>"),
        ("<iframe></iframe>", "1 mail programs drop <iframe>"),
        ("<div style='POSITION : absolute'>x</div>", "1 mail programs drop position"),
        ("<style>\n.a{position:fixed}</style>", "2 mail programs drop position"),
        (
            "<style>p{color:red}\n@media (max-width:600px){p{color:blue;width:100%} b{margin:0!important}}</style>",
            "2 what @media says of color gives way to the styles at the elements: add !important",
        ),
        (
            "<style>/* p{width:1px} */@media print{p{ WIDTH : 100% }}</style><p style='width: 600px'>x</p>",
            "1 what @media says of width gives way to the styles at the elements: add !important",
        ),
        (
            "<style>a{color:red}\n\na:hover{color:blue;margin:0}</style><a href='https://x.example'>x</a>",
            "3 what :hover says of color gives way to the styles at the elements: add !important",
        ),
        (
            "<style>.main .btn:HOVER, #go:active{COLOR:blue}</style><a class='wide btn' style='color: red'>x</a>",
            "1 what :hover says of color gives way to the styles at the elements: add !important",
        ),
        ("<style>@import url(x.css);</style>", "1 mail programs drop @import"),
        (
            "<link rel='stylesheet' href='https://x.example/a.css'>",
            "1 mail programs drop style sheets that are elsewhere: put it into <style>",
        ),
        ("<p onclick='x()'>", "1 mail programs drop onclick"),
        ("<a href='javascript:x'>a</a>", "1 mail programs drop scripts in href"),
        ("<img alt='' src='data:image/png;base64,x'>", "1 mail programs drop data: in src"),
        ("<img src='https://x.example/a.png'>", "1 the image has no alt text, which is what most people see first"),
        ("<a href='/orders'>a</a>", "1 href '/orders' leads nowhere in a mail: write the whole address"),
        ("<a href='{% if 1 %}/a{% endif %}'>a</a>", "1 href '/a' leads nowhere in a mail: write the whole address"),
        ("<p>" + "x" * 102_000, "None is longer than 102,000 bytes, behind which Gmail cuts it off"),
    ],
)
def test_html_that_mail_programs_drop_is_found(markup: str, remark: str) -> None:
    """Such a mail looks right in a browser, and in no mailbox."""
    assert remarks(Source("t", Channel.EMAIL, {"html": markup})) == [f"warning html:{remark}"]


@pytest.mark.parametrize(
    "sheet",
    [
        "p{color:red} a:hover{color:blue}",  # nothing stands at the link
        "a{color:red} a:hover{color:blue !important}",
        "a{color:red} a:hover{color:red}",
        "a{color:red} a:hover{text-decoration:underline}",
        "a{color:red} .other:hover{color:blue}",
        "a{color:red} @media screen{p{margin:0}} /* a:hover{color:blue} */",
        "a::before{color:red} a:first-child{color:blue}",
    ],
)
def test_states_of_elements_that_nothing_stands_against_are_passed_over(sheet: str) -> None:
    """What is said of `:hover` is seen where a style of the same name stands at no such element."""
    markup = f"<style>{sheet}</style><p>x</p><a class='b' href='https://x.example'>x</a>"
    assert remarks(Source("t", Channel.EMAIL, {"html": markup})) == []


def test_sheets_that_mean_harm_take_no_time() -> None:
    """Thousands of rules and of elements are not compared each with each."""
    rules = "".join(f".a{n}:hover{{color:blue}}.a{n}{{color:red}}" for n in range(20_000))
    elements = "".join(f"<p class='a{n}'>" for n in range(20_000))
    began = time.process_time()
    assert any(":hover" in message for _, message in dropped(f"<style>{rules}</style>{elements}"))
    assert time.process_time() - began < 15


@pytest.mark.parametrize(
    ("markup", "remark"),
    [
        ("<p>\n<a title={{ v }}>x</a></p>", "2 a value stands in <a> without quotes"),
        ("<td width={{ v }}px>x</td>", "1 a value stands in <td> without quotes"),
        ('<p>\n<b data-v="{{ v|tojson }}">x</b></p>', "2 tojson ends an attribute in double quotes"),
    ],
)
def test_values_that_can_end_their_attribute_are_found(markup: str, remark: str) -> None:
    """Escaping is for text and for attributes in quotes; and JSON has double ones."""
    (found,) = remarks(Source("t", Channel.EMAIL, {"html": markup}, variables=variables(["v"])))
    assert found.startswith(f"warning html:{remark}")
    fine = "<a title='{{ v }}' data-v='{{ v|tojson }}'>{{ v|tojson }}</a><b title=\"{{ v }}\">x</b>"
    assert remarks(Source("t", Channel.EMAIL, {"html": fine}, variables=variables(["v"]))) == []


@pytest.mark.parametrize("markup", ["<![if !mso]>", "<![foo[x]]>", "<![ x", "<![1]>", "<![CDATA[x]]>", "<![", "<!x>"])
def test_what_is_no_comment_and_no_element_is_passed_over(markup: str) -> None:
    """Browsers take it for a comment, as what comes behind it shows."""
    source = Source("t", Channel.EMAIL, {"html": f"<p>x</p>{markup}><p onclick='x()'>y</p>"})
    assert remarks(source) == ["warning html:1 mail programs drop onclick"]


def test_what_is_put_in_is_not_taken_for_html() -> None:
    """A link that is a variable, and tags of the template language in tags of HTML, are no remarks."""
    markup = """<a href="{{ url }}/x">a</a><tr {% if on %}class="a"{% endif %}><td>{{ "<script>" }}</td>"""
    source = Source("t", Channel.EMAIL, {"html": markup}, variables=variables(["url", "on"]))
    assert lint(source, Renderer()) == ()


@pytest.mark.parametrize(
    "address", ["https://x.example/", "ftp://x.example/", "whatsapp://send?text=x", "geo:1,2", "#a"]
)
def test_whole_addresses_of_any_scheme_lead_somewhere(address: str) -> None:
    """An app on a phone is reached by an address of its own."""
    assert remarks(Source("t", Channel.EMAIL, {"html": f"<a href='{address}'>a</a>"})) == []


def test_marketing_has_a_link_to_unsubscribe() -> None:
    """In each part that is read, in each language, be it by way of the layout."""
    layout = Source("base", Channel.EMAIL, {"html": "{% block x %}{% endblock %}<a href='{{ unsubscribe_url }}'>x</a>"})
    parts = {"body": "text", "html": "{% extends 'base' %}"}
    source = Source("t", Channel.EMAIL, parts, includes={"base": layout}, category="news", marketing=True)
    assert lint(source, Renderer()) == (
        Remark(Severity.ERROR, "body", None, "is marketing and has no link to unsubscribe: {{ unsubscribe_url }}"),
    )
    assert lint(Source("t", Channel.EMAIL, {"body": "text"}, category="orders"), Renderer()) == ()


@pytest.mark.parametrize("call", ["name.upper()", "order.total.round(2)", "items[0].title.strip()", "name.x()|upper"])
def test_a_method_that_no_value_has_is_an_error(call: str) -> None:
    """Sending fails whatever is given: values are JSON's. A macro's module and the loop have something to call."""
    declared = ["name", "order", "items"]
    body = f"{{{{ name }}}}{{{{ order }}}}{{{{ items }}}}\n{{{{ {call} }}}}"
    (found,) = remarks(sms(body, declared))
    assert found.startswith("error body:2 ")
    assert "values have no methods" in found
    fine = "{% for i in items %}{{ loop.cycle('a', 'b') }}{{ name }}{{ order }}{{ i }}{% endfor %}"
    assert remarks(sms(fine, declared)) == []


def test_a_subject_of_two_lines_is_an_error() -> None:
    """No mail has one, so that sending would fail; blanks and tags around it are none of it."""
    (found,) = remarks(Source("t", Channel.EMAIL, {"subject": "a\nb", "body": "c"}))
    assert found == "error subject:None has more than one line"
    fine = "\n{% set x = 1 %}\nHello {{ n }}\n"
    assert remarks(Source("t", Channel.EMAIL, {"subject": fine, "body": "c"}, variables=variables(["n"]))) == []


def test_what_fails_with_the_examples_is_told() -> None:
    """Once, in the part in which it does; what has no example is not guessed at."""
    declared = [{"name": "items", "example": []}, "count"]
    body = {"body": "{{ items|first|title }}"}
    source = Source(
        "t", Channel.SMS, body, "en", {"de": {"body": "{{ count }}{{ items|length }}"}}, variables(declared)
    )
    (found,) = remarks(source)
    assert found.startswith("warning body:1 fails with the examples: items|first has no value")


def test_what_fails_in_what_a_template_bound_itself_is_told_too() -> None:
    """A loop's value is not given from outside: that it has no example says nothing. Once told is enough."""
    o = {"name": "o", "example": {"a": 1, "l": [{"n": 1}]}}
    assert remarks(sms("{% for k, v in o|items %}{{ v.x }}{% endfor %}", [o])) == [
        "warning body:1 fails with the examples: v.x has no value"
    ]
    assert remarks(sms("{% for i in o.l %}{{ i.m }}{% endfor %}", [o])) == [
        "warning body:1 o.l[].m is not in the example of o"
    ]


@pytest.mark.parametrize("part", ["{{", "{%", "<a ", "<a b='", "<!-- ", "{% raw %}{{ {% endraw %}"])
def test_what_never_ends_is_linted_in_time(part: str) -> None:
    """Whoever lints what others wrote waits for no search that begins anew at each tag."""
    began = time.process_time()
    assert remarks(Source("t", Channel.EMAIL, {"html": part * (120_000 // len(part))}))
    assert time.process_time() - began < 20, "a tenth of what it takes from each tag on"
