"""One name, one thing: who reads `Order` or `Result` somewhere need not ask which."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import notifyctl

PACKAGE = Path(notifyctl.__file__).parent


def _defined(tree: ast.Module) -> Iterator[str]:
    """Yield the classes of a module, wherever they stand, and its type aliases."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.name
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and _is_type(statement.value):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (each.id for each in targets if isinstance(each, ast.Name) and _is_class_name(each.id))


def _is_class_name(name: str) -> bool:
    bare = name.lstrip("_")
    return bare[:1].isupper() and not bare.isupper()


def _is_type(value: ast.expr | None) -> bool:
    """Return whether that may be a type: `A[B]`, `A | B` or `A`; not an option of a command, which is `Annotated`."""
    if isinstance(value, ast.Subscript):
        return not (isinstance(value.value, ast.Name) and value.value.id == "Annotated")
    return isinstance(value, ast.BinOp | ast.Name | ast.Attribute)


def doubles(sources: dict[str, str]) -> dict[str, list[str]]:
    """Return the names that are defined more than once, each with the files where."""
    places: dict[str, list[str]] = defaultdict(list)
    for where, text in sources.items():
        for name in _defined(ast.parse(text)):
            places[name].append(where)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_class_or_type_has_a_namesake() -> None:
    """In all of notifyctl a name of a class or of a type alias is given once."""
    sources = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    assert len(sources) > 100, "nothing was found to be looked at"
    assert doubles(sources) == {}


@pytest.mark.parametrize(
    "second",
    [
        "class Order: ...",
        "def made():\n    class Order: ...",
        "Order = tuple[str, int]",
        "Order = str | None",
        "Order: TypeAlias = str",
    ],
)
def test_a_namesake_is_found(second: str) -> None:
    """Also as an alias, and inside of something else."""
    assert doubles({"a.py": "class Order: ...", "b.py": second}) == {"Order": ["a.py", "b.py"]}


def test_what_is_no_type_is_passed_over() -> None:
    """Constants, type variables and the options of commands are named for their own file."""
    same = "T = TypeVar('T')\nLIMIT = MOST\n_Timeout = Annotated[int, typer.Option()]\n"
    assert doubles({"a.py": same, "b.py": same}) == {}
