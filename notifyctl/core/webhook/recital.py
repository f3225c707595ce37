"""What a receiver says that repeats its URL, which may be a secret: "Cannot POST /...", in whatever spelling."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, unquote_plus

KEPT_PATHS = 1_024
SHORTEST_SECRET = 8
"""Of the characters of a part of a path that is left out of answers: a shorter one is a word, and hides nothing."""
_BETWEEN = re.compile(r"[/?&;=]")


def without_path(text: str, path: str) -> str:
    """Return a text without a URL's path and query, and without any longer part of them."""
    secrets = _secrets(path)
    return text if secrets is None else secrets.sub("…", text)


@lru_cache(KEPT_PATHS)
def _secrets(path: str) -> re.Pattern[str] | None:
    spelled = {each for part in _parts(path) for each in _spellings(part) if len(each) >= SHORTEST_SECRET}
    if not spelled:
        return None
    longest_first = sorted(spelled, key=lambda each: (-len(each), each))
    return re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)  # %2f is %2F


def _parts(path: str) -> Iterator[str]:
    before, _, query = path.partition("?")
    for part in (path, path[1:], before, before[1:], query, *_BETWEEN.split(path)):
        yield from (part, unquote(part), unquote_plus(part))


def _spellings(part: str) -> Iterator[str]:
    from html import escape  # it brings a table of all entities, which most commands have no use for

    quoted = json.dumps(part)[1:-1]
    yield from (part, escape(part), part.replace("/", "\\/"), quoted, quoted.replace("/", "\\/"))
    yield from (quote(part), quote(part, ""), quote_plus(part))
