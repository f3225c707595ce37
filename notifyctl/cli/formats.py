"""What no terminal is to get, and YAML as other programs read it: no value becomes something else there."""

from __future__ import annotations

import json
import sys
from typing import Any

from notifyctl.core.patterns import pattern

# Control characters, those that change the direction of text, and halves of surrogate pairs, which no encoding has.
_UNSAFE = r"\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
OBEYED = pattern(rf"[\x00-\x1f{_UNSAFE}]")
"""What a terminal would obey, or cannot show."""
UNSAFE = pattern(rf"[{_UNSAFE}]")
"""The same where those below a blank are written as escapes anyway, as in JSON."""
_WIDEST = 1 << 20


def as_yaml_text(value: Any) -> str:
    """Return a YAML document; what a terminal would obey is written as escapes.

    What YAML 1.1 takes for another type (`no`, a date) is quoted where it is a text.
    """
    import yaml

    value = json.loads(json.dumps(value, default=str))  # nothing but what JSON has
    options: dict[str, Any] = {"sort_keys": False, "width": _WIDEST, "default_flow_style": False}
    if stdout_is_unicode():
        text = _dumped(value, getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True, **options)
        if text is not None and not UNSAFE.search(text):
            return text
    text = _dumped(value, yaml.SafeDumper, allow_unicode=False, **options)  # the other cannot write half a pair
    return text or ""


def _dumped(value: Any, dumper: Any, **options: Any) -> str | None:
    import yaml

    try:
        return str(yaml.dump(value, Dumper=dumper, **options))
    except UnicodeEncodeError:
        return None


def stdout_is_unicode() -> bool:
    """Return whether stdout can write any character; what takes text as it is and stands in its place can."""
    return (sys.stdout.encoding or "utf-8").lower().startswith("utf")
