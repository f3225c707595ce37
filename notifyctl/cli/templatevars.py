"""Variables of templates on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from notifyctl.core.content import as_given
from notifyctl.core.errors import UsageError

_HINT = "--var name=Anna, or --var 'items:=[1, 2]'"


def pairs(texts: Sequence[str]) -> dict[str, Any]:
    """Return the values of `--var`. Raises UsageError."""
    found: dict[str, Any] = {}
    for name, value in map(_pair, texts):
        if name in found:
            raise UsageError(f"--var: {name} is given twice", "give it once")
        found[name] = value
    return found


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    as_json = name.endswith(":")
    name = name.removesuffix(":").strip()
    if not equals or not name:
        raise UsageError(f"--var {text}: is no K=V", _HINT)
    if not as_json:
        return name, value
    try:
        return name, as_given(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--var {name}: is not JSON: {error}", _HINT) from None
