"""The vocabulary of the audit trail: one list, of exactly the words that are used."""

from __future__ import annotations

import ast
from pathlib import Path

from notifyctl.core.audit.words import ACTIONS, RESOURCES, WORDS, knows

PACKAGE = Path(__file__).parents[3] / "notifyctl"


def _said() -> set[tuple[str, str]]:
    """Return every action with what it is done to, as far as a call of `audit` says both."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "audit":
                first, second = [*node.args, None, None][:2]
                if isinstance(first, ast.Constant) and isinstance(second, ast.Constant):
                    found.add((str(first.value), str(second.value)))
    return found


def test_what_is_written_is_listed() -> None:
    """Whoever audits something new has to say what it means; what `audit actions` does not list is nowhere."""
    said = _said()
    assert len(said) > 30, "nothing was found to be looked at"
    assert [pair for pair in sorted(said) if not knows(*pair)] == []


def test_every_word_has_its_meaning_once() -> None:
    """In the order of the alphabet, as people look for them; every kind of thing has something that is done to it."""
    assert tuple(word.action for word in WORDS) == ACTIONS == tuple(sorted(ACTIONS))
    assert {resource for word in WORDS for resource in word.resources} == set(RESOURCES)
    assert tuple(sorted(RESOURCES)) == RESOURCES
    assert all(word.meaning and len(word.action) <= 100 for word in WORDS)
