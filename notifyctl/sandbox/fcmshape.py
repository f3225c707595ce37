"""What FCM's message may hold: fields and their kinds, as its discovery document has them.

Source: the discovery document of `fcm.googleapis.com`, v1, revision 20261023, and the JSON mapping of protocol buffers:
names in camel case or as they are in the definition, null for nothing, integers also as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

Shape = str | Mapping[str, Any]

_FCM_OPTIONS = {"analytics_label": "text"}
_COLOR = dict.fromkeys(("red", "green", "blue", "alpha"), "number")
_LIGHTS = {"color": _COLOR, "light_on_duration": "duration", "light_off_duration": "duration"}
_TEXTS = (
    *("title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "title_loc_key"),
    *("channel_id", "ticker", "image"),
)
_FLAGS = ("sticky", "local_only", "default_sound", "default_vibrate_timings", "default_light_settings")
_SHOWN = {
    **dict.fromkeys(_TEXTS, "text"),
    **dict.fromkeys(_FLAGS, "flag"),
    **dict.fromkeys(("notification_priority", "visibility"), "word"),
    "body_loc_args": "texts",
    "title_loc_args": "texts",
    "event_time": "moment",
    "vibrate_timings": "durations",
    "notification_count": "integer",
    "light_settings": _LIGHTS,
}
_DEVICE = {
    **dict.fromkeys(("collapse_key", "restricted_package_name"), "text"),
    **dict.fromkeys(("direct_boot_ok", "bandwidth_constrained_ok", "restricted_satellite_ok"), "flag"),
    "ttl": "duration",
    "data": "map",
    "fcm_options": _FCM_OPTIONS,
}
MESSAGE: Mapping[str, Any] = {
    **dict.fromkeys(("name", "token", "fid", "topic", "condition"), "text"),
    "data": "map",
    "notification": dict.fromkeys(("title", "body", "image"), "text"),
    "android": {
        **_DEVICE,
        "priority": "word",
        "notification": {**_SHOWN, "bypass_proxy_notification": "flag", "proxy": "word"},
    },
    "android_v2": {
        **_DEVICE,
        "background_sync": {},
        "remote_notification": {
            "mutable_content": "flag",
            "use_as_v1_data_message": "flag",
            "notification": {**_SHOWN, "id": "integer"},
        },
    },
    "webpush": {
        **dict.fromkeys(("headers", "data"), "map"),
        "notification": "object",
        "fcm_options": {**_FCM_OPTIONS, "link": "text"},
    },
    "apns": {
        "headers": "map",
        "payload": "object",
        "fcm_options": {**_FCM_OPTIONS, "image": "text"},
        "live_activity_token": "text",
    },
    "fcm_options": _FCM_OPTIONS,
}

_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s", re.ASCII)
_NAMES = {
    "text": "TYPE_STRING",
    "word": "TYPE_ENUM",
    "flag": "TYPE_BOOL",
    "integer": "TYPE_INT32",
    "number": "TYPE_FLOAT",
    "duration": "type.googleapis.com/google.protobuf.Duration",
    "moment": "type.googleapis.com/google.protobuf.Timestamp",
    "object": "TYPE_MESSAGE",
}
_PLURALS = {"texts": "text", "durations": "duration"}


def problem(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the first thing that is no part of a message, and the field where it stands; None where all is."""
    return next(_problems(message, MESSAGE, "message"), None)


def _problems(value: object, kind: Shape, path: str) -> Iterator[tuple[str, str]]:
    if value is None:
        return
    if isinstance(kind, Mapping):
        yield from _fields(value, kind, path)
    elif kind == "map":
        yield from _map(value, path)
    elif kind in _PLURALS:
        yield from _each(value, _PLURALS[kind], path)
    elif not _FITS[kind](value):
        yield _unfit(path, kind, value), path


def _fields(value: object, kind: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield _unfit(path, "object", value), path
        return
    for name, each in value.items():
        inner = _spelled(name, kind)
        if inner is None:
            unknown = f"Unknown name {json.dumps(name)} at '{path}': Cannot find field."
            yield f"Invalid JSON payload received. {unknown}", path
        else:
            yield from _problems(each, kind[inner], f"{path}.{inner}")


def _map(value: object, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        yield _unfit(path, "object", value), path
        return
    for number, each in enumerate(value.values()):
        if not isinstance(each, str):
            field = f"{path}[{number}].value"
            yield _unfit(field, "text", each), field


def _each(value: object, kind: str, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, list):
        yield _unfit(path, kind, value), path
        return
    for number, each in enumerate(value):
        yield from _problems(each, kind, f"{path}[{number}]")


def _spelled(name: str, kind: Mapping[str, Any]) -> str | None:
    """Return the field that a name means."""
    known = {re.sub(r"_(\w)", lambda match: match[1].upper(), each): each for each in kind}
    return name if name in kind else known.get(name)


def _is_integer(value: object) -> bool:
    written = isinstance(value, str) and re.fullmatch(r"-?\d{1,10}", value, re.ASCII) is not None
    return (type(value) is int or written) and -(2**31) <= int(str(value)) < 2**31


def _is_moment(value: object) -> bool:
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


_FITS: Mapping[str, Callable[[object], bool]] = {
    "text": lambda value: isinstance(value, str),
    "word": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "integer": _is_integer,
    "number": lambda value: type(value) in (int, float),
    "duration": lambda value: isinstance(value, str) and _DURATION.fullmatch(value) is not None,
    "moment": _is_moment,
    "object": lambda value: isinstance(value, dict),
}


def _unfit(path: str, kind: str, value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)[:100]
    why = f", Field '{path.rpartition('.')[2]}', Illegal duration format; duration must end with 's'"
    return f"Invalid value at '{path}' ({_NAMES[kind]}){why if kind == 'duration' else f', {shown}'}"
