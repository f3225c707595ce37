"""What a notification says: its payload, from options and `--data` to the stored text and back.

A payload is a JSON object of `PAYLOAD_VERSION` with the fields of its channel. It is stored as canonical JSON, so that
the same content is the same text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from notifyctl.core import json_codec, mailbox
from notifyctl.core.address import normalised
from notifyctl.core.errors import UsageError
from notifyctl.core.mailbox import Mailbox
from notifyctl.core.model import PAYLOAD_VERSION, Channel

FIELDS: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: (
        "to",
        "to_name",
        "subject",
        "text",
        "html",
        "from",
        "reply_to",
        "cc",
        "bcc",
        "attachments",
        "headers",
        "categories",
        "custom_args",
        "template_id",
        "template_data",
        "asm",
        "tracking_settings",
        "mail_settings",
        "ip_pool_name",
    ),
    Channel.SMS: (
        "to",
        "body",
        "from",
        "media",
        "validity_seconds",
        "status_callback",
        "template_id",
        "template_data",
        "smart_encoded",
        "shorten_urls",
        "send_as_mms",
        "risk_check",
        "content_retention",
        "address_retention",
    ),
    Channel.PUSH: (
        "token",
        "fid",
        "topic",
        "condition",
        "title",
        "body",
        "image",
        "data",
        "android",
        "apns",
        "webpush",
        "fcm_options",
        "validate_only",
    ),
}
ADDRESS_FIELD: Mapping[Channel, str] = {Channel.EMAIL: "to", Channel.SMS: "to", Channel.PUSH: "token"}
"""The field that `--to` goes into; without one the user's own address is taken (`core.audience`)."""

_AUDIENCE: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("to",),
    Channel.SMS: ("to",),
    Channel.PUSH: ("token", "fid", "topic", "condition"),
}
_SUBJECT: Mapping[Channel, str] = {Channel.EMAIL: "subject", Channel.PUSH: "title"}
_BODY: Mapping[Channel, str] = {Channel.EMAIL: "text", Channel.SMS: "body", Channel.PUSH: "body"}


class InvalidPayload(Exception):
    """The stored payload is no payload; the text says why. It can never be sent."""


class NewerPayload(Exception):
    """The stored payload is of a version this program does not know: left alone for a program that does."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the payload has version {version}, this program knows {PAYLOAD_VERSION}")
        self.version = version


def build(
    channel: Channel,
    *,
    subject: str | None = None,
    body: str | None = None,
    html: str | None = None,
    attachments: Sequence[Mapping[str, str]] = (),
    to: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the payload that `--subject`, `--body`, `--html-file`, `--attach`, `--to` and `--data` make together.

    The address is brought to the form in which addresses are stored. Raises UsageError for a field the channel does not
    have, one that is given twice with two values, an address that is none, and text that is no Unicode.
    """
    payload = assembled(channel, subject, body, html, attachments, to, data)
    written(payload)
    return payload


