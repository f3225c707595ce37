"""The headers of a call that came, from a file."""

from __future__ import annotations

import json
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from notifyctl.cli import files
from notifyctl.core.errors import UsageError

_HINT = "headers as lines, or as a JSON object of names and values"


def read_headers(file: Path) -> dict[str, str]:
    """Return a call's headers, names in lower case: a JSON object of them, or lines as they stand in a request."""
    text = _text(files.content(str(file), ""), file)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if text.lstrip().startswith(("{", "[")):  # no header's name begins so (RFC 9110, 5.1)
            raise UsageError(f"{file}: it is no JSON: {error}", _HINT) from None
        return dict(_header(line, number, file) for number, line in enumerate(text.splitlines(), 1) if _is_header(line))
    if not isinstance(found, dict):
        raise UsageError(f"{file}: as JSON, headers are an object: names and values")
    pairs = ((name, value[0] if isinstance(value, list) and value else value) for name, value in found.items())
    return {name.lower(): str(value) for name, value in pairs}


def _text(content: bytes, file: Path) -> str:
    """Return what a file says. PowerShell's `>` writes UTF-16."""
    try:
        return content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: it is no text in UTF-8", _HINT) from error


def _is_header(line: str) -> bool:
    # Also what stands before them in a request.
    return bool(line.strip()) and not line.startswith(("POST ", "HTTP/"))


def _header(line: str, number: int, file: Path) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not name.strip():
        raise UsageError(f"{file}, line {number}: it is no header")
    return name.strip().lower(), value.strip()
