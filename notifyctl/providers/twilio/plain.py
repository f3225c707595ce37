"""The usual text message, encoded in little time: words for one number.

It is the form that `form` makes, byte for byte. Whatever is unusual is left to `form`: so what that refuses is never
built here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import urlencode

from notifyctl.core.model import Message
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.twilio.form import MAX_BODY_CHARS, naming, reached, sender, status_callback

_FIELDS = frozenset({"v", "to", "body", "from"})
_SENDERS, _SENDER_CHARS = 64, 320  # how many are remembered, and how long they may be
_ID, _NUMBER = "\x00", "\x01"
# What is quoted first, what is last, and what stays as it is.
_DONE = b"% ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~"
_QUOTED = [(bytes([byte]), b"%%%02X" % byte) for byte in range(256)]


def encoder(credentials: Credentials) -> Callable[[Message], bytes | None]:
    """Return what encodes usual texts with these credentials, and returns None for others."""
    try:
        callback = status_callback({}, credentials)
    except InvalidMessage:
        return lambda message: None
    ending = _ending(callback)

    @lru_cache(_SENDERS)
    def source(own: str | None) -> tuple[str, bytes] | None:
        try:
            name, value = sender({"from": own}, credentials)
        except InvalidMessage:
            return None
        return value, f"&{urlencode({name: value})}&Body=".encode()

    def encoded(message: Message) -> bytes | None:
        content, to = message.content, message.to
        if not to or not _FIELDS.issuperset(content):
            return None
        body, own = content.get("body"), content.get("from")
        if type(body) is not str or not 0 < len(body) <= MAX_BODY_CHARS:
            return None
        if own is not None and (type(own) is not str or len(own) > _SENDER_CHARS):
            return None
        if (found := source(own)) is None:
            return None
        try:
            return b"To=" + quoted(reached(to, found[0])) + found[1] + quoted(body) + ending(message)
        except UnicodeEncodeError:  # half a surrogate pair
            return None

    return encoded


def _ending(callback: str | None) -> Callable[[Message], bytes]:
    """Return what writes the address of the status callback, which names the message; nothing where there is none."""
    if callback is None:
        return lambda message: b""
    # Two characters that no address has hold the places.
    spelled = f"&{urlencode({'StatusCallback': naming(callback, _ID, _NUMBER)})}".encode()
    start, _, rest = spelled.partition(b"%00")
    middle, _, end = rest.partition(b"%01")
    return lambda message: b"%b%b%b%d%b" % (start, quoted(message.notification_id), middle, message.attempt, end)


def quoted(text: str) -> bytes:
    """Return `text` as a form has it: what `urllib.parse.quote_plus` returns, in a fifth of the time."""
    encoded = text.encode().replace(b"%", b"%25")  # first, since the others bring it
    for byte in set(encoded.translate(None, _DONE)):
        encoded = encoded.replace(*_QUOTED[byte])
    return encoded.replace(b" ", b"+")
