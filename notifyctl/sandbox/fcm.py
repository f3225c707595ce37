"""FCM's messages:send, as its API answers; it wants an access token of the sandbox's token endpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from notifyctl.sandbox import fcmshape
from notifyctl.sandbox.exchange import Handled, IncomingRequest, Reply, as_json, dig, page, parse_object
from notifyctl.sandbox.identity import FCM_PROJECT
from notifyctl.sandbox.tokens import Tokens

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
RETRY_AFTER_SECONDS = 1  # the real one says more; nobody wants to wait for a sandbox

_SEND_PATH = re.compile(r"/v1/projects/(?P<project>[^/]+)/messages:send")
_TARGETS = ("token", "fid", "topic", "condition")
_RESERVED = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)
_TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]+")
_UNAUTHENTICATED = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_INVALID = (400, "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token", "INVALID_ARGUMENT")
_FAULTS = {
    400: _INVALID,
    401: (401, "UNAUTHENTICATED", _UNAUTHENTICATED, None),
    403: (403, "PERMISSION_DENIED", "The caller does not have permission", None),
    404: (404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED"),
    429: (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Send requests'.", "QUOTA_EXCEEDED"),
    500: (500, "INTERNAL", "Internal error encountered.", "INTERNAL"),
    503: (503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE"),
}
# The codes of FcmError, and what has none but is known by its general status.
CODES = {
    "INTERNAL": _FAULTS[500],
    "INVALID_ARGUMENT": _INVALID,
    "PERMISSION_DENIED": _FAULTS[403],
    "QUOTA_EXCEEDED": _FAULTS[429],
    "SENDER_ID_MISMATCH": (403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH"),
    "THIRD_PARTY_AUTH_ERROR": (
        401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", "THIRD_PARTY_AUTH_ERROR",
    ),
    "UNAUTHENTICATED": _FAULTS[401],
    "UNAVAILABLE": _FAULTS[503],
    "UNREGISTERED": _FAULTS[404],
}  # fmt: skip
# By how a registration token begins.
_MAGIC = {
    "unregistered": _FAULTS[404],
    "invalid": _INVALID,
    "mismatch": CODES["SENDER_ID_MISMATCH"],
}


class FcmServer:
    """Answers as FCM does. Tokens that begin with unregistered, invalid or mismatch are what they say."""

    name = "fcm"
    challenge = 'Bearer realm="https://accounts.google.com/"'

    def __init__(self, random: Random, tokens: Tokens) -> None:
        self._random = random
        self._tokens = tokens

    def answers(self, path: str) -> bool:
        """Return whether the path belongs to this provider."""
        return path.startswith("/v1/")

    def handle(self, call: IncomingRequest) -> Handled:
        """Return the answer to a request."""
        place = _SEND_PATH.fullmatch(call.path)
        if place is None or call.method != "POST":
            return Handled(page(404))
        if not self._tokens.is_valid(call.headers.get("authorization", "").removeprefix("Bearer "), call.now):
            return Handled(_error(*_FAULTS[401]))
        if place["project"] != FCM_PROJECT:
            return Handled(_no_permission(place["project"]))
        request = parse_object(call.body) if call.has_content_type("application/json") else None
        if request is None:
            return Handled(_violation("Invalid JSON payload received. Unexpected token.", None))
        message = request.get("message")
        message = message if isinstance(message, dict) else {}
        to = next((str(message[target]) for target in _TARGETS if target in message), None)
        checks = bool(request.get("validate_only") or request.get("validateOnly"))
        return Handled(self._reply(request, message, call.now), to, _notification_id(message), checks=checks)

    def _reply(self, request: Mapping[str, Any], message: Mapping[str, Any], now: float) -> Reply:
        refused = _refusal(request, message)
        if refused is not None:
            return refused
        token = str(message.get("token") or message.get("fid") or "")
        for beginning, error in _MAGIC.items():
            if token.startswith(beginning):
                return _error(*error)
        if request.get("validate_only") or request.get("validateOnly"):
            return as_json(200, {"name": f"projects/{FCM_PROJECT}/messages/fake_message_id"})
        message_id = f"0:{int(now * 1e6)}%{self._random.getrandbits(64):016x}"
        return as_json(200, {"name": f"projects/{FCM_PROJECT}/messages/{message_id}"})


def refusal(what: str, now: float) -> Reply | None:
    """Return what FCM answers with this status, or by one of `CODES`; None when it is neither."""
    del now
    error = _FAULTS.get(int(what)) if what.isdecimal() else CODES.get(what)
    if error is None:
        return page(int(what)) if what.isdecimal() else None
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if error[0] in (429, 503) else {}
    return _error(*error, headers)


def _refusal(request: Mapping[str, Any], message: Mapping[str, Any]) -> Reply | None:
    for name in request.keys() - {"message", "validate_only", "validateOnly"}:
        return _violation(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.', "")
    if (found := fcmshape.problem(message)) is not None:
        return _violation(*found)
    targets = [target for target in _TARGETS if message.get(target)]
    if not targets:
        return _error(400, "INVALID_ARGUMENT", "Recipient of the message is not set.", "INVALID_ARGUMENT")
    if len(targets) > 1:
        return _violation(
            f"Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{targets[1]}'",
            f"message.{targets[1]}",
        )
    if "topic" in message and not _TOPIC.fullmatch(str(message["topic"])):
        return _error(400, "INVALID_ARGUMENT", "Malformed topic name", "INVALID_ARGUMENT")
    return _data_refusal(message, 4_096 if targets[0] in ("token", "fid") else 2_048)


def _data_refusal(message: Mapping[str, Any], limit: int) -> Reply | None:
    data, shown = _object(message.get("data")), _object(message.get("notification"))
    for key in data:
        if _RESERVED.fullmatch(key):
            return _error(400, "INVALID_ARGUMENT", f"Invalid data payload key: {key}", "INVALID_ARGUMENT")
    if sum(map(_bytes, (*data.items(), *shown.items()))) > limit:
        return _error(400, "INVALID_ARGUMENT", "Message is too big", "INVALID_ARGUMENT")
    return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _bytes(pair: tuple[object, object]) -> int:
    return sum(len(str(part).encode(errors="replace")) for part in pair)


def _notification_id(message: Mapping[str, Any]) -> str | None:
    found = dig(message, "android", "notification", "tag") or dig(message, "apns", "headers", "apns-collapse-id")
    return found if isinstance(found, str) else None


def _no_permission(project: str) -> Reply:
    return _google_error(
        403,
        "PERMISSION_DENIED",
        f"Permission 'cloudmessaging.messages.create' denied on resource "
        f"'//cloudresourcemanager.googleapis.com/projects/{project}' (or it may not exist).",
        [{"@type": ERROR_INFO, "reason": "IAM_PERMISSION_DENIED", "domain": "cloudresourcemanager.googleapis.com"}],
    )


def _violation(message: str, field: str | None) -> Reply:
    details = (
        [] if field is None else [{"@type": BAD_REQUEST, "fieldViolations": [{"field": field, "description": message}]}]
    )
    return _google_error(400, "INVALID_ARGUMENT", message, details)


def _error(status: int, google: str, message: str, code: str | None, headers: Mapping[str, str] | None = None) -> Reply:
    return _google_error(status, google, message, [{"@type": FCM_ERROR, "errorCode": code}] if code else [], headers)


def _google_error(
    status: int,
    google: str,
    message: str,
    details: Iterable[Mapping[str, Any]],
    headers: Mapping[str, str] | None = None,
) -> Reply:
    error: dict[str, Any] = {"code": status, "message": message, "status": google}
    if found := list(details):
        error["details"] = found
    return as_json(status, {"error": error}, headers)
