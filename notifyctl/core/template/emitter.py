"""A function of Python while it is written: its lines, what it calls its values, and the loops that it has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

NODES_MOST = 300
"""How many statements and texts a part may have, with those of what it includes."""
STEPS_MOST = 10_000
"""How many of them loops may come by: some ten of the engine's steps each, of which it allows far more."""
ROOM = 1_000_000
"""How many characters loops may write, beside those in texts that are short."""
_BLOCKS_DEEPEST = 10


class Unusual(Exception):
    """What the engine has to decide."""


class Spot(NamedTuple):
    """Where a statement stands: how the function calls what loops gave, the loop's count and list, in which block.

    Who comes to that loop's lines, or the function's, comes by all that are at the level `always`.
    """

    items: Mapping[str, str]
    loop: tuple[str, str] | None
    level: int = 1
    depth: int = 0
    always: int = 1

    def within(self, levels: int = 1) -> Spot:
        """Return a spot in a block that stands here, whose lines begin further to the right."""
        if self.depth > _BLOCKS_DEEPEST:
            raise Unusual
        return self._replace(level=self.level + levels, depth=self.depth + 1)


class Loop:
    """A loop as it is written. `printed` is as in `Emitter`, for its own lines; `before` are lines that come first.

    Parts mostly have the same loops: what they say of an item is written in one turn, in which each value is looked up
    once.
    """

    def __init__(self, emitter: Emitter, level: int) -> None:
        self.items, self.item, self.count = (emitter.name() for _ in range(3))
        self.printed = dict(emitter.printed)
        self.before: list[str] = []
        self.lines: list[str | Loop] = []
        self._indent = "    " * level

    def __iter__(self) -> Iterator[str]:
        """Return its lines."""
        lines = list(flat(self.lines))
        is_counted = any(re.search(rf"\b{self.count}\b", line) for line in lines)
        item, items = (
            (f"{self.count}, {self.item}", f"enumerate({self.items})") if is_counted else (self.item, self.items)
        )
        yield from (f"{self._indent}{line}" for line in (*self.before, f"for {item} in {items}:"))
        yield from lines


def flat(lines: Iterable[str | Loop]) -> Iterator[str]:
    """Return lines with those of loops among them."""
    for each in lines:
        yield from (each,) if isinstance(each, str) else each


class Emitter:
    """The function as it is written; `nodes` counts what the part is made of at which it is.

    `printed` is how it calls what was printed where everybody comes by, by how that was looked up and escaped; `loops`
    are those where every rendering comes by, by what they go through.
    """

    def __init__(self) -> None:
        self.lines: list[str | Loop] = ["def write(given, escape):", f"    steps, room = {STEPS_MOST}, {ROOM}"]
        self.nodes = 0
        self.printed: dict[tuple[str, bool], str] = {}
        self.loops: dict[str, Loop] = {}
        self._names = 0

    def write(self, level: int, line: str) -> None:
        """Add a line, in so many blocks."""
        self.lines.append("    " * level + line)

    def name(self) -> str:
        """Return a name that nothing has."""
        self._names += 1
        return f"v{self._names}"

    def count(self) -> None:
        """Take note of one more of what a part is made of. Raises Unusual where they are too many."""
        self.nodes += 1
        if self.nodes > NODES_MOST:
            raise Unusual
