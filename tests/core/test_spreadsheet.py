"""Cells that a spreadsheet opens: nothing runs, and whoever reads them back has what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.spreadsheet import harmless, meant

RUN = ("=1+1", "+1415", "-1", "@x", "\tx", "\rx", "\nx", "＝1", "＋1", "－1", "＠x")
"""What spreadsheets run, by OWASP's page on CSV injection."""


@pytest.mark.parametrize("text", [*RUN, *(f"'{each}" for each in RUN), "''=x", "'", "'a", "", "a=1"])
def test_a_cell_comes_back(text: str) -> None:
    """Also one that had an apostrophe of its own."""
    assert meant(harmless(text)) == text


@given(st.text(alphabet="'=+-@\t\ra＝", max_size=6))
def test_any_text_comes_back_and_none_runs(text: str) -> None:
    """No cell begins with what is run."""
    cell = harmless(text)
    assert meant(cell) == text
    assert not cell.startswith(tuple("=+-@\t\r＝"))


def test_what_somebody_wrote_by_hand_is_as_it_is() -> None:
    """A number without an apostrophe is a number."""
    assert [meant(each) for each in ("+14155552345", "'hello'", "it's")] == ["+14155552345", "'hello'", "it's"]
