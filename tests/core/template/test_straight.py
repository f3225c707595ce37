"""What is rendered without the engine is what the engine renders, to the byte, or is left to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifyctl.core.template import engine, straight
from notifyctl.core.template.engine import Engine
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.unit import Unit, UnitSet
from notifyctl.core.template.values import escaped
from notifyctl.core.template.values import given as taken

ENGINE = Engine()

_names = st.sampled_from(["a", "b", "o", "l", "items", "i", "gone"])
_loops = st.sampled_from(["index", "index0", "first", "last", "length", "revindex", "x"]).map("loop.{}".format)
_paths = st.lists(_names, min_size=1, max_size=3).map(".".join) | _loops
_blanks = st.sampled_from(["", " ", "\n", "\r\n", "\t \n", "\u00a0", "\x1c", "\u2028", "\x85", "\u200b"])
_letters = st.sampled_from(["x", "<p>", "%", "%s", "%%", "100 %", "ä", "&", "}}", "%}", "#}", "-", "{", "-}}", "😀"])
_texts = st.lists(_blanks | _letters, max_size=4).map("".join)
_mark = st.sampled_from(["", "-", "+", ""])
_conditions = st.recursive(
    _paths,
    lambda each: (
        st.builds("{} {}".format, st.sampled_from(["not", "not not"]), each)
        | each.map("({})".format)
        | st.builds("{} {} {}".format, each, st.sampled_from(["and", "or"]), each)
    ),
)
_outputs = st.builds("{{{{{} {} {}}}}}".format, _mark, _paths, _mark)


def _tag(inside: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    inner = st.just(inside) if isinstance(inside, str) else inside
    return st.builds("{{%{} {} {}%}}".format, _mark, inner, _mark)


def _statements(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def row(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        return st.tuples(*parts).map("".join)

    loop = _tag(st.builds("for {} in {}".format, _names, _paths))
    choice = _tag(_conditions.map("if {}".format))
    other = _tag(_conditions.map("elif {}".format))
    return st.one_of(
        row(loop, inner, _tag("endfor")),
        row(loop, inner, _tag("else"), inner, _tag("endfor")),
        row(choice, inner, _tag("endif")),
        row(choice, inner, other, inner, _tag("else"), inner, _tag("endif")),
        row(_tag(st.sampled_from("xyz").map("block {}".format)), inner, _tag("endblock")),
        row(_tag("raw"), _blanks, st.just("{{ a }}"), _blanks, _tag("endraw")),
        _tag(st.sampled_from(['include "other"', 'include "other" ignore missing'])),
        st.builds("{{#{} {{{{ a }}}} {}#}}".format, _mark, _mark),
    )


_bodies = st.recursive(
    _texts | _outputs,
    lambda inner: st.lists(_texts | _outputs | _statements(inner), max_size=5).map("".join),
    max_leaves=8,
)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
    | st.sampled_from(["<a href='/x?a=1&b=2'>", '"', "%s", "", "a/b", "it's"])
)
_members = st.sampled_from(["a", "b", "i", "items"])
_values = st.recursive(
    _scalars, lambda each: st.lists(each, max_size=3) | st.dictionaries(_members, each, max_size=4), max_leaves=12
)
_rows = st.lists(st.fixed_dictionaries({"a": _scalars, "b": _scalars}), max_size=3)
_given = st.fixed_dictionaries(
    {"a": _scalars, "b": _values, "o": st.dictionaries(_names, _values), "l": st.lists(_values, max_size=3)},
    optional={"items": _rows, "i": _scalars},
)


def _unit(text: str, layout: str, other: str, *, escaped: bool, part: str = "body") -> Unit:
    includes = {"other": Unit("other", part, other, escaped)}
    includes["layout"] = Unit("layout", part, layout, escaped, dict(includes))
    return Unit("t", part, text, escaped, includes)


def _written(units: Sequence[Unit], values: dict[str, Any]) -> dict[str, str]:
    """Return what parts say that are written without the engine; nothing where all is left to it."""
    script = straight.shorthand(units)
    return (None if script is None else straight.run(script, taken(values))) or {}


def _asked(unit: Unit, values: dict[str, Any]) -> str | None:
    """Return what the engine writes; None where it refuses that."""
    try:
        return ENGINE._bench().render(unit, taken(values).taken)
    except TemplateError:
        return None


@settings(suppress_health_check=list(HealthCheck))
@given(_bodies, _bodies, _bodies, _bodies, st.booleans(), _given)
def test_what_is_written_is_what_the_engine_writes(
    text: str, html: str, layout: str, other: str, extends: bool, values: dict[str, Any]
) -> None:
    """Whatever it is made of and given: loops, conditions, layouts, blanks taken away, values of all kinds.

    In several parts together, of which one is escaped: each says what it does alone.
    """
    begin = '{% extends "layout" %}' if extends else ""
    units = [
        _unit(begin + text, layout, other, escaped=False),
        _unit(begin + html, layout, other, escaped=True, part="html"),
        _unit("{{ a }}{{ o.a }}", "", "", escaped=False, part="data.a"),
    ]
    try:
        for unit in units:
            ENGINE.check(unit)
        found = _written(units, values)
    except TemplateError:
        return  # it is no template, or what is included is none
    for unit in units:
        assert found.get(unit.part) in (None, _asked(unit, values))


@pytest.mark.parametrize(
    "text",
    [
        "Dear {{ a }}, {{ o.a }}: {{ n }}, {{ f }}",
        "{% for i in l -%}\n {{ loop.index }}. {{ i.a }}{% if not loop.last %}, {% endif %}{% else %}-{% endfor %}",
        "{% if o.a and not gone_not %}{{ o.a }}{% elif n %}{{ n }}{% else %}.{% endif %}",
        '{% extends "layout" %}{% block x %}{{ a }}{% include "other" %}{% endblock %}',
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_usual_templates_need_no_engine(text: str, escaped: bool) -> None:
    """Names, members, loops, conditions, layouts and what is included."""
    unit = _unit(text, "<p>{% block x %}{% endblock %}</p>", " {{ o.a }}", escaped=escaped)
    values = {
        "a": "<Anna> & 'Co'",
        "o": {"a": "x/y"},
        "l": [{"a": "1 %"}, {"a": 2}],
        "n": 3,
        "f": 2.5,
        "gone_not": False,
    }
    assert _written([unit], values)["body"] == _asked(unit, values)


@pytest.mark.parametrize("link", ["https://acme.example/o/1", "a?b=1&c=2", "'", '"', "<a>/", "\\", "\n", "none", "ä/"])
def test_html_escapes_whatever_the_values_have(link: str) -> None:
    """Slashes alone as in links, all else that HTML escapes, and nothing."""
    parts = [
        Unit("t", "body", "{{ o.a }} {{ n }} {{ name }}"),
        Unit("t", "html", "{{ name }} {{ o.a }} {{ n }}", escaped=True),
    ]
    values = {"o": {"a": link}, "n": 1.5, "name": "Anna"}
    written = _written(parts, values)
    assert list(written) == ["body", "html"]
    assert written == {each.part: _asked(each, values) for each in parts}


def test_a_part_that_needs_the_engine_leaves_the_others_alone() -> None:
    """What is looked up in it is not known to those after it, and it is written by the engine in its place."""
    units = [
        Unit("t", "subject", "{% if a %}{{ o.a }}{% endif %}{{ n }}{{ a|upper }}"),
        Unit("t", "body", "{{ n }} {{ o.a }}"),
        Unit("t", "html", "{% if a %}{{ o.a }}{% endif %}{{ o.a }} {{ n }}", escaped=True),
    ]
    parts, values = UnitSet(units), taken({"a": "x", "n": 1, "o": {"a": "<"}})
    said = {"subject": "<1X", "body": "1 <", "html": "&lt;&lt; 1"}
    for _ in range(3):
        written = parts.at_once(values)
        assert written == {name: said[name] for name in ("body", "html")}
        rendered = ENGINE.render_others(parts, values, written)
        assert list(rendered.items()) == list(said.items())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{{ gone }}", {}),
        ("{{ a.b }}", {"a": "text"}),
        ("{{ a }}", {"a": [1]}),
        ("{{ a|upper }}", {"a": "x"}),
        ("{% for i in a %}{{ i }}{% endfor %}", {"a": {"b": 1}}),
        (
            "{% for i in a %}{% for k in a %}{% for m in a %}{{ m }}{% endfor %}{% endfor %}{% endfor %}",
            {"a": [1] * 50},
        ),
        ("{% for i in a %}{{ b }}{% endfor %}", {"a": [1] * 200, "b": "x" * 10_000}),
        ("{{ a }}", {"a": "x" * 100_000}),
        ("{{ a }}{{ a }}" * 500, {"a": "x"}),
        ("{% include 'a' %}", {}),
        ("{% set a = 1 %}{{ a }}", {}),
    ],
)
def test_what_is_unusual_or_large_is_left_to_the_engine(text: str, values: dict[str, Any]) -> None:
    """The engine says what is wrong, prints what is no text, and keeps to its bounds."""
    unit = Unit("t", "body", text)
    assert not taken(values).small or not _written([unit], values)


def test_a_shortcut_is_taken_once_the_engine_wrote_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first rendering is done both ways; were they to differ, the engine would write all others."""
    unit, asked = Unit("t", "body", "Dear {{ a }}"), Engine()
    assert [asked.render(unit, {"a": each}) for each in "xy"] == ["Dear x", "Dear y"]
    monkeypatch.setattr(engine._Bench, "render", lambda *_: "asked")
    assert asked.render(unit, {"a": "z"}) == "Dear z"
    other = Unit("t", "body", "Hello {{ a }}")
    assert [asked.render(other, {"a": each}) for each in "xy"] == ["asked", "asked"]


