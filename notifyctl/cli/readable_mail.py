"""A mail as a person reads it: its headers and texts decoded, its files by type, name and size only."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import EmailMessage


def readable(mail: bytes) -> str:
    """Return the mail for a terminal; the mail itself is in the other forms of output."""
    letter = message_from_bytes(mail, _class=EmailMessage, policy=policy.default)
    leaves = [part for part in letter.walk() if not part.is_multipart()]
    head = [f"{name}: {value}" for name, value in letter.items() if not _is_about_encoding(name)]
    parts = (f"--- {_title(part)}\n{_text(part)}" for part in leaves)
    return "\n".join([*head, "", "\n".join(parts) if len(leaves) > 1 else _text(leaves[0])]).rstrip()


def _is_about_encoding(name: str) -> bool:
    return name.lower() in ("mime-version", "content-type", "content-transfer-encoding")


def _title(part: EmailMessage) -> str:
    how, name, shown = part.get_content_disposition(), part.get_filename(), part["Content-ID"]
    return ", ".join(filter(None, (part.get_content_type(), how, name, f"cid {shown}" if shown else None)))


def _text(part: EmailMessage) -> str:
    if part.get_content_maintype() == "text" and part.get_content_disposition() is None:
        return str(part.get_content()).replace("\r\n", "\n")
    size = len(part.get_payload(decode=True) or b"")
    return f"({size:,} bytes)\n"
