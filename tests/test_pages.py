"""The README and its pages: whoever follows a link arrives, and no page is left that no link leads to."""

from __future__ import annotations

import re

from tests.support.prose import PAGES, README, documents

_LINK = re.compile(r"\]\(([^)#\s]+)")


def test_every_link_leads_somewhere() -> None:
    """Links between files; what begins with a scheme is elsewhere."""
    for document in documents():
        for target in _LINK.findall(document.read_text(encoding="utf-8")):
            assert "://" in target or (document.parent / target).exists(), (document.name, target)


def test_the_readme_names_every_page() -> None:
    """A page that nothing names is read by nobody."""
    named = {(README.parent / each).resolve() for each in _LINK.findall(README.read_text(encoding="utf-8"))}
    assert {each.resolve() for each in PAGES.glob("*.md")} <= named
