"""YAML as other programs read it: no value becomes something else there."""

from __future__ import annotations

import json
import sys
from typing import Any

from notifyctl.core.patterns import pattern

_UNSAFE = pattern("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDEST = 1 << 20


def as_yaml_text(value: Any) -> str:
    """Return a YAML document; what a terminal would obey is written as escapes.

    What YAML 1.1 takes for another type (`no`, a date) is quoted where it is a text.
    """
    import yaml

    value = json.loads(json.dumps(value, default=str))  # nothing but what JSON has
    options: dict[str, Any] = {"sort_keys": False, "width": _WIDEST, "default_flow_style": False}
    if _takes_unicode():
        text = _dumped(value, getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True, **options)
        if text is not None and not _UNSAFE.search(text):
            return text
    text = _dumped(value, yaml.SafeDumper, allow_unicode=False, **options)  # the other cannot write half a pair
    return text or ""


def _dumped(value: Any, dumper: Any, **options: Any) -> str | None:
    import yaml

    try:
        return str(yaml.dump(value, Dumper=dumper, **options))
    except UnicodeEncodeError:
        return None


def _takes_unicode() -> bool:
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")
