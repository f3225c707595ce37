"""The files of mails, each stored once however many refer to it, and gone with the last of them.

They are written and read in pieces: drivers and their connections keep what is large several times over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CHAR, ColumnElement, FromClause, Integer, bindparam, delete, exists, insert, select

from notifyctl.core import attached
from notifyctl.core.json_codec import stored
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import attachment_pieces, attachments, notification_attachments, notifications

a, of = attachments.c, notification_attachments.c

PIECE = 1 << 20
"""How many characters are written or read at a time."""
_MARK = '"digest"'


def keep(tx: Tx, files: Mapping[str, str]) -> None:
    """Store those contents, by digest, that are not there yet; none of them can go before the transaction ends."""
    adding = tx.dialect.insert(attachments).on_conflict_do_nothing().returning(a.digest)
    while new := files.keys() - _held(tx, list(files)):
        for digest in new:
            content = files[digest]
            if tx.execute(adding, {"digest": digest, "size": len(content)}).scalar() is not None:
                _write(tx, digest, content)


def link(tx: Tx, references: Sequence[tuple[str, str]]) -> None:
    """Take note which notifications (ids) refer to which files (digests); one that is not there is passed over."""
    if references:
        given = tx.dialect.rowset("v", {"notification_id": ID, "digest": CHAR(64)}, references)
        found = select(given.c.notification_id, a.digest).join_from(given, attachments, a.digest == given.c.digest)
        tx.execute(insert(notification_attachments).from_select(["notification_id", "digest"], found))


def read(tx: Tx, digests: Sequence[str]) -> dict[str, str | None]:
    """Return contents by digest: None for one that is not what was stored; what is not there is left out."""
    found: dict[str, str | None] = {}
    for digest in digests:  # one after the other: they are large, and mostly there is one
        size = tx.execute(select(a.size).where(a.digest == digest)).scalar()
        if size is not None:
            content = _read(tx, digest, size)
            found[digest] = content if attached.digest_of(content) == digest else None
    return found


def with_files(tx: Tx, payload: str) -> str:
    """Return the text of a payload with its files in it, but for those that cannot be had."""
    content = stored(payload, dict[str, Any]()) if _MARK in payload else {}
    if not (digests := attached.digests(content)):
        return payload
    return json.dumps(attached.whole(content, read(tx, digests)), ensure_ascii=False)


def of_user(tx: Tx, user_id: str) -> list[str]:
    """Return the digests of the files of a user's notifications."""
    joined = notification_attachments.join(notifications, notifications.c.id == of.notification_id)
    statement = select(of.digest).distinct().select_from(joined).where(notifications.c.user_id == user_id)
    return list(tx.execute(statement).scalars())


def drop_unused(tx: Tx, digests: Sequence[str] | None = None) -> int:
    """Delete files to which nothing refers any more, of all or of these; return how many.

    One that is being referred to at this moment is left alone.
    """
    if not (found := _unused(tx, digests)):
        return 0
    # Looked at again, now that they are locked: what was referred to meanwhile stays.
    gone = delete(attachments).where(a.digest.in_(select(_given(tx, found))), ~_is_used()).returning(a.digest)
    return len(tx.execute(gone).all())


def _unused(tx: Tx, digests: Sequence[str] | None) -> list[str]:
    """Return those of some files, or of all, to which nothing refers, and lock them; none that others have locked."""
    statement = select(a.digest).where(~_is_used()).with_for_update(skip_locked=True, of=attachments)
    if digests is not None:
        statement = statement.where(a.digest.in_(select(_given(tx, digests))))
    return list(tx.execute(statement).scalars()) if digests != [] else []


def _write(tx: Tx, digest: str, content: str) -> None:
    for number, begin in enumerate(range(0, len(content), PIECE)):
        piece = content[begin : begin + PIECE]
        tx.execute(insert(attachment_pieces), {"digest": digest, "number": number, "content": piece})


def _read(tx: Tx, digest: str, size: int) -> str:
    p = attachment_pieces.c
    asked = select(p.content).where(p.digest == digest, p.number == bindparam("place", type_=Integer))
    places = range((size + PIECE - 1) // PIECE)
    return "".join([tx.execute(asked, {"place": place}).scalar() or "" for place in places])


def _held(tx: Tx, digests: Sequence[str]) -> set[str]:
    """Return which of these are there, and keep them until the transaction ends."""
    statement = select(a.digest).where(a.digest.in_(select(_given(tx, digests))))
    return set(tx.execute(statement.with_for_update(read=True, key_share=True)).scalars())


def _is_used() -> ColumnElement[bool]:
    return exists().where(of.digest == a.digest)


def _given(tx: Tx, digests: Sequence[str]) -> FromClause:
    return tx.dialect.rowset("v", {"digest": CHAR(64)}, [(each,) for each in digests])