def assembled(
    channel: Channel,
    subject: str | None,
    body: str | None,
    html: str | None,
    attachments: Sequence[Mapping[str, str]],
    to: str | None,
    data: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Do what `build` does, but for the look at what no JSON or no text has: that is for who has it `written`."""
    if subject is not None and channel not in _SUBJECT:
        raise UsageError(f"--subject: {channel} has no subject", "put everything into --body")
    if html is not None and channel is not Channel.EMAIL:
        raise UsageError(f"--html-file: {channel} has no HTML", "--body-file F")
    if attachments and channel is not Channel.EMAIL:
        raise UsageError(f"--attach: {channel} has no attachments", _MEDIA_HINT.get(channel))
    payload: dict[str, Any] = {}
    if subject is not None:
        payload[_SUBJECT[channel]] = subject
    if body is not None:
        payload[_BODY[channel]] = body
    if html is not None:
        payload["html"] = html
    if to is not None:
        payload[ADDRESS_FIELD[channel]] = to
    if attachments:
        payload["attachments"] = list(attachments)
    if data:
        _merge(payload, _checked_data(channel, data))
    if wrong := _unfit_audience(channel, payload):
        raise UsageError(f"{wrong}: must be text, and not empty")
    _address(channel, payload)
    payload["v"] = PAYLOAD_VERSION
    return payload


VARIABLES = "variables"
"""The field of a payload with the values that its template is rendered from."""
_RENDERED: Mapping[Channel, tuple[str, ...]] = {
    Channel.EMAIL: ("subject", "text", "html"),
    Channel.SMS: ("body",),
    Channel.PUSH: ("title", "body"),
}


def of_template(
    channel: Channel,
    variables: Mapping[str, Any],
    *,
    attachments: Sequence[Mapping[str, str]] = (),
    to: str | None = None,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the payload of what is rendered from a template: its variables, and what a template does not say.

    Raises UsageError as `build`, and for a field that a template says.
    """
    payload = assembled_of_template(channel, variables, attachments, to, data)
    written(payload)
    return payload


def assembled_of_template(
    channel: Channel,
    variables: Mapping[str, Any],
    attachments: Sequence[Mapping[str, str]],
    to: str | None,
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Do what `of_template` does, but for the same look."""
    for field in _RENDERED[channel] if data else ():
        if field in data:
            raise UsageError(f"--data: {field}: the template says that", "--var K=V gives it its values")
    payload = assembled(channel, None, None, None, attachments, to, data)
    payload[VARIABLES] = dict(variables)
    return payload


def parse_data(text: str) -> dict[str, Any]:
    """Return what `--data` was given; raise UsageError unless it is a JSON object."""
    try:
        data = as_given(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--data is not JSON: {_reason(error)}", _DATA_HINT) from None
    if not isinstance(data, dict):
        raise UsageError("--data must be a JSON object", _DATA_HINT)
    return data


def as_given(text: str) -> Any:
    """Return what a JSON text says, with its numbers as they are written there (`core.json_codec.Exact`).

    Whatever becomes a payload is read so, or a repetition in SQL would not be the same submission. Raises ValueError
    and RecursionError.
    """
    return _strictly(text, _GIVEN)


def parse(payload: str, channel: Channel) -> dict[str, Any]:
    """Return a stored payload. Raises NewerPayload for a version not known here, InvalidPayload for what is none.

    Of its fields only those that say to whom are looked at: what the others may hold is the provider's to say.
    """
    try:
        content = json_codec.decode(payload, _strictly)
    except (ValueError, RecursionError) as error:
        raise InvalidPayload(f"not JSON: {_reason(error)}") from None
    if not isinstance(content, dict):
        raise InvalidPayload("not a JSON object")
    version = content.get("v")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise InvalidPayload("v is missing or no version")
    if version > PAYLOAD_VERSION:
        raise NewerPayload(version)
    if wrong := _unfit_audience(channel, content):
        raise InvalidPayload(f"{wrong}: must be text")
    return content


def canonical(value: Mapping[str, Any]) -> str:
    """Return `value` as canonical JSON: keys sorted, no spaces, characters as they are."""
    return json_codec.canonical(value)


def content_hash(
    user_id: str,
    channel: Channel,
    content: Mapping[str, Any],
    provider: str | None = None,
    template: str | None = None,
    category: str | None = None,
    written: str | None = None,
) -> str:
    """Return what tells a repeated submission from another one: SHA-256 over user, channel, category and content.

    It is that of their canonical JSON. The address counts where the content names one, `provider` only where it was
    asked for, of a template its name (and the variables, which the content has); times, retries, and the versions of
    payload and template do not count. `written` is the content as canonical JSON, for who has it.
    """
    said = _without_version(content, canonical(content) if written is None else written)
    # In the order of the names.
    before = "" if category is None else f'"category":{json_codec.quoted(category)},'
    behind = "" if provider is None else f'"provider":{json_codec.quoted(provider)},'
    if template is not None:
        behind += f'"template":{json_codec.quoted(template)},'
    whose = json_codec.quoted(user_id)
    text = f'{{{before}"channel":"{channel}","content":{said},{behind}"user":{whose}}}'
    return hashlib.sha256(text.encode()).hexdigest()


_VERSION_LAST = f',"v":{PAYLOAD_VERSION}}}'
"""How the canonical JSON of most contents ends; nothing within one looks like that: it is its last pair."""


def _without_version(content: Mapping[str, Any], written: str) -> str:
    if written.endswith(_VERSION_LAST):
        return written[: -len(_VERSION_LAST)] + "}"
    return canonical({key: value for key, value in content.items() if key != "v"})


def idempotency_key(user_id: str, key: str) -> str:
    """Return what is stored for a user's `key`: SHA-256 of the user's id, NUL and the key, in hexadecimal."""
    return hashlib.sha256(f"{user_id}\0{key}".encode()).hexdigest()


_MEDIA_HINT: Mapping[Channel, str] = {
    Channel.SMS: """--data '{"media": ["https://..."]}'""",
    Channel.PUSH: """--data '{"image": "https://..."}'""",
}
_NUL = r"\u0000"
_DATA_HINT = """--data '{"subject": "Hello", "text": "It works"}'"""


def _checked_data(channel: Channel, data: Mapping[str, Any]) -> dict[str, Any]:
    version = data.get("v", PAYLOAD_VERSION)
    if version != PAYLOAD_VERSION or isinstance(version, bool):
        raise UsageError(f"--data: v is {PAYLOAD_VERSION}, no other version is written by this program")
    unknown = sorted(data.keys() - {*FIELDS[channel], "v"})
    if unknown:
        names = ", ".join(unknown)
        more = """; an app's own pairs stand under "data": {...}""" if channel is Channel.PUSH else ""
        raise UsageError(f"--data: {channel} has no {names}", f"it has {', '.join(FIELDS[channel])}{more}")
    return {key: value for key, value in data.items() if key != "v" and value is not None}


def _merge(payload: dict[str, Any], data: Mapping[str, Any]) -> None:
    for key, value in data.items():
        if payload.setdefault(key, value) != value:
            raise UsageError(f"{key} is given twice, in --data and by an option of its own", "give it once")


def _address(channel: Channel, payload: dict[str, Any]) -> None:
    """Bring the payload's own address to the form in which it is stored; a name before it gets a field of its own."""
    own = ADDRESS_FIELD[channel]
    if own not in payload:
        return
    address = payload[own]
    if channel is Channel.EMAIL:
        box = _mailbox(address)
        address = box.address
        _merge(payload, {"to_name": box.name} if box.name else {})
    payload[own] = normalised(channel, address)


def _mailbox(text: str) -> Mailbox:
    if mailbox.is_bare(text):
        return Mailbox(text)
    try:
        return mailbox.parse(text)
    except mailbox.NoMailbox:
        return Mailbox(text)  # refused like any other text that is no address


def _unfit_audience(channel: Channel, content: Mapping[str, Any]) -> str | None:
    """Return a field that says to whom and is not text: passed over, it would go to another address."""
    for key in _AUDIENCE[channel]:
        value = content.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            return key
    return None


def written(payload: Mapping[str, Any]) -> str:
    """Return a payload as canonical JSON. Raises UsageError for what no JSON or no text has."""
    if (sure := json_codec.surely(payload)) is not None:
        return sure
    _refuse_half_characters(payload)
    _refuse_nul(payload)
    if json_codec.is_too_deep(payload):
        raise UsageError(f"it is nested too deep: at most {json_codec.DEEPEST} levels are stored")
    return canonical(payload)


def _refuse_half_characters(payload: Mapping[str, Any]) -> None:
    for key, value in payload.items():
        try:
            canonical({key: value}).encode()
        except UnicodeEncodeError:
            raise UsageError(f"{key}: holds bytes that are no text in UTF-8") from None
        except (ValueError, RecursionError, TypeError) as error:
            raise UsageError(f"{key}: cannot be written as JSON: {_reason(error)}") from None


def _refuse_nul(payload: Mapping[str, Any]) -> None:
    """Raise UsageError for U+0000: no mail carries it, no database column holds it, and programs in C end there."""
    for key, value in payload.items():
        if _NUL in canonical({key: value}) and _has_nul([key, value]):
            raise UsageError(f"{key}: holds NUL (U+0000), which is no character of a text")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_has_nul(each) for each in (*value.keys(), *value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_nul, value))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


# Made once: `json.loads` with an argument makes one for each call.
_STORED = json.JSONDecoder(parse_constant=_no_constant)
_GIVEN = json.JSONDecoder(parse_constant=_no_constant, parse_float=json_codec.exact)


def _strictly(text: str, decoder: json.JSONDecoder = _STORED) -> Any:
    value = decoder.decode(text)
    if json_codec.is_too_deep(value):
        raise ValueError("nested too deep")
    return value


def _reason(error: Exception) -> str:
    return "nested too deep" if isinstance(error, RecursionError) else str(error)
