"""How many parts a text message takes: what is paid for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.segments import Encoding, segments

GSM, UCS = Encoding.GSM_7, Encoding.UCS_2


@pytest.mark.parametrize(
    ("text", "encoding", "units", "count"),
    [
        ("", GSM, 0, 1),
        ("x" * 160, GSM, 160, 1),
        ("x" * 161, GSM, 161, 2),
        ("x" * 306, GSM, 306, 2),
        ("x" * 307, GSM, 307, 3),
        ("€" * 80, GSM, 160, 1),
        ("€" * 81, GSM, 162, 2),
        ("x" * 152 + "€" + "x" * 152, GSM, 306, 3),
        ("é" * 160, GSM, 160, 1),
        ("ç" * 70, UCS, 70, 1),
        ("ç" * 71, UCS, 71, 2),
        ("😀" * 35, UCS, 70, 1),
        ("😀" * 36, UCS, 72, 2),
        ("x" * 66 + "😀" + "x" * 66, UCS, 134, 3),
    ],
)
def test_the_limits(text: str, encoding: Encoding, units: int, count: int) -> None:
    """Each limit of the standard, from both sides; a letter of two units is not divided between parts."""
    found = segments(text)
    assert (found.encoding, found.units, found.count) == (encoding, units, count)


def test_what_makes_it_dear_is_named() -> None:
    """The letters that cost more than half of each part, once each, in their order."""
    assert segments("Français — où ça ?").odd == "ç—"


@given(st.text(), st.text())
def test_more_text_never_takes_fewer_parts(text: str, more: str) -> None:
    """Also where the addition changes the encoding of all of it."""
    assert segments(text + more).count >= segments(text).count


@given(st.text())
def test_the_parts_hold_the_text(text: str) -> None:
    """As many parts as there are have room for it, and one fewer has not, but for what may not be divided."""
    found = segments(text)
    alone, part = (160, 153) if found.encoding is GSM else (70, 67)
    assert found.units <= (alone if found.count == 1 else found.count * part)
    assert found.count == 1 or found.units > (found.count - 1) * (part - 1)
