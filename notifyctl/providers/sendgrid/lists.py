"""The addresses that SendGrid itself does not write to: its suppression lists, a page at a time.

Source: twilio.com/docs/sendgrid/api-reference, Bounces, Invalid Emails, Spam Reports, Blocks, Suppressions - Global
Unsubscribes and Suppressions (of unsubscribe groups).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

from notifyctl.core import json_codec
from notifyctl.core.outcome import Kind
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.core.text import one_line
from notifyctl.providers import content as fields
from notifyctl.providers import reading
from notifyctl.providers.contract import Credentials, ListPage, Request, Response


class _List(NamedTuple):
    path: str
    cause: SuppressionCause | None
    moment: str = "created"


_LISTS: Mapping[str, _List] = {
    "bounces": _List("/v3/suppression/bounces", SuppressionCause.BOUNCE),
    "invalid_emails": _List("/v3/suppression/invalid_emails", SuppressionCause.BOUNCE),
    "spam_reports": _List("/v3/suppression/spam_reports", SuppressionCause.COMPLAINT),
    "unsubscribes": _List("/v3/suppression/unsubscribes", SuppressionCause.OPT_OUT),
    "group_unsubscribes": _List("/v3/asm/suppressions", SuppressionCause.OPT_OUT, "created_at"),
    # The receivers' mood of the moment: SendGrid itself goes on writing to these.
    "blocks": _List("/v3/suppression/blocks", None),
}
NAMES = tuple(_LISTS)
_REFUSED = (401, 403)


def question(name: str, offset: int, limit: int, credentials: Credentials, default: str) -> Request:
    """Return the request for a page of a list."""
    query = urlencode({"limit": limit, "offset": offset})
    headers = {"Authorization": f"Bearer {credentials.api_key}", "Accept": "application/json"}
    return Request("GET", f"{fields.base_url(credentials, default)}{_LISTS[name].path}?{query}", headers, b"")


def read(name: str, response: Response) -> ListPage:
    """Return what a page says. Never raises."""
    if response.status == 200:
        return _page(name, response)
    errors = reading.objects(reading.json_object(response.body).get("errors"))
    message = one_line(f"HTTP {response.status} {'; '.join(reading.text(each.get('message')) for each in errors)}")
    if response.status == 429:
        wait = reading.retry_after_ms(response.headers) or reading.rate_limit_reset_ms(response.headers)
        return ListPage(Kind.THROTTLED, message=message, retry_after_ms=wait)
    return ListPage(Kind.CONFIG if response.status in _REFUSED else Kind.UNKNOWN, message=message)


def _page(name: str, response: Response) -> ListPage:
    try:
        rows = json_codec.decode(response.body)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        return ListPage(Kind.UNKNOWN, message="the answer is no list, or larger than what is read of one")
    said = tuple(found for row in reading.objects(rows) if (found := _refusal(name, row)) is not None)
    return ListPage(Kind.ACCEPTED, said, count=len(rows))


def suppresses(name: str) -> bool:
    """Return whether who is on a list is written to no more."""
    return _LISTS[name].cause is not None


def _refusal(name: str, row: Mapping[str, Any]) -> Refusal | None:
    address, of = reading.address(row.get("email")), _LISTS[name]
    if not address:
        return None
    moment = row.get(of.moment)
    at = moment * 1_000 if isinstance(moment, int) and not isinstance(moment, bool) and 0 < moment < 2**40 else None
    group = row.get("group_id")
    group_id = str(group) if isinstance(group, int | str) and not isinstance(group, bool) else ""
    said = reading.text(row.get("reason")) or reading.text(row.get("group_name"))
    cause = of.cause or SuppressionCause.BOUNCE
    return Refusal(address, cause, one_line(f"SendGrid {name}: {said}" if said else f"SendGrid {name}"), group_id, at)
