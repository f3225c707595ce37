"""HTML for mail programs: its styles put at the elements, where they are kept, and the text beside it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from notifyctl.core.template.failure import TemplateError

if TYPE_CHECKING:
    from css_inline import CSSInliner

DEEPEST = 200
"""Elements in elements. The inliner ends the process where they are some thousands."""


def inline(markup: str) -> str:
    """Return the HTML with its styles at the elements that they are for. Raises TemplateError where it is too deep.

    Rules that no element can have, like media queries and `:hover`, stay in the head, as do comments for Outlook. HTML
    without a style sheet stays as it is, to the byte. Done with what was rendered, not with the template: there, what a
    loop repeats, a condition leaves out and a layout surrounds is not yet what the style sheet's selectors are about.
    """
    if not has_styles(markup):
        return markup
    if depth(markup) > DEEPEST:
        raise TemplateError(f"has elements in elements deeper than {DEEPEST} levels", part="html")
    inlined = _EMPTY_STYLE.sub("", _inliner().inline(markup))
    doctype = _DOCTYPE.match(markup)
    return _DOCTYPE.sub(lambda _: doctype[0], inlined, count=1) if doctype else inlined


def has_styles(markup: str) -> bool:
    """Whether there is a style sheet in it."""
    return _STYLE.search(markup) is not None


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


def text(markup: str) -> str:
    """Return what the HTML says as text, a line behind each link's text with its address; empty if it says nothing.

    What is hidden on the screen, like the line that mailboxes show before a mail is opened, is left out.
    """
    from resiliparse.extract.html2text import extract_plain_text  # here: no other part of the program needs it

    found = extract_plain_text(
        markup, links=True, skip_elements=_INVISIBLE if _HIDES.search(markup) else _SILENT
    ).translate(_ODD)
    found = _SAME.sub(r"\1", _IN_PAGE.sub("", found))
    lines = [line.rstrip() for line in _CELLS.sub("  ", found).split("\n")]
    said = _GAPS.sub("\n\n", "\n".join(line[1:] if line.startswith(" (") else line for line in lines)).strip("\n")
    return f"{said}\n" if said.strip() else ""


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
_SILENT = ["title", "style", "script"]
_HIDES = re.compile(
    r"\bhidden\b|preheader|preview|display:\s*none|mso-hide|(?:max-height|font-size|opacity):\s*0", re.IGNORECASE
)
_INVISIBLE = [
    *_SILENT,
    *("[hidden]", ".preheader", ".preview-text"),
    *(
        f'[style*="{name}:{blank}{value}" i]'
        for name, value in (("display", "none"), ("visibility", "hidden"), ("mso-hide", "all"))
        for blank in ("", " ")
    ),
    *(
        f'[style{match}"{name}:{blank}0{end}" i]'
        for name in ("max-height", "font-size", "opacity")
        for blank in ("", " ")
        for match, end in (("*=", ";"), ("*=", "p"), ("$=", ""))
    ),
]
_ODD = {0xA0: " ", 0xAD: None, 0x34F: None, 0x200B: None, 0x200C: None, 0xFEFF: None}
_SAME = re.compile(r"(\S+) \((?:mailto:|tel:)?\1/?\)")
_IN_PAGE = re.compile(r" \(#[^)\s]*\)")
_CELLS = re.compile(r"[ \t]*\t[ \t]*")
_GAPS = re.compile(r"\n{3,}")
