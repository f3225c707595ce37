"""What the server is handed: one message and its envelope.

Sources: RFC 5322 (the message), RFC 2045 (MIME), RFC 2392 (pictures inside). It is ASCII throughout, so that every
server takes it; the date is the wire's business, which knows the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any

from notifyctl.core.mailbox import Mailbox
from notifyctl.core.model import Message
from notifyctl.providers import content as fields
from notifyctl.providers.attachments import Attachment, attachments
from notifyctl.providers.contract import Credentials, InvalidMessage
from notifyctl.providers.smtp.headers import BEHIND_THE_COLON, lines, own_mailbox


class _Policy(EmailPolicy):
    """As the library has it for SMTP, but that no header is folded straight behind its colon."""

    def fold_binary(self, name: str, value: str) -> bytes:
        folded = super().fold_binary(name, value)
        return BEHIND_THE_COLON.sub(r"\1 ", folded.decode("ascii")).encode()


_POLICY = _Policy(linesep="\r\n", cte_type="7bit")
# What stands in a header as it is; what is longer would be encoded, which no reader undoes there (RFC 2047, 5).
_CONTENT_ID = re.compile(r"[A-Za-z0-9._%+@-]{1,75}")
_FIELDS = frozenset(
    {
        *("v", "to", "to_name", "cc", "bcc", "from", "reply_to", "subject", "text", "html", "attachments"),
        *("headers", "categories", "custom_args"),
    }
)


def mail(message: Message, credentials: Credentials) -> tuple[dict[str, str], bytes]:
    """Return the envelope as headers for the wire, and the message; raise InvalidMessage naming the field at fault."""
    content = message.content
    for name, value in content.items():
        if name not in _FIELDS and value not in (None, "", {}, []):
            raise InvalidMessage(f"{name}: SMTP knows nothing like it")
    if not message.to:
        raise InvalidMessage("to: missing")
    sender = _sender(content, credentials)
    people = {"To": [replace(own_mailbox("to", message.to), name=fields.recipient_name(content))]}
    people |= {field.title(): _mailboxes(field, content) for field in ("cc", "bcc")}
    envelope = {
        "Mail-From": f"<{sender.address}>",
        "Rcpt-To": " ".join(dict.fromkeys(f"<{each.address}>" for boxes in people.values() for each in boxes)),
        "Message-Id": f"<{message.notification_id}@{sender.address.rpartition('@')[2]}>",
        "Content-Type": "message/rfc822",
    }
    shown = {"From": [sender], "To": people["To"], "Cc": people["Cc"], "Reply-To": _reply_to(content, credentials)}
    try:
        return envelope, lines(content, shown, envelope["Message-Id"]) + _body(content, message.notification_id)
    except InvalidMessage:
        raise
    except UnicodeEncodeError:
        raise InvalidMessage("the content holds half a surrogate pair, which is no character") from None
    except Exception as error:  # the library has many ways to say that something is no header
        raise InvalidMessage(f"no mail can be made of it: {type(error).__name__}") from error


def _sender(content: Mapping[str, Any], credentials: Credentials) -> Mailbox:
    value = fields.text(content, "from") or fields.text(credentials.config, "from")
    if value is None:
        raise InvalidMessage("from: missing, in the content and in the provider's settings")
    return own_mailbox("from", value)


def _reply_to(content: Mapping[str, Any], credentials: Credentials) -> list[Mailbox]:
    value = fields.text(content, "reply_to") or fields.text(credentials.config, "reply_to")
    return [own_mailbox("reply_to", value)] if value else []


def _mailboxes(field: str, content: Mapping[str, Any]) -> list[Mailbox]:
    return [own_mailbox(field, value) for value in fields.texts(content, field)]


def _body(content: Mapping[str, Any], notification_id: str) -> bytes:
    mail = EmailMessage(_POLICY)
    _add_body(mail, content)
    for number, part in enumerate(each for each in mail.walk() if each.is_multipart()):
        # The library's own would be random. `=_` is in no encoded text (RFC 2045, 6.7).
        part.set_boundary(f"=_{number}_{notification_id}")
    return mail.as_bytes()


def _add_body(mail: EmailMessage, content: Mapping[str, Any]) -> None:
    """Add the text, the HTML as its alternative with the pictures it shows, and the files."""
    text, html, files = fields.text(content, "text"), fields.text(content, "html"), _files(content)
    if text is None and html is None:
        raise InvalidMessage("text or html: missing")
    for field, value in (("text", text), ("html", html)):
        if value is not None and "\0" in value:  # 7bit has none (RFC 2045, 2.7), and servers cut there
            raise InvalidMessage(f"{field}: holds NUL, which no mail can")
    if text is not None:
        mail.set_content(text)
    if html is not None:
        (mail.set_content if text is None else mail.add_alternative)(html, subtype="html")
    shown = mail.get_body(("html",)) if html is not None else None
    for file in sorted(files, key=lambda file: file.disposition != "inline"):
        inside = shown is not None and file.disposition == "inline"
        add = shown.add_related if shown is not None and inside else mail.add_attachment
        kind, _, subkind = _type(file).partition("/")
        cid = f"<{file.content_id}>" if file.content_id else None
        how = "inline" if inside else "attachment"
        add(file.data, maintype=kind, subtype=subkind, filename=file.filename, disposition=how, cid=cid)


def _files(content: Mapping[str, Any]) -> list[Attachment]:
    files = attachments(content)
    for number, file in enumerate(files):
        if file.content_id and not _CONTENT_ID.fullmatch(file.content_id):
            raise InvalidMessage(f"attachments.{number}.content_id: up to 75 of A-Z a-z 0-9 . _ % + @ -")
    return files


def _type(file: Attachment) -> str:
    """Return the media type; a mail and its like must not be base64 (RFC 2046, 5.2.1), so they go as mere bytes."""
    kind = file.type or ""
    return "application/octet-stream" if not kind or kind.lower().startswith(("message/", "multipart/")) else kind
