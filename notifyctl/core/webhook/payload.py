"""What webhooks are told, as a JSON Schema (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from notifyctl.core.model import Category, Channel, Status
from notifyctl.core.webhook.event import TEST, WebhookEvent
from notifyctl.core.webhook.telling import LONGEST_DETAIL, VERSION

_TEXT: dict[str, Any] = {"type": "string"}
_ID = {"type": "string", "format": "uuid"}
_MOMENT = {"type": "string", "format": "date-time", "description": "RFC 3339, in UTC"}
_DETAIL = {"type": "string", "maxLength": LONGEST_DETAIL, "description": "why, for people"}

_ALWAYS = {
    "notification_id": _ID,
    "user_id": _ID,
    "channel": {"enum": [each.value for each in Channel]},
    "provider": _TEXT,
    "status": {"enum": [each.value for each in Status], "description": "after the event"},
    "attempts": {"type": "integer", "minimum": 0, "description": "to send it, so far"},
}
_PERHAPS = {
    "category": _TEXT,
    "template_id": _ID,
    "template_version": {"type": "integer", "minimum": 1},
    "batch_id": _ID,
}
_MORE: dict[WebhookEvent, dict[str, Any]] = {
    WebhookEvent.SENT: {"provider_message_id": {"type": "string", "description": "the provider's own id for it"}},
    WebhookEvent.FAILED: {
        "reason": {"enum": [each.value for each in Category], "description": "why it is a dead letter"},
        "detail": _DETAIL,
    },
    WebhookEvent.CANCELLED: {"detail": _DETAIL},
    WebhookEvent.SUPPRESSED: {"detail": _DETAIL},
    WebhookEvent.DEFERRED: {
        "reason": {"type": "string", "description": "the rule that put it off"},
        "detail": _DETAIL,
        "until": _MOMENT,
    },
    WebhookEvent.BOUNCED: {"detail": _DETAIL},
}
_TESTED = {"webhook_id": _ID, "name": _TEXT}


def payload_schema() -> dict[str, Any]:
    """Return the schema of a body. Fields may be added under the same version: who reads it ignores what is new."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "notifyctl webhook",
        "description": "What is told of a notification. Fields that are not known are absent; new ones may come.",
        "type": "object",
        "required": ["type", "timestamp", "version", "data"],
        "properties": {
            "type": {"enum": [*(each.value for each in WebhookEvent), TEST]},
            "timestamp": {**_MOMENT, "description": "when it happened"},
            "version": {"const": VERSION},
            "data": {"type": "object"},
        },
        "oneOf": [*(_of(each) for each in WebhookEvent), _whole(TEST, "webhooks test", _TESTED, [*_TESTED])],
    }


def _of(event: WebhookEvent) -> dict[str, Any]:
    return _whole(event.value, event.about, {**_ALWAYS, **_PERHAPS, **_MORE.get(event, {})}, [*_ALWAYS])


def _whole(name: str, about: str, fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    data = {"type": "object", "required": required, "properties": fields}
    return {"description": about, "properties": {"type": {"const": name}, "data": data}}
