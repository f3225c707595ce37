"""HTML for mail programs: its styles put at the elements, where they are kept."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from notifyctl.core.template.failure import TemplateError

if TYPE_CHECKING:
    from css_inline import CSSInliner

DEEPEST = 200
"""Elements in elements. The inliner ends the process where they are some thousands, and the parser takes seconds."""


def inline(markup: str) -> str:
    """Return the HTML with its styles at the elements that they are for. Raises TemplateError where it is too deep.

    Rules that no element can have, like media queries and `:hover`, stay in the head, as do comments for Outlook. HTML
    without a style sheet stays as it is, to the byte. Done with what was rendered, not with the template: there, what a
    loop repeats, a condition leaves out and a layout surrounds is not yet what the style sheet's selectors are about.
    """
    if not has_styles(markup):
        return markup
    require_shallow(markup)
    inlined = _EMPTY_STYLE.sub("", _inliner().inline(markup))
    doctype = _DOCTYPE.match(markup)
    return _DOCTYPE.sub(lambda _: doctype[0], inlined, count=1) if doctype else inlined


def has_styles(markup: str) -> bool:
    """Whether there is a style sheet in it."""
    return ("<s" in markup or "<S" in markup) and _STYLE.search(markup) is not None


def require_shallow(markup: str) -> None:
    """Raise TemplateError where elements stand in elements too deep for those who read HTML in C and Rust."""
    if depth(markup) > DEEPEST:
        raise TemplateError(f"has elements in elements deeper than {DEEPEST} levels", part="html")


def depth(markup: str) -> int:
    """Return how many elements stand in one another at most, or a little more: what is never closed counts."""
    open_now: dict[str, int] = {}
    now = most = 0
    for closing, name in _TAG.findall(_HIDDEN_FROM_PARSER.sub("", markup)):
        name = name.lower()
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


@cache
def _inliner() -> CSSInliner:
    from css_inline import CSSInliner  # here: no other part of the program needs it

    return CSSInliner(keep_style_tags=True, remove_inlined_selectors=True, load_remote_stylesheets=False)


_STYLE = re.compile("<style", re.IGNORECASE)
_EMPTY_STYLE = re.compile(r"<style[^>]*>\s*</style>")
_DOCTYPE = re.compile(r"\s*<!doctype[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)")
_HIDDEN_FROM_PARSER = re.compile(r"<!--.*?-->|<(style|script)\b.*?</\1", re.IGNORECASE | re.DOTALL)
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
