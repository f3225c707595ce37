"""Text from outside: what is kept of it does not depend on how it is cleaned."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from notifyctl.core.text import clean, one_line

# Mostly ASCII, which has a way of its own, and everything that could go wrong on it.
texts = st.text(st.characters(max_codepoint=0x7F), max_size=60) | st.text(st.characters(), max_size=60)
limits = st.integers(2, 40)


def slowly_cleaned(text: str, limit_bytes: int) -> str:
    """Character by character."""
    forbidden = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
    kept = "".join(each for each in text if not forbidden.match(each))
    return kept.encode()[:limit_bytes].decode(errors="ignore")


@given(texts, limits)
def test_clean(text: str, limit: int) -> None:
    """No control character is left, and no half of one that was cut."""
    assert clean(text, limit) == slowly_cleaned(text, limit)


@given(texts | texts.map(str.strip) | st.from_regex(r"[!-~]{0,45}", fullmatch=True), limits)
def test_one_line(text: str, limit: int) -> None:
    """Ids as they are, everything else with single spaces, cut with a sign that it was."""
    line = " ".join(slowly_cleaned(text, limit * 8).split())
    assert one_line(text, limit) == (line if len(line) <= limit else line[: limit - 1] + "…")
