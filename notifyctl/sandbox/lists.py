"""SendGrid's suppression lists, of what became of the sandbox's mails.

Source: twilio.com/docs/sendgrid/api-reference: each list has `limit` and `offset`; times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from notifyctl.sandbox.exchange import IncomingRequest, Reply, as_json

MOST = 500


class ListedMail(NamedTuple):
    """A mail whose recipient is on a list: the event that put the address there, and what it said."""

    event: str
    address: str
    moment: float
    more: Mapping[str, str]


PATHS: Mapping[str, tuple[str, str | None]] = {
    "/v3/suppression/bounces": ("bounce", "bounce"),
    "/v3/suppression/blocks": ("bounce", "blocked"),
    "/v3/suppression/invalid_emails": ("dropped", None),
    "/v3/suppression/spam_reports": ("spamreport", None),
    "/v3/suppression/unsubscribes": ("unsubscribe", None),
    "/v3/asm/suppressions": ("group_unsubscribe", None),
}
"""The event that puts an address on each list, and its type where that matters."""


def answer(call: IncomingRequest, listed: Iterable[ListedMail]) -> Reply:
    """Return a page of a list: each address once, the latest first."""
    asked = {name: values[0] for name, values in parse_qs(call.query).items()}
    offset, limit = (_number(asked.get(name, ""), most) for name, most in (("offset", 0), ("limit", MOST)))
    event, kind = PATHS[call.path]
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in listed:
        if each.event == event and kind in (None, each.more.get("type")):
            rows.setdefault((each.address.lower(), each.more.get("asm_group_id", "")), _row(each))
    return as_json(200, list(rows.values())[offset : offset + min(limit, MOST)])


def _row(each: ListedMail) -> dict[str, Any]:
    if each.event == "group_unsubscribe":
        group = int(each.more.get("asm_group_id") or 0)
        return {
            "email": each.address,
            "group_id": group,
            "group_name": f"Group {group}",
            "created_at": int(each.moment),
        }
    said = {name: each.more[name] for name in ("reason", "status") if name in each.more}
    return {"created": int(each.moment), "email": each.address, **said}


def _number(text: str, otherwise: int) -> int:
    return int(text[:9]) if text.isascii() and text.isdecimal() else otherwise
