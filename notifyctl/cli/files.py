"""Files that become part of a notification: its text, its HTML and what is attached to it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from notifyctl.core.errors import UsageError

SHOWN_BASE64 = 32
MAX_ATTACHED_BYTES = 64 * 1024 * 1024
"""What is read at most, for all files together: a provider takes less, and its adapter says how much."""

# What people attach and Python 3.11 does not know. Source: iana.org/assignments/media-types.
_OFFICE = "application/vnd.openxmlformats-officedocument"
_MORE_TYPES = {
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".ics": "text/calendar",
    ".webp": "image/webp",
}


def text(name: str, option: str) -> str:
    """Return what is in the file `name` (`-` is stdin), as it is; raise UsageError where that is no text in UTF-8."""
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return raw.decode()
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{option}: {name}: {_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: {name}: is no text in UTF-8") from error


def attachments(names: Iterable[str], html: str | None) -> list[dict[str, str]]:
    """Return the files as a payload has them; one that `html` shows as cid:NAME stands where it is shown."""
    found, room = [], MAX_ATTACHED_BYTES
    for name in names:
        raw = _bytes(name, room)
        room -= len(raw)
        found.append(_attachment(Path(name).name, raw, html or ""))
    return found


def shortened(encoded: str) -> str:
    """Return the beginning of a file's base64, for a person."""
    return encoded if len(encoded) <= SHOWN_BASE64 else f"{encoded[:SHOWN_BASE64]}… ({len(encoded):,} characters)"


def _bytes(name: str, room: int) -> bytes:
    try:
        with Path(name).expanduser().open("rb") as file:
            raw = file.read(room + 1)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"--attach: {name}: {_reason(error)}") from error
    if not raw:
        raise UsageError(f"--attach: {name}: is empty")
    if len(raw) > room:
        raise UsageError(f"--attach: {name}: more than {MAX_ATTACHED_BYTES:,} bytes are attached")
    return raw


def _attachment(name: str, raw: bytes, html: str) -> dict[str, str]:
    from base64 import b64encode

    inline = re.search(rf"cid:{re.escape(name)}(?![\w.-])", html) is not None
    place = {"disposition": "inline", "content_id": name} if inline else {"disposition": "attachment"}
    return {"filename": name, "type": _type(name), "content": b64encode(raw).decode(), **place}


def _type(name: str) -> str:
    """Return the media type by the file's name, not by a list of the machine's: the same file is the same content."""
    from mimetypes import MimeTypes

    types = MimeTypes()
    for extension, kind in _MORE_TYPES.items():
        types.add_type(kind, extension)
    guessed, encoding = types.guess_type(name)
    return guessed if guessed and encoding is None else "application/octet-stream"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or "nobody knows whose home that is"
