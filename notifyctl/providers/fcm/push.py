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
from notifyctl.providers.fcm.options import OPTIONS, refuse_reserved

MAX_PAYLOAD_BYTES = 4_096
MAX_TOPIC_PAYLOAD_BYTES = 2_048
_AUDIENCES = ("token", "fid", "topic", "condition")
_TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]{1,900}")
# A condition is reduced: each topic to a `t`, then what stands around them, until one is left.
MAX_CONDITION_TOPICS = 5
_TERM = re.compile(r"""\s*(?:'[a-zA-Z0-9\-_.~%]+'|"[a-zA-Z0-9\-_.~%]+")\s+in\s+topics\s*""")
_AROUND = re.compile(r"[()!&|\s]*")
_STEP = re.compile(r"\(\s*t\s*\)|!\s*t|t\s*(?:&&|\|\|)\s*t")


def encoded(message: Message) -> bytes:
    """Return the request's body; raise InvalidMessage naming the field that cannot be sent."""
    body: dict[str, Any] = {"message": push(message)}
    if fields.flag(message.content, "validate_only"):
        body["validate_only"] = True
    return fields.encode_json(body)


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
    push |= _options(content)
    if not push.keys() & {"notification", "data", "android", "apns", "webpush"}:
        raise InvalidMessage("title, body or data: missing")
    _check_size(push, audience)
    return _collapsing(push, message.notification_id)


def _audience(message: Message) -> tuple[str, str]:
    """Return the one field that says to whom, and its value; the user's token unless the content names one."""
    named = [(key, value) for key in _AUDIENCES if (value := fields.text(message.content, key)) is not None]
    if len(named) > 1:
        raise InvalidMessage(f"{', '.join(_AUDIENCES)}: only one of them")
    if not named and not message.to:
        raise InvalidMessage("token: missing")
    key, value = named[0] if named else ("token", message.to or "")
    if key == "topic":
        value = value.removeprefix("/topics/")
        if not _TOPIC.fullmatch(value):
            raise InvalidMessage("topic: only letters, digits and -_.~%, at most 900")
    if key == "condition":
        _check_condition(value)
    return key, value


def _check_condition(condition: str) -> None:
    reduced, topics = _TERM.subn("t", condition)
    if topics > MAX_CONDITION_TOPICS:
        raise InvalidMessage(f"condition: {topics} topics, FCM takes {MAX_CONDITION_TOPICS}")
    while (shorter := _STEP.sub("t", reduced)) != reduced:
        reduced = shorter
    if reduced.strip() != "t" or not _AROUND.fullmatch(_TERM.sub("", condition)):
        raise InvalidMessage("condition: must be such as 'news' in topics && ('de' in topics || 'at' in topics)")


def _data(content: Mapping[str, Any]) -> dict[str, str]:
    data = fields.strings(content, "data")
    refuse_reserved("data", data)
    return data


def _options(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said for single platforms, checked and left as it is."""
    options = {key: value for key in OPTIONS if (value := fields.mapping(content, key))}
    for key, value in options.items():
        OPTIONS[key](key, value)
    return options


def _check_size(push: Mapping[str, Any], audience: str) -> None:
    """Refuse what is over the limit even without the overhead, which FCM counts in a way it does not document.

    What is said for one platform goes there instead of what is said for all.
    """
    limit = MAX_PAYLOAD_BYTES if audience in ("token", "fid") else MAX_TOPIC_PAYLOAD_BYTES
    shown, data = push.get("notification", {}), push.get("data", {})
    parts = {"title, body and data": [shown, data]}
    for platform in ("android", "webpush"):
        if own := push.get(platform):
            parts[platform] = [{**shown, **(own.get("notification") or {})}, own.get("data") or data]
    payload = push.get("apns", {}).get("payload")
    if payload:
        parts["apns.payload"] = [payload, {key: value for key, value in data.items() if key not in payload}]
    for what, pairs in parts.items():
        size = sum(_size(key) + _size(value) for some in pairs for key, value in some.items())
        if size > limit:
            raise InvalidMessage(f"{what}: {size} bytes, FCM takes {limit}")


def _size(value: Any) -> int:
    """Return how many bytes a text has; of what is nested, as JSON."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    return len(fields.encode_json({"": value})) - len('{"":}')


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
