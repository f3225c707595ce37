"""HTML for mail programs, and the text beside it."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifyctl.core.model import Channel
from notifyctl.core.template import html, plaintext
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.render import NO_TEXT, Renderer
from notifyctl.core.template.source import Source

PAGE = """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1.dtd">
<html><head><title>Acme</title><style>
p { color: red } a:hover { color: blue } .on td { background: #eee }
@media (max-width: 600px) { p { color: green !important } }
</style></head><body><!--[if mso]><table width="600"><tr><td><![endif]-->
<div class="preheader" style="display:none;max-height:0">Look inside</div>
<p style="margin: 0">Dear&nbsp;Ada, see <a href="https://x.example/o?a=1&amp;b=2">your order</a>.</p>
<table>{rows}</table><!--[if mso]></td></tr></table><![endif]--></body></html>"""


def test_styles_are_put_at_their_elements_and_the_rest_stays() -> None:
    """Mail programs drop style sheets; media queries, `:hover`, Outlook's comments and the doctype have to stay."""
    found = html.inline(PAGE.replace("{rows}", '<tr class="on"><td>a</td></tr>'))
    assert found.startswith('<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"')
    assert '<p style="color: red;margin: 0">' in found
    assert '<td style="background: #eee;">a</td>' in found
    assert "@media (max-width: 600px) { p { color: green !important } }" in found
    assert "a:hover { color: blue }" in found
    assert '<!--[if mso]><table width="600"><tr><td><![endif]-->' in found
    assert 'href="https://x.example/o?a=1&amp;b=2"' in found


@pytest.mark.parametrize(
    "attributes",
    [
        'media="only screen and (max-width: 600px)"',
        "MEDIA='print'",
        "media=print",
        'type="text/css" media="(width <= 600px)"',
        'media="(width > 600px)" type="text/css"',
        'type="text/x-mso"',
    ],
)
def test_a_style_sheet_for_some_media_is_put_at_no_element(attributes: str) -> None:
    """HTML's `media` is a condition like `@media`: what phones or printers are to get would be there for everybody."""
    own = f"<style {attributes}>.pre, p {{ display: none; color: green }}</style>"
    markup = f'<html><head>{own}<style media="screen">p {{ color: red }}</style></head><body><p>x</p></body></html>'
    found = html.inline(markup)
    assert '<p style="color: red;">x</p>' in found
    assert "display: none" in found.partition("</style>")[0]
    assert "data-css-inline" not in found
    rendered = Renderer().render(Source("t", Channel.EMAIL, {"html": markup}), {})
    assert rendered["text"] == "x\n", "what it hides is hidden from those whom it is for"


def test_elements_for_outlook_keep_the_styles_they_have_in_the_sheet() -> None:
    """Tables in its comments are none of the document's, so that nothing is put at them: MJML's rely on the sheet."""
    sheet = "<style>td { mso-table-lspace: 0pt } a:hover { color: red }</style>"
    ghost = "<!--[if mso | IE]><table><tr><td width=300><![endif]-->"
    page = "<html><head>{}</head><body>{}<table><tr><td>x</td></tr></table></body></html>"
    found = html.inline(page.format(sheet, ghost))
    assert sheet in found
    assert ghost in found
    assert '<td style="mso-table-lspace: 0pt;">x</td>' in found
    settings = "<!--[if mso]><noscript><xml><o:OfficeDocumentSettings/></xml></noscript><![endif]-->"
    for without in (settings, "<!-- <td> -->", "<!--[if !mso]><!--><b>y</b><!--<![endif]-->"):
        assert "td {" not in html.inline(page.format(sheet, without)), "no element there has a part of it"


@pytest.mark.parametrize("begin", ["<![if !mso]>", "<![if (gt IE 5)&(lt IE 7)]>", "<![IF gte mso 9]>"])
def test_what_is_shown_to_all_but_outlook_stays_so(begin: str) -> None:
    """These are no comments: written as ones, they would end nowhere, or show what was to be hidden."""
    inner = f"{begin}<p>x</p><![endif]>"
    for around in ("<div>{}", "<b>y</b><!--[if mso]><i>o</i><![endif]-->{}", "<td>{}</td><!-- <![if a]> -->"):
        found = html.inline("<style>p{color:red}</style>" + around.format(inner))
        assert f'{begin}<p style="color: red;">x</p><![endif]>' in found
        assert "data-css-inline" not in found
        assert ("<!--[if mso]><i>o</i><![endif]-->" in around) == ("<!--[if mso]><i>o</i><![endif]-->" in found)


def test_fonts_from_elsewhere_stay_linked() -> None:
    """Some mail programs load them, and they were asked for."""
    link = '<link href="https://fonts.example/css?family=Ubuntu" rel="stylesheet">'
    assert link in html.inline(f"<html><head>{link}<style>p{{color:red}}</style></head><body><p>x</body></html>")


@pytest.mark.parametrize("before", ['<?xml version="1.0"?>', "<!-- made by hand -->\n", "<!-- <!DOCTYPE a> -->", ""])
def test_the_doctype_stays_whatever_stands_before_it(before: str) -> None:
    """By it programs decide how they lay out a page."""
    doctype = (
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">'
    )
    found = html.inline(f"{before}{doctype}<html><head><style>p{{color:red}}</style></head><body><p>x</body></html>")
    assert f"{doctype}<html>" in found
    assert found.count(doctype) == 1


@pytest.mark.parametrize(
    "part", ["<style ", "<script ", "<!-- ", "<style", "<style '", '<style "', "<STYLE\n", "<![if "]
)
def test_what_never_ends_is_looked_for_once(part: str) -> None:
    """A style sheet, a script, a comment and their tags: from each place on, the search would take minutes."""
    began = time.process_time()
    assert html.depth(part * 100_000) in (0, 1, 100_000)
    with suppress(TemplateError):
        html.inline(f'<style>p{{}}</style><p title="{part.replace(chr(34), "") * 100_000}">x')
    assert time.process_time() - began < 20, "a fiftieth of what it takes from each place on"


def test_html_without_a_style_sheet_stays_as_it_is() -> None:
    """There is nothing to be put anywhere, so that it is left alone to the byte, and costs nothing."""
    for markup in ("<P>a<br/>b &copy;", "plain", "<p style='color:red'>x</p>\r\n"):
        assert html.inline(markup) == markup


def test_nothing_is_read_from_the_network_or_from_files() -> None:
    """A template's style sheet elsewhere stays a link."""
    link = (
        '<style>@import url(file:///etc/passwd);p{color:red}</style><link rel="stylesheet" href="file:///etc/passwd">'
    )
    assert "root:" not in html.inline(f"{link}<p>x</p>")


def test_elements_too_deep_are_refused_not_died_of() -> None:
    """Some thousands of elements in one another would end the process in the inliner."""
    style = "<style>p{color:red}</style>"
    assert "<p" in html.inline(style + "<div>" * 150 + "<p>x</p>" + "</div>" * 150)
    assert html.inline(style + "<p>x" * 5000 + "<div><p>y</div>" * 5000).count("<p ") == 10_000
    for markup in ("<div>" * 80_000, "<b>" * 300, "<div></x>" * 300, "<DIV\n>" * 300, "<table><tr><td>" * 300):
        with pytest.raises(TemplateError, match="deeper than 200 levels"):
            html.inline(style + markup)
        with pytest.raises(TemplateError, match="deeper than 200 levels"):
            plaintext.text(markup)


@pytest.mark.parametrize(
    ("markup", "said"),
    [
        (PAGE.replace("{rows}", ""), "Dear Ada, see your order (https://x.example/o?a=1&b=2).\n"),
        ("<p>a</p><p>b<br>c</p>", "a\n\nb\nc\n"),
        ('<a href="https://x.example/">https://x.example</a>', "https://x.example\n"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example\n"),
        ('<a href="#top">up</a>', "up\n"),
        ('<a href="https://x.example/"><img src="l.png" alt="Acme"></a>', "Acme (https://x.example/)\n"),
        ('<a href="https://x.example/"><img src="l.png"></a>', "(https://x.example/)\n"),
        ("<h1>*T*</h1><p>_a_ [b](c) # &lt;d&gt;</p>", "*T*\n\n_a_ [b](c) # <d>\n"),
        ("<table><tr><td>Item</td><td>Price</td></tr><tr><td>A</td><td>3</td></tr></table>", "Item  Price\nA  3\n"),
        ("<ul><li>a</li><li>b</li></ul>", "  • a\n  • b\n"),
        ("<!--[if mso]><p>outlook</p><![endif]--><p>all</p>", "all\n"),
        (
            '<!--[if mso]><v:rect/><![endif]--><a href="https://x.example" style="mso-hide:all">go</a>',
            "go (https://x.example)\n",
        ),
        ('<p style="DISPLAY: none">x</p><p style="max-height:0px">y</p><p hidden>z</p>v', "v\n"),
        ('<table><tr><td style="font-size:0px;padding:0">all of a mail</td></tr></table>', "all of a mail\n"),
        ("<div>a<div>b</div></div>c", "a\nb\nc\n"),
        ("<ol><li>a</li><li><p>b</p></li></ol>", "  1. a\n  2. b\n"),
        ('<ol start="3"><li>a</li><li value="7">b</li><li>c</li></ol>', "  3. a\n  7. b\n  8. c\n"),
        ("<ol start=x><li>a</li></ol>", "  1. a\n"),
        ("<ul><li>a<ol><li>b</li></ol></li><li>c</li></ul>", "  • a\n    1. b\n  • c\n"),
        ('<a href=" https://x.example/ ">go</a>', "go (https://x.example/)\n"),
        ('<a href="https://x.example">https://x.example/</a>', "https://x.example/\n"),
        ('<a href="https://x.example"><h2>go</h2><p>there</p></a>now', "go\n\nthere (https://x.example)\n\nnow\n"),
        ('<map><area href="https://x.example" alt="go"></map>', "go (https://x.example)\n"),
        (
            "<p>\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645</p>",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645\n",
        ),
        ("<p>a&zwnj;&nbsp;&zwnj;&nbsp;&#847; &zwnj;&#847;b</p>", "a   b\n"),
        (
            "<ul><li><p>a</p><p>b</p></li><li>c<br>d<ol><li>e</li></ol>f</li></ul>g",
            "  • a\n\n    b\n\n  • c\n    d\n    1. e\n    f\ng\n",
        ),
        ("<pre>  a\n   b\n</pre>c", "  a\n   b\n\nc\n"),
        ("<details><summary>more</summary>all</details>", "more\nall\n"),
        ("<pre>  x\n   y</pre>", "  x\n   y\n"),
        ("plain", "plain\n"),
        ("<p>a <b>b</b>\n c</p>", "a b c\n"),
        ("<div>" * 150 + "deep", "deep\n"),
        ('<p style="font-size:0.9em">small</p><p style="opacity:0.5">pale</p>', "small\n\npale\n"),
        ("<script>x</script><style>y</style><title>z</title>", ""),
        ('<img src="x.png" alt="">', ""),
    ],
)
def test_the_text_says_what_is_seen(markup: str, said: str) -> None:
    """Links keep their addresses, no Markdown is added, and what is hidden on the screen is left out."""
    assert plaintext.text(markup) == said


def test_a_mail_has_a_text_beside_its_html_and_never_an_empty_one() -> None:
    """The text that is given comes first, then that of the HTML, then the subject."""

    def text(**parts: str) -> str:
        return str(Renderer().render(Source("t", Channel.EMAIL, parts), {})["text"])

    assert text(subject="S", body="given", html="<p>made</p>") == "given"
    assert text(subject="S", body=" \n", html="<p>made</p>") == "made\n"
    assert text(subject="S", html="<img src='x'>") == "S"
    assert text(html="<img src='x'>") == NO_TEXT


def test_what_only_a_style_sheet_hides_is_left_out_of_the_text() -> None:
    """The styles are at their elements when the text is made."""
    markup = "<style>.pre{display:none}</style><div class='pre'>peek</div><p>seen</p>"
    assert Renderer().render(Source("t", Channel.EMAIL, {"html": markup}), {})["text"] == "seen\n"


def test_loops_and_conditions_are_inlined_as_they_came_out() -> None:
    """Rows of a loop, a conditional class and a layout around them each get the styles of what was rendered."""
    layout = Source("base", Channel.EMAIL, {"html": PAGE.replace("{rows}", "{% block rows %}{% endblock %}")})
    rows = "{% extends 'base' %}{% block rows %}{% for r in rows %}<tr{% if r %} class='on'{% endif %}><td>x</td></tr>"
    source = Source("t", Channel.EMAIL, {"html": rows + "{% endfor %}{% endblock %}"}, includes={"base": layout})
    found = Renderer().render(source, {"rows": [True, False, True]})["html"]
    assert found.count('<td style="background: #eee;">x</td>') == 2
    assert found.count("<td>x</td>") == 1


_nothing = st.sampled_from(
    [
        *("", "{# x #}", " \n{#- x -#}", "{%- if a -%}{%- endif %}", "\t{%- block x -%} {%- endblock -%} "),
        *("{{ empty }}", "{% raw %}{% endraw %}", " {%- for i in l -%}{% endfor %}", " ", "{% include 'blank' %}"),
    ]
)
_wholes = st.sampled_from(
    [
        *("{before}{rest}", "{before}{{% if a %}}{rest}{{% endif %}}", "{before}{{% block y %}}{rest}{{% endblock %}}"),
        *("{before}{{% include 'rest' %}}", "{{% include 'before' %}}{rest}"),
    ]
)


@settings(suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["<style>", "<STYLE>", "<\u017ftyle>", "<span>"]),
    st.dictionaries(st.integers(0, 7), _nothing, max_size=2),
    st.integers(0, 7),
    _wholes,
)
def test_no_style_sheet_is_passed_over(begins: str, between: dict[int, str], cut: int, whole: str) -> None:
    """Of most templates it is known that none comes out, however what says nothing parts the beginning of one."""
    letters = [between.get(place, "") + letter for place, letter in enumerate(begins)]
    texts = {"before": "".join(letters[:cut]), "rest": "".join(letters[cut:]) + "p{color:red}</style>"}
    others = {**texts, "blank": " \n"}
    includes = {name: Source(name, Channel.EMAIL, {"body": "-", "html": text}) for name, text in others.items()}
    parts = {"body": "-", "html": whole.format(**texts) + "<p>x</p>"}
    template = Source("t", Channel.EMAIL, parts, includes=includes)
    renderer, values = Renderer(), {"a": True, "l": [], "empty": ""}
    try:
        said = [renderer.render(template, values)["html"] for _ in range(2)]  # the second time without the engine
    except TemplateError:
        return  # a block of the same name twice
    assert said == [html.inline(renderer.render_part(template, "html", values))] * 2


@pytest.mark.parametrize("markup", ["<p>{{ a }}</p>", "<span>{{ a }}</span>", "<strong>{% if a %}<s>{% endif %}", "<"])
def test_of_most_html_it_is_known_that_it_has_no_style_sheet(markup: str) -> None:
    """So what was rendered is not searched for one."""
    assert html.surely_has_no_styles(markup) == (markup != "<")
