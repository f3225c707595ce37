"""What every adapter needs to read an answer: safe JSON, safe text, and the wait the provider asks for.

Nothing here raises, whatever the other side sent.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from notifyctl.core import json_codec
from notifyctl.core.model import Category
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.patterns import pattern
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.core.text import clean, one_line
from notifyctl.providers.contract import Response

ID_CHARS = 255

# A text without the mark in UTF-8 that is none is left to whoever reads it.
_MARKS: Mapping[bytes, str] = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
LONGEST_WAIT_MS = 366 * 24 * 3_600_000
"""What is made of a longer wait, however many digits it has; policy clamps it further."""
_SECONDS = pattern(r"[0-9]+")
_FAR_YEAR = pattern(r"[A-Za-z]{3},? \d{1,2} [A-Za-z]{3} [1-9]\d{4,} \d\d:\d\d:\d\d GMT", re.ASCII)
_EPOCH = pattern(r"[0-9]{10}")


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in `body`; an empty one for anything else (HTML, a list, broken or too deep JSON)."""
    try:
        value = json_codec.decode(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """Return the objects among the elements of `value`; none when it is not a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def unmarked(body: bytes) -> bytes:
    """Return a text in UTF-8 without the mark that some programs put before it; one in UTF-16 is brought to UTF-8."""
    for mark, coding in _MARKS.items():
        if body.startswith(mark):
            rest = body[len(mark) :]
            return rest if coding == "utf-8" else rest.decode(coding, errors="replace").encode()
    return body


def text(value: object) -> str:
    """Return `value` on one line if it is text, else an empty string."""
    return one_line(value) if isinstance(value, str) else ""


def address(value: object) -> str | None:
    """Return an address that a provider tells of; None for what had to be cleaned: it may be another's."""
    found = text(value)
    return found if found and found == str(value).strip() and "\ufffd" not in found else None


def explained(ours: str | None, theirs: str) -> str:
    """Return what an answer means in our words, if there are any, with the provider's own beside them."""
    return theirs if ours is None else f"{ours} ({theirs})" if theirs else ours


def identifier(value: object) -> str | None:
    """Return an id the provider gave, or None when it is absent, not text, or too long to be one."""
    found = text(value)
    return found if found and len(found) <= ID_CHARS else None


def outcome(
    kind: Kind,
    response: Response,
    message: str = "",
    *,
    code: str | None = None,
    message_id: str | None = None,
    retry_after: int | None = None,
    category: Category = Category.PROVIDER_REJECTED,
    blames: Blame = Blame.ACCOUNT,
    field: str | None = None,
    lasts_ms: int = 0,
    cause: SuppressionCause = SuppressionCause.BOUNCE,
    refusals: tuple[Refusal, ...] = (),
) -> Outcome:
    """Return the outcome with what every reading keeps of the answer; `retry_after` is in milliseconds."""
    return Outcome(
        kind,
        one_line(message) or (f"HTTP {response.status}" if kind is not Kind.ACCEPTED else ""),
        code=code,
        http_status=response.status,
        provider_message_id=message_id,
        retry_after_ms=retry_after,
        response=_kept(response),
        category=category,
        blames=blames,
        field=field,
        lasts_ms=lasts_ms,
        cause=cause,
        refusals=refusals,
    )


def accepted(response: Response, message_id: str | None) -> Outcome:
    """Return what `outcome` does of an acceptance, where little time may pass."""
    return Outcome(Kind.ACCEPTED, "", None, response.status, message_id, None, _kept(response))


def kind_of_status(status: int) -> Kind:
    """Return the class of a status that no adapter's table lists.

    Another 4xx says that the request was refused, and repeating it would not help; 408 that it did not arrive whole.
    Whatever else (1xx, an unexpected 2xx, a redirect, another 5xx) tells nothing about the message.
    """
    if status == 408:
        return Kind.TRANSIENT
    return Kind.PERMANENT if 400 <= status < 500 else Kind.UNKNOWN


def retry_after_ms(headers: Mapping[str, str]) -> int | None:
    """Return the wait in `Retry-After` (RFC 9110, 10.2.3), in milliseconds; None when absent or nonsense.

    A date counts from the answer's own `Date`, so that neither clock needs to be right; without one it is ignored. A
    wait of any length is one: of more than a year it is `LONGEST_WAIT_MS`.
    """
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        digits = value.lstrip("0") or "0"
        return min(int(digits[:12]) * 1000, LONGEST_WAIT_MS) if len(digits) <= 12 else LONGEST_WAIT_MS
    if _FAR_YEAR.fullmatch(value):  # no calendar here has it
        return LONGEST_WAIT_MS
    return _wait(_epoch_ms(value), headers)


def rate_limit_reset_ms(headers: Mapping[str, str]) -> int | None:
    """Return the wait until `X-RateLimit-Reset` (epoch seconds), in milliseconds, from the answer's own `Date`."""
    value = headers.get("x-ratelimit-reset", "").strip()
    return _wait(int(value) * 1000, headers) if _EPOCH.fullmatch(value) else None


def _kept(response: Response) -> str | None:
    return clean(response.body.decode(errors="replace")) or None if response.body else None


def _wait(until: int | None, headers: Mapping[str, str]) -> int | None:
    now = _epoch_ms(headers.get("date", ""))
    return min(max(0, until - now), LONGEST_WAIT_MS) if until is not None and now is not None else None


def _epoch_ms(http_date: str) -> int | None:
    """Return an HTTP date as milliseconds since the epoch."""
    try:
        moment = parsedate_to_datetime(http_date)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
