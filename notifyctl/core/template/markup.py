"""What mail programs drop of HTML, or do not show as it was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from notifyctl.core.template import cascade

CLIPPED = 102_000
"""Bytes of HTML behind which Gmail cuts a mail off."""


def dropped(source: str) -> list[tuple[int | None, str]]:
    """Return what is dropped of the HTML of a template, each with its line. What is put in is not looked at."""
    parser = _Finder()
    parser.found += [
        (source.count("\n", 0, each.start()) + 1, "tojson ends an attribute in double quotes: put it into single ones")
        for each in _JSON_IN_QUOTES.finditer(source)
    ]
    shown = _TAGS.sub(_blank, source)
    if shown.count("<") - shown.count(">") > _UNENDED_MOST:  # from each of them on, the parser would look for its end
        parser.found.append((None, "has tags that never end"))
    else:
        parser.feed(shown)
        parser.close()
        parser.found += cascade.overridden(parser.sheets, parser.elements)
    if len(source.encode(errors="replace")) > CLIPPED:
        parser.found.append((None, f"is longer than {CLIPPED:,} bytes, behind which Gmail cuts it off"))
    return parser.found


_UNENDED_MOST = 100
_TAGS = re.compile(r"\{\{.{0,1000}?\}\}|\{%.{0,1000}?%\}|\{#.{0,1000}?#\}", re.DOTALL)
_FILL = "\ue000"
_JSON_IN_QUOTES = re.compile(r"""=\s*"[^"<>{]{0,200}\{\{[^"{}]{0,200}\|\s*tojson""")
_QUOTED = re.compile(r""""[^"]*"|'[^']*'""")
_DROPPED = frozenset(
    {
        *("script", "form", "input", "button", "select", "textarea", "iframe", "frame", "frameset", "object", "embed"),
        *("applet", "audio", "video", "canvas", "svg", "math", "base", "noscript", "dialog", "template"),
    }
)
_STYLES = (
    (re.compile(r"position\s*:\s*(absolute|fixed|sticky|relative)", re.IGNORECASE), "position"),
    (re.compile(r"@import", re.IGNORECASE), "@import"),
    (re.compile(r"expression\s*\(|behavior\s*:", re.IGNORECASE), "expressions in CSS"),
)
_ADDRESSES = ("href", "src", "background", "poster", "srcset")
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:|#", re.IGNORECASE)


def _blank(tag: re.Match[str]) -> str:
    """Return something as long, of as many lines, that shows where a value is put in."""
    fill = _FILL if tag[0].startswith("{{") else " "
    return "".join("\n" if letter == "\n" else fill for letter in tag[0])


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[int | None, str]] = []
        self.sheets: list[tuple[int, str]] = []
        self.elements: list[cascade.StyledElement] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._in_style = tag == "style"
        given = {name: value or "" for name, value in attrs}
        if _FILL in _QUOTED.sub("", self.get_starttag_text() or ""):
            self._note(f"a value stands in <{tag}> without quotes: whoever gives it can end the attribute")
        for message in _of_tag(tag, given):
            self._note(message)
        self.elements.append(cascade.element(tag, given))
        for name, value in given.items():
            for message in _of_attribute(tag, name, value):
                self._note(message)

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if not self._in_style:
            return
        self.sheets.append((self.getpos()[0], data))
        for pattern, what in _STYLES:
            for found in pattern.finditer(data):
                line = self.getpos()[0] + data.count("\n", 0, found.start())
                self.found.append((line, f"mail programs drop {what}"))

    def parse_marked_section(self, i: int, report: int = 1) -> int:
        """Read `<![if !mso]>` and all that begins so as browsers do: as a comment. Others would be a failure here."""
        return self.parse_bogus_comment(i, report=False)

    def _note(self, message: str) -> None:
        self.found.append((self.getpos()[0], message))


def _of_tag(tag: str, given: dict[str, str]) -> Iterator[str]:
    if tag in _DROPPED:
        yield f"mail programs drop <{tag}>"
    if tag == "link" and "stylesheet" in given.get("rel", "").lower():
        yield "mail programs drop style sheets that are elsewhere: put it into <style>"
    if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
        yield "mail programs drop <meta http-equiv=refresh>"
    if tag == "img" and "alt" not in given:
        yield "the image has no alt text, which is what most people see first"


def _of_attribute(tag: str, name: str, value: str) -> Iterator[str]:
    if name.startswith("on"):
        yield f"mail programs drop {name}"
    if name == "style":
        yield from (f"mail programs drop {what}" for pattern, what in _STYLES if pattern.search(value))
    if name in _ADDRESSES and value and _FILL not in value[:1]:
        address = value.strip().lower()
        if address.startswith("data:"):
            yield f"mail programs drop data: in {name}"
        elif address.startswith(("javascript:", "vbscript:")):
            yield f"mail programs drop scripts in {name}"
        elif not _ABSOLUTE.match(address) and tag != "link":
            yield f"{name} {value.strip()[:60]!r} leads nowhere in a mail: write the whole address"
