"""The text that HTML says, for the part of a mail that is read where HTML is not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from notifyctl.core.template.html import require_shallow

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode


def text(markup: str) -> str:
    """Return what is seen of HTML as text, behind each link's text its address; empty if it says nothing.

    What is hidden on the screen, like the line that mailboxes show before a mail is opened, is left out. Raises
    TemplateError where elements are too deep in one another.
    """
    require_shallow(markup)
    from selectolax.lexbor import LexborHTMLParser  # here: no other part of the program needs it

    root = LexborHTMLParser(markup).body
    writer = _Writer()
    todo: list[tuple[LexborNode, bool]] = [(root, False)] if root is not None else []
    while todo:
        node, done = todo.pop()
        if done:
            writer.leave(node)
        elif writer.enter(node):
            todo.append((node, True))
            todo += [(child, False) for child in reversed(list(node.iter(include_text=True)))]
    return writer.result()


class _Writer:
    """What was said so far; `_gap` is how many line ends have to come before what is said next."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._gap = 0
        self._blank = False
        self._begun = False  # an item: what it says stands behind its mark, be it a paragraph
        self._links: list[int] = []
        self._numbers: list[int | None] = []
        self._as_written = 0

    def result(self) -> str:
        lines = _UNSEEN.sub("", "".join(self._said).translate(_ODD)).split("\n")
        said = "\n".join(line.rstrip() for line in lines).strip("\n")
        return f"{said}\n" if said.strip() else ""

    def enter(self, node: LexborNode) -> bool:
        """Say what stands before the children of an element; return whether they are to be looked at."""
        tag = node.tag or ""
        if tag == "-text":
            self._text(node.text_content or "")
        elif tag in ("img", "area"):
            self._links += [len(self._said)] if tag == "area" else []
            self._text(node.attributes.get("alt") or "")
        elif tag == "br":
            self._say(f"\n{self._indent()}", gap=False)
            self._blank = True
        if tag in _SILENT or tag.startswith("-") or _is_hidden(node):
            return False
        self._break(_GAPS.get(tag, 0))
        if tag in ("ul", "ol"):
            self._numbers.append(_number(node.attributes.get("start"), 1) if tag == "ol" else None)
        elif tag == "li":
            self._item(node.attributes.get("value"))
        elif tag == "a":
            self._links.append(len(self._said))
        self._as_written += tag == "pre"
        return True

    def leave(self, node: LexborNode) -> None:
        """Say what stands behind the children of an element."""
        tag = node.tag or ""
        if tag in ("a", "area"):
            self._link(self._links.pop(), node.attributes.get("href") or "")
        elif tag in ("ul", "ol"):
            self._numbers.pop()
        elif tag in ("td", "th"):
            self._blank = bool(self._said)
            self._said += ["  "] if self._said and not self._gap else []
        self._as_written -= tag == "pre"
        if tag == "pre" and self._said:
            self._said[-1] = self._said[-1].rstrip("\n")
        self._break(_GAPS.get(tag, 0))

    def _text(self, text: str) -> None:
        if self._as_written:
            self._say(text)
            return
        words = _BLANKS.sub(" ", text)
        if words.startswith(" ") and (self._blank or self._gap or not self._said):
            words = words[1:]
        if words:
            self._say(words)
            self._blank = words.endswith(" ")

    def _say(self, text: str, *, gap: bool = True, indent: str | None = None) -> None:
        if gap and self._gap and self._said:
            self._said.append("\n" * self._gap + (self._indent() if indent is None else indent))
        self._gap = 0 if gap else self._gap
        self._begun = False
        self._said.append(text)
        self._blank = text.endswith("\n")

    def _break(self, lines: int) -> None:
        if self._said and lines and not self._begun:
            self._gap = max(self._gap, lines)

    def _indent(self) -> str:
        """Return how far a line is indented that goes on with an item of a list."""
        return "  " * (len(self._numbers) + 1) if self._numbers and not self._as_written else ""

    def _item(self, value: str | None) -> None:
        number = self._numbers[-1] if self._numbers else None
        if number is not None:
            number = _number(value, number)
            self._numbers[-1] = number + 1
        indent = "  " * max(1, len(self._numbers))
        self._say(f"{indent}• " if number is None else f"{indent}{number}. ", indent="")
        self._blank = self._begun = True

    def _link(self, start: int, address: str) -> None:
        said, address = "".join(self._said[start:]).strip(), address.strip()
        gap, self._gap = (self._gap, 0) if said else (0, self._gap)  # the address stands behind what is said
        same = {address.rstrip("/"), address.removeprefix("mailto:").removeprefix("tel:")}
        if address and not address.startswith("#") and said.rstrip("/") not in same:
            self._text(f" ({address})")
        self._gap = max(gap, self._gap)


def _number(written: str | None, usual: int) -> int:
    """Return the number of a list's item that an attribute says, else what it is without one."""
    found = _INTEGER.match(written or "")
    return int(found[0]) if found else usual


def _is_hidden(node: LexborNode) -> bool:
    given = node.attributes
    if "hidden" in given or _HIDES.search(given.get("style") or ""):
        return True
    return not _PREVIEW.isdisjoint((given.get("class") or "").split())


_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,9}")
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_SILENT = frozenset({"script", "style", "title", "head", "template", "select", "object", "iframe"})
_PREVIEW = frozenset({"preheader", "preview-text"})
# Not a font's size of 0: layouts give that to what stands around all of a mail. Nor `mso-hide`, by which buttons are
# hidden from Outlook alone, which gets another one in a comment.
_HIDES = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden"
    r"|(?:max-height|opacity)\s*:\s*0(?:px|pt|em|%)?\s*(?:!\s*important\s*)?(?:;|$))",
    re.IGNORECASE,
)
_ODD = {0xA0: " ", 0xAD: None, 0x200B: None, 0xFEFF: None}
# Between letters they are spelling, as in Persian; elsewhere they fill up what mailboxes show of a mail.
_UNSEEN = re.compile("(?<![^\\s\u200c\u034f])[\u200c\u034f]+|[\u200c\u034f]+(?![^\\s\u200c\u034f])")
_GAPS = {
    **dict.fromkeys(("p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "hr"), 2),
    **dict.fromkeys(("div", "table", "tr", "ul", "ol", "li", "dl", "dt", "dd", "center", "address", "figure"), 1),
    **dict.fromkeys(("section", "article", "header", "footer", "main", "nav", "aside", "caption", "form"), 1),
    **dict.fromkeys(("details", "summary", "fieldset", "legend"), 1),
}
