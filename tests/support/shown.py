"""Commands that are shown to people: in pages, in help and in hints. Whether the tree of commands has them."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from notifyctl.cli.app import COMMANDS, load
from tests.support.tree import LEAVES

NOUNS = tuple(name for name, _, _ in COMMANDS)
OPTIONS = {name for leaf in LEAVES.values() for each in leaf.params for name in (*each.opts, *each.secondary_opts)}
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`]+)`")
_CALL = re.compile(r"(?<![\w./'-])(?<!install )notifyctl (?=[a-z-])(.*)")
_ENDS = ("|", "&&", ";", "<", ">", "&", "#")
_ALIASES = {"add": "create", "create": "add", "remove": "delete", "delete": "remove"}


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the blocks of code of a page, each with its language."""
    yield from _FENCED.findall(text)


def inline(text: str) -> Iterator[str]:
    """Yield what stands between backquotes in a page, outside of its blocks, each in one line."""
    yield from (" ".join(each.split()) for each in _CODE.findall(_FENCED.sub("", text)))


def calls(code: str) -> Iterator[list[str]]:
    """Yield the words after `notifyctl` of each call of it in a script, as a shell makes them."""
    for line in re.sub(r"\\\n\s*", " ", code).splitlines():
        for found in _CALL.findall(line):
            yield list(_one(found))


def _one(line: str) -> Iterator[str]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    for word in reader:
        if word in _ENDS:
            return
        yield word


def found(words: list[str]) -> tuple[str, Any, list[str]]:
    """Return the command that words begin with: its path, it (None where there is none), and what is left."""
    if not words or words[0] not in NOUNS:
        return "", None, words
    path, command, rest = words[0], load(words[0]), words[1:]
    while (verbs := getattr(command, "commands", None)) is not None:
        if not rest or rest[0].startswith("-"):
            break
        name = rest[0] if rest[0] in verbs else _ALIASES.get(rest[0], "")
        if name not in verbs:
            return f"{path} {rest[0]}", None, rest
        path, command, rest = f"{path} {name}", verbs[name], rest[1:]
    return path, command, rest


def unknown(words: list[str]) -> str | None:
    """Return what the tree of commands does not have of a command that is mentioned, as far as it is; else None."""
    path, command, rest = found(words)
    if path and command is None:
        return path
    own = {name for each in getattr(command, "params", ()) for name in (*each.opts, *each.secondary_opts)}
    known = {"-h", "--help"} | (own if command is not None and not hasattr(command, "commands") else OPTIONS)
    given = (word.partition("=")[0].rstrip(",.;:)") for word in rest if re.match(r"--?[a-z]", word))
    return next((f"{path} {each}".strip() for each in given if each not in known), None)


@cache
def texts(folder: Path) -> Sequence[tuple[Path, int, str]]:
    """Return the texts in Python's sources, with file and line; what is put into them stands there as X."""
    return list(_texts(folder))


def _texts(folder: Path) -> Iterator[tuple[Path, int, str]]:
    for path in sorted(folder.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in nodes:
            if isinstance(node, ast.JoinedStr):
                parts = (each.value if isinstance(each, ast.Constant) else "X" for each in node.values)
                yield path, node.lineno, "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
                yield path, node.lineno, node.value
