"""Plays what stands behind a mail's link to unsubscribe (RFC 8058): it answers as a handler has to.

There is no database here: it says which command a handler would run, and changes nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import parse_qs

from notifyctl.core.unsubscribe import LIST, ONE_CLICK, PARAMETER, POST, is_of_preview
from notifyctl.sandbox.exchange import IncomingRequest, Reply

PATH = "/unsubscribe"
_URI = re.compile(r"<([^<>]*)>")  # RFC 2369, 2: an address may have commas itself
_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


def answer(call: IncomingRequest) -> Reply | None:
    """Return the answer to a request to the link, None for any other."""
    if call.path != PATH or not call.is_local():
        return None
    if call.method != "POST":
        return _said(405, "only a POST may act: scanners follow links", {"Allow": "POST"})
    if _asked(call) != "One-Click":
        return _said(400, f"the body is not {ONE_CLICK}, as {_FORM} or {_MULTIPART}")
    token = _token(call.query)
    if token is None:
        return _said(400, f"the address has no {PARAMETER}, or several")
    if is_of_preview(token):
        return _said(403, "the token is of a preview, and acts for nobody")
    return _said(200, f"a handler would run: notifyctl prefs unsubscribe {shlex.quote(token)}")


def steps(headers: Mapping[str, str]) -> dict[str, str]:
    """Return how the mail with these headers is left, by who does it; empty for one that says nothing of it."""
    named = {name.rpartition(" ")[2].lower(): value for name, value in headers.items()}
    link, post = named.get(LIST.lower(), ""), named.get(POST.lower())
    urls = [each for each in _URI.findall(link) if each.lower().startswith(("https:", "http:"))]
    if post != ONE_CLICK or len(urls) != 1:
        return {"Not with one click": f"{LIST}: {link}; {POST}: {post}"} if link or post else {}
    token = _token(urls[0].partition("?")[2])
    done = {"Link": urls[0], "A mail program does": f"curl -d {ONE_CLICK} {shlex.quote(urls[0])}"}
    return done if token is None else done | {"Its handler does": f"notifyctl prefs unsubscribe {shlex.quote(token)}"}


def _token(query: str) -> str | None:
    found = parse_qs(query).get(PARAMETER, [])
    return found[0] if len(found) == 1 else None


def _asked(call: IncomingRequest) -> str | None:
    """Return what a form says of List-Unsubscribe."""
    if call.has_content_type(_FORM):
        return next(iter(parse_qs(call.body.decode(errors="replace")).get(LIST, [])), None)
    if not call.has_content_type(_MULTIPART):
        return None
    head = f"Content-Type: {call.headers['content-type']}\r\n\r\n".encode(errors="replace")
    try:
        form = message_from_bytes(head + call.body, _class=EmailMessage, policy=policy.HTTP)
        parts = {part.get_param("name", header="content-disposition"): part for part in form.iter_parts()}
        payload = parts[LIST].get_payload(decode=True)
    except Exception:  # what is no form may fail in many ways
        return None
    return payload.decode(errors="replace").strip() if isinstance(payload, bytes) else None


def _said(status: int, words: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(
        status, f"{words}\n".encode(), "text/plain; charset=utf-8", {"Cache-Control": "no-store", **(headers or {})}
    )