def test_values_are_looked_through_though_no_template_prints_them() -> None:
    """What JSON does not have is refused, also where the engine is not asked."""
    for unfit in (float("nan"), object(), {1: 2}, "\ud83d", [float("inf")]):
        with pytest.raises(TemplateError):
            ENGINE.render(Unit("t", "body", "a"), {"x": unfit})


def test_numbers_that_were_printed_are_known_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dispatcher that prints ever new ones keeps no more than so many, and each prints as it does."""
    monkeypatch.setattr(straight, "_NUMBERS_MOST", 10)
    straight._numbers.clear()
    unit = Unit("t", "body", "{% for i in l %}{{ i }} {% endfor %}")
    for start in range(0, 100, 7):
        values = [each + 0.25 for each in range(start, start + 25)]
        assert _written([unit], {"l": values})["body"] == "".join(f"{each} " for each in values)
        assert len(straight._numbers) <= 10


def test_many_short_texts_are_written_without_the_engine_and_many_long_ones_are_not() -> None:
    """The loops' steps bound the short ones; of the others there may be so many characters."""
    unit = Unit("t", "body", "{% for i in l %}{{ t }}{% endfor %}")
    for length, times, is_written in (
        (straight.SHORT, 1_500, True),
        (straight.SHORT + 1, 1_500, True),
        (1_000, 1_001, False),
    ):
        written = _written([unit], {"l": [0] * times, "t": "x" * length})
        assert written == ({"body": "x" * length * times} if is_written else {})


