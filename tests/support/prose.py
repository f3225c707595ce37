"""What people read: the README and the pages that it names."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = REPOSITORY / "docs"


def documents() -> list[Path]:
    """Return the README and its pages."""
    return [README, *sorted(PAGES.glob("*.md"))]


def page(name: str) -> str:
    """Return the text of a page."""
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")
