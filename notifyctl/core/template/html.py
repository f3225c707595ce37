"""HTML for mail programs: its styles put at the elements, where they are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

from notifyctl.core.template.failure import TemplateError

if TYPE_CHECKING:
    from css_inline import CSSInliner

DEEPEST = 200
"""Elements in elements. The inliner ends the process where they are some thousands, and the parser takes seconds."""


def inline(markup: str) -> str:
    """Return the HTML with its styles at the elements that they are for. Raises TemplateError where it is too deep.

    Rules that no element can have, like media queries and `:hover`, stay in the head, as do style sheets that are for
    some media only, links to those elsewhere, and what is said to Outlook: where that has elements of its own, the
    styles of which they have a part stay as well. HTML without a style sheet stays as it is, to the byte. Done with
    what was rendered, not with the template: there, what a loop repeats, a condition leaves out and a layout surrounds
    is not yet what the style sheet's selectors are about.
    """
    if not has_styles(markup):
        return markup
    require_shallow(markup)
    comments, revealed = _declared(markup)
    keeps = any(each.startswith("<!--[if") and _ELEMENT.search(each) for each in comments)
    marked = _STYLE_TAG.sub(_left_alone, _marked(markup, revealed))
    inlined = _inliner(keeps=keeps).inline(marked).replace(_LEFT_ALONE, "<style")
    inlined = _MARKED.sub(r"<!\1>", _EMPTY_STYLE.sub("", inlined))
    ours, theirs = _DOCTYPE.match(markup), _DOCTYPE.match(inlined)
    return f"{inlined[: theirs.start(1)]}{ours[1]}{inlined[theirs.end(1) :]}" if ours and theirs else inlined


def _left_alone(tag: re.Match[str]) -> str:
    """Return the tag of a style sheet, marked where it is not for everybody: the inliner looks at no `media`."""
    given = {
        name.lower(): (one or two or three).strip().lower() for name, one, two, three in _ATTRIBUTE.findall(tag[1])
    }
    usual = given.get("media", "") in _EVERYWHERE and given.get("type", "") in _CSS
    return tag[0] if usual else f"{_LEFT_ALONE}{tag[1]}>"


def has_styles(markup: str) -> bool:
    """Whether there is a style sheet in it."""
    return ("<s" in markup or "<S" in markup) and _STYLE.search(markup) is not None


def surely_has_no_styles(source: str) -> bool:
    """Return whether no style sheet can begin in a template of this source that prints nothing but escaped values.

    Where a tag or its end comes between, another text may go on with what one begins.
    """
    return _BEGINS_STYLE.search(source) is None


def require_shallow(markup: str) -> None:
    """Raise TemplateError where elements stand in elements too deep for those who read HTML in C and Rust."""
    if depth(markup) > DEEPEST:
        raise TemplateError(f"has elements in elements deeper than {DEEPEST} levels", part="html")


def depth(markup: str) -> int:
    """Return how many elements stand in one another at most, or a little more: what is never closed counts."""
    open_now: dict[str, int] = {}
    now = most = 0
    for closing, name in _tags(markup):
        if name in _NEVER_DEEP:
            continue
        if not closing:
            open_now[name] = open_now.get(name, 0) + 1
            now += 1
            most = max(most, now)
        elif open_now.get(name):
            open_now[name] -= 1
            now -= 1
    return most


def _tags(markup: str) -> Iterable[tuple[str, str]]:
    """Return each tag, `/` where it closes, and its name; none of a comment, a style sheet or a script that ends."""
    lower = markup.lower()
    if all(lower.rfind(begin) <= lower.rfind(end) for begin, end in _ENDS.items()):
        found: list[tuple[str, str]] = _TAG.findall(_HIDDEN_FROM_PARSER.sub("", lower))
        return found
    return _tags_of_endless(lower)


def _tags_of_endless(lower: str) -> Iterator[tuple[str, str]]:
    """Yield the tags where something ends nowhere, which is looked for once: from each place on, that takes minutes."""
    at, endless = 0, set[str]()
    while (found := _BEGIN.search(lower, at)) is not None:
        at, begin = found.end(), found[0]
        end = -1 if begin in endless or begin not in _ENDS else lower.find(_ENDS[begin], at)
        if end >= 0:
            at = end
            continue
        endless.add(begin)
        if found[2]:
            yield found[1], found[2]


def _declared(markup: str) -> tuple[list[str], list[re.Match[str]]]:
    """Return the comments, and beside them what opens or ends what is shown to some programs: `<![if !mso]>`."""
    comments, revealed = list[str](), list[re.Match[str]]()
    at = 0
    while (found := _DECLARATION.search(markup, at)) is not None:
        at = found.end()
        if found[1]:
            revealed.append(found)
            continue
        end = markup.find("-->", found.start() + 2)
        if end < 0:
            break
        at = end + 3
        comments.append(markup[found.start() : at])
    return comments, revealed


def _marked(markup: str, revealed: list[re.Match[str]]) -> str:
    """Return it with comments in the place of these, which the inliner would make other ones of."""
    found, last = list[str](), 0
    for each in revealed:
        found += [markup[last : each.start()], f"<!--{_MARK}{each[1]}-->"]
        last = each.end()
    return "".join([*found, markup[last:]])


@cache
def _inliner(*, keeps: bool) -> CSSInliner:
    """Return what puts styles at elements, and `keeps` them in the sheet, too."""
    from css_inline import CSSInliner  # here: no other part of the program needs it

    return CSSInliner(
        keep_style_tags=True,
        keep_link_tags=True,
        remove_inlined_selectors=not keeps,
        load_remote_stylesheets=False,
    )


_STYLE = re.compile("<style", re.IGNORECASE)
_STYLE_TAG = re.compile(r"""<style((?:\s(?:"[^"]{0,500}"|'[^']{0,500}'|[^'"<>]){0,200})?)>""", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?""")
_LEFT_ALONE = '<style data-css-inline="ignore"'
_EVERYWHERE = ("", "all", "screen")
_CSS = ("", "text/css")
_EMPTY_STYLE = re.compile(r"<style[^>]{0,2000}>\s*</style>")
_BEGINS_STYLE = re.compile(r"<(style|(s|st|sty|styl)?\s*(\{|\Z))", re.IGNORECASE)
_DOCTYPE = re.compile(r"(?:\s|<\?[^>]*>|<!--(?:[^-]|-(?!->))*-->)*(<!doctype[^>]*>)", re.IGNORECASE)
_DECLARATION = re.compile(r"<!--|<!(\[(?:if\b[^\]<>\"']{0,200}|endif)\]\s*)>", re.IGNORECASE)
_MARK = "data-css-inline"
_MARKED = re.compile(f"<!--{_MARK}(.*?)-->", re.DOTALL)
_ELEMENT = re.compile(r"<(?!(?:style|xml|meta|link|noscript|base)\b|[a-z]+:)[a-z]", re.IGNORECASE)
"""One that styles can be for, in a comment for Outlook."""
_TAG = re.compile(r"<(/?)([a-z][^\s/>]*)")
_HIDDEN_FROM_PARSER = re.compile(r"<!--.*?-->|<(style|script)\b.*?</\1", re.DOTALL)
_BEGIN = re.compile(r"<(?:!--|(/?)([a-z][^\s/>]*))")
_ENDS = {"<!--": "-->", "<style": "</style", "<script": "</script"}
_NEVER_DEEP = frozenset(
    {
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
            "wbr",
        ),
        *("p", "li", "dt", "dd", "option", "td", "th", "tr", "tbody", "thead", "tfoot", "html", "head", "body"),
    }
)