_in_a_turn = st.sampled_from(
    [
        *(
            "{{ i.a }}",
            "{{ a }}",
            "{{ i.b.a }}",
            "{{ loop.index }}",
            "{% if i.b %}{{ i.a }}{% endif %}",
            "x",
            "{{ o.a }}",
        ),
        *(
            "{% for k in i.items %}{{ k.a }}{{ i.a }}{{ loop.index }}{% endfor %}",
            "{% for k in l %}{{ k.a }}{% endfor %}",
        ),
        *("{% for k in i.items %}{{ a }}{% else %}{{ i.a }}{% endfor %}", "{% include 'other' %}", "{{ l.x }}"),
    ]
)
_turns = st.lists(_in_a_turn, max_size=4).map("".join)
_beside = st.sampled_from(["{{ a }}", "{{ o.a }}", "{% if a %}{{ o.a }}{% endif %}", "{{ gone }}", "-"])
_going_through = st.lists(
    _beside
    | st.builds("{{% for i in l %}}{}{{% endfor %}}".format, _turns)
    | st.builds("{{% for i in l %}}{}{{% else %}}{{{{ o.a }}}}{{% endfor %}}".format, _turns)
    | st.builds("{{% if a %}}{{% for i in l %}}{}{{% endfor %}}{{% endif %}}".format, _turns),
    max_size=3,
).map("".join)
_item = st.fixed_dictionaries({"a": _scalars, "b": st.fixed_dictionaries({"a": _scalars}), "items": _rows})
_listed = st.fixed_dictionaries(
    {"a": _scalars, "o": st.fixed_dictionaries({"a": _scalars}), "l": st.lists(_item, max_size=3)}
)


@settings(suppress_health_check=list(HealthCheck))
@given(_going_through, _going_through, _listed)
def test_parts_that_go_through_the_same_list_say_each_its_own(text: str, html: str, values: dict[str, Any]) -> None:
    """What is written in one turn for both is what each says alone, whatever stands before, in and behind its loops."""
    units = [
        _unit(text, "", "{{ a }}", escaped=False),
        _unit(html, "", "{{ o.a }}", escaped=True, part="html"),
    ]
    written = _written(units, values)
    for unit in units:
        assert written.get(unit.part) in (None, _asked(unit, values))


def test_a_list_is_gone_through_once_for_all_parts() -> None:
    """Text and HTML of an order say the same of each of its items: it is looked up once."""

    class Row(dict[str, str]):
        asked = 0

        def __getitem__(self, name: str) -> str:
            Row.asked += 1
            return super().__getitem__(name)

    units = [
        Unit("t", "body", "Dear {{ n }}, {% for i in l %}{{ i.a }} {% endfor %}"),
        Unit(
            "t",
            "html",
            "<p>Dear {{ n }}</p>{% for each in l %}<p>{{ loop.index }}{{ each.a }}{{ n }}</p>{% endfor %}",
            True,
        ),
    ]
    write = straight.shorthand(units)
    assert write is not None
    said = write({"n": "<", "l": [Row(a="x"), Row(a="y")]}, escaped)
    assert said == {"body": "Dear <, x y ", "html": "<p>Dear &lt;</p><p>1x&lt;</p><p>2y&lt;</p>"}
    assert Row.asked == 2
