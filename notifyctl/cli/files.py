"""Files that are read whole, most of them to become part of a notification: its text, its HTML, what is attached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from notifyctl.cli.stdin import stdin_bytes
from notifyctl.config import contents, expanded
from notifyctl.core.errors import UsageError

SHOWN_BASE64 = 32
MAX_ATTACHED_BYTES = 64 * 1024 * 1024
"""What is read at most, for all files together: a provider takes less, and its adapter says how much."""
ID_NAME_CHARS = 32
"""What of a file's name is in its content id, so that a header of it needs no second line."""

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
        return content(name, f"{option}: ").decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{option}: {name}: is no text in UTF-8") from error


def content(name: str, where: str) -> bytes:
    """Return what is in the file `name` (`-` is stdin); raise UsageError for none and for more than anybody means.

    Its message begins with `where`.
    """
    try:
        return stdin_bytes(where) if name == "-" else contents(name, where)
    except OSError as error:
        raise UsageError(f"{where}{name}: {error.strerror}") from error


def attached(names: Iterable[str], html: str | None) -> tuple[list[dict[str, str]], str | None]:
    """Return the files as a payload has them, and `html` with the content id of each that it shows as cid:NAME.

    Of several files with one name the first is meant.
    """
    found, room = [], MAX_ATTACHED_BYTES
    for name in names:
        raw = _bytes(name, room)
        room -= len(raw)
        found.append((Path(name).name, raw))
    first = dict(reversed(found))
    page, ids = _referring(html, first) if html and first else (html, {})
    return [_attachment(name, raw, ids.pop(name, None)) for name, raw in found], page


def shortened(encoded: str) -> str:
    """Return the beginning of a file's base64, for a person."""
    return encoded if len(encoded) <= SHOWN_BASE64 else f"{encoded[:SHOWN_BASE64]}… ({len(encoded):,} characters)"


def _bytes(name: str, room: int) -> bytes:
    try:
        with expanded(name).open("rb") as file:
            raw = file.read(room + 1)
    except OSError as error:
        raise UsageError(f"--attach: {name}: {error.strerror}") from error
    if not raw:
        raise UsageError(f"--attach: {name}: is empty")
    if len(raw) > room:
        raise UsageError(f"--attach: {name}: more than {MAX_ATTACHED_BYTES:,} bytes are attached")
    return raw


def _referring(html: str, files: Mapping[str, bytes]) -> tuple[str, dict[str, str]]:
    """Return the HTML with content ids where it names a file, and the ids by the files' names."""
    names = sorted(files, key=len, reverse=True)  # "a b.png" before "a"
    ids: dict[str, str] = {}

    def reference(match: re.Match[str]) -> str:
        name = names[(match.lastindex or 1) - 1]
        ids[name] = _content_id(name, files[name])
        return f"cid:{ids[name]}"

    spelled = "|".join(f"({''.join(map(_spelled, name))})" for name in names)
    page = re.sub(rf"(?<![\w.+-])(?i:cid):(?:{spelled})(?![\w.%@+-])", reference, html)
    return page, ids


def _spelled(char: str) -> str:
    """Return a pattern for a character of a name in HTML: as it is, as in a URL (RFC 2392), as HTML escapes it."""
    from html import escape

    encoded = "".join(f"%{byte:02x}" for byte in _utf8(char))
    return f"(?:{re.escape(char)}|(?i:{encoded})|{re.escape(escape(char))})"


def _content_id(name: str, raw: bytes) -> str:
    """Return an id that can stand in any header (RFC 5322, 3.6.4): another for every other file, in every mail."""
    from hashlib import sha256

    digest = sha256(_utf8(name) + b"\0" + raw).hexdigest()[:16]
    readable = re.sub(r"[^A-Za-z0-9._-]+|\.{2,}", "_", name)[:ID_NAME_CHARS].strip(".")
    return f"{digest}-{readable}@notifyctl"


def _utf8(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _attachment(name: str, raw: bytes, content_id: str | None) -> dict[str, str]:
    from base64 import b64encode

    place = {"disposition": "inline", "content_id": content_id} if content_id else {"disposition": "attachment"}
    return {"filename": name, "type": _type(name), "content": b64encode(raw).decode(), **place}


def _type(name: str) -> str:
    """Return the media type by the file's name, not by a list of the machine's: the same file is the same content."""
    from mimetypes import MimeTypes

    types = MimeTypes()
    for extension, kind in _MORE_TYPES.items():
        types.add_type(kind, extension)
    guessed, encoding = types.guess_type(name)
    return guessed if guessed and encoding is None else "application/octet-stream"
