"""Regular expressions that are compiled when they are first asked: a command asks few of those that it loads."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

_MEMBERS = ("findall", "finditer", "fullmatch", "match", "pattern", "search", "split", "sub", "subn")

if TYPE_CHECKING:
    pattern = re.compile
else:

    class pattern:
        """What `re.compile` returns, later: with its members that are used here, then as quick as its own."""

        def __init__(self, text: str | bytes, flags: int = 0) -> None:
            self._given = text, flags

        def __getattr__(self, name: str) -> Any:
            if name not in _MEMBERS:
                raise AttributeError(name)
            compiled = re.compile(*self._given)
            self.__dict__.update((each, getattr(compiled, each)) for each in _MEMBERS)
            return self.__dict__[name]
