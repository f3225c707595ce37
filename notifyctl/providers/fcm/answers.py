"""What FCM's answers mean.

Source: firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode and .../cloud-messaging/scale-fcm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.providers import reading
from notifyctl.providers.contract import Response

FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"

# By status and error code: the code of the FcmError detail where there is one, else the general status. Only the pair
# counts, so that no stray word in another answer costs anybody a token. (status, None) is for the rest.
_ANSWERS: Mapping[tuple[int, str | None], Kind] = {
    (200, None): Kind.ACCEPTED,
    (400, None): Kind.PERMANENT,
    (401, None): Kind.CONFIG,
    # Firebase's own login at Apple or at a browser's push service: wrong for the one app, while Android's devices and
    # other apps are reached. To pause would hold them all; a dead letter keeps the message until the key is there.
    (401, "THIRD_PARTY_AUTH_ERROR"): Kind.PERMANENT,
    (403, None): Kind.CONFIG,
    (403, "SENDER_ID_MISMATCH"): Kind.RECIPIENT,
    (404, None): Kind.CONFIG,  # no such project, or another base URL; or only this message, nobody says
    (404, "UNREGISTERED"): Kind.RECIPIENT,
    (429, None): Kind.THROTTLED,
    (500, None): Kind.UNKNOWN,
    (502, None): Kind.UNKNOWN,
    (503, None): Kind.TRANSIENT,
    (504, None): Kind.UNKNOWN,
}
# What an operator has to know, where the account or its settings are at fault; `reason` is of an ErrorInfo detail.
_EXPLANATIONS: Mapping[tuple[int, str | None], str] = {
    (401, None): "the access token is refused: the service account is disabled or deleted",
    (401, "THIRD_PARTY_AUTH_ERROR"): "Firebase has no valid APNs or web-push key for this app: upload it in the "
    "Firebase console, then retry the dead letters",
    (403, None): "the service account may not send for this project: check project_id, and the account's roles",
    (403, "SENDER_ID_MISMATCH"): "the device registered with another Firebase project",
    (403, "SERVICE_DISABLED"): "the Firebase Cloud Messaging API is switched off for this project: switch it on in the "
    "Google Cloud console",
    (404, None): "there is no such project, or that is not FCM: check project_id and base_url",
    (404, "UNREGISTERED"): "the device is not registered any more",
}
# The least wait where the answer names none.
_WAITS_MS: Mapping[int, int] = {429: 60_000, 500: 10_000, 502: 10_000, 503: 10_000, 504: 10_000}
_BAD_TOKEN_FIELDS = frozenset({"message.token", "message.fid"})
# Also as a part of names, such as `DeviceMessageRateExceeded` and `messages_per_device`.
_TARGET = re.compile(r"device|topic|registration", re.IGNORECASE)
_BAD_TOKEN = re.compile(r"token is not (a )?valid", re.IGNORECASE)


def read(response: Response) -> Outcome:
    """Return what the answer means; only a 200 that names the new message is a success."""
    answer = reading.json_object(response.body)
    if response.status == 200:
        name = reading.identifier(answer.get("name"))
        if name is None:
            return reading.outcome(Kind.UNKNOWN, response, "answered 200 without a message name")
        return reading.accepted(response, name)
    error = answer.get("error")
    error = error if isinstance(error, dict) else {}
    code = _code(error, response.status)
    kind = _ANSWERS.get((response.status, code)) or _ANSWERS.get((response.status, None))
    if response.status == 400 and _blames_token(error):
        kind = Kind.RECIPIENT
    blames = _blamed(response.status, code, error)
    if blames is Blame.TARGET and kind is Kind.THROTTLED:
        kind = Kind.TRANSIENT
    wait = reading.retry_after_ms(response.headers)
    return reading.outcome(
        kind or reading.kind_of_status(response.status),
        response,
        reading.explained(_explanation(response.status, code, error), reading.text(error.get("message"))),
        code=code,
        retry_after=_WAITS_MS.get(response.status) if wait is None else wait,
        blames=blames,
    )


def _explanation(status: int, code: str | None, error: Mapping[str, Any]) -> str | None:
    reasons = [reading.identifier(detail.get("reason")) for detail in _details(error, ERROR_INFO)]
    found = (_EXPLANATIONS.get((status, key)) for key in (*reasons, code, None) if key or key is None)
    return next((words for words in found if words), None)


def _code(error: Mapping[str, Any], status: int) -> str | None:
    """Return FCM's own code, found by type and never by position, else Google's general status."""
    for detail in _details(error, FCM_ERROR):
        if code := reading.identifier(detail.get("errorCode")):
            return code
    # The caller tells a token that has expired from other trouble by this code, so even a bare 401 carries it.
    return "UNAUTHENTICATED" if status == 401 else reading.identifier(error.get("status"))


def _blamed(status: int, code: str | None, error: Mapping[str, Any]) -> Blame:
    """Return whom it is about: one topic or device that gets too many, or a 404 that names no cause."""
    if status == 429 and _is_targets_quota(error):
        return Blame.TARGET
    return Blame.TARGET if status == 404 and (404, code) not in _ANSWERS else Blame.ACCOUNT


def _is_targets_quota(error: Mapping[str, Any]) -> bool:
    """Return whether the quota is that of a topic or device: each has one of its own beside the project's."""
    violations = [
        each for detail in _details(error, QUOTA_FAILURE) for each in reading.objects(detail.get("violations"))
    ]
    said = [reading.text(each.get(key)) for each in violations for key in ("subject", "description")]
    return bool(_TARGET.search(" ".join(said) or reading.text(error.get("message"))))


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
