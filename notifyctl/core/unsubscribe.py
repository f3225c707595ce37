"""Leaving a category with one click (RFC 8058): the token in a mail's link, and the headers that carry the link.

A token is `v1.KEY.WHAT.SIGNATURE`: WHAT says for whom, of which category and since when, in base64url, SIGNATURE is
HMAC-SHA256 (RFC 2104) over all before it, by the signing key whose id begins with KEY. It says nothing that is secret.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from notifyctl.core.content import VARIABLES, InvalidPayload
from notifyctl.core.errors import AnswerIsNo, UsageError
from notifyctl.core.host import is_loopback
from notifyctl.core.model import Message, Subscription
from notifyctl.core.patterns import pattern

PURPOSE = "unsubscribe"
"""What the key that signs these tokens is for."""
VARIABLE = "unsubscribe_url"
"""Under which name a template finds the link."""
PARAMETER = "token"
"""Under which name the link has the token."""
LIST, POST = "List-Unsubscribe", "List-Unsubscribe-Post"
ONE_CLICK = "List-Unsubscribe=One-Click"

VALID_MS = 365 * 24 * 60 * 60 * 1_000
MOST_URL_CHARS = 400  # with a token, and its name, a header has to fit on a line (RFC 5322, 2.1.1)

_TOKEN = pattern(r"v1\.(?P<key>[a-z0-9-]{8})\.(?P<what>[A-Za-z0-9_-]{1,400})\.[A-Za-z0-9_-]{43}", re.ASCII)
_IN_A_LINK = pattern(r"[!#-;=?-Z\[\]_a-z~]+", re.ASCII)  # RFC 3986, 2, with %: nothing that ends a <...>
_PREVIEW = "-preview"  # where a key's id would be, of which none has a hyphen there


class SigningKey(NamedTuple):
    """A key that signs, and the id of its row."""

    id: str
    secret: bytes

    def __repr__(self) -> str:
        """Return which key it is, and not what it is."""
        return f"SigningKey({self.id!r})"

    @property
    def short_id(self) -> str:
        """How tokens name it."""
        return self.id[:8]


# Tokens


def token(key: SigningKey, of: Subscription) -> str:
    """Return the token with which that person leaves that category."""
    return _signed(key.short_id, key.secret, f"{of.at}:{of.user_id}:{of.category}")


def preview_token(of: Subscription) -> str:
    """Return what looks like a token, and acts for nobody: no key signs it, and nobody is named in it."""
    nobody = "0" * len(of.user_id)
    return _signed(_PREVIEW, b"", f"{of.at}:{nobody}:{of.category}")


def is_of_preview(token: str) -> bool:
    """Return whether it acts for nobody."""
    return token.strip().startswith(f"v1.{_PREVIEW}.")


def read(given: str, key: SigningKey | None, now: int) -> Subscription:
    """Return what a token is for; `key` is the one that signs here, if there is one yet.

    Raises UsageError for what is no token, AnswerIsNo for one that was changed, is too old, or of somewhere else.
    """
    found = _TOKEN.fullmatch(given.strip())
    what = None if found is None else _decoded(found["what"])
    if found is None or what is None:
        raise UsageError("that is no unsubscribe token", f"it is the {PARAMETER} of the link, whole: v1.KEY.WHAT.SIGN")
    if is_of_preview(given):
        raise AnswerIsNo("the token is of a preview, and acts for nobody", "mail that is sent carries one that does")
    if key is None or found["key"] != key.short_id:
        raise AnswerIsNo(f"the token was signed by key {found['key']}, which is not here: it is of another system")
    if not hmac.compare_digest(_signature(key.secret, given.strip().rpartition(".")[0]), given.strip()[-43:]):
        raise AnswerIsNo("the token was changed: its signature is another's")
    return _not_too_old(what, now)


def _not_too_old(what: str, now: int) -> Subscription:
    at, user_id, category = what.split(":", 2)
    if now - int(at) >= VALID_MS:
        raise AnswerIsNo("the token is older than a year, for which it was valid", "notifyctl prefs opt-out does it")
    return Subscription(user_id, category, int(at))


def _signed(key_id: str, secret: bytes, what: str) -> str:
    before = f"v1.{key_id}.{_encoded(what.encode())}"
    return f"{before}.{_signature(secret, before)}"


def _signature(secret: bytes, text: str) -> str:
    return _encoded(hmac.digest(secret, text.encode(), hashlib.sha256))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _decoded(text: str) -> str | None:
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


# Links


def checked_url(url: str) -> str:
    """Return the address to which the token is added. Raises ValueError for one that cannot stand in the header."""
    parts = urlsplit(url)  # whose own ValueError says what is no address
    if len(url) > MOST_URL_CHARS or not _IN_A_LINK.fullmatch(url):
        raise ValueError(f"is no address of at most {MOST_URL_CHARS} characters that a header can have: %-encode it")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user or password, which every reader of a mail would see")
    if not parts.hostname or parts.scheme not in ("http", "https") or parts.port == 0:
        raise ValueError("is no https address")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("must be https, but for a loopback address (RFC 8058, 3.1)")
    if "#" in url:
        raise ValueError("has a fragment (#...), which no server is sent")
    if any(name == PARAMETER for name, _ in parse_qsl(parts.query, keep_blank_values=True)):
        raise ValueError(f"has a parameter {PARAMETER!r} already, which is the name of the token's")
    return url


def link(url: str, token: str) -> str:
    """Return the address with the token in its query, whatever else that has."""
    parts = urlsplit(url)
    query = f"{parts.query}&" if parts.query and not parts.query.endswith("&") else parts.query
    return parts._replace(path=parts.path or "/", query=f"{query}{PARAMETER}={token}").geturl()


# Messages


def with_link(message: Message, url: str) -> Message:
    """Return the message with the headers of RFC 8058, 3.1; what is yet to be rendered, with the link as a variable.

    A variable of that name that it has already stays. Raises InvalidPayload where it has such headers already.
    """
    content = dict(message.content)
    headers, values = content.get("headers") or {}, content.get(VARIABLES) or {}
    if isinstance(headers, Mapping):  # nothing else is taken by a provider
        for name in headers:
            if str(name).casefold() in (LIST.casefold(), POST.casefold()):
                raise InvalidPayload(f"headers.{name}: mail of a marketing category has its own, of unsubscribe_url")
        content["headers"] = {**headers, LIST: f"<{url}>", POST: ONE_CLICK}
    if message.template is not None and isinstance(values, Mapping):
        content[VARIABLES] = {VARIABLE: url, **values}
    return message._replace(content=content, one_click=True)
