"""The usual push, encoded in little time: a title, a body and an app's own pairs for one device.

It is the body that `push` makes, byte for byte. Whatever is unusual is left to `push`: so what that refuses is never
built here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from notifyctl.core.model import Message
from notifyctl.providers.fcm.push import MAX_PAYLOAD_BYTES

_FIELDS = frozenset({"v", "token", "title", "body", "image", "data"})
_SHOWN = ("title", "body", "image")
_RESERVED = ("from", "message_type", "google.", "gcm.notification.")


def encoded(message: Message) -> bytes | None:
    """Return the request's body; None for a push that is none of the usual ones."""
    content = message.content
    if not _FIELDS.issuperset(content):
        return None
    token = message.to if content.get("token") is None else content["token"]
    shown, data = _shown(content), content.get("data")
    if type(token) is not str or not token or shown is None or not (shown or data):
        return None
    push: dict[str, Any] = {"token": token}
    if shown:
        push["notification"] = shown
    if data is not None:
        if type(data) is not dict or not data or not _is_plain(data):
            return None
        push["data"] = data
    if shown:
        push["android"] = {"notification": {"tag": message.notification_id}}
        push["apns"] = {"headers": {"apns-collapse-id": message.notification_id}}
    try:
        body = orjson.dumps({"message": push})
    except orjson.JSONEncodeError:  # half a surrogate pair
        return None
    # Of which title, body and data are but a part.
    return body if len(body) <= MAX_PAYLOAD_BYTES else None


def _shown(content: Mapping[str, Any]) -> dict[str, str] | None:
    """Return what the device shows; None where some of it is no text."""
    shown = {}
    for key in _SHOWN:
        value = content.get(key)
        if value is None:
            continue
        if type(value) is not str:
            return None
        if value:
            shown[key] = value
    return shown


def _is_plain(data: Mapping[str, Any]) -> bool:
    for key, value in data.items():
        if type(value) is not str or type(key) is not str or key.startswith(_RESERVED):
            return False
    return True
