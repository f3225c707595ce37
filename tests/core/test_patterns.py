"""Regular expressions that are compiled later: as `re.compile` returns them, and every one of ours can be compiled."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

import pytest

import notifyctl
from notifyctl.core.patterns import _MEMBERS, pattern


def test_it_is_compiled_when_it_is_first_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, whatever is asked of it."""
    made: list[str] = []
    compiled = re.compile
    monkeypatch.setattr(re, "compile", lambda text, flags=0: (made.append(text), compiled(text, flags))[1])
    late: Any = pattern("a(?P<rest>.)", re.IGNORECASE)
    assert made == []
    assert late.sub("x", "ab ac") == "x x"
    assert late.fullmatch("AB")["rest"] == "B" and late.search("b") is None
    assert made == ["a(?P<rest>.)"]


@pytest.mark.parametrize(("text", "asked"), [("a|(b)", "xaby"), (b"a|(b)", b"xaby")])
def test_all_that_is_asked_is_answered_as_by_the_standard_ones(text: Any, asked: Any) -> None:
    """Texts and bytes."""
    late: Any = pattern(text)
    for name in ("findall", "match", "fullmatch", "search", "split"):
        assert repr(getattr(late, name)(asked)) == repr(getattr(re.compile(text), name)(asked))
    assert late.pattern == text
    assert {name for name in dir(re.compile(text)) if not name.startswith("_")} >= set(_MEMBERS)
    with pytest.raises(AttributeError, match="serach"):
        _ = late.serach


def test_every_one_of_ours_can_be_compiled() -> None:
    """A mistake in one does not wait for the first who asks it."""
    found = 0
    for each in pkgutil.walk_packages(notifyctl.__path__, "notifyctl."):
        if each.name.startswith("notifyctl.migrations") or each.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(each.name)).values():
            if isinstance(value, pattern):
                found += 1
                assert isinstance(value.pattern, str | bytes)
    assert found > 50
