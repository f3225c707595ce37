"""HTML for mail programs: its styles put where they are kept, and the text beside it."""

from __future__ import annotations


def inline(markup: str) -> str:
    """Return the HTML with its styles at the elements that they are for; media queries stay where they are."""
    import css_inline

    return css_inline.inline(markup, keep_at_rules=True, load_remote_stylesheets=False)


def text(markup: str) -> str:
    """Return what the HTML says as text, links with their addresses; never empty."""
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(markup, links=True).strip() + "\n"
