"""The files that go with a mail: `attachments` in the content, checked.

An attachment is an object {filename, content, type, disposition, content_id}; `content` is base64 (RFC 4648, 4) without
line breaks. The first two are needed.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from notifyctl.core.frozen import dataclass
from notifyctl.providers import shapes
from notifyctl.providers.contract import InvalidMessage

# No control characters, which would end a header; and RFC 2045, 5.1, without parameters.
_LINE = shapes.matching(r"[^\x00-\x1f\x7f]+", "text on one line")
_TYPE = shapes.matching(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+", 'a media type such as "application/pdf"')
_SHAPE = shapes.fields(
    {
        "filename": _LINE,
        "content": shapes.text,
        "type": _TYPE,
        "disposition": shapes.matching("attachment|inline", "attachment or inline"),
        "content_id": _LINE,
    }
)


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file; `content` is its base64, `size` its bytes without."""

    filename: str
    content: str
    size: int
    type: str | None = None
    disposition: str | None = None
    content_id: str | None = None

    @property
    def data(self) -> bytes:
        """The file itself."""
        return b64decode(self.content)


def attachments(content: Mapping[str, Any]) -> list[Attachment]:
    """Return the content's attachments; raise InvalidMessage naming the part that is none."""
    given = content.get("attachments") or []
    shapes.each(_SHAPE)("attachments", given)
    return [_attachment(f"attachments.{number}", each) for number, each in enumerate(given)]


def _attachment(path: str, given: Mapping[str, Any]) -> Attachment:
    for needed in ("filename", "content"):
        if not given.get(needed):
            raise InvalidMessage(f"{path}.{needed}: missing")
    disposition, content_id = given.get("disposition"), given.get("content_id")
    if disposition == "inline" and not content_id:
        raise InvalidMessage(f"{path}.content_id: missing, the HTML shows an inline file as cid:CONTENT_ID")
    size = _size(f"{path}.content", given["content"])
    return Attachment(given["filename"], given["content"], size, given.get("type"), disposition, content_id)


def _size(path: str, content: str) -> int:
    try:
        return len(binascii.a2b_base64(content, strict_mode=True))
    except ValueError:
        raise InvalidMessage(f"{path}: must be base64 without line breaks") from None
