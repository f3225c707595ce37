"""The headers of a call that came, from a file."""

from __future__ import annotations

import json
from pathlib import Path

from notifyctl.cli import files
from notifyctl.core.errors import UsageError


def read_headers(file: Path) -> dict[str, str]:
    """Return a call's headers, names in lower case: a JSON object of them, or lines as they stand in a request."""
    text = files.content(str(file), "").decode("utf-8-sig", errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return dict(_header(line, number, file) for number, line in enumerate(text.splitlines(), 1) if _is_header(line))
    if not isinstance(found, dict):
        raise UsageError(f"{file}: as JSON, headers are an object: names and values")
    pairs = ((name, value[0] if isinstance(value, list) and value else value) for name, value in found.items())
    return {name.lower(): str(value) for name, value in pairs}


def _is_header(line: str) -> bool:
    # Also what stands before them in a request.
    return bool(line.strip()) and not line.startswith(("POST ", "HTTP/"))


def _header(line: str, number: int, file: Path) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"{file}, line {number}: it is no header")
    return name.strip().lower(), value.strip()
