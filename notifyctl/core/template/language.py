"""Which language a notification is in, and what depends on that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from notifyctl.core.template.source import Source

_spoken: ContextVar[str] = ContextVar("_spoken", default="en")


def chosen(source: Source, tag: str | None) -> str | None:
    """Return the language of the template that suits a reader of the language `tag` best (RFC 4647, look-up).

    None and the template's own language are the same: what no variant suits is said in that.
    """
    wanted = (tag or "").lower()
    found = {each.lower(): each for each in source.variants}
    own = (source.language or "").lower()
    while wanted:
        if wanted == own:
            return source.language
        if wanted in found:
            return found[wanted]
        wanted = wanted.rpartition("-")[0]
    return source.language


@contextmanager
def speaking(tag: str) -> Iterator[None]:
    """Let templates that are rendered meanwhile follow the rules of that language."""
    token = _spoken.set(tag)
    try:
        yield
    finally:
        _spoken.reset(token)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {}
