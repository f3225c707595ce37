"""No file and no function is larger than a reader holds in the head at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import notifyctl

PACKAGE = Path(notifyctl.__file__).parent
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
USUAL_FUNCTION = 15
"""Nine of ten functions have no more lines than that."""


def _sources() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8")


def _functions() -> Iterator[tuple[int, str]]:
    """Yield each function's number of lines, from `def` to its end, and where it stands."""
    for name, text in _sources():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{name}: {node.name}"


def test_no_file_is_too_long() -> None:
    """One idea a file: what has more than 400 lines has two."""
    assert [name for name, text in _sources() if len(text.splitlines()) > LONGEST_FILE] == []


def test_no_function_is_too_long() -> None:
    """A function is read at one glance, with its signature and what stands inside of it."""
    assert [(lines, where) for lines, where in _functions() if lines > LONGEST_FUNCTION] == []


def test_most_functions_are_short() -> None:
    """Forty lines are the exception, not the habit."""
    lengths = sorted(lines for lines, _ in _functions())
    assert len(lengths) > 1_000, "nothing was found to be measured"
    assert lengths[int(len(lengths) * 0.9)] <= USUAL_FUNCTION
