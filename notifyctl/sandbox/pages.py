"""What a person sees with a browser: the messages received, newest first, and each of them.

Everything shown is hostile: all of it is escaped, and an e-mail's HTML stands in a frame of its own, where no script
runs and nothing is loaded from anywhere.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from time import gmtime, strftime
from urllib.parse import parse_qs

from notifyctl.core.text import clean, one_line
from notifyctl.sandbox.contents import Contents, contents_of, subject_of
from notifyctl.sandbox.exchange import IncomingRequest, Reply
from notifyctl.sandbox.inbox import Inbox, Received
from notifyctl.sandbox.oneclick import steps

ROWS = 200
VALUE_CHARS = 20_000
WORDS_CHARS = 70
REFRESH_SECONDS = 5

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 1.5rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #8886; }
td, pre { overflow-wrap: anywhere; }
pre { white-space: pre-wrap; margin: 0; }
iframe { width: 100%; height: 30rem; border: 1px solid #8886; background: #fff; }
.bad { font-weight: bold; }
"""
_STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
_SHELL = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body>
</html>
"""
_COMMON = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}
_PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-src 'self'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
# `sandbox` holds even where the mail is opened by itself: no script, no form, no pop-up, an origin of its own.
_MAIL_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
_MESSAGE = re.compile(r"/messages/(?P<number>[0-9]{1,15})(?P<html>\.html)?")


def show(call: IncomingRequest, inbox: Inbox) -> Reply | None:
    """Return the page at this address, None where there is none."""
    if call.method != "GET" or not call.is_local():
        return None
    if call.path == "/":
        return _list(inbox, parse_qs(call.query).get("before", [""])[0])
    if call.path == "/messages.json":
        return _data(inbox)
    place = _MESSAGE.fullmatch(call.path)
    received = inbox.find(int(place["number"])) if place else None
    if place is None or received is None:
        return None
    contents = contents_of(received)
    return _mail(contents.html) if place["html"] else _message(received, contents)


def _list(inbox: Inbox, before: str) -> Reply:
    limit = int(before) if before.isdecimal() and len(before) < 16 else None
    fitting = [received for received in inbox.newest() if limit is None or received.number < limit]
    rows = "\n".join(map(_row, fitting[:ROWS]))
    older = f'<p><a href="/?before={fitting[ROWS - 1].number}">Older ones</a></p>' if len(fitting) > ROWS else ""
    table = f"""<table>
<thead><tr><th scope="col">Time (UTC)</th><th scope="col">Provider</th><th scope="col">Recipient</th>
<th scope="col">Message</th><th scope="col">Answered</th><th scope="col">Fault</th></tr></thead>
<tbody>
{rows}
</tbody></table>"""
    head = (
        f"<h1>Sandbox</h1>\n<p>{_counted(inbox)}, newest first; nothing was "
        'delivered. <a href="/">Look again</a>, or <a href="/messages.json">as data</a>.</p>'
    )
    return _page("Sandbox", "\n".join([head, table if rows else "", older]), refreshes=limit is None)


def _counted(inbox: Inbox) -> str:
    """Return how much came, and how much of it is still here."""
    said = f"{inbox.messages:,} {'message' if inbox.messages == 1 else 'messages'} received"
    if inbox.checks:
        said += f", {inbox.checks:,} more only checked"
    if inbox.questions:
        said += f", {inbox.questions:,} {'question' if inbox.questions == 1 else 'questions'} answered"
    gone = inbox.messages + inbox.checks - len(inbox)
    return f"{said}; the last {len(inbox):,} are shown" if gone else said


def _row(received: Received) -> str:
    words = escape(one_line(subject_of(received), WORDS_CHARS) or "(nothing)")
    bad = ' class="bad"' if received.fault or received.status is None or received.status >= 400 else ""
    cells = (
        strftime("%H:%M:%S", gmtime(received.call.now)),
        escape(received.provider),
        _line(received.recipient, WORDS_CHARS),
        f'<a href="/messages/{received.number}">{words}</a>',
        _answer(received),
        _line(received.fault, WORDS_CHARS),
    )
    return f"<tr{bad}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _answer(received: Received) -> str:
    if received.status is None:
        return "nothing"
    return f"{received.status}, only checked" if received.checks else str(received.status)


def _message(received: Received, contents: Contents) -> Reply:
    facts = {
        "Received": strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(received.call.now)),
        "Provider": received.provider,
        "Recipient": received.recipient or "-",
        "Notification": received.notification_id or "-",
        "Answered": _answer(received),
        "Fault": received.fault or "-",
        "Request": f"{received.call.method} {received.call.path}",
    }
    parts = [
        f'<p><a href="/">All messages</a></p>\n<h1>{_line(contents.subject or "(no subject)", 300)}</h1>',
        _table("What came of it", facts),
    ]
    if contents.html is not None:
        parts.append(
            "<h2>As a person would see it</h2>\n"
            f'<iframe sandbox="" title="The e-mail" src="/messages/{received.number}.html"></iframe>'
        )
    if contents.text:
        parts.append(f"<h2>Text</h2>\n{_block(contents.text)}")
    parts.append(_table("Fields", contents.fields))
    parts.append(_table("Left with one click", steps(contents.headers)))
    parts.append(_table("Headers", contents.headers))
    parts.append(_table("Attachments", {name: f"{size:,} bytes" for name, size in contents.attachments}))
    parts.append(_table("Headers of the request", received.line()["headers"]))
    return _page(one_line(contents.subject, 100) or "Message", "\n".join(part for part in parts if part))


def _mail(html: str | None) -> Reply | None:
    if html is None:
        return None
    headers = {**_COMMON, "Content-Security-Policy": _MAIL_POLICY}
    return Reply(200, html.encode(errors="replace"), "text/html; charset=utf-8", headers)


def _data(inbox: Inbox) -> Reply:
    messages = [
        {
            "number": received.number,
            "subject": one_line(subject_of(received)),
            "checks": received.checks,
            **received.line(),
        }
        for received in inbox.newest()
    ]
    body = json.dumps(messages, ensure_ascii=False).encode(errors="replace")
    return Reply(200, body, headers=_COMMON)


def _page(title: str, body: str, *, refreshes: bool = False) -> Reply:
    whole = _SHELL.format(title=escape(title), style=STYLE, body=body)
    headers = {**_COMMON, "Content-Security-Policy": _PAGE_POLICY}
    headers |= {"Refresh": str(REFRESH_SECONDS)} if refreshes else {}
    return Reply(200, whole.encode(errors="replace"), "text/html; charset=utf-8", headers)


def _table(title: str, values: Mapping[str, str]) -> str:
    if not values:
        return ""
    rows: Iterable[str] = (
        f'<tr><th scope="row">{_line(name, 100)}</th><td>{_block(value)}</td></tr>' for name, value in values.items()
    )
    return f"<h2>{title}</h2>\n<table>\n" + "\n".join(rows) + "\n</table>"


def _line(value: str | None, limit: int) -> str:
    return escape(one_line(value or "-", limit))


def _block(value: str) -> str:
    cut = clean(value[:VALUE_CHARS], VALUE_CHARS * 4)
    more = f"\n… ({len(value):,} characters)" if len(value) > VALUE_CHARS else ""
    return f"<pre>{escape(cut)}{more}</pre>"
