"""What SendGrid's words say of a mail and its address: the same in events, in the Email Activity and in its lists.

Sources: twilio.com/docs/sendgrid/for-developers/tracking-events/event (events, types of bounces, reasons for dropping),
SendGrid's description of the Email Activity API (names of events there, hard and soft), RFC 3463, 3.2 (codes 5.1.x).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from notifyctl.core.patterns import pattern
from notifyctl.core.receipt import UNKNOWN_GROUP, Receipt, Stage
from notifyctl.core.suppression import SuppressionCause
from notifyctl.core.text import one_line


class Event(NamedTuple):
    """What SendGrid tells of a mail, wherever. `kind` is a bounce's type, `group` the group of mails it is one of."""

    name: str
    kind: str = ""
    reason: str = ""
    address: str | None = None
    at: int | None = None
    group: str = ""


# The Email Activity's names for what the Event Webhook calls otherwise.
_NAMES: Mapping[str, str] = {"bounced": "bounce", "spam_report": "spamreport"}
_STAGES: Mapping[str, Stage] = {
    "processed": Stage.UNDERWAY,
    "deferred": Stage.UNDERWAY,
    "delivered": Stage.DELIVERED,
    "bounce": Stage.BOUNCED,
    "dropped": Stage.BOUNCED,
}
_WISHES: Mapping[str, SuppressionCause] = {
    "spamreport": SuppressionCause.COMPLAINT,
    "unsubscribe": SuppressionCause.OPT_OUT,
    "group_unsubscribe": SuppressionCause.OPT_OUT,
    "group_resubscribe": SuppressionCause.OPT_OUT,
}
_OF_GROUPS = frozenset({"group_unsubscribe", "group_resubscribe"})
_DROPPED: Mapping[str, SuppressionCause] = {
    "bounced address": SuppressionCause.BOUNCE,
    "invalid": SuppressionCause.BOUNCE,
    "spam reporting address": SuppressionCause.COMPLAINT,
    "unsubscribed address": SuppressionCause.OPT_OUT,
}
_DEAD_TYPES = frozenset({"bounce", "hard"})
# The receiver's mood of the moment, unless it says that there is no such address; so does one that names no type.
_DOUBTFUL_TYPES = frozenset({"blocked", "soft", ""})
_HARD = pattern(r"\b5\.1\.\d")


def receipt(event: Event) -> Receipt | None:
    """Return what an event says; None for one that says nothing of delivery or address, such as an opened mail."""
    name = _NAMES.get(event.name, event.name)
    stage = _STAGES.get(name)
    if stage is None and name not in _WISHES:
        return None
    cause, group = _cause(name, event), _group(name, event)
    lifts = name == "group_resubscribe"
    return Receipt(
        stage,
        _text(name, event, stage),
        event.at,
        event.address or None,
        dead=cause is not None and not lifts,
        cause=cause or SuppressionCause.BOUNCE,
        group=group if cause is SuppressionCause.OPT_OUT else "",
        lifts=lifts,
    )


def group_id(value: object) -> str:
    """Return the id of a group of mails, which is a number; also one that became text. Empty for none."""
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _cause(name: str, event: Event) -> SuppressionCause | None:
    if name == "dropped":
        return _DROPPED.get(event.reason.strip().rstrip(".").lower())
    if name != "bounce":
        return _WISHES.get(name)
    dead = event.kind in _DEAD_TYPES or (event.kind in _DOUBTFUL_TYPES and _HARD.search(event.reason) is not None)
    return SuppressionCause.BOUNCE if dead else None


def _group(name: str, event: Event) -> str:
    """Return the group that an opt-out is of, empty for all mails.

    A mail of a group that was dropped shows an opt-out of at least that group.
    """
    if name in _OF_GROUPS:
        return event.group or UNKNOWN_GROUP
    return event.group if name == "dropped" else ""


def _text(name: str, event: Event, stage: Stage | None) -> str:
    if stage is Stage.DELIVERED:
        return name
    if stage is None:
        return one_line(f"{name} {event.group if name in _OF_GROUPS else ''}").strip()
    word = event.kind if name == "bounce" and event.kind else name
    return one_line(f"{word} {event.reason}").strip()
