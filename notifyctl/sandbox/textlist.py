"""Twilio's lists of messages: which are asked for, and a page of them with the addresses of the others.

Source: Twilio's OpenAPI description of `GET /2010-04-01/Accounts/{AccountSid}/Messages.json`. A page's token names the
message at its edge, so that pages neither repeat nor leave out one while others arrive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

from notifyctl.core.frozen import dataclass

PAGE_SIZE = 50
LARGEST_PAGE = 1_000
_KEPT = ("To", "From", "DateSent", "DateSent<", "DateSent>")
"""What the addresses of other pages repeat."""


class BadList(Exception):
    """The list that is asked for cannot be; the text says why."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A message as far as lists go by it; `moment` is when it was sent, else made, in seconds since the epoch."""

    sid: str
    to: str
    sender: str | None
    moment: float


def matching(query: str) -> Callable[[Listed], bool]:
    """Return whether a message is one of those that a query string asks for; raise BadList for what is no date."""
    asked = dict(parse_qsl(query))
    day, after, before = (_span(asked.get(name)) for name in ("DateSent", "DateSent>", "DateSent<"))

    def fits(text: Listed) -> bool:
        sent = datetime.fromtimestamp(text.moment, UTC)
        by_whom = asked.get("To", text.to) == text.to and asked.get("From", text.sender) == text.sender
        on_day = day is None or day[0] <= sent < day[1]
        return by_whom and on_day and (after is None or sent >= after[0]) and (before is None or sent < before[1])

    return fits


def page(path: str, query: str, sids: Sequence[str]) -> tuple[slice, dict[str, Any]]:
    """Return which of the messages are on the page that is asked for, and what stands around them.

    `sids` are all that match, the newest first. Raises BadList for a token of none of them.
    """
    asked = dict(parse_qsl(query))
    size, number = _number(asked, "PageSize", PAGE_SIZE, LARGEST_PAGE), _number(asked, "Page", 0, 10**9)
    size = max(size, 1)
    begin = _begin(asked.get("PageToken", ""), sids, size)
    end = min(begin + size, len(sids))
    kept = [(name, asked[name]) for name in _KEPT if name in asked] + [("PageSize", str(size))]

    def address(to: int, token: str = "") -> str:
        return f"{path}?{urlencode([*kept, ('Page', str(to)), *([('PageToken', token)] if token else [])])}"

    first = number * size
    return slice(begin, end), {
        "first_page_uri": address(0),
        "next_page_uri": address(number + 1, f"PA{sids[end - 1]}") if end < len(sids) else None,
        "previous_page_uri": address(max(number - 1, 0), f"PB{sids[begin]}") if begin else None,
        "uri": address(number, asked.get("PageToken", "")),
        "page": number,
        "page_size": size,
        "start": first,
        "end": first + max(end - begin - 1, 0),
    }


def _begin(token: str, sids: Sequence[str], size: int) -> int:
    if not token:
        return 0
    way, sid = token[:2], token[2:]
    if way not in ("PA", "PB") or sid not in sids:
        raise BadList("Invalid PageToken")
    place = sids.index(sid)
    return place + 1 if way == "PA" else max(place - size, 0)


def _number(asked: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = asked.get(name, "")
    return min(int(text[:12]), most) if text.isdecimal() and text.isascii() else usual


def _span(text: str | None) -> tuple[datetime, datetime] | None:
    """Return the day, or the second, that a text names: from, and until before."""
    if not text:
        return None
    try:
        begin = datetime.fromisoformat(text)
    except ValueError:
        raise BadList("Invalid DateSent") from None
    begin = begin.replace(tzinfo=begin.tzinfo or UTC)
    return begin, begin + (timedelta(days=1) if len(text) == len("2026-01-31") else timedelta(seconds=1))
