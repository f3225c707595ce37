"""What a template names that there is not: functions, macros, blocks; and what it says where nobody sees it."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from notifyctl.core.template.expression import Construct, Node
from notifyctl.core.template.grammar import Body, walk
from notifyctl.core.template.language import FORMS
from notifyctl.core.template.rules import FUNCTIONS
from notifyctl.core.template.unit import Unit


class Severity(StrEnum):
    """Whether sending fails, or only goes worse than it could."""

    ERROR = "error"
    WARNING = "warning"


StructureFault = tuple[Severity, int, str]


def faults(part: Unit) -> Iterator[StructureFault]:
    """Yield what is wrong, with its place in the source."""
    yield from _functions(part)
    yield from _plurals(part.tree)
    parent = next((node for node in part.tree if node.kind is Construct.EXTENDS), None)
    if parent is not None and parent.name in part.includes:
        yield from _unseen(part, part.includes[parent.name])


def _functions(part: Unit) -> Iterator[StructureFault]:
    modules: dict[str, Unit] = {}
    known = FUNCTIONS | {"caller", "super"}
    for node in walk(part.tree):
        other = part.includes.get(node.name)
        if node.kind is Construct.MACRO:
            known |= {node.name}
        elif node.kind is Construct.IMPORT and other is not None:
            modules[node.names[0]] = other
        elif node.kind is Construct.FROM and other is not None:
            known |= set(node.names)
            for each in node.nodes:
                if each.name not in _made(other.tree):
                    yield Severity.ERROR, each.start, f"there is no {each.name} in {other.template}"
    for node in walk(part.tree):
        if node.kind is not Construct.CALL:
            continue
        called = node.nodes[0]
        if called.kind is Construct.NAME and called.name not in known:
            yield Severity.ERROR, called.start, f"there is no function {called.name}"
        module = modules.get(called.nodes[0].name) if called.kind is Construct.MEMBER else None
        if module is not None and called.name not in _made(module.tree):
            yield Severity.ERROR, called.start, f"there is no {called.name} in {module.template}"


def _made(tree: Body) -> set[str]:
    """Return what can be imported from a template."""
    found = {node.name for node in tree if node.kind is Construct.MACRO}
    return found.union(*(node.names for node in tree if node.kind in (Construct.SET, Construct.FROM, Construct.IMPORT)))


def _plurals(tree: Body) -> Iterator[StructureFault]:
    for node in walk(tree):
        if node.name != "plural" and not (node.kind is Construct.CALL and node.nodes[0].name == "plural"):
            continue
        if node.kind not in (Construct.CALL, Construct.FILTER):
            continue
        forms = [each.name for each in node.nodes if each.kind is Construct.KEYWORD]
        for name in (name for name in forms if name not in FORMS):
            yield Severity.ERROR, node.start, f"plural: there is no form {name}, only {', '.join(FORMS)}"
        if "other" not in forms:
            yield Severity.ERROR, node.start, "plural: the form other is missing"


def _unseen(part: Unit, parent: Unit) -> Iterator[StructureFault]:
    """Yield what stands beside the blocks that another template shows."""
    blocks = _blocks(parent)
    for node in part.tree:
        if node.kind is Construct.BLOCK and node.name not in blocks:
            message = f"there is no block {node.name} in {parent.template}: nothing of it is shown"
            yield Severity.WARNING, node.start, message
        if node.kind is Construct.OUTPUT or (node.kind is Construct.TEXT and _says(part.text, node)):
            yield Severity.WARNING, node.start, "it stands outside of the blocks, where nothing is shown"
            return


def _says(source: str, node: Node) -> bool:
    return not source[node.start : node.end].isspace()


def _blocks(part: Unit) -> set[str]:
    """Return the names of the blocks of a template, and of all that it extends."""
    found = {node.name for node in walk(part.tree) if node.kind is Construct.BLOCK}
    parents = [node.name for node in part.tree if node.kind is Construct.EXTENDS]
    return found.union(*(_blocks(part.includes[name]) for name in parents if name in part.includes))
