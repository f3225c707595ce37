"""What FCM takes for each platform, as its discovery document (version 1, revision 20261023) has it.

FCM refuses a message with a field it does not know, so a misplaced one is refused here. Names are written in snake
case; FCM takes them in camel case as well, and enumerated words in any case.
Source: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from notifyctl.providers import shapes
from notifyctl.providers.contract import InvalidMessage
from notifyctl.providers.shapes import FieldCheck, Table, each, flag, number, one_of, text, values, whole

MAX_TTL_SECONDS = 28 * 86_400
MAX_COLLAPSE_ID_BYTES = 64
_RESERVED = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)
_UPPER = re.compile(r"[A-Z]")
_DURATION = shapes.matching(r"\d{1,12}(\.\d{1,9})?s", 'seconds such as "3600s"')
_MOMENT = shapes.matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", "a time as in RFC 3339")
_HTTPS = shapes.matching(r"https://\S+", "an https address")
# Source: firebase.google.com/docs/cloud-messaging/understand-delivery.
_LABEL = shapes.matching(r"[a-zA-Z0-9\-_.~%]{1,50}", "at most 50 letters, digits and -_.~%")


def snake_case(name: str) -> str:
    """Return a name in snake case that may be in camel case."""
    return _UPPER.sub(lambda letter: f"_{letter.group().lower()}", name)


def _ttl(path: str, value: Any) -> None:
    _DURATION(path, value)
    if float(value[:-1]) > MAX_TTL_SECONDS:
        raise InvalidMessage(f"{path}: {value}, FCM keeps a message for {MAX_TTL_SECONDS}s at most")


def _apns_headers(path: str, value: Any) -> None:
    values(text)(path, value)
    for name, given in value.items():
        # Source: developer.apple.com, "Sending notification requests to APNs".
        if name.casefold() == "apns-collapse-id" and len(given.encode(errors="replace")) > MAX_COLLAPSE_ID_BYTES:
            raise InvalidMessage(f"{path}.{name}: APNs takes {MAX_COLLAPSE_ID_BYTES} bytes")


def refuse_reserved(path: str, keys: Iterable[str]) -> None:
    """Raise InvalidMessage for a key of an app's own pairs that FCM keeps for itself."""
    for key in keys:
        if _RESERVED.fullmatch(key):
            raise InvalidMessage(f"{path}.{key}: a reserved word")


def _data(path: str, value: Any) -> None:
    values(text)(path, value)
    refuse_reserved(path, value)


def _payload(path: str, value: Any) -> None:
    """Take what APNs is handed: the dictionary `aps`, and beside it an app's own keys."""
    values(shapes.anything)(path, value)
    if not isinstance(value.get("aps", {}), Mapping):
        raise InvalidMessage(f"{path}.aps: must be an object")
    refuse_reserved(path, value)


def _fields(table: Table) -> FieldCheck:
    return shapes.fields(table, snake_case)


FCM_OPTIONS: Table = {"analytics_label": _LABEL}
COLOR: Table = dict.fromkeys(("red", "green", "blue", "alpha"), number)
LIGHT_SETTINGS: Table = {
    "color": _fields(COLOR),
    "light_on_duration": _DURATION,
    "light_off_duration": _DURATION,
}
ANDROID_NOTIFICATION: Table = {
    **dict.fromkeys(("title", "body", "icon", "sound", "tag", "click_action", "channel_id", "ticker", "image"), text),
    **dict.fromkeys(("title_loc_key", "body_loc_key"), text),
    **dict.fromkeys(("title_loc_args", "body_loc_args"), each(text)),
    **dict.fromkeys(("sticky", "local_only", "default_sound", "default_vibrate_timings"), flag),
    **dict.fromkeys(("default_light_settings", "bypass_proxy_notification"), flag),
    "color": shapes.matching("#[0-9a-fA-F]{6}", "a colour such as #ff8800"),
    "event_time": _MOMENT,
    "vibrate_timings": each(_DURATION),
    "light_settings": _fields(LIGHT_SETTINGS),
    "notification_count": whole,
    "notification_priority": one_of(
        *("PRIORITY_UNSPECIFIED", "PRIORITY_MIN", "PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX")
    ),
    "visibility": one_of("VISIBILITY_UNSPECIFIED", "PRIVATE", "PUBLIC", "SECRET"),
    "proxy": one_of("PROXY_UNSPECIFIED", "ALLOW", "DENY", "IF_PRIORITY_LOWERED"),
}
ANDROID: Table = {
    **dict.fromkeys(("collapse_key", "restricted_package_name"), text),
    **dict.fromkeys(("direct_boot_ok", "bandwidth_constrained_ok", "restricted_satellite_ok"), flag),
    "priority": one_of("NORMAL", "HIGH"),
    "ttl": _ttl,
    "data": _data,
    "notification": _fields(ANDROID_NOTIFICATION),
    "fcm_options": _fields(FCM_OPTIONS),
}
APNS_FCM_OPTIONS: Table = {"analytics_label": _LABEL, "image": text}
APNS: Table = {
    "headers": _apns_headers,
    "payload": _payload,
    "live_activity_token": text,
    "fcm_options": _fields(APNS_FCM_OPTIONS),
}
WEBPUSH_FCM_OPTIONS: Table = {"analytics_label": _LABEL, "link": _HTTPS}
WEBPUSH: Table = {
    "headers": values(text),
    "data": _data,
    "notification": values(shapes.anything),
    "fcm_options": _fields(WEBPUSH_FCM_OPTIONS),
}
OPTIONS = {
    "android": _fields(ANDROID),
    "apns": _fields(APNS),
    "webpush": _fields(WEBPUSH),
    "fcm_options": _fields(FCM_OPTIONS),
}
