"""CSV cells that no spreadsheet takes for a formula, and what they meant. Source: OWASP, CSV injection.

A text that a spreadsheet would run gets an apostrophe before it, and so does one that looks as if it had got one:
reading takes away one, and each text comes back as it was.
"""

from __future__ import annotations

from notifyctl.core.patterns import pattern

_RUNS = pattern(r"'*[=+\-@\t\r\n＝＋－＠]")
_KEPT_FROM_IT = pattern(r"'+[=+\-@\t\r\n＝＋－＠]")


def harmless(text: str) -> str:
    """Return a text as a cell that nothing runs."""
    return f"'{text}" if _RUNS.match(text) else text


def meant(cell: str) -> str:
    """Return what a cell says: one that `harmless` made without its apostrophe, another as it is."""
    return cell[1:] if _KEPT_FROM_IT.match(cell) else cell
