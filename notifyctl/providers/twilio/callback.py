"""What Twilio calls a webhook with: status callbacks, and how it signs them.

Source: twilio.com/docs/messaging/guides/track-outbound-message-status, twilio.com/docs/usage/security.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

from notifyctl.core.receipt import Arrival
from notifyctl.providers import reading
from notifyctl.providers.contract import Call, Credentials, MalformedCall, Unsigned
from notifyctl.providers.twilio.receipts import receipt

SIGNATURE = "x-twilio-signature"
_PORTS = {"https": 443, "http": 80}
_MOST_FIELDS = 1_000

Pairs = Sequence[tuple[str, str]]


def read(body: bytes) -> list[Arrival]:
    """Return what the callbacks say, one a line; raise MalformedCall naming the line that is none."""
    return [_arrival(_pairs(line, number), number) for number, line in _lines(body)]


def is_genuine(call: Call, credentials: Credentials) -> bool:
    """Return whether it was signed with the account's auth token; raise Unsigned where that cannot be seen."""
    given = call.headers.get(SIGNATURE)
    if not given:
        raise Unsigned("the headers have no X-Twilio-Signature")
    if call.url is None:
        raise Unsigned("Twilio signs the address that it called as well: it is needed, as Twilio knows it")
    lines = list(_lines(call.body))
    if len(lines) != 1:
        raise Unsigned(f"the headers are those of one call, and there are {len(lines)}")
    pairs = _pairs(lines[0][1], lines[0][0])
    token = _token(call, credentials)
    # With the scheme's own port and without it: which of them Twilio signed, its documentation leaves open.
    expected = [signature(token, url, pairs) for url in _spellings(call.url)]
    return any(hmac.compare_digest(given.encode(), each.encode()) for each in expected)


def signature(token: str, url: str, pairs: Pairs) -> str:
    """Return the signature of a form posted to `url`: what the header X-Twilio-Signature holds."""
    # Several values of one name: each once, in order.
    text = url + "".join(name + value for name, value in sorted(set(pairs)))
    return b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def _token(call: Call, credentials: Credentials) -> str:
    if call.token:
        return call.token
    if credentials.api_key.startswith("SK"):
        raise Unsigned("Twilio signs with the account's auth token, and the stored credential is an API key (SK...)")
    return credentials.api_secret or ""


def _spellings(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    usual = _PORTS.get(parts.scheme)
    if usual is None or not parts.hostname or (port is not None and port != usual):
        return [url]
    host = parts.netloc.removesuffix(f":{usual}")
    return [parts._replace(netloc=each).geturl() for each in (host, f"{host}:{usual}")] + [url]


def _lines(body: bytes) -> Iterator[tuple[int, bytes]]:
    numbered = enumerate(body.split(b"\n"), 1)
    return ((number, line.strip()) for number, line in numbered if line.strip())


def _pairs(line: bytes, number: int) -> Pairs:
    try:
        return parse_qsl(
            line.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise MalformedCall(f"line {number}: no form as Twilio posts it") from None


def _arrival(pairs: Pairs, number: int) -> Arrival:
    form = dict(pairs)
    sid = reading.identifier(form.get("MessageSid") or form.get("SmsSid"))
    status = form.get("MessageStatus") or form.get("SmsStatus")
    if sid is None or not status:
        raise MalformedCall(f"line {number}: MessageSid and MessageStatus are missing")
    moment = _moment(form.get("RawDlrDoneDate", ""))
    found = receipt(status, form.get("ErrorCode"), form.get("ErrorMessage"), form.get("To"), moment)
    return Arrival(found, provider_message_id=sid)


def _moment(done: str) -> int | None:
    """Return the carrier's date (YYMMDDhhmm) in milliseconds since the epoch."""
    try:
        return int(datetime.strptime(done, "%y%m%d%H%M").replace(tzinfo=UTC).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None
