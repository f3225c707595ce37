"""Firebase Cloud Messaging: push messages over its HTTP API, version 1.

Source: firebase.google.com/docs/reference/fcm/rest/v1/projects.messages, .../ErrorCode and .../scale-fcm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, InvalidMessage, Request, Response

MAX_PAYLOAD_BYTES = 4_096
MAX_TOPIC_PAYLOAD_BYTES = 2_048
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"

# By status and error code: the code of the FcmError detail where there is one, else the general status. Only the pair
# counts, so that no stray word in another answer costs anybody a token. (status, None) is for the rest.
_ANSWERS: Mapping[tuple[int, str | None], Kind] = {
    (200, None): Kind.ACCEPTED,
    (400, None): Kind.PERMANENT,
    (401, None): Kind.CONFIG,
    (403, None): Kind.CONFIG,
    (403, "SENDER_ID_MISMATCH"): Kind.RECIPIENT,
    (404, None): Kind.CONFIG,  # no such project, or another base URL
    (404, "UNREGISTERED"): Kind.RECIPIENT,
    (429, None): Kind.THROTTLED,
    (500, None): Kind.UNKNOWN,
    (502, None): Kind.UNKNOWN,
    (503, None): Kind.TRANSIENT,
    (504, None): Kind.UNKNOWN,
}
# The least wait where the answer names none.
_WAITS_MS: Mapping[int, int] = {429: 60_000, 500: 10_000, 502: 10_000, 503: 10_000, 504: 10_000}
_BAD_TOKEN_FIELDS = frozenset({"message.token", "message.fid"})
_BAD_TOKEN = re.compile(r"token is not (a )?valid", re.IGNORECASE)
_RESERVED_DATA = re.compile(r"from|message_type|google\..*|gcm\.notification\..*", re.DOTALL)
_TOPIC = re.compile(r"[a-zA-Z0-9\-_.~%]+")


class Fcm:
    """The adapter. It needs the service account's key file; settings: `base_url`, `project_id` if the file has none.

    `credentials.access_token` is the OAuth2 token; without one the request is built unsigned, to be looked at.
    """

    name = "fcm"
    channel = Channel.PUSH
    default_url = "https://fcm.googleapis.com"

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_base_url(credentials)
        account = credentials.service_account
        if account is None:
            return [*problems, "the service account's key file is missing"]
        problems += [
            f"the service account's key file has no {key}"
            for key in ("client_email", "private_key", "token_uri")
            if not isinstance(account.get(key), str) or not account[key]
        ]
        if not _project(credentials):
            problems.append("project_id is missing, in the key file and in the settings")
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that pushes `message`; raise InvalidMessage when none can."""
        body: dict[str, Any] = {"message": _message(message)}
        if fields.flag(message.content, "validate_only"):
            body["validate_only"] = True
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if credentials.access_token:
            headers["Authorization"] = f"Bearer {credentials.access_token}"
        return Request(
            "POST",
            f"{fields.base_url(credentials, self.default_url)}"
            f"/v1/projects/{quote(_project(credentials), safe=':')}/messages:send",
            headers,
            fields.encode_json(body),
        )

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; only a 200 that names the new message is a success."""
        answer = reading.json_object(response.body)
        if response.status == 200:
            name = reading.identifier(answer.get("name"))
            if name is None:
                return reading.outcome(Kind.UNKNOWN, response, "answered 200 without a message name")
            return reading.outcome(Kind.ACCEPTED, response, message_id=name)
        error = answer.get("error")
        error = error if isinstance(error, dict) else {}
        code = _code(error, response.status)
        kind = _ANSWERS.get((response.status, code)) or _ANSWERS.get((response.status, None))
        if response.status == 400 and _blames_token(error):
            kind = Kind.RECIPIENT
        wait = reading.retry_after_ms(response.headers)
        return reading.outcome(
            kind or reading.kind_of_status(response.status),
            response,
            reading.text(error.get("message")),
            code=code,
            retry_after=_WAITS_MS.get(response.status) if wait is None else wait,
        )


def _project(credentials: Credentials) -> str:
    account = credentials.service_account or {}
    return str(account.get("project_id") or credentials.config.get("project_id") or "")


def _message(message: Message) -> dict[str, Any]:
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


def _code(error: Mapping[str, Any], status: int) -> str | None:
    """Return FCM's own code, found by type and never by position, else Google's general status."""
    for detail in _details(error, FCM_ERROR):
        if code := reading.identifier(detail.get("errorCode")):
            return code
    # The caller tells a token that has expired from other trouble by this code, so even a bare 401 carries it.
    return "UNAUTHENTICATED" if status == 401 else reading.identifier(error.get("status"))


def _blames_token(error: Mapping[str, Any]) -> bool:
    violations = [
        violation
        for detail in _details(error, BAD_REQUEST)
        for violation in reading.objects(detail.get("fieldViolations"))
    ]
    return any(reading.text(violation.get("field")) in _BAD_TOKEN_FIELDS for violation in violations) or bool(
        _BAD_TOKEN.search(reading.text(error.get("message")))
    )


def _details(error: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [detail for detail in reading.objects(error.get("details")) if detail.get("@type") == kind]
