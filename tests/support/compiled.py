"""Statements compiled once for a run.

Every test opens a database of its own, and so does every command that it runs. SQLAlchemy keeps what it compiled with
the engine: a third of the time of a command in the tests' process went into compiling what the one before had compiled.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, Engine
from sqlalchemy.util import LRUCache

KEPT = 1_500


class _Shared(LRUCache[Any, Any]):
    """Finds by the kind of the dialect what engines look for by the dialect that is their own."""

    def get(self, key: Any, default: Any = None) -> Any:
        """Return what was compiled."""
        return super().get(_of_any_engine(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Keep what was compiled."""
        super().__setitem__(_of_any_engine(key), value)


def share() -> None:
    """Let all engines have one cache."""
    shared = _Shared(KEPT)
    Engine._compiled_cache = property(lambda _: shared, lambda _, __: None)  # type: ignore[assignment]


def _of_any_engine(key: tuple[Dialect, ...]) -> tuple[Any, ...]:
    """Put what statements are compiled by in the place of the dialect: its class, and what it learnt of the server."""
    dialect, *rest = key
    learnt = (dialect.server_version_info, dialect.paramstyle, getattr(dialect, "_backslash_escapes", None))
    return type(dialect), learnt, *rest
