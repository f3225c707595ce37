"""What FCM is asked: one message.

Source: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers.contract import InvalidMessage

MAX_PAYLOAD_BYTES = 4_096
MAX_TOPIC_PAYLOAD_BYTES = 2_048
_RESERVED_DATA = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)
_TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]+")


def push(message: Message) -> dict[str, Any]:
    """Return the message; raise InvalidMessage naming the field that cannot be sent."""
    content = message.content
    audience, address = _audience(message)
    push: dict[str, Any] = {audience: address}
    if notification := {
        key: value for key in ("title", "body", "image") if (value := fields.text(content, key)) is not None
    }:
        push["notification"] = notification
    if data := _data(content):
        push["data"] = data
    push |= {key: options for key in ("android", "apns", "webpush") if (options := fields.mapping(content, key))}
    if len(push) == 1:
        raise InvalidMessage("title, body or data: missing")
    _check_size(push, audience)
    return _collapsing(push, message.notification_id)


def _audience(message: Message) -> tuple[str, str]:
    """Return the one field that says to whom, and its value; a token unless the content says otherwise."""
    content = message.content
    named = [(key, value) for key in ("fid", "topic", "condition") if (value := fields.text(content, key)) is not None]
    if not named:
        token = message.to or fields.text(content, "token")
        if not token:
            raise InvalidMessage("token: missing")
        return "token", token
    if len(named) > 1 or (named[0][0] != "fid" and message.to):
        raise InvalidMessage("token, fid, topic, condition: only one of them")
    key, value = named[0]
    if key == "topic":
        value = value.removeprefix("/topics/")
        if not _TOPIC.fullmatch(value):
            raise InvalidMessage("topic: only letters, digits and -_.~%")
    return key, value


def _data(content: Mapping[str, Any]) -> dict[str, str]:
    data = fields.strings(content, "data")
    for key in data:
        if _RESERVED_DATA.fullmatch(key):
            raise InvalidMessage(f"data.{key}: a reserved word")
    return data


def _check_size(push: Mapping[str, Any], audience: str) -> None:
    """Refuse what is over the limit even without the overhead, which FCM counts in a way it does not document."""
    limit = MAX_PAYLOAD_BYTES if audience in ("token", "fid") else MAX_TOPIC_PAYLOAD_BYTES
    pairs = {**push.get("notification", {}), **push.get("data", {})}.items()
    size = sum(len(key.encode(errors="replace")) + len(value.encode(errors="replace")) for key, value in pairs)
    if size > limit:
        raise InvalidMessage(f"title, body and data: {size} bytes, FCM takes {limit}")


def _collapsing(push: dict[str, Any], notification_id: str) -> dict[str, Any]:
    """Make a repeated send replace the first on the device, unless the caller arranged that or nothing is shown.

    FCM knows no idempotency key. A tag (Android) and a collapse id (APNs, up to 64 bytes) act only where messages are
    shown, one per notification; a `collapse_key` would not do: a device may have but four of them at a time.
    """
    if "notification" not in push:
        return push
    android, apns = dict(push.get("android", {})), dict(push.get("apns", {}))
    shown, headers = fields.mapping(android, "notification"), fields.mapping(apns, "headers")
    if not (shown.get("tag") or android.get("collapse_key") or android.get("collapseKey")):
        push["android"] = android | {"notification": shown | {"tag": notification_id}}
    if not any(name.casefold() == "apns-collapse-id" for name in headers):
        push["apns"] = apns | {"headers": headers | {"apns-collapse-id": notification_id}}
    return push
